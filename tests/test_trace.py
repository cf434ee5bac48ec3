"""The clock: printed traces, bounds on times, reductions, horizons, and refusals."""

import importlib

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given, settings
from reference.printed import RINGMASTER_3

from fedjax_opt import events, timing
from fedjax_opt.simulate import trace
from fedjax_opt.types import Event

INF = float("inf")
THREE = (1.0, 2.5, 4.2)
FOUR = (1.0, 2.0, 4.0, 8.0)


def clock(schedule, seconds, seed=0, **horizon):
    """The events of a schedule on workers of fixed speeds."""
    return trace(
        schedule,
        timing.fixed(seconds),
        num_workers=len(seconds),
        key=jax.random.key(seed),
        **horizon,
    )


def steps(found):
    """The times of the updates."""
    return found.time[found.step != 0]


def used(found):
    return Event(*(column[found.accepted] for column in found))


def assert_same(a, b, fields=Event._fields):
    for name in fields:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


both_modes = pytest.mark.parametrize("stop", [False, True])


# ------------------------------------------------- printed traces (workers from 0)

ASGD_DELAYS = [0, 0, 2, 1, 0, 5, 1, 4, 1, 0, 2, 1, 6, 1]


@both_modes
def test_ringmaster_with_threshold_three(stop):
    found = clock(events.ringmaster(delay_threshold=3, stop=stop), THREE, until=9)
    printed = [row for row in RINGMASTER_3 if row[3] or not stop]
    time, worker, delay, accepted = zip(*printed, strict=True)
    np.testing.assert_allclose(found.time, time, rtol=1e-12)
    np.testing.assert_array_equal(found.worker, worker)
    np.testing.assert_array_equal(found.delay, delay)
    np.testing.assert_array_equal(found.accepted, accepted)
    assert len(steps(found)) == 11
    # In stop mode the job that worker 1 began at 2.5 is interrupted at 5.
    expected_jobs = [0, 2] if stop else [0, 1, 2]
    np.testing.assert_array_equal(found.job[found.worker == 1], expected_jobs)


@both_modes
@pytest.mark.parametrize("delay_threshold", [1, 2])
def test_ringmaster_with_a_small_threshold_is_hero(delay_threshold, stop):
    schedule = events.ringmaster(delay_threshold=delay_threshold, stop=stop)
    hero = clock(events.fastest(events.asgd(), 1), THREE, until=9)
    np.testing.assert_array_equal(hero.time, np.arange(1, 10))
    timed = ("time", "worker", "job", "version", "delay", "weight", "step")
    assert_same(used(clock(schedule, THREE, until=9)), hero, timed)


@both_modes
@pytest.mark.parametrize("delay_threshold", [10, INF])
def test_ringmaster_with_a_large_threshold_is_asgd(delay_threshold, stop):
    schedule = events.ringmaster(delay_threshold=delay_threshold, stop=stop)
    found = clock(schedule, THREE, until=9)
    np.testing.assert_array_equal(found.delay, ASGD_DELAYS)
    assert len(steps(found)) == 14
    assert_same(found, clock(events.asgd(), THREE, until=9))


@both_modes
def test_without_a_threshold_random_times_give_asgd_too(stop):
    law = timing.half_normal(THREE, scale=1.0)
    horizon = {"num_workers": 3, "key": jax.random.key(1), "num_events": 200}
    schedule = events.ringmaster(delay_threshold=INF, stop=stop)
    assert_same(trace(schedule, law, **horizon), trace(events.asgd(), law, **horizon))


@pytest.mark.parametrize(("stop", "updates"), [(False, 55), (True, 53)])
def test_stopping_late_jobs_can_cost_updates(stop, updates):
    schedule = events.ringmaster(delay_threshold=4, stop=stop)
    found = clock(schedule, (1.0, 1.713, 2.407), until=30.5)
    assert len(steps(found)) == updates


