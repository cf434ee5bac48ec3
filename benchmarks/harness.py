"""Times ours and its baselines in alternation, after a warm-up; medians and ratios."""

import gc
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import jax

REPEATS = 5


class Row(NamedTuple):
    """One line of the table.

    Attributes:
      name: of the row.
      ours, baseline: medians, in `unit`; None where the row could not run.
      ratio: how many times better ours is; below 1 it is worse.
      unit: of both; more is better of a rate, less of seconds and bytes.
      against: what the baseline is.
      n: workers, where there are any.
      d: parameters, where there are any.
      compile_seconds: the first call of ours minus the median of the others.
      target: what must be reached.
      note: what else must be known.
    """

    name: str
    ours: float | None
    baseline: float | None
    ratio: float | None
    unit: str
    against: str = ""
    n: int | None = None
    d: int | None = None
    compile_seconds: float | None = None
    target: str = ""
    note: str = ""


class Timing(NamedTuple):
    """Seconds of a call: the first, and the median of those that were measured."""

    first: float
    median: float


def compare(
    name: str,
    ours: Callable[[], object],
    baseline: Callable[[], object],
    *,
    work: tuple[float, float],
    unit: str,
    repeats: int = REPEATS,
    **described,
) -> Row:
    """Runs both in turn and compares their rates.

    Args:
      ours, baseline: return their result, or nothing once it is there.
      work: units of work in one call of ours and of the baseline.
      repeats: measured calls of each, after one to warm up.
      described: further fields of the row.
    """
    timings = alternate(ours, baseline, repeats=repeats)
    return rates(name, *timings, work=work, unit=unit, **described)


def alternate(*calls: Callable[[], object], repeats: int = REPEATS) -> list[Timing]:
    """Calls each once to warm up, then all in turn, `repeats` times."""
    first = [_seconds(call) for call in calls]
    rounds = [[_seconds(call) for call in calls] for _ in range(repeats)]
    medians = map(statistics.median, zip(*rounds, strict=True))
    return [Timing(*pair) for pair in zip(first, medians, strict=True)]


def rates(
    name: str,
    ours: Timing,
    baseline: Timing,
    *,
    work: tuple[float, float],
    unit: str,
    **described,
) -> Row:
    """The row of two timings, as work per second."""
    per_second = [
        amount / timing.median
        for amount, timing in zip(work, (ours, baseline), strict=True)
    ]
    return Row(
        name,
        *per_second,
        ratio=per_second[0] / per_second[1],
        unit=unit,
        compile_seconds=ours.first - ours.median,
        **described,
    )


def skipped(name: str, reason: str, **described) -> Row:
    """The row of a benchmark that cannot run here."""
    note = f"skipped: {reason}"
    return Row(name, None, None, None, unit="", note=note, **described)


def _seconds(call) -> float:
    """Seconds of a call, without Python's garbage collections, as in `timeit`."""
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        jax.block_until_ready(call())
        return time.perf_counter() - start
    finally:
        gc.enable()
