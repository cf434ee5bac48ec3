"""How long batches take, under fixed speeds and under any; against event loops."""

import heapq
import itertools
import math
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from fedjax_opt import theory

INF = math.inf

clusters = st.lists(st.floats(0.01, 100), min_size=1, max_size=6)
# Multiples of 1/4 add up exactly and tie often.
exact_clusters = st.lists(
    st.integers(1, 24).map(lambda k: k / 4), min_size=1, max_size=5
)


def arrivals(times):
    """(time, worker) of workers that never idle; ties to the lowest index."""
    heap = [(time, worker) for worker, time in enumerate(times)]
    heapq.heapify(heap)
    while True:
        now, worker = heapq.heappop(heap)
        yield now, worker
        heapq.heappush(heap, (now + times[worker], worker))


def is_full(counts, batch_size):
    """Malenia's condition, in rational numbers."""
    if min(counts) == 0:
        return False
    return batch_size * sum(Fraction(1, b) for b in counts) <= len(counts) ** 2


def update_times(times, num_updates, full, stop):
    """When batches at one point are full, with full(counts); exact for Fractions."""
    ends, versions = list(times), [0] * len(times)
    counts, updates = [0] * len(times), [0]
    while len(updates) <= num_updates:
        worker = min(range(len(times)), key=lambda i: (ends[i], i))
        now, version = ends[worker], len(updates) - 1
        if versions[worker] == version:
            counts[worker] += 1
        if full(counts):
            counts, version = [0] * len(times), version + 1
            updates.append(now)
            restarted = range(len(times)) if stop else [worker]
        else:
            restarted = [worker]
        for i in restarted:
            ends[i], versions[i] = now + times[i], version
    return np.array([float(t) for t in updates])


# ---------------------------------------------------------------- one batch


@pytest.mark.parametrize(
    ("times", "batch_size", "time", "counts"),
    [
        ((1, 2, 4), 3, 4, [4, 2, 1]),
        ((1, 2, 4), 6, 6, [6, 3, 1]),
        ((1, 2, 4), 12, 12, [12, 6, 2]),  # worker 3 delivers again, too late
        ((4, 2, 1), 12, 12, [3, 5, 11]),  # now it is first
        ((3,), 7, 21, [7]),
        ((1, 2, 4), 1, 4, [4, 2, 1]),  # S < n: one gradient of each
        ((5, 1e-3), 2, 5, [1, 4999]),
    ],
)
def test_golden_malenia_collections(times, batch_size, time, counts):
    found = theory.malenia_iteration_time(times, batch_size)
    assert found.time == time
    assert found.counts.tolist() == counts
    assert found.counts.dtype == np.int64


@given(exact_clusters, st.integers(1, 60))
def test_malenia_collection_agrees_with_a_heap(times, batch_size):
    counts, clock = [0] * len(times), arrivals(times)
    while not is_full(counts, batch_size):
        now, worker = next(clock)
        counts[worker] += 1
    found = theory.malenia_iteration_time(times, batch_size)
    assert found.time == now
    assert found.counts.tolist() == counts


def test_malenia_collection_of_very_unequal_workers_is_found_without_walking():
    """A billion jobs of the fast worker; the slow one needs ⌈S/4⌉ = 250 of its own."""
    found = theory.malenia_iteration_time((1e-7, 1.0), 1000)
    assert found.counts[1] == 251  # 250 would need 1/B = 0 of the other
    assert found.time == 251.0
    assert theory.malenia_iteration_time((1.0, INF), 3).time == INF


@given(exact_clusters, st.integers(1, 20), st.booleans())
def test_bounds_of_one_iteration(times, batch_size, stop):
    """From the second iteration on stale jobs matter."""
    tau = [Fraction(t) for t in times]
    room = 1 + 1e-12
    updates = update_times(tau, 4, lambda counts: sum(counts) >= batch_size, stop)
    bound = theory.rennala_iteration_bound(times, batch_size, stop=stop)
    assert np.diff(updates).max() <= bound * room
    assert bound <= 2 * theory.rennala_iteration_bound(times, batch_size, stop=True)
    updates = update_times(tau, 4, lambda counts: is_full(counts, batch_size), stop)
    bound = theory.malenia_iteration_bound(times, batch_size, stop=stop)
    assert np.diff(updates).max() <= bound * room


