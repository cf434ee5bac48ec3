"""Theory: golden numbers, brute force, simulation, and descent on exact quadratics."""

import heapq
import itertools
import json
import math

import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from fedjax_opt import theory

INF = math.inf
GOLDEN_TIMES = (1, 2, 4, 8)

seconds_per_gradient = st.floats(0.01, 100)
clusters = st.lists(seconds_per_gradient, min_size=1, max_size=6)
noise_ratios = st.floats(0, 1000)
# Multiples of 1/4 add up exactly and tie often.
exact_clusters = st.lists(
    st.integers(1, 24).map(lambda k: k / 4) | st.just(INF), min_size=1, max_size=6
).filter(lambda times: min(times) < INF)


# ---------------------------------------------------------------- time complexities


@pytest.mark.parametrize(
    ("noise_ratio", "hom", "num_workers", "asgd", "minibatch", "het"),
    [
        (0, 1, 1, 2.13333, 8, 8),
        (8, 6.28571, 3, 6.4, 24, 15.5),
        (100, 55.46667, 4, 55.46667, 208, 101.75),
    ],
)
def test_golden_table(noise_ratio, hom, num_workers, asgd, minibatch, het):
    found = theory.t_hom(GOLDEN_TIMES, noise_ratio)
    np.testing.assert_allclose(found.value, hom, atol=1e-5)
    assert found.num_workers == num_workers
    np.testing.assert_allclose(
        theory.asgd_time(GOLDEN_TIMES, noise_ratio), asgd, atol=1e-5
    )
    assert theory.minibatch_time(GOLDEN_TIMES, noise_ratio) == minibatch
    assert theory.t_het(GOLDEN_TIMES, noise_ratio) == het


def test_golden_batch_times():
    np.testing.assert_allclose(theory.t_batch(GOLDEN_TIMES, 8).value, 6.2857, atol=1e-4)
    np.testing.assert_allclose(
        theory.t_batch(GOLDEN_TIMES, 100).value, 55.46667, atol=1e-5
    )
    np.testing.assert_allclose(
        theory.t_batch(GOLDEN_TIMES, 10).value, 7.428571, atol=1e-6
    )


@given(clusters, noise_ratios)
def test_t_hom_is_the_best_of_all_subsets_of_workers(times, noise_ratio):
    """The workers of a subset share m + s gradients at their joint speed."""
    best = min(
        (len(subset) + noise_ratio) / sum(1 / t for t in subset)
        for m in range(1, len(times) + 1)
        for subset in itertools.combinations(times, m)
    )
    found = theory.t_hom(times, noise_ratio)
    np.testing.assert_allclose(found.value, best, rtol=1e-12)
    fastest = sorted(times)[: found.num_workers]
    alone = theory.asgd_time(fastest, noise_ratio)  # naive optimal ASGD
    np.testing.assert_allclose(alone, best, rtol=1e-12)


@given(clusters, noise_ratios)
def test_fastest_minibatch_is_the_best_of_all_subsets_of_workers(times, noise_ratio):
    best = min(
        theory.minibatch_time(subset, noise_ratio)
        for m in range(1, len(times) + 1)
        for subset in itertools.combinations(times, m)
    )
    found = theory.fastest_minibatch_time(times, noise_ratio)
    np.testing.assert_allclose(found.value, best, rtol=1e-12)


@given(st.integers(1, 12), seconds_per_gradient)
def test_equal_workers_tie_without_noise_and_the_smallest_number_wins(n, time):
    assert theory.t_hom([time] * n, 0).num_workers == 1
    assert theory.fastest_minibatch_time([time] * n, 0).num_workers == 1


@given(clusters, noise_ratios)
def test_the_order_of_the_methods(times, noise_ratio):
    """No method beats the lower bound of its data; one worker makes all equal."""
    room = 1 + 1e-12
    hom = theory.t_hom(times, noise_ratio).value
    het = theory.t_het(times, noise_ratio)
    minibatch = theory.minibatch_time(times, noise_ratio)
    backup = theory.fastest_minibatch_time(times, noise_ratio).value
    hero = theory.hero_time(times, noise_ratio)
    assert hom <= het * room and het <= minibatch * room
    assert hom <= theory.asgd_time(times, noise_ratio) * room
    assert hom <= backup * room and backup <= min(hero, minibatch) * room
    one = times[:1]
    for time_of in (theory.t_het, theory.asgd_time, theory.minibatch_time):
        np.testing.assert_allclose(
            time_of(one, noise_ratio), theory.hero_time(one, noise_ratio), rtol=1e-12
        )


