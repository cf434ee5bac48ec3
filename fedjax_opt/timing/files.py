"""Recorded times."""

import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from ..types import ComputeTime
from .durations import product

COLUMNS = ("worker", "start", "duration")


def from_file(path, *, num_workers: int | None = None) -> ComputeTime:
    """The times of a recorded run, replayed job by job.

    The j-th job of a worker takes its j-th recorded duration, and after the last its
    first again; `start` only orders the rows. A job of w gradients takes w times as
    long. The mean, the bound and the cdf are those of the rows.

    Args:
      path: a CSV or Parquet file with one row per job of one gradient and the columns
        worker (0, 1, ..., n−1), start and duration, in seconds; a duration of inf is a
        job that never ends. Other columns are ignored.
      num_workers: n; None: as many as the file has.

    Raises:
      ValueError: if the file holds something else.
      OSError: if it cannot be read.
    """
    path = Path(path)
    worker, start, duration = _checked(_read(path), path)
    counts = _counts(worker, num_workers, path)
    order = np.lexsort(
        (start, worker)
    )  # stable: rows that start together stay in order
    duration, owner = duration[order], worker[order].astype(np.int32)
    first = (np.cumsum(counts) - counts).astype(np.int32)
    return ComputeTime(
        Partial(_recorded, duration, first, counts),
        np.minimum.reduceat(duration, first),
        np.add.reduceat(duration, first) / counts,
        Partial(_cdf, duration, owner, counts),
        steady=True,
    )


def _recorded(durations, first, counts, key, worker, job, now, work):
    return product(durations[first[worker] + job % counts[worker]], work)


def _cdf(durations, owner, counts, seconds):
    seconds = jnp.broadcast_to(jnp.asarray(seconds, float), counts.shape)
    ended = (durations <= seconds[owner]).astype(seconds.dtype)
    return jax.ops.segment_sum(ended, owner, counts.shape[0]) / counts


def _read(path: Path):
    import pandas  # slow to import

    if not path.exists():
        raise FileNotFoundError(
            f"no times {str(path)!r}: give the path of a CSV or Parquet file"
        )
    content = path.read_bytes()
    if not content or content.isspace():
        raise ValueError(
            f"{path} is empty: write {', '.join(COLUMNS)} and a row per job"
        )
    try:
        if content.startswith(b"PAR1"):
            frame = pandas.read_parquet(path)
        else:
            frame = _read_csv(path)
    except (ValueError, OSError, pandas.errors.ParserWarning) as error:
        reason = str(error).strip().replace("\n", " ")
        raise ValueError(f"{path} is neither CSV nor Parquet: {reason}") from error
    return frame.rename(columns=lambda name: str(name).strip().lower())


def _read_csv(path: Path):
    import pandas  # slow to import

    with warnings.catch_warnings():
        # Rows longer than the first line, whose first field would become an index.
        warnings.simplefilter("error", pandas.errors.ParserWarning)
        return pandas.read_csv(
            path, encoding="utf-8-sig", skipinitialspace=True, index_col=False
        )


def _checked(frame, path: Path) -> list[np.ndarray]:
    """The columns: worker as integers, start and duration as floats."""
    found = list(frame.columns)
    for name in COLUMNS:
        if found.count(name) != 1:
            raise ValueError(
                f"{path} has {found.count(name)} columns called {name}, among "
                f"{', '.join(found)}: it needs one each of {', '.join(COLUMNS)}"
            )
    if not len(frame):
        raise ValueError(f"{path} has no rows: write one per job")
    worker, start, duration = (_numbers(frame[name], path) for name in COLUMNS)
    whole = np.isfinite(worker) & (worker >= 0) & (worker == np.floor(worker))
    _refuse(worker, ~whole, "worker", path, "number the workers 0, 1, ...")
    _refuse(start, ~np.isfinite(start), "start", path, "give finite seconds")
    wrong = np.isnan(duration) | (duration < 0)
    _refuse(duration, wrong, "duration", path, "give seconds >= 0, or inf for never")
    return [worker.astype(np.int64), start, duration]


def _numbers(column, path: Path) -> np.ndarray:
    import pandas  # slow to import

    if column.dtype.kind in "mM":  # pandas would count nanoseconds
        raise ValueError(
            f"{path}, column {column.name}: {column.dtype} is not a number of seconds: "
            "write plain numbers"
        )
    numbers = pandas.Series(pandas.to_numeric(column, errors="coerce"))
    numbers = np.asarray(numbers.astype(float))
    words = np.isnan(numbers) & column.notna().to_numpy()
    if words.any():
        row = int(np.argmax(words))
        raise ValueError(
            f"{path}, row {row + 1}, column {column.name}: {column.iloc[row]!r} is not "
            "a number: write plain numbers"
        )
    return numbers


def _refuse(values, wrong, name: str, path: Path, cure: str):
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"{path}, row {row + 1}, column {name}: {values[row]:g} is not allowed: "
            f"{cure}"
        )


def _counts(worker, num_workers: int | None, path: Path) -> np.ndarray:
    """[n] rows of each worker."""
    present = np.unique(worker)
    expected = int(present[-1]) + 1 if num_workers is None else num_workers
    if present[-1] >= expected:
        raise ValueError(
            f"{path} has rows of worker {present[-1]}, but num_workers is {expected}: "
            f"remove them, or give num_workers={present[-1] + 1}"
        )
    if len(present) < expected:
        missing = int(np.argmax(np.append(present, -1) != np.arange(len(present) + 1)))
        raise ValueError(
            f"{path} has no rows of worker {missing}: number the workers 0, 1, ... "
            "without gaps, and give one that never delivers a row with duration inf"
        )
    return np.bincount(worker).astype(np.int32)
