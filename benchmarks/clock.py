"""Events per second of the clock alone, from a thousand workers to a million."""

import functools

import jax
import numpy as np

import fedjax_opt as fo

from .baselines import clock as heap
from .harness import Row, alternate, compare

SIZES = (10**3, 10**4, 10**5, 10**6)
SECONDS = 0.5  # that a call of ours should take
FEWEST, MOST = 2**15, 2**20  # events of such a call
CHUNK = 2**17  # events of a call of the baseline

BATCH_SIZE, DELAY_THRESHOLD = 100, 1000

SCHEDULES = {
    "asgd": (fo.events.asgd(), heap.asgd),
    "rennala": (
        fo.events.rennala(batch_size=BATCH_SIZE),
        functools.partial(heap.rennala, batch_size=BATCH_SIZE),
    ),
    "ringmaster": (
        fo.events.ringmaster(delay_threshold=DELAY_THRESHOLD),
        functools.partial(heap.ringmaster, delay_threshold=DELAY_THRESHOLD),
    ),
}
TARGETS = {10**3: "ours ≥ 500000", 10**6: "ours ≥ 200000"}


def clock() -> list[Row]:
    """Fixed times √i; late gradients are ignored, so that nobody ever idles."""
    rows = []
    for name, schedules in SCHEDULES.items():
        own = [_row(name, n, *schedules) for n in SIZES]
        rows += [*own[:-1], own[-1]._replace(note=_growth(own))]
    return rows


def _row(name, n, schedule, by_heap) -> Row:
    times = np.sqrt(np.arange(1.0, n + 1))
    compute_time = fo.timing.fixed(times)
    chunks = by_heap(times.tolist(), CHUNK)

    def trace(num_events):
        return fo.simulate.trace(
            schedule,
            compute_time,
            num_workers=n,
            key=jax.random.key(0),
            num_events=num_events,
        )

    (few,) = alternate(functools.partial(trace, FEWEST), repeats=1)
    possible = FEWEST * SECONDS / few.median
    events = int(np.clip(2 ** np.round(np.log2(possible)), FEWEST, MOST))
    row = compare(
        f"clock_{name}_{n}",
        functools.partial(trace, events),
        functools.partial(next, chunks),
        work=(events, CHUNK),
        unit="events/s",
        against="a loop around Python's heap, without the time to fill it",
        n=n,
        target=TARGETS.get(n, ""),
    )
    return row._replace(compile_seconds=few.first - few.median)


def _growth(rows: list[Row]) -> str:
    """The power of n with which rates grow, by least squares on logarithms."""

    def power(rates):
        return np.polyfit(np.log(SIZES), np.log(rates), 1)[0]

    ours = power([row.ours for row in rows])
    baseline = power([row.baseline for row in rows])
    return f"events/s grow as n^{ours:.2f}, the heap's as n^{baseline:.2f}"