@given(clusters, noise_ratios, st.randoms(use_true_random=False))
def test_dead_workers_order_and_kind_of_array_do_not_matter(times, noise_ratio, random):
    found = theory.t_hom(times, noise_ratio)
    shuffled = [*times, INF, INF]
    random.shuffle(shuffled)
    assert theory.t_hom(shuffled, noise_ratio) == found
    assert theory.t_hom(jnp.asarray(times), jnp.asarray(noise_ratio)) == found
    assert theory.fastest_minibatch_time(
        shuffled, noise_ratio
    ) == theory.fastest_minibatch_time(times, noise_ratio)
    assert theory.t_het(shuffled, noise_ratio) == INF
    assert theory.t_het(shuffled, 0) == INF
    assert theory.minibatch_time(shuffled, noise_ratio) == INF
    assert theory.asgd_time(shuffled, noise_ratio) < INF


@given(clusters, noise_ratios, noise_ratios, st.floats(0.1, 10))
def test_times_grow_with_noise_and_scale_with_the_speed(times, s, more, factor):
    for time_of in (
        lambda t, s: theory.t_hom(t, s).value,
        lambda t, s: theory.fastest_minibatch_time(t, s).value,
        theory.t_het,
        theory.asgd_time,
        theory.minibatch_time,
        theory.hero_time,
    ):
        slower = [factor * t for t in times]
        np.testing.assert_allclose(
            time_of(slower, s), factor * time_of(times, s), rtol=1e-12
        )
        assert time_of(times, s + more) >= time_of(times, s) * (1 - 1e-12)


def test_seconds():
    value = theory.seconds(6.0, smoothness=2.0, initial_gap=3.0, accuracy=0.5)
    np.testing.assert_allclose(value, 72.0)


# ---------------------------------------------------------------- against a clock


def arrivals(times):
    """(time, worker) of workers that never idle; ties to the lowest index."""
    heap = [(time, worker) for worker, time in enumerate(times)]
    heapq.heapify(heap)
    while True:
        now, worker = heapq.heappop(heap)
        yield now, worker
        heapq.heappush(heap, (now + times[worker], worker))


@pytest.mark.parametrize(
    ("times", "batch_size", "time", "counts"),
    [
        ((1, 2, 3, 4), 5, 3, [3, 1, 1, 0]),
        ((1, 2, 4, 8), 8, 5, [5, 2, 1, 0]),
        ((4, 3, 2, 1), 5, 3, [0, 1, 1, 3]),
        ((1, 1, 1), 2, 1, [1, 1, 0]),
        ((0.1, INF), 7, 0.7, [7, 0]),
    ],
)
def test_golden_collections(times, batch_size, time, counts):
    found = theory.rennala_iteration_time(times, batch_size)
    np.testing.assert_allclose(found.time, time, rtol=1e-12)
    np.testing.assert_array_equal(found.counts, counts)


@given(exact_clusters, st.integers(1, 40))
def test_collection_agrees_with_a_heap(times, batch_size):
    used = list(itertools.islice(arrivals(times), batch_size))
    workers = [worker for _, worker in used]
    found = theory.rennala_iteration_time(times, batch_size)
    assert found.time == used[-1][0]
    assert found.counts.tolist() == [workers.count(i) for i in range(len(times))]


@given(clusters, st.integers(1, 200))
def test_t_batch_bounds_the_collection_within_a_factor_two(times, batch_size):
    found = theory.rennala_iteration_time(times, batch_size)
    bound = theory.t_batch(times, batch_size).value
    assert found.counts.sum() == batch_size
    assert found.time <= bound * (1 + 1e-12)
    assert bound <= 2 * found.time * (1 + 1e-12)


