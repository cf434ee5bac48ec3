"""Every schedule yields the events of an independent event loop in plain Python."""

import dataclasses
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts import (
    cases_asynchronous,
    cases_collectors,
    cases_finite_sum,
    cases_schedules,
    cases_tables_and_lmo,
)
from contracts.schedule_case import Given
from jax.tree_util import Partial

from fedjax_opt import events, timing
from fedjax_opt.simulate import trace
from fedjax_opt.types import ComputeTime

INF = float("inf")
NUM_EVENTS = 5000
JOBS = 64  # durations repeat after so many jobs
COLUMNS = (
    "worker",
    "job",
    "version",
    "delay",
    "accepted",
    "weight",
    "step",
    "work",
    "kind",
    "sample",
)
CASES = {
    name: case
    for module in (
        cases_schedules,
        cases_collectors,
        cases_asynchronous,
        cases_finite_sum,
        cases_tables_and_lmo,
    )
    for name, case in module.CASES.items()
}


def look_up(table, key, worker, job, now, work):
    return table[worker, job % JOBS] * work


def share(table, seconds):
    return jnp.mean(table <= seconds[:, None], axis=1)


def from_table(table):
    """Compute times that are no law at all: seconds [n, JOBS]."""
    return ComputeTime(
        Partial(look_up, table),
        table.min(axis=1),
        means(table),
        Partial(share, table),
        steady=True,
    )


def means(table):
    """Of the first jobs only, so that who is to die may be the fastest."""
    return table[:, :10].mean(axis=1)


def generic(n, seed=0):
    """No two sums of durations are equal; workers differ in speed about fourfold."""
    rng = np.random.default_rng([seed, n])
    speeds = np.geomspace(1, 4, n)
    return rng.permutation(speeds)[:, None] * rng.uniform(0.5, 1.5, (n, JOBS))


def clock_of(case, table, seed=0, make=None):
    """The events of a case's schedule on a cluster."""
    n = len(table)
    return trace(
        (make or case.make)(n),
        from_table(table),
        num_workers=n,
        key=jax.random.key(seed),
        num_events=NUM_EVENTS,
        num_components=case.num_components(n),
    )


def reference(case, table, seed=0):
    rows = table.tolist()
    n = len(table)
    given = Given(
        n=n,
        num_events=NUM_EVENTS,
        means=means(table).tolist(),
        durations=lambda worker, job, work: work * rows[worker][job % JOBS],
        key=jax.random.key(seed),
        num_components=case.num_components(n),
        law=from_table(table),
    )
    return case.reference(given)


def assert_equal(case, found, rows):
    """All columns of the reference; behind its last row nobody arrives any more."""
    arrivals = len(rows)
    np.testing.assert_allclose(
        found.time[:arrivals], [row.time for row in rows], rtol=1e-12
    )
    steps = np.flatnonzero(found.step)
    closed = steps[-1] + 1 if steps.size else 0
    for name in COLUMNS:
        if name in case.skip_columns:
            continue
        compared = min(closed, arrivals) if name == "weight" and case.closes else None
        np.testing.assert_allclose(
            getattr(found, name)[:arrivals][:compared],
            [getattr(row, name) for row in rows][:compared],
            rtol=1e-14,
            err_msg=name,
        )
    assert len(found.time) == NUM_EVENTS
    assert not np.isfinite(found.time[arrivals:]).any()
    for name in ("accepted", "weight", "step", "busy"):
        assert not getattr(found, name)[arrivals:].any(), name


def interruptions(found):
    """How many jobs of the workers that arrived were skipped."""
    skipped = 0
    for worker in np.unique(found.worker):
        jobs = found.job[found.worker == worker]
        skipped += jobs[-1] + 1 - len(jobs)
    return skipped


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.mark.parametrize("n", [1, 3, 50, 1000])
def test_events_equal_those_of_the_reference(case, n):
    table = generic(n)
    found = clock_of(case, table)
    assert_equal(case, found, reference(case, table))
    # The case shows what it is there for; one worker alone shows nothing.
    several = n > 1
    assert found.delay[found.accepted].max() >= 3 * (case.late and several)
    assert (~found.accepted).any() == (case.rejects and several)
    assert (interruptions(found) > 0) == (case.interrupts and several)


