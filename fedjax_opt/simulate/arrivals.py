"""Arrivals of workers that never rest and are never stopped: sums of durations, sorted.

No queue and no event loop: a worker's next job starts when its last one ends, whatever
the server makes of it.
"""

from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from .. import keys
from ..types import Arrivals, ComputeTime, Event, Schedule
from .progress import SHORT_CHUNK, Progress, after

# Durations drawn in one call, at least.
FEWEST = 1024

# Jobs of one worker drawn in one call.
MOST_JOBS = 4096


class Running(NamedTuple):
    """The jobs at hand.

    Attributes:
      job: [n], their numbers.
      finish: [n] seconds when they end; inf if never.
      started: [n], the arrivals at which they started; -1 at time 0.
      arrivals: how many there have been.
    """

    job: np.ndarray
    finish: np.ndarray
    started: np.ndarray
    arrivals: int


def predictable(compute_time: ComputeTime) -> bool:
    """Can durations be drawn beforehand, is their number known, do all of them end?"""
    if not compute_time.steady or compute_time.mean is None:
        return False
    alive = np.isfinite(compute_time.lower_bound)
    mean = compute_time.mean[alive]
    return bool(alive.any() and (mean > 0).all() and np.isfinite(mean).all())


def _rate(compute_time: ComputeTime) -> float:
    """Arrivals per second, about."""
    alive = np.isfinite(compute_time.lower_bound)
    return float(np.sum(1 / cast(np.ndarray, compute_time.mean)[alive]))


def clock(schedule: Schedule, compute_time: ComputeTime, key, left, until) -> Event:
    """The events of one run, as `trace.clocks`: arrivals first, then what is made
    of them."""
    rate, more = _rate(compute_time), left(Progress())
    running, found, horizon = begin(compute_time, key), [], 0.0
    while True:
        more = max(more, running.arrivals // 8, SHORT_CHUNK)
        horizon = min(horizon + 1.02 * more / rate, np.inf if until is None else until)
        running, piece = advance(compute_time, key, running, horizon)
        found.append(piece)
        events = cast(Callable, schedule.events)(joined(found))
        more = left(after(Progress(), events))
        if not more or horizon == until or np.isinf(running.finish).all():
            return events


def begin(compute_time: ComputeTime, key) -> Running:
    """Everybody starts job 0 at time 0."""
    num_workers = len(compute_time.lower_bound)
    job = np.zeros(num_workers, np.int32)
    workers = np.arange(num_workers, dtype=np.int32)
    finish = durations(compute_time, key, workers, job)
    return Running(job, finish, job - 1, 0)


def advance(
    compute_time: ComputeTime, key, running: Running, until: float
) -> tuple[Running, Arrivals]:
    """The arrivals up to a time, inclusive, and what runs then."""
    found, mean = [], cast(np.ndarray, compute_time.mean)
    job, finish = running.job.copy(), running.finish.copy()
    behind = np.flatnonzero(finish <= until).astype(np.int32)
    while len(behind):
        expected = (until - finish[behind]) / mean[behind]
        expected = np.clip(1.05 * expected + 4, 4, MOST_JOBS)
        counts = 4 ** np.ceil(np.log(expected) / np.log(4)).astype(int)
        for count in np.unique(counts):
            workers = behind[counts == count]
            jobs = job[workers, None] + np.arange(1 + count, dtype=np.int32)
            mine = np.broadcast_to(workers[:, None], jobs.shape)
            seconds = durations(compute_time, key, mine[:, 1:], jobs[:, 1:])
            # From left to right, as the clock adds them.
            ends = np.cumsum(np.hstack([finish[workers, None], seconds]), axis=1)
            arrive = ends[:, :-1] <= until
            done = arrive.sum(axis=1)
            columns = (ends, mine, jobs)
            found.append([column[:, :-1][arrive] for column in columns])
            job[workers] += done.astype(np.int32)
            finish[workers] = ends[np.arange(len(workers)), done]
        behind = np.flatnonzero(finish <= until).astype(np.int32)
    return _sorted(running, found, job, finish)


def joined(pieces: list[Arrivals]) -> Arrivals:
    """Arrivals of consecutive spans of time as one."""
    columns = map(np.concatenate, zip(*(p[1:] for p in pieces), strict=True))
    return Arrivals(pieces[0].num_workers, *columns)


def _sorted(running: Running, found, job, finish) -> tuple[Running, Arrivals]:
    """In order of time, then of workers, then of jobs."""
    num_workers = len(running.job)
    nothing = [(np.zeros(0), np.zeros(0, np.int32), np.zeros(0, np.int32))]
    time, worker, number = map(np.concatenate, zip(*(found or nothing), strict=True))
    by_worker = np.lexsort((number, worker))
    time, worker, number = (x[by_worker] for x in (time, worker, number))
    order = np.argsort(time, kind="stable")
    index = running.arrivals + np.arange(len(order), dtype=np.int32)
    place = np.empty_like(index)
    place[order] = index
    # The jobs of one worker follow each other here; its first one was running.
    started = np.concatenate([[-1], place])[:-1]
    first = np.diff(worker, prepend=-1) != 0
    started[first] = running.started[worker[first]]
    latest = running.started.copy()
    latest[worker] = place  # the last of each worker stays
    # Who gets a job that never ends is not busy from the next arrival on.
    stops = np.sort(latest[np.isfinite(running.finish) & np.isinf(finish)])
    busy = np.isfinite(running.finish).sum() - np.searchsorted(stops, index)
    arrivals = Arrivals(
        num_workers,
        time=time[order],
        worker=worker[order].astype(np.int32),
        job=number[order],
        busy=busy.astype(np.int32),
        started=started[order].astype(np.int32),
    )
    return Running(job, finish, latest, running.arrivals + len(order)), arrivals


def durations(compute_time: ComputeTime, key, workers, jobs) -> np.ndarray:
    """Seconds of jobs of one gradient, given as int32 arrays of one shape."""
    count = rounded(max(jobs.size, FEWEST))
    padded = (np.pad(x.ravel(), (0, count - jobs.size)) for x in (workers, jobs))
    with jax.enable_x64(True):
        seconds = _sample(compute_time, key, *padded)
    return np.asarray(seconds)[: jobs.size].reshape(jobs.shape)


def rounded(size: int) -> int:
    """A number of three bits and zeros, not below: so that calls share programs."""
    unit = 1 << max(int(size).bit_length() - 3, 0)
    return -(-int(size) // unit) * unit


@jax.jit
def _sample(compute_time: ComputeTime, key, workers, jobs):
    def of_job(worker, job):
        return compute_time.sample(
            keys.of_job(key, worker, job), worker, job, jnp.float64(0), 1
        )

    return jax.vmap(of_job)(workers, jobs)