def ringmaster_update_times(times, delay_threshold, num_updates, stop):
    """Times of the updates of Ringmaster ASGD; a plain list in place of a heap."""
    ends, versions, updates = list(times), [0] * len(times), [0.0]
    while len(updates) <= num_updates:
        worker = min(range(len(times)), key=lambda i: (ends[i], i))
        now, version = ends[worker], len(updates) - 1
        if version - versions[worker] < delay_threshold:
            updates.append(now)
            version += 1
        for i in range(len(times)):
            if i == worker or (stop and version - versions[i] >= delay_threshold):
                ends[i], versions[i] = now + times[i], version
    return np.array(updates)


def test_the_ringmaster_loop_above_gives_the_golden_trace():
    expected = [1, 2, 2.5, 3, 4, 5, 6, 7, 7.5, 8, 9]
    for stop in (False, True):
        found = ringmaster_update_times((1, 2.5, 4.2), 3, 11, stop)
        np.testing.assert_allclose(found[1:], expected)


@given(clusters, st.integers(1, 8), st.booleans())
def test_any_r_updates_of_ringmaster_take_at_most_the_bound(times, threshold, stop):
    updates = ringmaster_update_times(times, threshold, 4 * threshold + 10, stop)
    windows = updates[threshold:] - updates[:-threshold]
    bound = theory.ringmaster_time_bound(times, threshold)
    assert windows.max() <= bound * (1 + 1e-9)


def test_the_ringmaster_bound_is_nearly_attained():
    """One worker, R updates take Rτ; the bound is 2 (R + 1) τ."""
    windows = ringmaster_update_times([3.0], 50, 60, False)
    bound = theory.ringmaster_time_bound([3.0], 50)
    np.testing.assert_allclose(bound / (windows[50] - windows[0]), 2.04)


@given(st.lists(st.sampled_from([1, 2, 3, 4, 6, 12]), min_size=1, max_size=6))
def test_asgd_time_is_what_n_plus_s_arrivals_take_on_average(times):
    period = 12  # a multiple of all times: the arrivals repeat
    within = itertools.takewhile(lambda arrival: arrival[0] <= period, arrivals(times))
    num_arrivals = sum(1 for _ in within)
    for noise_ratio in (0, 8):
        needed = len(times) + noise_ratio
        np.testing.assert_allclose(
            theory.asgd_time(times, noise_ratio),
            needed * period / num_arrivals,
            rtol=1e-12,
        )


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=6),
    st.integers(0, 4),
)
def test_minibatch_time_is_the_rounds_that_wait_for_everybody(times, noise_per_worker):
    first = {}
    for now, worker in arrivals(times):
        first.setdefault(worker, now)
        if len(first) == len(times):
            break
    rounds = 1 + noise_per_worker
    found = theory.minibatch_time(times, noise_per_worker * len(times))
    np.testing.assert_allclose(found, rounds * max(first.values()), rtol=1e-12)


# ---------------------------------------------------------------- SGD and its relatives


def test_prescribed_parameters_by_hand():
    """L = 2, σ² = 8, ε = 1, Δ = 3."""
    given_all = {"accuracy": 1.0, "initial_gap": 3.0}
    assert theory.sgd(2.0, 8.0, **given_all) == (1 / 32, 48 + 384)
    assert theory.rennala(2.0, 8.0, **given_all) == (1 / 4, 8, 144)
    assert theory.malenia(2.0, 8.0, num_workers=3, **given_all) == (1 / 4, 8, 144)
    assert theory.malenia(2.0, 8.0, num_workers=32, **given_all) == (1 / 2, 32, 144)
    assert theory.ringmaster(2.0, 8.0, **given_all) == (1 / 64, 8, 384 + 768)


def test_without_noise_the_batch_is_one_and_without_a_gap_no_number_of_updates():
    assert theory.sgd(2.0, 0.0, accuracy=0.1) == (1 / 4, None)
    assert theory.rennala(2.0, 0.0, accuracy=0.1) == (1 / 2, 1, None)
    assert theory.ringmaster(2.0, 0.0, accuracy=0.1) == (1 / 4, 1, None)


@pytest.mark.parametrize("accuracy", [0.1, 0.3, 1e-3])
def test_rounding_does_not_add_a_gradient_to_the_batch(accuracy):
    for noise_ratio in range(1, 40):
        variance = noise_ratio * accuracy
        batch = theory.rennala(1.0, variance, accuracy=accuracy)
        delay = theory.ringmaster(1.0, variance, accuracy=accuracy)
        assert batch.batch_size == delay.delay_threshold == noise_ratio
        more = theory.rennala(1.0, variance * (1 + 1e-9), accuracy=accuracy)
        assert more.batch_size == noise_ratio + 1