def test_delays_count_the_steps_since_the_version(case):
    found = clock_of(case, generic(3))
    steps_before = np.cumsum(found.step != 0) - (found.step != 0)
    np.testing.assert_array_equal(found.delay, steps_before - found.version)
    assert (found.delay >= 0).all()
    np.testing.assert_array_equal(found.weight != 0, found.accepted)


def test_one_worker_is_sequential(case):
    if not case.sequential:
        pytest.skip("one worker alone wastes jobs here, or is told another delay")
    table = generic(1)
    found = clock_of(case, table)
    seconds = table[0, np.arange(NUM_EVENTS) % JOBS] * found.work
    np.testing.assert_allclose(found.time, np.cumsum(seconds), rtol=1e-12)
    np.testing.assert_array_equal(found.job, np.arange(NUM_EVENTS))
    assert not found.delay.any()
    assert found.accepted.all()


# ------------------------------------------------- ties


ROUNDED_ROOTS = np.round(8 * np.sqrt(np.arange(1, 51))) / 8  # sums are exact


@pytest.mark.parametrize("seconds", [np.ones(50), ROUNDED_ROOTS])
def test_of_simultaneous_arrivals_the_lowest_worker_is_first(case, seconds):
    table = np.tile(seconds[:, None], JOBS)
    found = clock_of(case, table)
    assert_equal(case, found, reference(case, table))
    simultaneous = np.diff(found.time) == 0
    assert (np.diff(found.worker)[simultaneous] > 0).all()


def test_simultaneous_arrivals_step_one_at_a_time():
    found = clock_of(CASES["asgd"], np.ones((50, JOBS)))
    np.testing.assert_array_equal(found.time, 1 + np.arange(NUM_EVENTS) // 50)
    np.testing.assert_array_equal(found.worker, np.arange(NUM_EVENTS) % 50)
    np.testing.assert_array_equal(found.delay, np.minimum(np.arange(NUM_EVENTS), 49))


# ------------------------------------------------- infinite and zero durations


def assert_sound(found):
    assert not any(np.isnan(column).any() for column in found)
    assert (found.time[1:] >= found.time[:-1]).all()


def dying():
    """Of three workers one is dead, and the fastest one never ends its 21st job."""
    table = generic(3)
    table[0] = INF
    table[2, 20:] = INF
    return table


def test_dead_and_dying_workers(case):
    table = dying()
    found = clock_of(case, table)
    assert_equal(case, found, reference(case, table))
    assert_sound(found)
    assert means(table).argmin() == 2
    assert 0 not in found.worker[np.isfinite(found.time)]


def test_when_all_have_died_the_rows_are_padded(case):
    table = generic(3)
    table[:, 20:] = INF
    found = clock_of(case, table)
    assert_equal(case, found, reference(case, table))
    assert_sound(found)
    assert np.isinf(found.time[-1]) != case.gives_up


def test_when_all_are_dead_from_the_start_nobody_arrives(case):
    found = clock_of(case, np.full((3, JOBS), INF))
    assert_equal(case, found, [])
    assert_sound(found)


@pytest.mark.parametrize("idle", [[1], [0, 1, 2]])
def test_jobs_may_take_no_time(case, idle):
    table = generic(3)
    table[idle] = 0
    found = clock_of(case, table)
    assert_equal(case, found, reference(case, table))
    assert_sound(found)


# ------------------------------------------------- who is busy


@pytest.mark.parametrize("dead", [[], [1]])
@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].busy])
def test_busy_counts_the_living_workers(name, dead):
    table = generic(3)
    table[dead] = INF
    found = clock_of(CASES[name], table)
    np.testing.assert_array_equal(found.busy, CASES[name].busy(3 - len(dead)))