def test_bounds_of_one_iteration_by_hand():
    """τ = (1, 2, 4): H = (1, 3/2, 7/4); mean(τ) = 7/3."""
    assert theory.rennala_iteration_bound((4, 1, 2), 5, stop=True) == pytest.approx(
        8 / 1.75
    )
    assert theory.rennala_iteration_bound((4, 1, 2), 5) == pytest.approx(9 / 1.5)
    assert theory.rennala_iteration_bound((4, 1, 2, INF), 5) == pytest.approx(6)
    assert theory.malenia_iteration_bound((4, 1, 2), 9, stop=True) == pytest.approx(22)
    assert theory.malenia_iteration_bound((4, 1, 2), 9) == pytest.approx(33)
    assert theory.malenia_iteration_bound((4, INF), 9) == INF


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 9))
def test_effective_batch_size_is_one_over_the_sum_of_squares(counts, seed):
    """Of the weights with which single gradients enter the mean."""
    n = len(counts)
    weights = np.random.default_rng(seed).uniform(0.1, 3, n)
    for w, given_weights in (([1 / b for b in counts], None), (weights, weights)):
        each = [w[i] / n for i in range(n) for _ in range(counts[i])]
        expected = 1 / sum(c**2 for c in each)
        found = theory.effective_batch_size(counts, given_weights)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    total = sum(counts)
    np.testing.assert_allclose(theory.effective_batch_size(counts, n / total), total)
    assert theory.effective_batch_size([*counts, 0]) == 0


# ---------------------------------------------------------------- speeds that change


def power_finish(grid, row, start, work):
    """First t with ∫ from start to t of the power = work; None if never."""
    now = start
    for j, rate in enumerate(row):
        end = grid[j + 1] if j + 1 < len(grid) else None
        if end is not None and end <= now:
            continue
        if rate > 0 and (end is None or work <= rate * (end - now)):
            return now + Fraction(work) / rate
        if end is not None:
            work -= rate * (end - now)
            now = end
    return None


def universal_update_times(grid, powers, num_updates, rule, stop):
    """A plain event loop. rule(counts, delay of the arrival) -> (accept, step)."""
    n = len(powers)

    def finish(worker, start):
        end = power_finish(grid, powers[worker], start, 1)
        return INF if end is None else end

    ends, versions = [finish(i, Fraction(0)) for i in range(n)], [0] * n
    counts, updates = [0] * n, [Fraction(0)]
    for _ in range(1000):  # then nobody waits for a worker that has stopped for ever
        worker = min(range(n), key=lambda i: (ends[i], i))
        now, version = ends[worker], len(updates) - 1
        if now == INF or version == num_updates:
            break
        accept, full = rule(counts, worker, version - versions[worker])
        counts[worker] += accept
        if full:
            counts, version = [0] * n, version + 1
            updates.append(now)
        for i in range(n):
            if i == worker or (full and stop(version - versions[i])):
                ends[i], versions[i] = finish(i, now), version
    missing = [INF] * (num_updates + 1 - len(updates))
    return np.array([float(t) for t in updates] + missing)


def batch_rule(enough):
    def rule(counts, worker, delay):
        fresh = delay == 0
        after = [b + (fresh and i == worker) for i, b in enumerate(counts)]
        return fresh, fresh and enough(after)

    return rule


rates = st.sampled_from([Fraction(r) for r in (0, 0, "1/3", "1/2", 1, 2, 3)])


@st.composite
def power_functions(draw):
    """Grid and powers in rational numbers; somebody works for ever."""
    size = draw(st.integers(1, 4))
    n = draw(st.integers(1, 4))
    steps = draw(
        st.lists(st.integers(1, 6), min_size=size - 1, max_size=size - 1),
    )
    grid = [Fraction(0), *itertools.accumulate(Fraction(k, 2) for k in steps)]
    row = st.lists(rates, min_size=size, max_size=size)
    powers = draw(st.lists(row, min_size=n, max_size=n))
    return grid, powers


def as_floats(grid, powers):
    return [float(t) for t in grid], [[float(v) for v in row] for row in powers]


def assert_same_times(found, expected):
    np.testing.assert_array_equal(np.isinf(found), np.isinf(expected))
    alive = np.isfinite(expected)
    np.testing.assert_allclose(found[alive], expected[alive], rtol=1e-9)