def mean_squared_gradient(curvature, start, variance, step_size, delay, num_updates):
    """Average of E|∇f(xₖ)|² over x⁺ = x − γ (λ x_(k−delay) + noise), f = λx²/2.

    Exact: the mean is the noiseless run, the variance sums the squared responses to
    one unit of noise.
    """

    def run(x, kick):
        path = np.concatenate([np.full(delay, x), np.zeros(num_updates)])
        path[delay] = x + kick
        for k in range(delay, delay + num_updates - 1):
            path[k + 1] = path[k] - step_size * curvature * path[k - delay]
        return path[delay:]

    mean = run(start, 0.0)
    response = run(0.0, step_size)
    spread = variance * np.concatenate([[0.0], np.cumsum(response**2)[:-1]])
    return np.mean(curvature**2 * (mean**2 + spread))


@pytest.mark.parametrize("variance", [0.0, 0.3, 5.0])
@pytest.mark.parametrize("flatness", [1.0, 0.1, 0.01])
def test_prescribed_parameters_reach_the_accuracy(variance, flatness):
    """On λx²/2 with λ <= L; for Ringmaster at the largest delay that it accepts."""
    smoothness, accuracy, start = 2.0, 0.25, 3.0
    curvature = flatness * smoothness
    target = {"accuracy": accuracy, "initial_gap": curvature * start**2 / 2}
    found = theory.sgd(smoothness, variance, **target)
    result = mean_squared_gradient(
        curvature, start, variance, found.step_size, 0, found.num_updates
    )
    assert result <= accuracy
    for found in (
        theory.rennala(smoothness, variance, **target),
        theory.malenia(smoothness, variance, num_workers=4, **target),
    ):
        batch_variance = variance / found.batch_size
        result = mean_squared_gradient(
            curvature, start, batch_variance, found.step_size, 0, found.num_updates
        )
        assert result <= accuracy
    found = theory.ringmaster(smoothness, variance, **target)
    result = mean_squared_gradient(
        curvature,
        start,
        variance,
        found.step_size,
        found.delay_threshold - 1,
        found.num_updates,
    )
    assert result <= accuracy


# ---------------------------------------------------------------- compression


@pytest.mark.parametrize("alpha", [1e-3, 0.1, 1 / 3, 0.5, 0.9, 0.999])
def test_xi_is_the_minimum_over_youngs_parameter(alpha):
    young = np.geomspace(1e-6, 1e6, 2_000_001)
    theta = 1 - (1 - alpha) * (1 + young)
    beta = (1 - alpha) * (1 + 1 / young)
    valid = theta > 0
    ratio = np.sqrt(beta[valid] / theta[valid])
    best = np.argmin(ratio)
    found = theory.ef21_constants(alpha)
    np.testing.assert_allclose(found.xi, ratio[best], rtol=1e-6)
    np.testing.assert_allclose(found.theta, theta[valid][best], rtol=1e-2)
    np.testing.assert_allclose(found.beta, beta[valid][best], rtol=1e-2)
    np.testing.assert_allclose(found.xi, math.sqrt(found.beta / found.theta))
    assert found.xi <= 2 / alpha - 1


def test_ef21_without_compression_is_gradient_descent():
    assert theory.ef21_constants(1.0) == (1.0, 0.0, 0.0)
    assert theory.ef21_step_size(4.0, 9.0, alpha=1.0) == 1 / 4


def test_ef21_constants_keep_their_digits_at_strong_compression():
    """θ = α/2 + α²/8 + ..., where 1 − √(1−α) has lost all digits."""
    found = theory.ef21_constants(1e-14)
    np.testing.assert_allclose(found.theta, 5e-15, rtol=1e-12)
    np.testing.assert_allclose(found.xi, 2e14, rtol=1e-12)