@pytest.mark.parametrize(
    ("seconds", "batch_size", "round_seconds", "counts"),
    [((1.0, 2.0, 3.0, 4.0), 5, 3, (3, 1, 1, 0)), (FOUR, 8, 5, (5, 2, 1, 0))],
)
def test_rennala_collects_in_stop_mode(seconds, batch_size, round_seconds, counts):
    schedule = events.rennala(batch_size=batch_size, stop=True)
    found = clock(schedule, seconds, num_events=3 * batch_size)
    np.testing.assert_array_equal(steps(found), round_seconds * np.arange(1, 4))
    for version in range(3):
        batch = found.worker[found.version == version]
        np.testing.assert_array_equal(np.bincount(batch, minlength=4), counts)
    np.testing.assert_array_equal(found.weight, 1 / batch_size)


def test_rennala_pairs_cost_twice_after_the_first_batch():
    schedule = events.rennala(batch_size=8, first_batch_size=3, stop=True, pairs=True)
    found = clock(schedule, FOUR, num_events=19)
    # Three singles by t = 2, then eight pairs in 2 · 5 seconds each time.
    np.testing.assert_array_equal(steps(found), [2, 12, 22])
    np.testing.assert_array_equal(found.work, [1] * 3 + [2] * 16)
    np.testing.assert_array_equal(found.kind, [0] * 3 + [1] * 16)
    np.testing.assert_allclose(found.weight, [1 / 3] * 3 + [1 / 8] * 16)


# ------------------------------------------------- reductions


def test_rennala_of_equal_workers_in_stop_mode_is_synchronous():
    rennala = clock(events.rennala(batch_size=3, stop=True), (2.0,) * 3, num_events=30)
    rounds = clock(events.synchronous(), (2.0,) * 3, num_events=30)
    np.testing.assert_array_equal(steps(rounds), 2 * np.arange(1, 11))
    # The early ones restart before the step, so that jobs and idleness differ.
    fields = ("time", "worker", "version", "delay", "accepted", "weight", "step")
    assert_same(rennala, rounds, fields)


def test_rennala_of_equal_workers_in_ignore_mode_loses_rounds():
    """Updates at τ, 3τ, ..., (2n−1)τ, each leaving one worker fewer at the old point.

    Then all are fresh, one update comes at 2nτ, and all begins anew.
    """
    found = clock(events.rennala(batch_size=3), (2.0,) * 3, num_events=40)
    np.testing.assert_array_equal(steps(found)[:6], [2, 6, 10, 12, 16, 20])


@both_modes
def test_rennala_with_batch_one_is_hero(stop):
    found = clock(events.rennala(batch_size=1, stop=stop), THREE, until=100)
    hero = clock(events.fastest(events.asgd(), 1), THREE, until=100)
    assert len(hero.time) == 100
    timed = ("time", "worker", "job", "version", "delay", "weight", "step")
    assert_same(used(found), hero, timed)


@pytest.mark.parametrize(
    "schedule",
    [
        events.rennala(batch_size=5),
        events.rennala(batch_size=5, stop=True),
        events.ringmaster(delay_threshold=3),
        events.ringmaster(delay_threshold=3, stop=True),
    ],
)
def test_a_dead_worker_changes_nothing(schedule):
    alive = clock(schedule, THREE, num_events=256)
    assert_same(clock(schedule, (*THREE, INF), num_events=256), alive)
    law = timing.dead(timing.fixed((*THREE, 0.1)), 3)
    horizon = {"num_workers": 4, "key": jax.random.key(0), "num_events": 256}
    assert_same(trace(schedule, law, **horizon), alive)


def test_a_dead_worker_changes_the_steps_of_delay_adaptive_asgd():
    alive = clock(events.delay_adaptive_asgd(), THREE, until=9)
    more = clock(events.delay_adaptive_asgd(), (*THREE, INF), until=9)
    delays = np.array(ASGD_DELAYS)
    np.testing.assert_allclose(alive.step, 3 / np.maximum(3, delays))
    np.testing.assert_allclose(more.step, 4 / np.maximum(4, delays))


