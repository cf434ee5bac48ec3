"""The first instant at which busy workers have finished enough jobs."""

import heapq
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import numpy as np

# Counts above this stand for "as many as one likes"; floats count exactly up to here.
UNLIMITED = 2.0**53


class Jobs(NamedTuple):
    """What n workers do that start afresh at one instant and never idle.

    Attributes:
      start: the instant.
      finish: (j [n], whole and >= 1) -> [n], when worker i has finished its j-th job;
        grows with j, inf is never.
      finished: (instant) -> [n], jobs finished by then. May be off by one to rounding:
        `finish` decides.
    """

    start: float
    finish: Callable[[np.ndarray], np.ndarray]
    finished: Callable[[float], np.ndarray]


def counts_at(jobs: Jobs, instant: float) -> np.ndarray:
    """[n] jobs finished by an instant: the number of j with finish(j) <= instant."""
    counts = np.minimum(jobs.finished(instant), UNLIMITED)
    counts = counts + (jobs.finish(counts + 1) <= instant)
    return counts - ((counts > 0) & (jobs.finish(np.maximum(counts, 1)) > instant))


def first(
    jobs: Jobs, enough: Callable[[np.ndarray], bool], upper: float
) -> tuple[float, np.ndarray]:
    """The first instant at which the jobs done are enough, and their counts [n].

    Jobs that end at the same instant are counted one at a time, lowest worker first,
    until they are enough.

    Args:
      jobs: the workers.
      enough: of counts [n]; not of zeros, and once true true for larger counts.
      upper: a later instant by which they are surely enough.
    """
    low, counts, high = jobs.start, np.zeros_like(counts_at(jobs, upper)), upper
    while np.sum(counts_at(jobs, high) - counts) > 16:
        middle = low + (high - low) / 2
        if not low < middle < high:
            break
        tried = counts_at(jobs, middle)
        if enough(tried):
            high = middle
        else:
            low, counts = middle, tried
    following = [(end, i) for i, end in enumerate(jobs.finish(counts + 1).tolist())]
    heapq.heapify(following)
    while True:
        now, worker = following[0]
        counts[worker] += 1
        if now == np.inf or enough(counts):
            return now, counts
        again = float(jobs.finish(counts + 1)[worker])
        heapq.heapreplace(following, (again, worker))


def total_is(batch_size: int) -> Callable[[np.ndarray], bool]:
    """Σᵢ Bᵢ >= S: Rennala's condition."""
    return lambda counts: bool(np.sum(counts) >= batch_size)


def harmonic_mean_is(batch_size: int) -> Callable[[np.ndarray], bool]:
    """((1/n) Σᵢ 1/Bᵢ)⁻¹ >= S/n: Malenia's condition, decided exactly where it ties."""

    def enough(counts: np.ndarray) -> bool:
        if counts.min() < 1:
            return False
        ratio = batch_size * np.sum(1 / counts) / counts.size**2
        if abs(ratio - 1) > 1e-12:
            return bool(ratio < 1)
        values, repeats = np.unique(counts, return_counts=True)
        total = sum(
            Fraction(int(m), int(b)) for b, m in zip(values, repeats, strict=True)
        )
        return batch_size * total <= counts.size**2

    return enough