def test_golden_ef21_step_size():
    """Three functions <aᵢ, x>² + |x|²/4, and Top-1."""
    vectors = np.array([[-3.0, 2, 2], [2, -3, 2], [2, 2, -3]])
    hessians = 2 * np.einsum("ij,ik->ijk", vectors, vectors) + np.eye(3) / 2
    mean = hessians.mean(axis=0)
    smoothness = np.linalg.norm(mean, 2)
    mean_square = math.sqrt(np.mean([np.linalg.norm(h, 2) ** 2 for h in hessians]))
    np.testing.assert_allclose([smoothness, mean_square], [17.1667, 34.5], rtol=1e-5)
    np.testing.assert_allclose(theory.ef21_constants(1 / 3).xi, 4.44949, rtol=1e-6)
    step_size = theory.ef21_step_size(smoothness, mean_square, alpha=1 / 3)
    np.testing.assert_allclose(step_size, 5.85912e-3, rtol=1e-6)


class Quadratics:
    """fᵢ(x) = xᵀAᵢx/2 − bᵢᵀx for n workers, with exact constants."""

    def __init__(self, seed, n, d, lowest, rank_one=False):
        random = np.random.default_rng(seed)
        eigenvalues = random.uniform(lowest, 10, (n, d))
        if rank_one:  # one steep direction per worker, almost flat otherwise
            eigenvalues = np.where(np.arange(d) == 0, 10.0, 0.01 + 0 * eigenvalues)
        bases = np.linalg.qr(random.normal(size=(n, d, d)))[0]
        self.hessians = np.einsum("nij,nj,nkj->nik", bases, eigenvalues, bases)
        self.linear = random.normal(size=(n, d))
        self.mean = self.hessians.mean(axis=0)
        self.smoothness = np.linalg.norm(self.mean, 2)
        each = np.linalg.norm(self.hessians, 2, axis=(1, 2))
        self.smoothness_max = each.max()
        self.smoothness_mean_square = math.sqrt(np.mean(each**2))
        self.strong_convexity = np.linalg.eigvalsh(self.mean)[0]
        self.minimum = np.linalg.solve(self.mean, self.linear.mean(axis=0))

    def grads(self, x):
        return self.hessians @ x - self.linear

    def value(self, x):
        return x @ self.mean @ x / 2 - self.linear.mean(axis=0) @ x


def top_1(rows):
    kept = np.abs(rows).argmax(axis=1)[:, None] == np.arange(rows.shape[1])
    return np.where(kept, rows, 0)


def ef21_path(problem, step_size, num_updates, x):
    """(f(x), |∇f(x)|², G) of each iterate of EF21 with Top-1, from g = 0."""
    estimates = top_1(problem.grads(x))
    path = []
    for _ in range(num_updates + 1):
        grads = problem.grads(x)
        error = np.mean(np.sum((estimates - grads) ** 2, axis=1))
        path.append((problem.value(x), np.sum(grads.mean(axis=0) ** 2), error))
        x = x - step_size * estimates.mean(axis=0)
        estimates = estimates + top_1(problem.grads(x) - estimates)
    return np.array(path).T


@pytest.mark.parametrize("lowest", [0.1, -9.0])
@pytest.mark.parametrize("seed", range(4))
def test_ef21_decreases_its_lyapunov_function(seed, lowest):
    """Also where some fᵢ, and f, are not convex."""
    problem = Quadratics(seed, n=6, d=5, lowest=lowest)
    alpha = 1 / 5
    step_size = theory.ef21_step_size(
        problem.smoothness, problem.smoothness_mean_square, alpha=alpha
    )
    weight, contraction = theory.ef21_lyapunov(step_size, alpha)
    start = np.random.default_rng(seed).normal(size=5)
    value, grad_norm_sq, error = ef21_path(problem, step_size, 60, start)
    lyapunov = value + weight * error
    drop = lyapunov[:-1] - lyapunov[1:]
    assert contraction == 1
    assert np.all(drop >= step_size / 2 * grad_norm_sq[:-1] * (1 - 1e-12))


@pytest.mark.parametrize("seed", range(4))
def test_ef21_stays_below_its_bound(seed):
    problem = Quadratics(seed, n=6, d=5, lowest=0.1)
    alpha, num_updates = 1 / 5, 200
    step_size = theory.ef21_step_size(
        problem.smoothness, problem.smoothness_mean_square, alpha=alpha
    )
    start = np.random.default_rng(seed).normal(size=5)
    value, grad_norm_sq, error = ef21_path(problem, step_size, num_updates, start)
    gap = value[0] - problem.value(problem.minimum)
    for t in (1, 10, num_updates):
        bound = theory.ef21_bound(
            t, alpha, step_size=step_size, initial_gap=gap, initial_error=error[0]
        )
        assert grad_norm_sq[:t].mean() <= bound


