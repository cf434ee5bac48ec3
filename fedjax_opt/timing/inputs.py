"""Checks of what describes a cluster: one number per worker, windows of time."""

from collections.abc import Collection

import numpy as np

CURE = "; use inf for a worker that never delivers"


def per_worker(*, finite: Collection[str] = (), **named) -> list[np.ndarray]:
    """Float64 arrays [n] of equal length; the first name decides n.

    Args:
      finite: the names that must not be inf.
      named: numbers, >= 0; one for all workers or one per worker, the first [n].

    Raises:
      ValueError: naming the first that is something else.
    """
    arrays = {name: np.asarray(value, np.float64) for name, value in named.items()}
    first, *_ = arrays
    num_workers = arrays[first].size
    for name, array in arrays.items():
        if array.ndim > 1 or (name == first and (array.ndim == 0 or not array.size)):
            raise ValueError(f"{name} must be a list with one number per worker")
        if array.ndim == 1 and array.size != num_workers:
            raise ValueError(
                f"{name} has {array.size} entries for {num_workers} workers; "
                "give one number, or one per worker"
            )
        must = "must not be negative or NaN"
        cure = "" if name in finite else CURE
        refuse(name, array, np.isnan(array) | (array < 0), must, cure)
        if name in finite:
            refuse(name, array, np.isinf(array), "must be finite")
    return [np.broadcast_to(a, (num_workers,)).copy() for a in arrays.values()]


def of_workers(num_workers: int, *, finite=(), **named) -> list[np.ndarray]:
    """Float64 arrays [n] of numbers >= 0, given for all workers or for each."""
    return per_worker(finite=finite, workers=np.zeros(num_workers), **named)[1:]


def refuse(name: str, values: np.ndarray, wrong, must: str, cure: str = "") -> None:
    """Raises a ValueError that names the first entry that is wrong, if there is one."""
    if np.any(wrong):
        bad = int(np.argmax(wrong))
        raise ValueError(
            f"{name} {must}, but entry {bad} is {values.ravel()[bad]}{cure}"
        )


def probabilities(name: str, values: np.ndarray) -> None:
    """Refuses numbers above 1."""
    refuse(name, values, values > 1, "must be a probability in 0..1")


def at_most(name: str, values: np.ndarray, limit: float, cure: str) -> None:
    """Refuses numbers above a limit."""
    refuse(name, values, values > limit, f"must be at most {limit:g}", cure)


def size(compute_time) -> int:
    """n."""
    return np.shape(compute_time.lower_bound)[-1]


def windows(name: str, values, num_workers: int) -> np.ndarray:
    """Windows of time as an array [n, W, 2], filled up with (inf, inf).

    Args:
      values: for each worker a list of pairs (start, end) in order of time, end not
        included; such an array, or lists of different lengths.

    Raises:
      ValueError: naming the first worker whose windows are something else.
    """
    try:
        rows = [np.asarray(row, np.float64) for row in values]
    except (TypeError, ValueError):
        rows = []
    right = [not row.size or (row.ndim == 2 and row.shape[1] == 2) for row in rows]
    if len(rows) != num_workers or not all(right):
        raise ValueError(
            f"{name} must list, for each of the {num_workers} workers, its windows as "
            "pairs (start, end); give an empty list to a worker without windows"
        )
    filled = np.full((num_workers, max(map(len, rows)), 2), np.inf)
    for worker, row in enumerate(rows):
        row = row.reshape(-1, 2)
        filled[worker, : len(row)] = row
        _check_order(name, worker, row)
    return filled


def _check_order(name, worker, row):
    empty = np.isinf(row).all(axis=1) & (row > 0).all(axis=1)
    start, end = row[:, 0], row[:, 1]
    before = np.concatenate([[0.0], end[:-1]])
    right = empty | ((before <= start) & (start < end) & np.isfinite(start))
    if not right.all():
        bad = int(np.argmin(right))
        raise ValueError(
            f"{name} must be pairs (start, end) with 0 <= start < end, in order of "
            f"time, without overlap, but window {bad} of worker {worker} is "
            f"({start[bad]}, {end[bad]})"
        )
