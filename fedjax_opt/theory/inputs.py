"""Checks of what the formulas are given; everything here runs on the host."""

import math

import numpy as np


def worker_times(times, name: str = "times") -> np.ndarray:
    """Seconds per gradient of each worker, [n] float64; inf is a dead worker.

    Raises:
      ValueError: if there is no worker, a time is not positive, or all are dead.
    """
    array = np.asarray(times, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"{name} must hold the seconds per gradient of at least one worker, shape "
            f"[n]; got shape {list(array.shape)}. Give a list such as [1, 2, 4]."
        )
    valid = array > 0  # False for NaN
    if not valid.all():
        worker = int(np.argmin(valid))
        raise ValueError(
            f"{name} must be positive; {name}[{worker}] is {array[worker]}. Give "
            "seconds per gradient, and inf for a worker that never answers."
        )
    if np.isinf(array).all():
        raise ValueError(
            f"{name} are all inf, so no gradient ever arrives. Give at least one "
            "worker a finite time."
        )
    return array


def per_worker(name: str, values, num_workers: int, *, highest=math.inf) -> np.ndarray:
    """One number per worker, [n] float64; refused unless 0 <= number <= highest.

    A single number stands for all workers.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.shape not in ((), (num_workers,)):
        raise ValueError(
            f"{name} must hold one number for each of the {num_workers} workers; got "
            f"shape {list(array.shape)}. Give [{num_workers}] numbers, or one for all."
        )
    array = np.broadcast_to(array, (num_workers,))
    valid = (array >= 0) & (array <= highest)  # False for NaN
    if not valid.all():
        worker = int(np.argmin(valid))
        raise ValueError(
            f"{name} must lie between 0 and {highest:g}; {name}[{worker}] is "
            f"{array[worker]}."
        )
    return array


def whole_per_worker(name: str, values, num_workers: int) -> np.ndarray:
    """A whole number >= 0 per worker, [n] int64."""
    array = per_worker(name, values, num_workers)
    if not np.all(np.isfinite(array) & (array == np.floor(array))):
        raise ValueError(f"{name} must hold whole numbers; got {array.tolist()}.")
    return array.astype(np.int64)


def positive(name: str, value) -> float:
    """The number as a float; refused unless 0 < value < inf."""
    number = float(value)
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be positive and finite; got {number}.")
    return number


def nonnegative(name: str, value) -> float:
    """The number as a float; refused unless 0 <= value < inf."""
    number = float(value)
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} must be finite and at least 0; got {number}.")
    return number


def count(name: str, value) -> int:
    """The number as an int; refused unless it is one of 1, 2, 3, ..."""
    number = float(value)
    if not (number >= 1 and number.is_integer()):
        raise ValueError(f"{name} must be a whole number, 1 or more; got {value}.")
    return int(number)


def whole(name: str, value) -> int:
    """The number as an int; refused unless it is one of 0, 1, 2, ..."""
    number = float(value)
    if not (number >= 0 and number.is_integer()):
        raise ValueError(f"{name} must be a whole number, 0 or more; got {value}.")
    return int(number)


def share(name: str, value) -> float:
    """The number as a float; refused unless 0 <= value <= 1."""
    number = float(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must be in [0, 1]; got {number}.")
    return number


def probability(name: str, value) -> float:
    """The number as a float; refused unless 0 < value <= 1."""
    number = float(value)
    if not 0 < number <= 1:
        raise ValueError(f"{name} must be in (0, 1]; got {number}.")
    return number


def contraction(value) -> float:
    """α as a float; refused unless 0 < α <= 1."""
    number = float(value)
    if not 0 < number <= 1:
        raise ValueError(
            f"alpha must be in (0, 1]; got {number}. Scale an unbiased compressor by "
            "1 / (1 + omega) to get alpha = 1 / (1 + omega)."
        )
    return number


def round_up(number: float) -> int:
    """⌈number⌉, where 7.000000000000001 (0.7 / 0.1 or its like) counts as 7."""
    return math.ceil(number * (1 - 1e-12))


def noise_ratio(variance, accuracy) -> float:
    """s = σ²/ε, checked."""
    return nonnegative("variance", variance) / positive("accuracy", accuracy)


def num_updates(factor: float, smoothness, initial_gap, accuracy) -> int | None:
    """⌈factor · LΔ/ε⌉, or None where Δ is not known."""
    if initial_gap is None:
        return None
    gap = nonnegative("initial_gap", initial_gap)
    return round_up(
        factor
        * positive("smoothness", smoothness)
        * gap
        / positive("accuracy", accuracy)
    )