@pytest.mark.parametrize("seed", range(4))
def test_ef21_contracts_under_strong_convexity(seed):
    problem = Quadratics(seed, n=6, d=5, lowest=0.1)
    alpha, mu = 1 / 5, problem.strong_convexity
    step_size = theory.ef21_step_size(
        problem.smoothness,
        problem.smoothness_mean_square,
        alpha=alpha,
        strong_convexity=mu,
    )
    weight, contraction = theory.ef21_lyapunov(step_size, alpha, strong_convexity=mu)
    start = problem.minimum + np.random.default_rng(seed).normal(size=5)
    value, _, error = ef21_path(problem, step_size, 60, start)
    lyapunov = value - problem.value(problem.minimum) + weight * error
    assert np.all(lyapunov[1:] <= contraction * lyapunov[:-1])
    np.testing.assert_allclose(contraction, 1 - step_size * mu)


def test_ef21_by_hand():
    """At α = 7/16: θ = 1/4, β = 9/4, ξ = 3."""
    alpha = 7 / 16
    np.testing.assert_allclose(theory.ef21_constants(alpha), (1 / 4, 9 / 4, 3))
    np.testing.assert_allclose(theory.ef21_step_size(1.0, 2.0, alpha=alpha), 1 / 7)
    for strong_convexity, expected in ((0.5, 1 / 7), (2.0, 1 / 16)):
        found = theory.ef21_step_size(
            1.0, math.sqrt(2), alpha=alpha, strong_convexity=strong_convexity
        )
        np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(theory.ef21_lyapunov(0.5, alpha), (1, 1))
    np.testing.assert_allclose(
        theory.ef21_lyapunov(0.5, alpha, strong_convexity=0.2), (2, 0.9)
    )
    bound = theory.ef21_bound(
        4, alpha, step_size=0.5, initial_gap=3.0, initial_error=2.0
    )
    np.testing.assert_allclose(bound, 3 + 2)


def test_diana_by_hand():
    """L_max = 2, ω = 3, n = 2."""
    np.testing.assert_allclose(theory.diana(2.0, 3.0, num_workers=2), (1 / 20, 1 / 4))
    for strong_convexity, contraction in ((1.0, 7 / 8), (0.1, 0.95)):
        found = theory.diana_lyapunov(
            0.5, 3.0, num_workers=2, strong_convexity=strong_convexity
        )
        np.testing.assert_allclose(found, (6, contraction))


def rand_1_outcomes(rows):
    """All equally likely outcomes of independent Rand-1 on each row, [dⁿ, n, d]."""
    n, d = rows.shape
    kept = np.array(list(itertools.product(range(d), repeat=n)))
    return d * rows * (kept[:, :, None] == np.arange(d))


@pytest.mark.parametrize("rank_one", [False, True])
def test_diana_contracts_its_lyapunov_function_in_exact_expectation(rank_one):
    n, d = 3, 3
    for seed in range(20):
        problem = Quadratics(seed, n, d, lowest=0.1, rank_one=rank_one)
        mu, omega = problem.strong_convexity, d - 1
        step_size, shift_step = theory.diana(
            problem.smoothness_max, omega, num_workers=n
        )
        weight, contraction = theory.diana_lyapunov(
            step_size, omega, num_workers=n, strong_convexity=mu
        )
        optimal = problem.grads(problem.minimum)

        def lyapunov(x, shifts, problem=problem, weight=weight, optimal=optimal):
            shift_error = np.sum((shifts - optimal) ** 2, axis=-1).mean(axis=-1)
            return np.sum((x - problem.minimum) ** 2, axis=-1) + weight * shift_error

        random = np.random.default_rng(seed)
        for spread in (0.0, 0.1, 1.0, 10.0):
            x = problem.minimum + random.normal(size=d)
            shifts = optimal + spread * random.normal(size=(n, d))
            messages = rand_1_outcomes(problem.grads(x) - shifts)
            after = lyapunov(
                x - step_size * (shifts + messages).mean(axis=1),
                shifts + shift_step * messages,
            ).mean()
            assert after <= contraction * lyapunov(x, shifts) * (1 + 1e-12)