def test_busy_workers_of_a_round_are_those_that_arrive_later():
    found = clock_of(CASES["synchronous"], generic(3))
    for e in range(100):
        later = found.version[e:] == found.version[e]
        assert found.busy[e] == len(set(found.worker[e:][later]))


@pytest.mark.parametrize("name", ["asgd", "rennala", "rennala of pairs", "ringmaster"])
def test_a_dying_worker_is_busy_until_its_last_arrival(name):
    table = generic(3)
    table[0, 20:] = INF
    found = clock_of(CASES[name], table)
    last = np.flatnonzero(found.worker == 0)[-1]
    assert found.job[last] == 19
    np.testing.assert_array_equal(found.busy[: last + 1], 3)
    np.testing.assert_array_equal(found.busy[last + 1 :], 2)


# ------------------------------------------------- keys, programs, leaves


def test_the_key_decides(case):
    law = timing.half_normal([1.0, 2.0, 3.0], scale=1.0)
    first, again, other = (
        trace(
            case.make(3),
            law,
            num_workers=3,
            key=jax.random.key(seed),
            num_events=200,
            num_components=case.num_components(3),
        )
        for seed in (0, 0, 1)
    )
    for name in first._fields:
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.any(first.time == other.time)


def test_other_numbers_need_no_other_program(case):
    module = importlib.import_module("fedjax_opt.simulate.trace")
    first = clock_of(case, generic(3))
    programs = module._start._cache_size(), module._advance._cache_size()
    second = clock_of(case, generic(3, seed=1), seed=1, make=case.other)
    assert np.any(first.time != second.time)
    assert programs == (module._start._cache_size(), module._advance._cache_size())


def test_leaves_are_the_numbers(case):
    schedule, other = case.make(3), case.other(3)
    plain = schedule._replace(events=None, longest=None)
    assert jax.tree.leaves(plain) == case.numbers(3)
    assert set(jax.tree.leaves(schedule)) == set(case.numbers(3))
    assert jax.tree.structure(schedule) == jax.tree.structure(other)


@pytest.mark.parametrize(
    ("make", "number", "dtype"),
    [
        (lambda r: events.ringmaster(delay_threshold=r), 5.0, jnp.float32),
        (lambda s: events.rennala(batch_size=s, stop=True), 3, jnp.int32),
        (lambda m: events.fastest(events.asgd(), m), 2, jnp.int32),
    ],
)
def test_numbers_may_be_arrays(make, number, dtype):
    table = generic(3)
    case = CASES["asgd"]
    plain = clock_of(case, table, make=lambda n: make(number))
    array = clock_of(case, table, make=lambda n: make(jnp.array(number, dtype)))
    for name in plain._fields:
        np.testing.assert_array_equal(getattr(plain, name), getattr(array, name))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: events.ringmaster(delay_threshold=0), "at least 1 .* got 0"),
        (lambda: events.ringmaster(delay_threshold=float("nan")), "got nan"),
        (lambda: events.rennala(batch_size=0), "batch_size to be 1, 2, ..., got 0"),
        (
            lambda: events.rennala(batch_size=2, first_batch_size=0),
            "first_batch_size to be 1, 2, ..., got 0",
        ),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_fastest_need_means():
    law = dataclasses.replace(from_table(generic(3)), mean=None)
    with pytest.raises(ValueError, match="have no mean"):
        trace(
            events.fastest(events.asgd(), 1),
            law,
            num_workers=3,
            key=jax.random.key(0),
            num_events=10,
        )


@pytest.mark.parametrize("name", CASES)
def test_which_deaths_stop_a_schedule(name):
    """Some need everybody; one living worker keeps the others going."""
    possible = CASES[name].make(3).possible
    assert possible(np.ones(3, bool))
    one_dead = np.array([True, False, True])
    assert bool(possible(one_dead)) != CASES[name].needs_all
    assert not possible(np.zeros(3, bool))
