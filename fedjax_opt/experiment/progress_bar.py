"""A bar of updates: how many per second, and how long it takes yet."""

import contextlib
import sys
from collections.abc import Iterator

from tqdm import tqdm

from .chunks import Report


@contextlib.contextmanager
def progress_bar(progress: bool | Report, label: str) -> Iterator[Report | None]:
    """What a run reports to: a new bar, or what the caller gave, or nothing.

    The bar appears with the first report, when the clock has run. What was done by
    then, before the run was resumed, does not count as fast.
    """
    if not isinstance(progress, bool):
        yield progress
        return
    bar = None

    def report(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(
                total=total,
                initial=done,
                unit=" updates",
                unit_scale=True,
                desc=label,
                file=sys.stderr,
            )
        bar.update(done - bar.n)

    try:
        yield report if progress else None
    finally:
        if bar is not None:
            bar.close()
