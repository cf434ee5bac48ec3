"""Theory of delays, of data that differ, of baselines; against simulations."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from fedjax_opt import theory

INF = math.inf

similar_clusters = st.lists(st.floats(0.3, 10), min_size=1, max_size=6)
# Multiples of 1/4 add up exactly and tie often.
exact_clusters = st.lists(
    st.integers(1, 24).map(lambda k: k / 4), min_size=1, max_size=5
)


# ---------------------------------------------------------------- baselines


def test_hero_and_naive_optimal():
    """τ = (4, 1, 8, 2) at s = 8: the three fastest."""
    found = theory.hero((4, 1, 8, 1), 2.0, 8.0, accuracy=1.0, initial_gap=3.0)
    assert found == (1 / 32, 1, 48 + 384)
    found = theory.naive_optimal((4, 1, 8, 2), 4.0, accuracy=0.5)
    assert found.num_workers == 3 and found.workers.tolist() == [1, 3, 0]
    assert theory.naive_optimal((3, 3, 3), 0.0, accuracy=1.0).workers.tolist() == [0]


@given(st.integers(0, 40), exact_clusters)
def test_a_soviet_round_waits_for_the_slowest_block(m, times):
    sizes = [len(block) for block in np.array_split(np.arange(m), len(times))]
    assert theory.split_equally(m, len(times)).tolist() == sizes
    expected = max(t * k for t, k in zip(times, sizes, strict=True))
    assert theory.soviet_round_time(times, m) == expected


def test_a_dead_worker_without_a_block_costs_nothing():
    assert theory.soviet_round_time((2, 3, INF), 2) == 3
    assert theory.soviet_round_time((2, 3, INF), 3) == INF


# ---------------------------------------------------------------- delays


def companion(delay, step):
    """Of x⁺ = x − step · x_(k−delay)."""
    matrix = np.eye(delay + 1, k=-1)
    matrix[0, 0] += 1
    matrix[0, delay] -= step
    return matrix


@pytest.mark.parametrize(
    ("delay", "golden"), [(0, 2), (1, 1), (2, 0.618), (3, 0.445), (10, 0.1495)]
)
def test_spectral_radius_is_one_at_the_stability_limit(delay, golden):
    limit = theory.delayed_stability_limit(delay)
    np.testing.assert_allclose(limit, golden, rtol=1e-3)
    radii = [
        np.abs(np.linalg.eigvals(companion(delay, factor * limit))).max()
        for factor in (0.98, 1, 1.02)
    ]
    np.testing.assert_allclose(radii[1], 1, rtol=1e-9)
    assert radii[0] < 1 < radii[2]


def mean_squared_gradient(curvature, start, variance, step_size, delay, num_updates):
    """Average of E|∇f(xₖ)|², x⁺ = x − γ (λ x_(k−delay) + noise), f = λx²/2; exact."""

    def run(x, kick):
        path = np.concatenate([np.full(delay, x), np.zeros(num_updates)])
        path[delay] = x + kick
        for k in range(delay, delay + num_updates - 1):
            path[k + 1] = path[k] - step_size * curvature * path[k - delay]
        return path[delay:]

    mean, response = run(start, 0.0), run(0.0, step_size)
    spread = variance * np.concatenate([[0.0], np.cumsum(response**2)[:-1]])
    return np.mean(curvature**2 * (mean**2 + spread))


@pytest.mark.parametrize("delay", [0, 1, 7])
@pytest.mark.parametrize("variance", [0.0, 0.3, 5.0])
@pytest.mark.parametrize("flatness", [1.0, 0.1, 0.01])
def test_delayed_sgd_reaches_the_accuracy(delay, variance, flatness):
    smoothness, accuracy, start = 2.0, 0.25, 3.0
    curvature = flatness * smoothness
    found = theory.delayed_sgd(
        smoothness,
        variance,
        accuracy=accuracy,
        max_delay=delay,
        initial_gap=curvature * start**2 / 2,
    )
    assert found.step_size * smoothness <= theory.delayed_stability_limit(delay)
    result = mean_squared_gradient(
        curvature, start, variance, found.step_size, delay, found.num_updates
    )
    assert result <= accuracy


def test_half_steps_reach_the_accuracy():
    """On λx²/2 with λ <= L, with σ²/S at most ε."""
    smoothness, accuracy, start, variance = 2.0, 0.25, 3.0, 4.1
    for curvature in (2.0, 0.2, 0.02):
        target = {"accuracy": accuracy, "initial_gap": curvature * start**2 / 2}
        for found in (
            theory.rennala_half_step(smoothness, variance, **target),
            theory.malenia_half_step(smoothness, variance, num_workers=3, **target),
        ):
            noise = variance / found.batch_size
            result = mean_squared_gradient(
                curvature, start, noise, found.step_size, 0, found.num_updates
            )
            assert result <= accuracy
    target = {"accuracy": 1.0, "initial_gap": 3.0}
    assert theory.rennala_half_step(2.0, 7.5, **target) == (1 / 4, 8, 96)
    assert theory.malenia_half_step(2.0, 7.5, num_workers=9, **target) == (1 / 4, 9, 96)


def test_delayed_and_asynchronous_sgd_by_hand():
    """L = 2, σ² = 8, Δ = 3."""
    given_all = {"accuracy": 1.0, "initial_gap": 3.0}
    for delay, expected in (
        (0, (1 / 64, 4 * 6 + 8 * 48)),
        (40, (1 / 160, 4 * 41 * 6 + 8 * 48)),
    ):
        assert theory.delayed_sgd(2.0, 8.0, max_delay=delay, **given_all) == expected
    few = {"num_workers": 4, "initial_gap": 3.0}
    assert theory.asgd(2.0, 8.0, num_updates=3, **few) == (1 / 8, 3)
    assert theory.asgd(2.0, 8.0, num_updates=300, **few) == (1 / 40, 300)
    assert theory.asgd(2.0, 0.0, num_updates=300, **few) == (1 / 8, 300)


def test_steps_by_delay():
    factor = theory.delay_adaptive_factor([0, 4, 5, 16], num_workers=4)
    np.testing.assert_allclose(factor, [1, 1, 0.8, 0.25])
    # γ = 1/(nL) times the factor is min {1/(nL), 1/(Lδ)}.
    delays = np.arange(1, 30)
    np.testing.assert_allclose(
        theory.delay_adaptive_factor(delays, num_workers=4) / (4 * 2.0),
        np.minimum(1 / 8, 1 / (2.0 * delays)),
    )
    rule = theory.koloskova(2.0, concurrency=5)
    assert rule == (1 / 40, 5)
    steps = theory.koloskova_step_size([0, 5, 6, 50], 1 / 40, 2.0, concurrency=5)
    np.testing.assert_allclose(steps, [1 / 40, 1 / 40, 1 / 48, 1 / 400])
    small = theory.koloskova_step_size([0, 6, 50], 1e-3, 2.0, concurrency=5)
    np.testing.assert_allclose(small, [1e-3, 1e-3, 1e-3])
    assert theory.koloskova_iterations(7, mean_delay=4) == 11
    assert theory.koloskova_iterations(7, mean_delay=4, max_delay=100) == 27


@given(st.floats(-5, 5), st.floats(-1, 1), st.floats(0.1, 10))
def test_picky_gradients_are_off_by_at_most_half_the_target(x, shift, smoothness):
    radius = theory.picky_radius(smoothness, gradient_norm=0.5)
    y = x + shift * radius
    assert abs(smoothness * x - smoothness * y) <= 0.25 * (1 + 1e-9)


def test_hogwild_by_hand():
    """εμ/(LM²Ω) = 0.1·2/(4·9·3); 1 + 6·0.5·2 + 4·4·3·0.5 = 31."""
    found = theory.hogwild_step_size(
        4.0,
        2.0,
        3.0,
        accuracy=0.1,
        max_delay=2,
        support=3,
        collisions=0.5,
        frequency=0.25,
    )
    np.testing.assert_allclose(found, 0.2 / 108 / 31)


# ---------------------------------------------------------------- heterogeneous data


def ringleader_rounds(times, num_rounds):
    """(seconds of each round, all delays, harmonic batch at each update)."""
    n = len(times)
    ends, versions, k = list(times), [0] * n, 0
    current, following = [0] * n, [0] * n
    starts, delays, batches, waiting = [0.0], [], [], None
    while len(starts) <= num_rounds:
        i = min(range(n), key=lambda j: (ends[j], j))
        now = ends[i]
        delays.append(k - versions[i])
        stepped = False
        if waiting is None:
            current[i] += 1
            if min(current) > 0:
                waiting, stepped = set(range(n)), True
        elif i in waiting:
            current[i] += 1
            stepped = True
        else:
            following[i] += 1
        if stepped:
            batches.append(n / sum(1 / b for b in current))
            k += 1
            waiting.discard(i)
            if not waiting:
                waiting, current, following = None, following, [0] * n
                starts.append(now)
        ends[i], versions[i] = now + times[i], k
    return np.diff(starts), delays, batches


@given(similar_clusters)
def test_ringleader_keeps_its_bounds(times):
    rounds, delays, batches = ringleader_rounds(times, 6)
    room = 1 + 1e-9
    assert rounds.max() <= theory.ringleader_round_bound(times) * room
    assert max(delays) <= theory.ringleader_delay_bound(len(times))
    assert theory.ringleader_harmonic_batch(times) <= min(batches) * room


def test_ringleader_by_hand():
    """L = 2, σ² = 8, ε = 1: max {8n, 80/B} · L."""
    few = {"accuracy": 1.0, "num_workers": 3}
    assert theory.ringleader(2.0, 8.0, **few) == (1 / 160,)
    assert theory.ringleader(2.0, 8.0, harmonic_batch=2, **few) == (1 / 80,)
    assert theory.ringleader(2.0, 8.0, harmonic_batch=20, **few) == (1 / 48,)
    assert theory.ringleader_harmonic_batch((1, 1, 1, 17)) == 1.7
    assert theory.ringleader_harmonic_batch((1, 1, 1)) == 1
    assert theory.ringleader_harmonic_batch((1, INF)) == 1
    assert theory.ringleader_time((1, 2, 4, 8), 8) == 15.5
    assert theory.rescaled_time((1, 2, 4, 8), 8) == 15.5
    assert theory.ringleader_time((1, INF), 8) == INF


def asgd_path(times, slopes, centres, step_sizes, num_updates):
    """(times, iterates, delays) on fᵢ = aᵢ(x − cᵢ)²/2 without noise."""
    ends, points, versions = list(times), [0.0] * len(times), [0] * len(times)
    clock, path, delays, x = [0.0], [0.0], [], 0.0
    for k in range(num_updates):
        i = min(range(len(times)), key=lambda j: (ends[j], j))
        now = ends[i]
        delays.append(k - versions[i])
        x -= step_sizes[i] * slopes[i] * (points[i] - centres[i])
        clock.append(now)
        path.append(x)
        ends[i], points[i], versions[i] = now + times[i], x, k + 1
    return np.array(clock), np.array(path), delays


def test_plain_asgd_is_biased_as_its_weights_say_and_rescaled_is_not():
    times, slopes, centres = (1.0, 10.0), np.array([1.0, 3.0]), np.array([0.0, 1.0])
    factors = theory.rescaled(times, 3.0).factors
    for steps, golden, weights in (
        ([1e-3, 1e-3], 3 / 13, theory.asgd_objective_weights(times)),
        (1e-3 * factors, 0.75, np.array([0.5, 0.5])),
    ):
        clock, path, _ = asgd_path(times, slopes, centres, steps, 60_000)
        late = clock[:-1] > clock[-1] / 2
        mean = np.sum((path[:-1] * np.diff(clock))[late]) / np.sum(np.diff(clock)[late])
        np.testing.assert_allclose(mean, golden, atol=2e-3)
        minimum = np.sum(weights * slopes * centres) / np.sum(weights * slopes)
        np.testing.assert_allclose(minimum, golden, rtol=1e-12)
    np.testing.assert_allclose(factors, [2 / 11, 20 / 11])
    np.testing.assert_allclose(theory.asgd_objective_weights((1, INF)), [1, 0])


@given(similar_clusters)
def test_delays_of_asgd_stay_within_their_bound(times):
    bound = theory.rescaled_delay_bound(times)
    num_updates = 3 * bound + 10
    ones = np.ones(len(times))
    delays = asgd_path(times, ones, 0 * ones, 0 * ones, num_updates)[2]
    assert max(delays) <= bound


@given(st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(0, 99))
def test_the_heuristic_step_of_rescaled_asgd_does_not_run_away(times, seed):
    random = np.random.default_rng(seed)
    slopes = random.uniform(0.1, 2.0, len(times))
    centres = random.normal(size=len(times))
    found = theory.rescaled(times, 2.0)
    steps = found.step_size * found.factors
    path = asgd_path(times, slopes, centres, steps, 2000)[1]
    assert np.abs(path).max() <= 2 * np.abs(centres).max() + 1e-12
    np.testing.assert_allclose(found.factors.mean(), 1)


def test_rescaled_with_equal_times_is_plain():
    found = theory.rescaled((3, 3, 3), 2.0)
    assert found.factors.tolist() == [1, 1, 1]
    assert found.max_delay == 2 and found.step_size == 1 / 8
    assert theory.rescaled((5,), 2.0)[:3:2] == (1 / 4, 0)


# ---------------------------------------------------------------- Ringmaster LMO


def test_parameter_agnostic_schedule():
    found = theory.ringmaster_lmo_schedule(2.0, 101)
    np.testing.assert_allclose(found.step_size[[0, 15, 80]], [2, 2 / 8, 2 / 27])
    np.testing.assert_allclose(found.gradient_weight[[0, 1, 4, 100]], [1, 1, 0.5, 0.1])
    expected = [max(1, int(math.floor(math.sqrt(k + 0.5)))) for k in range(101)]
    assert found.delay_threshold.tolist() == expected  # 49 gives 7, not ⌊6.99...⌋


def test_shape_of_the_fixed_choice():
    assert theory.ringmaster_lmo_shape(2.0, 8.0, accuracy=1.0) == (1 / 16, 1 / 8, 8)
    assert theory.ringmaster_lmo_shape(2.0, 0.0, accuracy=0.5) == (1 / 4, 1, 1)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "cure"),
    [
        (lambda: theory.delayed_stability_limit(-1), "0 or more"),
        (lambda: theory.delayed_sgd(1, 1, accuracy=1, max_delay=0.5), "max_delay must"),
        (lambda: theory.delay_adaptive_factor([-1], num_workers=2), "delay must be"),
        (lambda: theory.koloskova(1.0, concurrency=0), "concurrency must be positive"),
        (lambda: theory.rescaled((1, INF), 1.0), "Leave dead workers out"),
        (lambda: theory.rescaled_delay_bound((INF, 1)), r"times\[0\] is inf"),
        (lambda: theory.ringmaster_lmo_schedule(0, 3), "step_size must be positive"),
        (lambda: theory.picky_radius(1.0, gradient_norm=0), "gradient_norm must be"),
    ],
)
def test_bad_input_is_one_line_with_a_cure(call, cure):
    with pytest.raises(ValueError, match=cure) as error:
        call()
    assert "\n" not in str(error.value)