def test_diana_needs_the_largest_smoothness():
    """f₁ = (n/2)|x − 1|², other fᵢ = 0, Rand-1: with L of f it runs away."""
    n = d = 50

    def final_distance(smoothness):
        step_size, shift_step = theory.diana(smoothness, d - 1, num_workers=n)
        random = np.random.default_rng(0)
        x, shift = np.zeros(d), np.zeros(d)  # of worker 1; those of others stay 0
        for _ in range(400):
            kept = np.arange(d) == random.integers(d)
            message = d * kept * (n * (x - 1) - shift)
            x = x - step_size * (shift + message) / n
            shift = shift + shift_step * message
        return np.linalg.norm(x - 1)

    start = math.sqrt(d)
    assert final_distance(smoothness=n) < start
    assert final_distance(smoothness=1) > 100 * start


@pytest.mark.parametrize("rank_one", [False, True])
def test_dcgd_contracts_to_a_neighbourhood_in_exact_expectation(rank_one):
    n, d = 3, 3
    for seed in range(20):
        problem = Quadratics(seed, n, d, lowest=0.1, rank_one=rank_one)
        omega = d - 1
        step_size = theory.dcgd_step_size(
            problem.smoothness, problem.smoothness_max, omega=omega, num_workers=n
        )
        residual = np.mean(np.sum(problem.grads(problem.minimum) ** 2, axis=1))
        random = np.random.default_rng(seed)
        for distance in (0.01, 1.0, 100.0):
            x = problem.minimum + distance * random.normal(size=d)
            messages = rand_1_outcomes(problem.grads(x))
            after = x - step_size * messages.mean(axis=1)
            expected = np.mean(np.sum((after - problem.minimum) ** 2, axis=1))
            contraction = 1 - step_size * problem.strong_convexity
            bound = contraction * np.sum((x - problem.minimum) ** 2)
            bound += 2 * step_size**2 * omega / n * residual
            assert expected <= bound


def test_dcgd_without_compression_is_gradient_descent():
    assert theory.dcgd_step_size(4.0, 9.0, omega=0, num_workers=3) == 1 / 4
    np.testing.assert_allclose(
        theory.dcgd_step_size(4.0, 9.0, omega=2, num_workers=3), 1 / 16
    )


@given(st.floats(0, 100), st.floats(0, 0.99))
def test_scaling_is_the_best_scale(omega, eta):
    """Of all λ in [0, 1]: |E λC − x| <= 1 − λ + λη, and the variance is λ²ω."""
    scales = np.linspace(0, 1, 10_001)
    error = (1 - scales + scales * eta) ** 2 + scales**2 * omega
    found = theory.scaling(omega, eta)
    at_found = (1 - found.scale + found.scale * eta) ** 2 + found.scale**2 * omega
    np.testing.assert_allclose(1 - found.alpha, at_found, atol=1e-12)
    assert at_found <= error.min() + 1e-12
    assert 0 < found.scale <= 1


def test_scaling_of_an_unbiased_compressor():
    np.testing.assert_allclose(theory.scaling(4.0), (0.2, 0.2))
    assert theory.scaling(0.0) == (1.0, 1.0)


# ---------------------------------------------------------------- the table


def rows_of(data, *args, **kwargs):
    return {
        row.method: row for row in theory.summary(*args, **kwargs) if row.data == data
    }


def test_summary_of_the_golden_cluster():
    hom = rows_of("homogeneous", GOLDEN_TIMES, 8)
    times = {name: row.time for name, row in hom.items()}
    expected = {
        "lower_bound": 44 / 7,
        "rennala": 44 / 7,
        "ringmaster": 44 / 7,
        "naive_optimal_asgd": 44 / 7,
        "asgd": 6.4,
        "fastest_minibatch": 9.0,
        "minibatch": 24.0,
        "hero": 9.0,
    }
    assert {name: times[name] for name in expected} == pytest.approx(expected)
    assert list(hom)[: len(expected)] == list(expected)
    assert hom["minibatch"].ratio == pytest.approx(24 * 7 / 44)
    assert hom["rennala"].parameters["batch_size"] == 8
    assert hom["ringmaster"].parameters["delay_threshold"] == 8
    assert hom["naive_optimal_asgd"].parameters == {"num_workers": 3}
    assert hom["minibatch"].parameters["step_size"] == 1 / 4  # σ²/n = 2
    het = rows_of("heterogeneous", GOLDEN_TIMES, 8)
    assert [(name, row.time) for name, row in het.items()][:3] == [
        ("lower_bound", 15.5),
        ("malenia", 15.5),
        ("minibatch", 24.0),
    ]
    assert het["malenia"].parameters["batch_size"] == 8