@given(power_functions(), st.integers(1, 7))
def test_recursions_are_exact_where_stale_jobs_stop(functions, size):
    always = lambda delay: True
    for enough, times_of in (
        (lambda counts: sum(counts) >= size, theory.rennala_universal_times),
        (lambda counts: is_full(counts, size), theory.malenia_universal_times),
    ):
        expected = universal_update_times(*functions, 4, batch_rule(enough), always)
        assert_same_times(
            times_of(*as_floats(*functions), size, 4, stop=True), expected
        )


@given(power_functions(), st.integers(1, 7))
def test_recursions_are_bounds_where_stale_jobs_are_ignored(functions, size):
    never = lambda delay: False
    for enough, times_of in (
        (lambda counts: sum(counts) >= size, theory.rennala_universal_times),
        (lambda counts: is_full(counts, size), theory.malenia_universal_times),
    ):
        expected = universal_update_times(*functions, 4, batch_rule(enough), never)
        found = times_of(*as_floats(*functions), size, 4)
        assert np.all(expected <= found * (1 + 1e-9))
        assert found[0] == 0 and np.all(np.diff(found[np.isfinite(found)]) > 0)


@given(power_functions(), st.integers(1, 4), st.booleans())
def test_blocks_of_ringmaster_updates_end_in_time(functions, threshold, stop):
    expected = universal_update_times(
        *functions,
        3 * threshold,
        lambda counts, worker, delay: (delay < threshold, delay < threshold),
        lambda delay: stop and delay >= threshold,
    )
    found = theory.ringmaster_universal_times(
        *as_floats(*functions), threshold, 3, stop=stop
    )
    assert np.all(expected[::threshold] <= found * (1 + 1e-9))
    weaker = theory.ringmaster_universal_times(
        *as_floats(*functions), threshold, 3, stop=True
    )
    assert np.all(found <= weaker)


def test_replacing_the_loss_of_a_job_by_twice_the_batch_is_no_bound():
    """S = 1; a cluster that changes at 3/2."""
    grid = [Fraction(0), Fraction(3, 2)]
    rows = [(0, 2), (1, "5/3"), ("1/2", 2), (1, 0)]
    powers = [[Fraction(v) for v in row] for row in rows]
    rule = batch_rule(lambda counts: sum(counts) >= 1)
    updates = universal_update_times(grid, powers, 4, rule, lambda delay: False)
    doubled = theory.rennala_universal_times(*as_floats(grid, powers), 2, 4, stop=True)
    bound = theory.rennala_universal_times(*as_floats(grid, powers), 1, 4)
    np.testing.assert_allclose(updates, [0, 1, 1.8, 2.4, 3.0])
    np.testing.assert_allclose(doubled, [0, 1, 1.875, 2.375, 2.875])
    np.testing.assert_allclose(bound, [0, 1.8, 2.8, 3.8, 4.8])


@given(exact_clusters, st.integers(1, 20))
def test_fixed_speeds_repeat_one_collection(times, size):
    powers = [[1 / t] for t in times]
    once = theory.rennala_iteration_time(times, size).time
    found = theory.rennala_universal_times([0], powers, size, 3, stop=True)
    np.testing.assert_allclose(found, once * np.arange(4), rtol=1e-9)
    once = theory.malenia_iteration_time(times, size).time
    found = theory.malenia_universal_times([0], powers, size, 3, stop=True)
    np.testing.assert_allclose(found, once * np.arange(4), rtol=1e-9)


def test_universal_times_by_hand():
    """Two gradients per second, off from 3 to 10 s; 1/0.3 is not exact in binary."""
    found = theory.rennala_universal_times([0, 3, 10], [[2, 0, 2]], 4, 4, stop=True)
    np.testing.assert_allclose(found, [0, 2, 11, 13, 15])
    found = theory.rennala_universal_times(
        [0, 3, 10], [[1 / 0.3, 0, 1 / 0.3]], 10, 2, stop=True
    )
    np.testing.assert_allclose(found, [0, 3, 13])
    for times_of in (theory.rennala_universal_times, theory.malenia_universal_times):
        found = times_of([0, 3], [[1, 0]], 2, 3, stop=True)  # power runs out
        np.testing.assert_array_equal(found, [0, 2, INF, INF])
    # One of two workers stops after one gradient: 4 (1 + 1/B) <= 4 never holds.
    found = theory.malenia_universal_times([0, 1], [[1, 0], [1, 1]], 4, 1, stop=True)
    np.testing.assert_array_equal(found, [0, INF])
    found = theory.malenia_universal_times([0, 1], [[1, 0], [1, 1]], 3, 1, stop=True)
    np.testing.assert_allclose(found, [0, 3])  # 3 (1 + 1/3) = 4


