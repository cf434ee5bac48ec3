"""Clocks of schedules that interrupt: of a few workers, with durations from a table.

A worker that is interrupted before it can be done, again and again, plays no part. So
the clock runs among the workers with the smallest lower bounds; afterwards the longest
time that a job was given tells whether one of the others could have been done in it.
Durations belong to (worker, job): whoever else is looked at, they are the same.
"""

import functools
import math
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from ..events import cluster
from ..types import ComputeTime, Event, Schedule
from . import arrivals
from .progress import LONG_CHUNK, SHORT_CHUNK, Progress, after

WINDOW = 16  # jobs of a worker that are at hand, and events until more are needed
UNROLL = 4  # events in a row without a loop around them
FEWEST = 32  # workers that a clock runs among, times 2^k; or all
GUESS = 0.2  # jobs that a worker begins per event, before it is known
SLACK = 1e-9  # relative; what sums of durations miss by rounding is far below


class Written(NamedTuple):
    """What is written down of an event, in numbers of 64 bits; the rest follows."""

    time: Any
    worker: Any
    job: Any
    version: Any
    accepted: Any
    weight: Any
    step: Any
    busy: Any


DTYPES = Written(
    time=np.float64,
    worker=np.int32,
    job=np.int32,
    version=np.int32,
    accepted=np.bool_,
    weight=np.float64,
    step=np.float64,
    busy=np.int32,
)


class Table(NamedTuple):
    """Durations of consecutive jobs, one worker's behind the other's.

    Attributes:
      seconds: [size].
      origin: [n], where job 0 of each worker is, or would be.
    """

    seconds: Any
    origin: Any


def clock(schedule: Schedule, compute_time: ComputeTime, key, left) -> Event:
    """The events of one run, as `trace.clocks`."""
    among = functools.partial(_among, schedule, compute_time, key)
    count = FEWEST
    if left(Progress()) > 8 * SHORT_CHUNK:
        # A short look first, because with too few workers all is in vain.
        count, _ = among(count, lambda progress: max(SHORT_CHUNK - progress.events, 0))
    return among(count, left)[1]


def _among(schedule, compute_time, key, count: int, left) -> tuple[int, Event]:
    """How many workers it takes, `count` or more, and the events."""
    num_workers = len(compute_time.lower_bound)
    by_bound = np.argsort(compute_time.lower_bound, kind="stable")
    bounds = np.append(compute_time.lower_bound[by_bound], np.inf)
    while True:
        count = count if 2 * count <= num_workers else num_workers
        workers = np.sort(by_bound[:count]).astype(np.int32)
        draw = functools.partial(_draw, compute_time, key, workers)
        others = np.isfinite(bounds[count:]).sum(dtype=np.int32)
        events = _events(_clock(schedule, draw, count, left), workers, others)
        longest = schedule.longest(events)
        if longest < bounds[count] * (1 - SLACK) or count == num_workers:
            return count, events
        count *= 2
        while count < np.searchsorted(bounds, longest):
            count *= 2


def _draw(compute_time: ComputeTime, key, workers, first, counts) -> np.ndarray:
    """Durations of so many jobs of each of the workers, from their `first` ones on."""
    ends = np.cumsum(counts)
    within = np.arange(ends[-1]) - np.repeat(ends - counts, counts)
    jobs = (np.repeat(first, counts) + within).astype(np.int32)
    return arrivals.durations(compute_time, key, np.repeat(workers, counts), jobs)


def _clock(schedule, draw, num_workers: int, left) -> Written:
    """The clock of a few workers, chunk by chunk."""
    ones = np.ones(num_workers, int)
    pieces, progress, rates = [], Progress(), GUESS * ones
    with jax.enable_x64(True):
        state = _start(schedule, draw(0 * ones, ones))
        more = SHORT_CHUNK
        while more:
            length = min(-(-max(more, SHORT_CHUNK) // WINDOW) * WINDOW, LONG_CHUNK)
            state, events, rates = _chunk(schedule, draw, state, length, rates)
            pieces.append(events)
            progress = after(progress, cast(Any, events))
            more = left(progress)
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
        seconds = np.zeros(4 ** math.ceil(math.log(ends[-1] + WINDOW, 4)))
        seconds[: ends[-1]] = draw(first, counts)
        table = Table(seconds, (ends - counts - first).astype(np.int32))
        later, rows = _advance(schedule, table, state, length)
        begun = np.asarray(cluster.of(later).job) + 1 - first
        if (begun <= counts).all():
            return later, _columns(np.asarray(rows)[:length]), begun / length
        rates = np.where(begun <= counts, rates, np.minimum(1.0, 2 * rates + 0.01))


def _columns(rows) -> Written:
    """Columns of their own dtypes, from rows of 64-bit floats."""
    dtypes = zip(rows.T, DTYPES, strict=True)
    return Written(*(column.astype(dtype) for column, dtype in dtypes))


@jax.jit
def _start(schedule, seconds):
    return schedule.init(None, _at_hand(seconds.shape[0], lambda jobs: seconds), None)


@jax.jit
def _advance(schedule, table: Table, state, length):
    """The state after so many events, and these in the first rows of [LONG_CHUNK, 8].

    A row is one array: each that is written costs a call of its own.
    """

    def arrival(durations, state, _):
        event, state = schedule.next(state, durations, None)
        row = [getattr(event, name) for name in Written._fields]
        return state, jnp.stack([x.astype(jnp.float64) for x in row])

    def arrivals(index, carry):
        state, rows = carry
        running = cluster.of(state).job
        next_few = functools.partial(_choose, _window(table, running), running)
        body = functools.partial(arrival, _at_hand(running.shape[0], next_few))
        state, few = jax.lax.scan(body, state, length=WINDOW, unroll=UNROLL)
        first = index * WINDOW
        return state, jax.lax.dynamic_update_slice_in_dim(rows, few, first, 0)

    rows = jnp.zeros((LONG_CHUNK, len(Written._fields)))
    return jax.lax.fori_loop(0, length // WINDOW, arrivals, (state, rows))


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
    place, seconds = jobs - running - 1, jnp.zeros(jobs.shape)
    for k in range(WINDOW):
        seconds = jnp.where(place == k, window[:, k], seconds)
    return seconds


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