def test_summary_in_seconds():
    """LΔ/ε = 120; the noise ratio 7 stays 7 at ε = 0.1."""
    units = {"smoothness": 2.0, "initial_gap": 6.0, "accuracy": 0.1}
    plain, scaled = (
        theory.summary(GOLDEN_TIMES, 7),
        theory.summary(GOLDEN_TIMES, 7, **units),
    )
    for a, b in zip(plain, scaled, strict=True):
        assert b.time == pytest.approx(120 * a.time)
        assert b.ratio == a.ratio >= 1
        if "step_size" in a.parameters:
            assert b.parameters["step_size"] == pytest.approx(
                a.parameters["step_size"] / 2
            )
        if "num_updates" in a.parameters:
            assert b.parameters["num_updates"] == 120 * a.parameters["num_updates"]
    assert (
        rows_of("homogeneous", GOLDEN_TIMES, 7, **units)["rennala"].parameters[
            "batch_size"
        ]
        == 7
    )


def test_summary_without_noise_and_with_a_dead_worker():
    hom = rows_of("homogeneous", (3, INF, 1), 0)
    assert hom["lower_bound"].time == 1
    assert hom["rennala"].parameters["batch_size"] == 1
    assert hom["minibatch"].ratio == INF
    het = rows_of("heterogeneous", (3, INF, 1), 0)
    assert all(row.time == INF and row.ratio == 1 for row in het.values())
    assert het["malenia"].parameters["batch_size"] == 3


def test_summary_can_be_written_as_json():
    rows = theory.summary(jnp.array([1.0, 2.0]), np.float64(3.0))
    written = json.loads(json.dumps([row._asdict() for row in rows], allow_nan=False))
    assert written[1]["parameters"]["batch_size"] == 3


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "cure"),
    [
        (lambda: theory.t_hom([], 1), "at least one worker"),
        (lambda: theory.t_het(3.0, 1), "shape"),
        (lambda: theory.summary([[1.0, 2.0]], 1), "Give a list such as"),
        (lambda: theory.hero_time([1, -2], 1), r"times\[1\] is -2.0"),
        (lambda: theory.asgd_time([0, 2], 1), r"times\[0\] is 0.0"),
        (lambda: theory.minibatch_time([1, math.nan], 1), r"times\[1\] is nan"),
        (lambda: theory.t_batch([INF, INF], 1), "at least one worker a finite time"),
        (lambda: theory.t_hom([1], -1), "noise_ratio must be finite and at least 0"),
        (lambda: theory.t_het([1], math.nan), "noise_ratio"),
        (lambda: theory.t_batch([1], 0), "batch_size must be positive"),
        (lambda: theory.rennala_iteration_time([1], 1.5), "batch_size must be a whole"),
        (lambda: theory.ringmaster_time_bound([1], 0), "delay_threshold must be"),
        (lambda: theory.ringmaster_time_bound([1], INF), "delay_threshold must be"),
        (lambda: theory.rennala(0.0, 1.0, accuracy=1.0), "smoothness must be"),
        (lambda: theory.sgd(1.0, 1.0, accuracy=0.0), "accuracy must be positive"),
        (lambda: theory.ringmaster(1.0, INF, accuracy=1.0), "variance must be finite"),
        (lambda: theory.diana(1.0, 1.0, num_workers=0), "num_workers must be a whole"),
        (lambda: theory.ef21_step_size(1.0, 1.0, alpha=0.0), "Scale an unbiased"),
        (lambda: theory.scaling(1.0, 1.0), "eta must be below 1"),
    ],
)
def test_bad_input_is_one_line_with_a_cure(call, cure):
    with pytest.raises(ValueError, match=cure) as error:
        call()
    assert "\n" not in str(error.value)