@pytest.mark.parametrize("after", [[0.0], [0.0, 1.0]])
def test_rounding_does_not_move_a_gradient_behind_an_outage(after):
    """Ten times 1/10 adds up to 0.9999999999999999; then nothing, or much later."""
    assert sum([0.1] * 10) < 1
    grid = [*range(10), *[10, 50][: len(after)]]
    powers = [[0.1] * 10 + after]
    for times_of in (theory.rennala_universal_times, theory.malenia_universal_times):
        assert times_of(grid, powers, 1, 1, stop=True)[1] == pytest.approx(10)


def test_a_worker_that_stops_has_just_done_enough():
    """By 17/3 worker 2 has done 2 more gradients, 1.9999999999999996 in binary.

    S/n = 3/2: after the loss of one job each, (3, 1) and then (1, 3), (3, 1) suffice.
    """
    grid = [0.0, 1.0, 3.0, 3 + 8 / 3]
    powers = [[1 / 4, 5 / 3, 2, 1 / 3], [0, 0, 3, 0]]
    found = theory.malenia_universal_times(grid, powers, 3, 3)
    np.testing.assert_allclose(found, [0, 11 / 3, 5, 41 / 3])


def test_optimal_recursions():
    """τ = (1, 2): ⌈s⌉ gradients of any worker; for Malenia S >= n."""
    powers = [[1.0], [0.5]]
    for s, expected in ((0, [0, 1, 2]), (2.5, [0, 2, 4]), (6, [0, 4, 8])):
        found = theory.universal_hom_times([0], powers, s, 2)
        np.testing.assert_allclose(found, expected)
    found = theory.universal_hom_times([0], powers, 3, 2, constant=2)
    np.testing.assert_allclose(found, [0, 4, 8])
    found = theory.universal_het_times([0], powers, 0, 2)
    np.testing.assert_allclose(found, [0, 2, 4])
    found = theory.universal_het_times([0], powers, 4, 1)  # 1/B₁ + 1/B₂ <= 1: (4, 2)
    np.testing.assert_allclose(found, [0, 4])
    assert theory.ringmaster_num_blocks(2.0, initial_gap=3.0, accuracy=0.5) == 576


@given(clusters, st.floats(0, 50))
def test_the_optimal_recursion_is_t_hom_within_a_factor_two(times, noise_ratio):
    powers = [[1 / t] for t in times]
    found = theory.universal_hom_times([0], powers, noise_ratio, 1)[1]
    size = max(math.ceil(noise_ratio), 1)
    bound = min(
        (size + m) / sum(1 / t for t in sorted(times)[:m])
        for m in range(1, len(times) + 1)
    )
    assert found <= bound * (1 + 1e-9) and bound <= 2 * found * (1 + 1e-9)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "cure"),
    [
        (lambda: theory.malenia_iteration_time([1], 0), "batch_size must be a whole"),
        (lambda: theory.rennala_iteration_bound([1, 0], 3), r"times\[1\] is 0.0"),
        (lambda: theory.effective_batch_size([1, 1.5]), "counts must hold whole"),
        (lambda: theory.effective_batch_size([1], [0]), "weights must not vanish"),
        (lambda: theory.effective_batch_size([1, 2], [1, 2, 3]), "one for all"),
        (lambda: theory.rennala_universal_times([1, 2], [[1, 1]], 1, 1), "begins with"),
        (lambda: theory.rennala_universal_times([0, 0], [[1, 1]], 1, 1), "must grow"),
        (lambda: theory.rennala_universal_times([0, 1], [[1]], 1, 1), r"\[n, 2\]"),
        (lambda: theory.malenia_universal_times([0], [[-1]], 1, 1), "0 for an outage"),
        (lambda: theory.ringmaster_universal_times([0], [[1]], 1.5, 1), "delay_thresh"),
        (lambda: theory.universal_hom_times([0], [[1]], -1, 1), "noise_ratio must be"),
    ],
)
def test_bad_input_is_one_line_with_a_cure(call, cure):
    with pytest.raises(ValueError, match=cure) as error:
        call()
    assert "\n" not in str(error.value)
