"""A horizon in bits: every run goes on until its workers have sent so many each."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from ..simulate.order import made_for
from ..types import Method, Problem
from .checkpoint import claim
from .chunks import Chunks, Report
from .prepare import Horizon, message_bits
from .record import Trace

# Where the length of messages varies, runs that were too short are run again: with
# this margin, at most so many times longer, and not over so many times the rounds that
# messages of full length need. Who has sent too little by then has fallen silent.
MARGIN, GROWTH, SILENT = 1.1, 8, 1000


def check_rounds(method: Method) -> None:
    """Refuses a method whose messages do not come in rounds.

    Raises:
      ValueError: if the method has no mechanism.
    """
    if method.mechanism is None:
        raise ValueError(
            f"{method.label or 'the method'} does not go in rounds, in which everybody "
            "sends: give until= instead of bits=, or a method that does, such as "
            "ef21_gd (for gradient descent dcgd_gd with compressor=identity)"
        )


def run_to_bits(
    execute: Callable[[Horizon, Chunks], list[Trace]],
    chunks: Chunks,
    method: Method,
    problem: Problem,
    num_workers: int,
    bits: float,
    num_rows: int,
) -> list[Trace]:
    """Traces whose rows lie at equal distances from 0 to `bits` per worker.

    Args:
      execute: does the runs up to a number of updates.
      chunks: of all runs together; every length that is tried has a folder of its own.
      method: one of them, to know the length of a message by.
      bits: sent up by all workers, over their number.
      num_rows: of every trace.

    Returns:
      The traces, linear between the rounds at which they were recorded, and NaN where
      a run has sent less.
    """
    check_rounds(method)
    method = made_for(method, problem)
    largest, _ = message_bits(method, problem.init, num_workers)
    rounds = math.ceil(bits / max(largest, 1))
    longest, folder, before = SILENT * rounds, chunks.folder, 0
    if folder is not None:
        folder = claim(folder, {"kind": "bits", "bits": float(bits)})
    while True:
        every = max(rounds // num_rows, 1)
        rounds += -rounds % every  # the last one is recorded, too
        traces = execute(
            Horizon(rounds, None, every),
            Chunks(
                chunks.length,
                None if folder is None else folder / f"{rounds}-rounds",
                _behind(chunks.report, before),
            ),
        )
        least = min(np.nanmax(t.columns["bits_up"]) for t in traces) / num_workers
        if least >= bits or rounds >= longest:
            break
        before += rounds * len(traces)
        growth = MARGIN * bits / max(least, bits / GROWTH)
        rounds = min(math.ceil(growth * rounds), longest)
    grid = np.linspace(0.0, bits, num_rows)
    return [
        Trace(at_bits(t.columns, grid, num_workers), t.params, t.label) for t in traces
    ]


def at_bits(
    columns: Mapping[str, np.ndarray], grid: np.ndarray, num_workers: int
) -> dict[str, np.ndarray]:
    """The columns where each worker has sent the bits of the grid, on average.

    Linear between the rows; NaN behind the last one.
    """
    sent = columns["bits_up"] / num_workers
    done = np.isfinite(sent)
    return {
        name: np.interp(grid, sent[done], column[done], right=np.nan)
        for name, column in columns.items()
    }


def _behind(report: Report | None, before: int) -> Report | None:
    """Reports on top of what runs that were too short have done."""
    if report is None:
        return None
    return lambda done, in_all: report(before + done, before + in_all)
