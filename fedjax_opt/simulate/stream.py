"""The short host step between the clock and the numbers.

Takes the events of a run, drops every row whose gradient is not used, and cuts the
rest into blocks of known length, so that the numbers run with fixed shapes: no
gradient is evaluated that the method does not use, whatever the batch sizes. (Runs
that are vmapped go on until the longest ends; see `numbers`.)
"""

from typing import Any, NamedTuple

import numpy as np

from ..types import Event

# Gradients of one update evaluated in one batched call, and rows whose samples are
# drawn in one call. Fixed numbers, so that batch sizes do not need programs of their
# own; larger ones gain little on a CPU.
BATCHED, DRAWN = 16, 64

# Arrays are padded to these lengths times powers of the factor: coarse, so that runs
# share programs. A row takes some 30 bytes, a model in the ring as much as a model.
ROWS, ROWS_FACTOR = 4096, 8
RECORDS, RECORDS_FACTOR = 16, 4
RING, RING_FACTOR = 16, 4


class Rows(NamedTuple):
    """The gradients that are used, in order of arrival; fields as in `Event`.

    A row of weight 0 is a step without a gradient of its own.
    """

    worker: Any
    job: Any
    version: Any
    weight: Any
    step: Any
    kind: Any
    sample: Any


class Blocks(NamedTuple):
    """Consecutive rows handled together; none crosses a row of the trace.

    Attributes:
      start, length: which rows.
      batched: all rows belong to one update, the block is full, and each row has its
        gradient: they are evaluated in one call. Otherwise one by one.
    """

    start: Any
    length: Any
    batched: Any


class Stream(NamedTuple):
    """What the numbers replay.

    Attributes:
      rows, blocks: as above, padded; None for methods that go in rounds.
      bounds: [records + 1]; between bounds[r] and bounds[r + 1] lie the blocks (or
        the rounds) that lead to row r of the trace.
      valid: [records]; False behind the end of a run, where nothing is measured.
    """

    rows: Rows | None
    blocks: Blocks | None
    bounds: Any
    valid: Any


class Capacities(NamedTuple):
    """What is static: rounded up coarsely, so that runs share programs.

    Attributes:
      ring: models kept; 1 if only the current one is read.
      block: rows in a block.
      every_row_steps: is each row an update of its own?
      one_by_one: is every gradient handled alone? Otherwise full blocks of one update
        are evaluated in one call.
      empty: are there rows without a gradient?
    """

    ring: int
    block: int
    every_row_steps: bool
    one_by_one: bool
    empty: bool


def capacities(
    runs: list[tuple[Event, np.ndarray]], points: int, one_by_one: bool = False
) -> Capacities:
    """What a stack of runs needs. A run is its events and its records.

    Records are the numbers of updates done at the rows of the trace, ascending.
    """
    delay, segment, every_row_steps, empty = 0, 1, True, False
    for events, records in runs:
        rows, rows_until = used_rows(events, records)
        if len(rows.worker) == 0:
            continue
        read = rows.weight != 0
        delays = (_step_of(rows_until) - rows.version)[read]
        delay = max(delay, int(delays.max(initial=0)))
        segment = max(segment, int(np.diff(rows_until[records], prepend=0).max()))
        every_row_steps &= bool((rows.step != 0).all())
        empty |= not read.all()
    one_by_one |= every_row_steps
    ring = points if not delay else _rounded(delay + points, RING, RING_FACTOR)
    # Samples drawn beyond the next row of the trace are drawn in vain.
    drawn = min(DRAWN, power_of_two(segment))
    block = drawn if one_by_one else BATCHED
    return Capacities(ring, block, every_row_steps, one_by_one, empty)


