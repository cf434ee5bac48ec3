"""Clocks of schedules that interrupt: of a few workers, with durations from a table.

A worker that is interrupted before it can be done, again and again, plays no part. So
the clock runs among the workers with the smallest lower bounds; afterwards the longest
time that a job was given tells whether one of the others could have been done in it.
Durations belong to (worker, job): whoever else is looked at, they are the same.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from ..events import cluster
from ..types import ComputeTime, Event, Schedule
from . import arrivals
from .progress import SHORT_CHUNK, Progress, after, check_time_advances, chunk

WINDOW = 16  # jobs of a worker that are at hand, and events until more are needed
FEWEST = 64  # workers that a clock runs among, times 4^k; or all
GUESS = 0.2  # jobs that a worker begins per event, before it is known
SLACK = 1e-9  # relative; what sums of durations miss by rounding is far below


class Written(NamedTuple):
    """What is written down of an event; the rest follows from it."""

    time: Any
    worker: Any
    job: Any
    version: Any
    accepted: Any
    weight: Any
    step: Any
    busy: Any


class Table(NamedTuple):
    """Durations of consecutive jobs, one worker's behind the other's.

    Attributes:
      seconds: [size].
      origin: [n], where job 0 of each worker is, or would be.
    """

    seconds: Any
    origin: Any


def clock(
    schedule: Schedule, compute_time: ComputeTime, key, *, enough, expected
) -> Event:
    """The events of one run, as `trace.clocks`."""
    num_workers = len(compute_time.lower_bound)
    by_bound = np.argsort(compute_time.lower_bound, kind="stable")
    bounds = np.append(compute_time.lower_bound[by_bound], np.inf)
    count = FEWEST
    while True:
        count = count if 2 * count <= num_workers else num_workers
        workers = np.sort(by_bound[:count]).astype(np.int32)
        draw = functools.partial(_draw, compute_time, key, workers)
        written = _clock(schedule, draw, count, enough=enough, expected=expected)
        others = np.isfinite(bounds[count:]).sum(dtype=np.int32)
        events = _events(written, workers, others)
        longest = cast(Callable, schedule.longest)(events)
        if longest < bounds[count] * (1 - SLACK) or count == num_workers:
            return events
        count *= 4
        while count < np.searchsorted(bounds, longest):
            count *= 4


def _draw(compute_time: ComputeTime, key, workers, first, counts) -> np.ndarray:
    """Durations of so many jobs of each of the workers, from their `first` ones on."""
    ends = np.cumsum(counts)
    within = np.arange(ends[-1]) - np.repeat(ends - counts, counts)
    jobs = (np.repeat(first, counts) + within).astype(np.int32)
    return arrivals.durations(compute_time, key, np.repeat(workers, counts), jobs)


def _clock(schedule, draw, num_workers: int, *, enough, expected) -> Written:
    """The clock of a few workers, chunk by chunk."""
    ones = np.ones(num_workers, int)
    pieces, progress, rates = [], Progress(), GUESS * ones
    with jax.enable_x64(True):
        state = _start(schedule, draw(0 * ones, ones))
        while not pieces or not enough(progress):
            if progress.events > expected:
                check_time_advances(progress, num_workers)
            length = chunk(max(expected, progress.events)) if pieces else SHORT_CHUNK
            state, events, rates = _chunk(schedule, draw, state, length, rates)
            pieces.append(events)
            progress = after(progress, events)
    return jax.tree.map(lambda *x: np.concatenate(x), *pieces)


def _chunk(schedule, draw, state, length: int, rates):
    """The state after a chunk, its events, and how many jobs each worker began in it.

    Args:
      rates: [n], jobs that a worker begins per event, a guess.
    """
    first = np.asarray(cluster.of(state).job) + 1
    while True:
        counts = np.minimum(np.ceil(1.05 * rates * length) + 16, length).astype(int)
        ends = np.cumsum(counts)
        # What follows the last is never read.
        seconds = np.zeros(arrivals.rounded(ends[-1] + WINDOW))
        seconds[: ends[-1]] = draw(first, counts)
        table = Table(seconds, (ends - counts - first).astype(np.int32))
        later, events = _advance(schedule, table, state, length)
        begun = np.asarray(cluster.of(later).job) + 1 - first
        if (begun <= counts).all():
            return later, jax.tree.map(np.asarray, events), begun / length
        rates = np.where(begun <= counts, rates, np.minimum(1.0, 2 * rates + 0.01))


@jax.jit
def _start(schedule, seconds):
    return schedule.init(None, _at_hand(seconds.shape[0], lambda jobs: seconds), None)


@functools.partial(jax.jit, static_argnames="length")
def _advance(schedule, table: Table, state, length: int):
    """The state after a chunk, and its events."""

    def arrival(durations, state, _):
        event, state = schedule.next(state, durations, None)
        return state, Written(*(getattr(event, name) for name in Written._fields))

    def arrivals(state, _):
        running = cluster.of(state).job
        next_few = functools.partial(_choose, _window(table, running), running)
        durations = _at_hand(running.shape[0], next_few)
        body = functools.partial(arrival, durations)
        return jax.lax.scan(body, state, length=WINDOW)

    state, events = jax.lax.scan(arrivals, state, length=length // WINDOW)
    return state, jax.tree.map(lambda x: x.reshape(length), events)


def _at_hand(num_workers: int, of_all) -> ComputeTime:
    """Compute times that tell one job of each worker at a time, and nothing else."""
    bounds = jnp.zeros(num_workers)
    return ComputeTime(cast(Any, None), bounds, None, steady=True, of_all=of_all)


def _window(table: Table, running):
    """[n, WINDOW], the durations of the next few jobs after the `running` [n] ones.

    Looking up a number for each worker takes XLA 25 ns each on a CPU; choosing it from
    a window at hand, 6 ns.
    """

    def of_worker(origin, job):
        return jax.lax.dynamic_slice_in_dim(table.seconds, origin + job + 1, WINDOW)

    return jax.vmap(of_worker)(table.origin, running)


def _choose(window, running, jobs):
    def of_worker(window, place):
        return jnp.sum(jnp.where(jnp.arange(WINDOW) == place, window, 0.0))

    return jax.vmap(of_worker)(window, jobs - running - 1)


def _events(written: Written, workers, others) -> Event:
    """All columns of the events among these `workers`, while the others are busy."""
    steps = written.step != 0
    updates = np.cumsum(steps, dtype=np.int32) - steps
    same = functools.partial(np.full, steps.shape)
    return Event(
        **written._asdict()
        | {"worker": workers[written.worker], "busy": written.busy + others},
        delay=updates - written.version,
        work=same(np.int32(1)),
        kind=same(np.int32(0)),
        sample=same(np.int32(-1)),
    )