def test_asgd_of_equal_workers_goes_round():
    found = clock(events.asgd(), (0.5,) * 3, num_events=30)
    np.testing.assert_array_equal(found.worker, np.arange(30) % 3)
    np.testing.assert_array_equal(found.time, 0.5 + 0.5 * (np.arange(30) // 3))
    np.testing.assert_array_equal(found.delay, [0, 1] + [2] * 28)


def test_asgd_keeps_every_worker_at_work():
    """The delays and the ages of the running jobs grow by n − 1 with each step."""
    found = clock(events.asgd(), FOUR, num_events=200)
    np.testing.assert_array_equal(found.busy, 4)
    started = np.zeros(4, int)
    for k in range(200):
        assert found.version[k] == started[found.worker[k]]
        started[found.worker[k]] = k + 1
        ages = k + 1 - started
        assert found.delay[: k + 1].sum() + ages.sum() == 3 * (k + 1)


# ------------------------------------------------- bounds on times

clusters = st.lists(st.floats(0.2, 20), min_size=4, max_size=4)


def smallest(seconds, work, per_worker):
    """min over m of (work + per_worker · m) / (1/τ₁ + ... + 1/τₘ)."""
    rates = np.cumsum(1 / np.sort(seconds))
    return ((work + per_worker * np.arange(1, len(rates) + 1)) / rates).min()


@both_modes
@given(seconds=clusters, delay_threshold=st.integers(1, 12))
@settings(max_examples=50)
def test_ringmaster_makes_r_updates_in_time(seconds, delay_threshold, stop):
    """Any R consecutive updates take at most 2 min_m (R + m) / H_m seconds."""
    schedule = events.ringmaster(delay_threshold=delay_threshold, stop=stop)
    times = np.append(0, steps(clock(schedule, seconds, num_events=256)))
    assert len(times) > delay_threshold
    taken = times[delay_threshold:] - times[:-delay_threshold]
    assert taken.max() <= 2 * smallest(seconds, delay_threshold, 1) * (1 + 1e-12)


@given(seconds=clusters, batch_size=st.integers(1, 12))
@settings(max_examples=50)
def test_rennala_collects_as_fast_as_anybody_can_in_stop_mode(seconds, batch_size):
    """In min {t : Σᵢ ⌊t/τᵢ⌋ >= S} seconds, the S-th smallest of all multiples."""
    schedule = events.rennala(batch_size=batch_size, stop=True)
    times = np.append(0, steps(clock(schedule, seconds, num_events=256)))
    multiples = np.sort(np.outer(seconds, np.arange(1, batch_size + 1)).ravel())
    needed = multiples[batch_size - 1]
    np.testing.assert_allclose(np.diff(times), needed, rtol=1e-9)
    bound = smallest(seconds, batch_size, 1)
    assert needed <= bound * (1 + 1e-12)
    assert bound <= 2 * needed * (1 + 1e-12)


@given(seconds=clusters, batch_size=st.integers(1, 12))
@settings(max_examples=50)
def test_rennala_loses_one_job_per_worker_in_ignore_mode(seconds, batch_size):
    """An update takes at most min_m (S + 2m) / H_m seconds."""
    schedule = events.rennala(batch_size=batch_size)
    times = np.append(0, steps(clock(schedule, seconds, num_events=256)))
    assert len(times) > 2
    bound = smallest(seconds, batch_size, 2)
    assert np.diff(times).max() <= bound * (1 + 1e-12)
    assert bound <= 2 * smallest(seconds, batch_size, 1) * (1 + 1e-12)


# ------------------------------------------------- horizons


def test_until_is_inclusive():
    assert clock(events.asgd(), THREE, until=9).time[-1] == 9
    assert clock(events.asgd(), THREE, until=np.nextafter(9, 0)).time[-1] == 8.4
    assert len(clock(events.asgd(), THREE, until=0.5).time) == 0


def test_until_has_all_events_of_an_instant():
    found = clock(events.asgd(), (1.0,) * 3, until=2)
    np.testing.assert_array_equal(found.time, [1, 1, 1, 2, 2, 2])


def test_a_horizon_beyond_the_last_arrival():
    """The rows of `num_events` are padded, those of `until` are not."""
    law = timing.dead(timing.fixed(THREE), [0, 1, 2])
    horizon = {"num_workers": 3, "key": jax.random.key(0)}
    assert len(trace(events.asgd(), law, until=9, **horizon).time) == 0
    padded = trace(events.asgd(), law, num_events=7, **horizon)
    np.testing.assert_array_equal(padded.time, [INF] * 7)
    assert not padded.accepted.any()


def test_columns_are_numpy_with_a_clock_of_64_bits():
    found = clock(events.rennala(batch_size=5), THREE, num_events=7)
    assert all(isinstance(column, np.ndarray) for column in found)
    assert all(column.shape == (7,) for column in found)
    for name in ("time", "weight", "step"):
        assert getattr(found, name).dtype == np.float64
    assert found.accepted.dtype == bool


@pytest.mark.parametrize(
    "law", [timing.fixed(np.sqrt([2.0, 3.0, 5.0])), timing.half_normal(THREE, scale=1)]
)
def test_the_clock_has_64_bits_where_nothing_else_has(law):
    horizon = {"num_workers": 3, "key": jax.random.key(0), "num_events": 200}
    schedule = events.ringmaster(delay_threshold=3, stop=True)
    expected = trace(schedule, law, **horizon)
    with jax.enable_x64(False):
        found = trace(schedule, law, **horizon)
    assert found.time.dtype == np.float64
    assert_same(found, expected)


@pytest.mark.parametrize(
    ("horizon", "rows"), [({"num_events": 100}, 100), ({"until": 55.0}, 90)]
)
@pytest.mark.parametrize(
    "schedule",
    [
        events.synchronous(),
        events.rennala(batch_size=4, stop=True, pairs=True),
        events.ringmaster(delay_threshold=3),
        events.fastest(events.asgd(), 2),
    ],
)
def test_long_runs_go_in_chunks(monkeypatch, schedule, horizon, rows):
    whole = clock(schedule, THREE, **horizon)
    module = importlib.import_module("fedjax_opt.simulate.progress")
    monkeypatch.setattr(module, "SHORT_CHUNK", 8)
    monkeypatch.setattr(module, "LONG_CHUNK", 8)
    assert len(whole.time) > 16
    assert_same(clock(schedule, THREE, **horizon), whole)


def test_time_that_stands_still_is_refused(monkeypatch):
    module = importlib.import_module("fedjax_opt.simulate.progress")
    monkeypatch.setattr(module, "SHORT_CHUNK", 8)
    monkeypatch.setattr(module, "LONG_CHUNK", 8)
    with pytest.raises(ValueError, match="stands still at 0.0 s: .* num_events="):
        clock(events.asgd(), (1.0, 0.0), until=9)
    found = clock(events.asgd(), (1.0, 0.0), num_events=100)
    np.testing.assert_array_equal(found.time, 0)
    # Many workers may well arrive at one instant.
    assert len(clock(events.asgd(), (1.0,) * 20, until=2).time) == 40


# ------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("horizon", "message"),
    [
        ({}, "either num_events= or until="),
        ({"num_events": 5, "until": 9.0}, "either num_events= or until="),
        ({"num_events": -1}, "num_events must not be negative, got -1"),
        ({"until": INF}, "until must be finite, got inf"),
        ({"until": float("nan")}, "until must be finite, got nan"),
    ],
)
def test_horizons_that_are_none(horizon, message):
    with pytest.raises(ValueError, match=message):
        clock(events.asgd(), THREE, **horizon)


def test_a_cluster_of_another_size_is_refused():
    with pytest.raises(ValueError, match="num_workers is 4, .* describes 3 workers"):
        trace(
            events.asgd(),
            timing.fixed(THREE),
            num_workers=4,
            key=jax.random.key(0),
            num_events=5,
        )


def test_trace_is_an_outermost_call():
    def updates(delay_threshold):
        schedule = events.ringmaster(delay_threshold=delay_threshold)
        return clock(schedule, THREE, num_events=5).step.sum()

    def without_arguments():
        return updates(3)

    for call in (
        lambda: jax.jit(updates)(3),
        lambda: jax.jit(without_arguments)(),
        lambda: jax.vmap(updates)(np.arange(1, 4)),
        lambda: jax.grad(updates)(3.0),
    ):
        with pytest.raises(ValueError, match="outermost call"):
            call()
