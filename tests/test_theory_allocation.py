"""Theory of allotted work: MindFlayer, Vecna and ATA, by enumeration."""

import itertools
import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from fedjax_opt import theory

INF = math.inf
GOLDEN = (1, 2, 4, 8)

workers = st.lists(
    st.tuples(st.floats(0.01, 100), st.floats(0.05, 1)), min_size=1, max_size=6
)
sizes = st.floats(1, 200)


# ---------------------------------------------------------------- MindFlayer


def test_golden_trials():
    half = theory.mindflayer_times(GOLDEN, 0.5, 8)
    np.testing.assert_allclose(half, [17, 12, 10.857143, 10.666667], atol=1e-6)
    found = theory.mindflayer_allocation(GOLDEN, 0.5, 8)
    assert found.trials.tolist() == [10, 5, 2, 1]
    assert (found.num_workers, found.expected) == (4, 9)
    sure = theory.mindflayer_times(GOLDEN, 1, 8)
    np.testing.assert_allclose(sure, [9, 6.6667, 6.285714, 6.4], atol=1e-4)
    found = theory.mindflayer_allocation(GOLDEN, 1, 8)
    assert found.trials.tolist() == [6, 3, 1, 0]
    assert (found.num_workers, found.expected) == (3, 10)


def test_probabilities_stay_with_their_workers():
    """τ + t = (4, 1), p = (1, 1/4): sorted T = ((S + 1/4)·4, (S + 5/4)/(1/4 + 1/4))."""
    found = theory.mindflayer_times((4, 1), (1, 0.25), 3)
    np.testing.assert_allclose(found, [13, 8.5])
    found = theory.mindflayer_allocation((4, 1), (1, 0.25), 3)
    assert found.trials.tolist() == [2, 8]  # ⌈8.5/4 − 1⌉, ⌈8.5 − 1⌉
    assert found.expected == 4


@given(workers, sizes)
def test_the_allocation_suffices_and_fits(cluster, size):
    limits, p = map(np.array, zip(*cluster, strict=True))
    found = theory.mindflayer_allocation(limits, p, size)
    best = min(
        (size + sum(p[i] for i in subset)) / sum(p[i] / limits[i] for i in subset)
        for m in range(1, len(cluster) + 1)
        for subset in itertools.combinations(range(len(cluster)), m)
    )
    np.testing.assert_allclose(found.time, best, rtol=1e-12)
    assert np.sum(p * found.trials) >= size * (1 - 1e-9)
    np.testing.assert_allclose(found.expected, np.sum(p * found.trials), rtol=1e-12)
    assert np.all(found.trials * limits <= found.time * (1 + 1e-9))
    slower = np.argsort(limits, kind="stable")[found.num_workers :]
    assert np.all(found.trials[slower] == 0)
    if found.num_workers < len(cluster):  # a slow worker more changes nothing
        more = theory.mindflayer_allocation([*limits, 200.0], [*p, 1.0], size)
        assert more.trials.tolist() == [*found.trials, 0]


@given(st.integers(1, 40), st.integers(1, 60))
def test_rounding_adds_no_trial_where_the_time_is_a_multiple(tenths, size):
    """One worker, p = 1: T = (S + 1) l, so B = S exactly."""
    found = theory.mindflayer_allocation([tenths / 10], 1, size)
    assert found.trials.tolist() == [size]


def test_one_worker_that_may_never_answer():
    """T = (S + p) l/p: the expected time per success is l/p; without a limit, never."""
    for p in (1, 0.5, 0.01):
        times = [theory.mindflayer_times([3.0], p, size)[0] for size in (10, 11)]
        np.testing.assert_allclose(times[1] - times[0], 3 / p)
    found = theory.mindflayer_allocation((INF, 3.0), (1.0, 0.5), 10)
    assert found.trials.tolist() == [0, 20]
    found = theory.mindflayer_allocation((1.0, 3.0), (0.0, 0.5), 10)
    assert found.trials.tolist() == [0, 20]