def streams(runs: list[tuple[Event, np.ndarray]], shape: Capacities) -> Stream:
    """The stacked, padded streams of several runs."""
    singles = [_stream(events, records, shape) for events, records in runs]
    return Stream(
        rows=_stack([s.rows for s in singles], spare=shape.block),
        blocks=_stack([s.blocks for s in singles], spare=0),
        bounds=_stack_records([s.bounds for s in singles], edge=True),
        valid=_stack_records([s.valid for s in singles], edge=False),
    )


def round_streams(runs: list[tuple[Event, np.ndarray]]) -> Stream:
    """Streams of methods that go in rounds: the bounds count rounds, no rows."""
    bounds = [np.concatenate([[0], records]).astype(np.int32) for _, records in runs]
    valid = [np.ones(len(records), bool) for _, records in runs]
    return Stream(
        None, None, _stack_records(bounds, edge=True), _stack_records(valid, edge=False)
    )


def used_rows(events: Event, records: np.ndarray) -> tuple[Rows, np.ndarray]:
    """The rows that are used up to the last record, and how many there are per update.

    Returns:
      rows; rows_until [updates + 1]: how many rows the first u updates use.
    """
    updates = int(records[-1]) if len(records) else 0
    steps = np.flatnonzero(events.step)[:updates]
    end = steps[-1] + 1 if updates else 0
    used = np.flatnonzero(events.accepted[:end] | (events.step[:end] != 0))
    rows = Rows(*(np.asarray(getattr(events, name))[used] for name in Rows._fields))
    rows_until = np.concatenate([[0], np.searchsorted(used, steps, side="right")])
    return rows, rows_until


def power_of_two(number: int) -> int:
    """The smallest power of two that is not below `number`."""
    return 1 << (int(number) - 1).bit_length()


def _rounded(number: int, least: int, factor: int) -> int:
    """The smallest least · factor^k that is not below `number`."""
    while least < number:
        least *= factor
    return least


def _step_of(rows_until):
    """The number of updates done before each row."""
    return np.repeat(np.arange(len(rows_until) - 1), np.diff(rows_until))


def _stream(events: Event, records: np.ndarray, shape: Capacities) -> Stream:
    rows, rows_until = used_rows(events, records)
    ends = rows_until[np.r_[0, records]]
    cuts = ends if shape.one_by_one else rows_until
    lengths = np.diff(cuts)
    pieces = -(-lengths // shape.block)
    index_within = np.arange(pieces.sum()) - np.repeat(
        np.cumsum(pieces) - pieces, pieces
    )
    start = np.repeat(cuts[:-1], pieces) + shape.block * index_within
    length = np.minimum(shape.block, np.repeat(cuts[1:], pieces) - start)
    batched = length == shape.block
    if shape.empty:
        gaps = np.concatenate([[0], np.cumsum(rows.weight == 0)])
        batched &= gaps[start + length] == gaps[start]
    blocks = Blocks(start, length, batched)
    bounds = np.searchsorted(start, ends)
    return Stream(rows, blocks, bounds, np.ones(len(records), bool))


def _stack(tables, spare):
    """Stacks named tuples of columns, padded at the end to one rounded length."""
    longest = max(len(table[0]) for table in tables)
    capacity = _rounded(longest + spare, ROWS, ROWS_FACTOR)

    def column(*columns):
        out = np.zeros((len(columns), capacity), _narrow(columns[0].dtype))
        for row, values in zip(out, columns, strict=True):
            row[: len(values)] = values
        return out

    return type(tables[0])(*(column(*c) for c in zip(*tables, strict=True)))


def _stack_records(columns, edge):
    """Stacks columns over the records, padded at the end to one rounded length."""
    spare = int(edge)  # bounds are one more than records
    longest = max(len(column) for column in columns) - spare
    length = _rounded(longest, RECORDS, RECORDS_FACTOR) + spare
    return np.stack(
        [
            np.pad(c, (0, length - len(c)), mode="edge" if edge else "constant")
            for c in columns
        ]
    )


def _narrow(dtype):
    return np.int32 if np.issubdtype(dtype, np.integer) else dtype