@given(workers, sizes)
def test_sure_workers_are_as_fast_as_t_batch(cluster, size):
    """With p = 1 the time is that in which Rennala surely collects S."""
    limits = [limit for limit, _ in cluster]
    expected = min(
        (size + m) / sum(1 / t for t in sorted(limits)[:m])
        for m in range(1, len(limits) + 1)
    )
    found = theory.mindflayer_allocation(limits, 1, size)
    np.testing.assert_allclose(found.time, expected, rtol=1e-12)


def test_mindflayer_parameters_by_hand():
    """L = 2, ε = 1, Δ = 3; B = 9 and 10 of the golden rows."""
    target = {"accuracy": 1.0, "initial_gap": 3.0}
    found = theory.mindflayer(GOLDEN, 0.5, 2.0, 8.0, **target)
    assert found.trials.tolist() == [10, 5, 2, 1]
    assert found[0] == 1 / 4 and found[2:] == (9, 48)
    found = theory.mindflayer(GOLDEN, 0.5, 2.0, 0.0, accuracy=1.0)
    assert found.num_updates is None and found.expected >= 1


@pytest.mark.parametrize("variance", [0.0, 0.7, 9.0])
@pytest.mark.parametrize("flatness", [1.0, 0.1, 0.01])
@pytest.mark.parametrize("p", [(1, 1, 1), (0.5, 0.2, 0.9), (0.1, 0.1, 0.1)])
def test_mindflayer_reaches_the_accuracy(variance, flatness, p):
    """Exactly, on λx²/2; the random number of successes adds x-dependent noise."""
    smoothness, accuracy, start = 2.0, 0.25, 3.0
    curvature = flatness * smoothness
    found = theory.mindflayer(
        (1, 2, 4),
        p,
        smoothness,
        variance,
        accuracy=accuracy,
        initial_gap=curvature * start**2 / 2,
    )
    successes = np.sum(np.array(p) * found.trials)
    spread = np.sum(np.array(p) * (1 - np.array(p)) * found.trials) / successes**2
    gamma, second, total = found.step_size, start**2, 0.0
    assert found.num_updates is not None
    for _ in range(found.num_updates):
        total += curvature**2 * second
        second *= (1 - gamma * curvature) ** 2 + (gamma * curvature) ** 2 * spread
        second += gamma**2 * variance / successes
    assert total / found.num_updates <= accuracy


@given(workers, st.integers(1, 9))
def test_vecna_is_unbiased(cluster, most):
    p = np.array([probability for _, probability in cluster])
    trials = 1 + np.arange(len(cluster)) % most
    slopes = np.arange(1.0, len(cluster) + 1)
    weights = theory.vecna_weights(trials, p)
    expected = np.sum(weights * p * trials * slopes)  # p B successes on average
    np.testing.assert_allclose(expected, slopes.mean(), rtol=1e-12)


# ---------------------------------------------------------------- ATA


@pytest.mark.parametrize(
    ("mean_times", "num_tasks", "tasks"),
    [
        (GOLDEN, 10, [6, 3, 1, 0]),
        ([2 * i for i in range(1, 21)], 5, [3, 1, 1] + [0] * 17),
        ((1, 1, 1), 4, [2, 1, 1]),
        ((1, INF), 4, [4, 0]),
        ((3, 2), 1, [0, 1]),
    ],
)
def test_golden_allocations(mean_times, num_tasks, tasks):
    found = theory.optimal_allocation(mean_times, num_tasks)
    assert found.tolist() == tasks
    expected = max(a * t for a, t in zip(tasks, mean_times, strict=True) if a)
    assert theory.allocation_time(found, mean_times) == expected


def allocations(num_tasks, num_workers):
    bars = range(num_tasks + num_workers - 1)
    for chosen in itertools.combinations(bars, num_workers - 1):
        edges = [-1, *chosen, num_tasks + num_workers - 1]
        yield [b - a - 1 for a, b in itertools.pairwise(edges)]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 7))
def test_optimal_allocation_by_enumeration(mean_times, num_tasks):
    """The least maximum, and among those the fewest workers that attain it."""

    def key(tasks):
        ends = [a * t for a, t in zip(tasks, mean_times, strict=True)]
        return max(ends), ends.count(max(ends))

    found = theory.optimal_allocation(mean_times, num_tasks).tolist()
    assert sum(found) == num_tasks
    assert key(found) == min(map(key, allocations(num_tasks, len(mean_times))))


def test_regret_counts_what_the_best_allocation_does_not_need():
    """μ = (1, 2, 4), B = 3: the best takes 2, these 4, 3 and 2."""
    rows = [[1, 1, 1], [3, 0, 0], [2, 1, 0]]
    assert theory.proxy_regret(rows, (1, 2, 4)) == 2 + 1 + 0


def test_confidence_widths_by_hand():
    """k = 1: ln 2; K = (1, 4), never."""
    log = math.log(2)
    found = theory.confidence_widths([1, 4, 0], 1, 0.5)
    expected = [
        2 * math.e * (math.sqrt(log) + log),
        2 * math.e * (math.sqrt(log / 4) + log / 4),
        INF,
    ]
    np.testing.assert_allclose(found, expected)
    found = theory.confidence_widths([1, 4, 0], 1, [1, 0, 0])
    np.testing.assert_allclose(found, [2 * expected[0], 0, INF])
    # ATA-Empirical: below 0 until K >= 515 ln(2k²), as 8e(√r + r) = 1 at r = 1/515.
    log = math.log(2 * 9000**2)
    for count, positive in ((514 * log, False), (517 * log, True)):
        width = theory.confidence_widths([math.ceil(count)], 9000, 2 * 3.0)
        assert (3.0 - width[0] > 0) == positive


def test_what_ata_promises():
    """Exponential times: αᵢ = μᵢ, η = 1. Two laws with αᵢ = (1, 1), μ = (1, 4)."""
    found = theory.ata((1, 2, 4), (1, 2, 4), 10)
    np.testing.assert_allclose(found, (4, 1, 1 + 4 * math.log(10)))
    assert theory.ata((1, 4, INF), 1, 1) == (1, 1, 1)
    np.testing.assert_allclose(
        theory.ata((2, 4), (1, 1), 8)[1:], (0.5, 1 + 2 * math.log(8))
    )


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "cure"),
    [
        (lambda: theory.mindflayer_times([1, 0], 1, 1), r"limits\[1\] is 0.0"),
        (lambda: theory.mindflayer_times([1, 2], [1], 1), "one number for each"),
        (lambda: theory.mindflayer_times([1], 1.5, 1), "must lie between 0 and 1"),
        (lambda: theory.mindflayer_times([1], 1, 0), "batch_size must be positive"),
        (lambda: theory.mindflayer_allocation([1], 0, 1), "Give longer limits"),
        (lambda: theory.vecna_weights([1, 0], 1), "worker 1 has no trial"),
        (lambda: theory.vecna_weights([1, 2.5], 1), "trials must hold whole numbers"),
        (lambda: theory.optimal_allocation([1], 0), "num_tasks must be a whole"),
        (lambda: theory.allocation_time([1, 2], [1]), "allocation must hold one"),
        (lambda: theory.proxy_regret([1, 2], [1, 2]), r"shape \[K, n\]"),
        (lambda: theory.proxy_regret([[1, 2], [1, 1]], [1, 2]), "as many tasks"),
        (lambda: theory.confidence_widths([1], 0, 1), "iteration must be a whole"),
        (lambda: theory.ata([1], [-1], 1), r"orlicz_norms\[0\] is -1"),
    ],
)
def test_bad_input_is_one_line_with_a_cure(call, cure):
    with pytest.raises(ValueError, match=cure) as error:
        call()
    assert "\n" not in str(error.value)
