"""The short host step between the clock and the numbers.

Takes the events of a run, drops every row whose gradient is not used, and cuts the
rest into blocks of known length, so that the numbers run with fixed shapes: no
gradient is evaluated that the method does not use, whatever the batch sizes. (Runs
that are vmapped go on until the longest ends; see `numbers`.)
"""

from typing import Any, NamedTuple

import numpy as np

from ..types import Event

# Gradients of one update evaluated in one batched call. A fixed number, so that batch
# sizes do not need programs of their own; larger batches gain little on a CPU.
BATCHED = 4

# Rows whose samples are drawn in one call: as many as fill so many bytes, between these
# bounds; and where the rows are few.
BYTES, DRAWN, MOST_DRAWN, FEW = 2**16, 64, 1024, 16

# Arrays are padded to these lengths times powers of the factor: coarse, so that runs
# share programs. A row takes some 40 bytes, a slot as much as a model.
ROWS, ROWS_FACTOR = 4096, 8
RECORDS, RECORDS_FACTOR = 16, 4
SLOTS, SLOTS_FACTOR = 16, 2


class Rows(NamedTuple):
    """The gradients that are used, in order of arrival; fields as in `Event`.

    A row of weight 0 is a step without a gradient of its own.

    Attributes:
      newest: the version before the row.
      slot: where the point of `version` is kept.
      before: where that of the version before is, if it is read, too.
      keep: where the newest point goes after the row.
    """

    worker: Any
    job: Any
    version: Any
    weight: Any
    step: Any
    kind: Any
    sample: Any
    newest: Any
    slot: Any
    before: Any
    keep: Any


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


class Draws(NamedTuple):
    """Consecutive blocks whose samples are drawn in one call.

    Attributes:
      start: the first row.
      first, last: which blocks, the last one not included.
    """

    start: Any
    first: Any
    last: Any


class Stream(NamedTuple):
    """What the numbers replay.

    Attributes:
      rows, blocks, draws: as above, padded; None for methods that go in rounds.
      bounds: [records + 1]; between bounds[r] and bounds[r + 1] lie the draws (or
        the rounds) that lead to row r of the trace.
      valid: [records]; False behind the end of a run, where nothing is measured.
    """

    rows: Rows | None
    blocks: Blocks | None
    draws: Draws | None
    bounds: Any
    valid: Any


class Capacities(NamedTuple):
    """What is static: rounded up coarsely, so that runs share programs.

    Attributes:
      slots: points kept; 1 if only the current one is read. Otherwise the last slot is
        for those that nobody reads.
      block: rows in a block.
      drawn: rows whose samples are drawn in one call.
      every_row_steps: is each row an update of its own?
      one_by_one: is every gradient handled alone? Otherwise full blocks of one update
        are evaluated in one call.
      empty: are there rows without a gradient?
    """

    slots: int
    block: int
    drawn: int
    every_row_steps: bool
    one_by_one: bool
    empty: bool


class Run(NamedTuple):
    """What one run replays.

    Attributes:
      rows: up to its last record; their slots are filled in by `streams`.
      rows_until: [updates + 1], how many rows the first u updates have.
      records: the numbers of updates done at the rows of the trace, ascending.
      slot: [updates + 1], where the point of each version is kept, -1 for those that
        nobody reads; None for version v in slot v modulo their number.
      slots: points that are kept at once; 0 if only the current one is read.
    """

    rows: Rows
    rows_until: np.ndarray
    records: np.ndarray
    slot: np.ndarray | None
    slots: int


def used(events: Event, records: np.ndarray, points: int, in_order: bool) -> Run:
    """The rows of a run that are used, and where the points are kept that they read.

    Args:
      points: of the estimator: with 2, a pair reads the version before, too.
      in_order: keep version v in slot v modulo their number; otherwise a slot is free
        again after its point was read for the last time.
    """
    updates = int(records[-1]) if len(records) else 0
    steps = np.flatnonzero(events.step)[:updates]
    end = steps[-1] + 1 if updates else 0
    chosen = np.flatnonzero(events.accepted[:end] | (events.step[:end] != 0))
    columns = {
        name: np.asarray(getattr(events, name))[chosen]
        for name in Rows._fields
        if name in Event._fields
    }
    rows_until = np.append(0, np.searchsorted(chosen, steps, side="right"))
    newest = np.repeat(np.arange(updates, dtype=np.int32), np.diff(rows_until))
    later = np.zeros(len(chosen), np.int32)
    rows = Rows(**columns, newest=newest, slot=later, before=later, keep=later)
    delay = (newest - rows.version)[rows.weight != 0]
    most = int(delay.max(initial=0)) + points - 1
    slot, slots = None, most + 1 if most else 0
    if most and not in_order:
        slot, slots = _recycled(rows, rows_until, points)
    return Run(rows, rows_until, records, slot, slots)


def _recycled(rows: Rows, rows_until, points: int) -> tuple[np.ndarray, int]:
    """A slot for every version, free again after its last read; and their number.

    A point that was just read for the last time gives its slot, which is in the cache,
    to the next one. Such a dynasty of versions lives in one slot. Slots of extinct ones
    wait in a queue: the j-th dynasty takes the j-th slot, and the slot that is freed
    k-th is the (slots + k)-th in the queue. Versions that nobody reads have slot -1.
    """
    updates = len(rows_until) - 1
    last = np.full(updates + 1, -1)
    index = np.flatnonzero(rows.weight != 0)
    last[rows.version[index]] = index  # the last one stays
    if points == 2:
        pairs = index[rows.kind[index] != 0]
        np.maximum.at(last, rows.version[pairs] - 1, pairs)
    made = np.append(-1, rows_until[1:] - 1)  # the row that makes the version
    founder = _founders(rows, last, made)
    ends = np.full(updates + 1, -1)
    np.maximum.at(ends, founder, last)
    founders = np.flatnonzero((ends >= 0) & (founder == np.arange(updates + 1)))
    order = np.argsort(ends[founders], kind="stable")
    # Reads come before the write in a row, so that its slot can be taken at once.
    freed = np.searchsorted(ends[founders][order], made[founders], side="right")
    place = np.arange(len(founders))
    slots = int((place + 1 - freed).max(initial=1))
    taken_from = _ancestors(np.where(place < slots, place, order[place - slots]))
    of_version = np.full(updates + 1, -1)
    of_version[founders] = taken_from
    return np.where(last >= 0, of_version[founder], -1), slots


def _founders(rows: Rows, last, made) -> np.ndarray:
    """[updates + 1], the first version of the dynasty of each."""
    versions = np.arange(len(last))
    read = rows.version[made]
    follows = (last >= 0) & (made >= 0) & (last[read] == made)
    return _ancestors(np.where(follows, read, versions))


def _ancestors(parent: np.ndarray) -> np.ndarray:
    """The first ancestor of each; those who have none are their own parents."""
    while True:
        grandparent = parent[parent]
        if (grandparent == parent).all():
            return parent
        parent = grandparent


def capacities(runs: list[Run], sample_bytes: int, table: bool = False) -> Capacities:
    """What a stack of runs needs.

    Args:
      sample_bytes: of one sample.
      table: do gradients go to an accumulator, one by one?
    """
    slots = max(run.slots for run in runs)
    rows = [run for run in runs if len(run.rows.worker)]
    segments = [np.diff(run.rows_until[run.records], prepend=0).max() for run in rows]
    every_row_steps = all((run.rows.step != 0).all() for run in rows)
    one_by_one = table or every_row_steps
    empty = any((run.rows.weight == 0).any() for run in rows)
    # Samples drawn beyond the next row of the trace are drawn in vain.
    segment = int(max(segments, default=1))
    most = min(max(BYTES // max(power_of_two(sample_bytes), 1), DRAWN), MOST_DRAWN)
    if one_by_one:
        drawn = min(most, power_of_two(segment))
    else:
        drawn = FEW if segment <= FEW else most
    return Capacities(
        slots=_rounded(slots + 1, SLOTS, SLOTS_FACTOR) if slots else 1,
        block=drawn if one_by_one else BATCHED,
        drawn=drawn,
        every_row_steps=every_row_steps,
        one_by_one=one_by_one,
        empty=empty,
    )


def streams(runs: list[Run], shape: Capacities) -> Stream:
    """The stacked, padded streams of several runs."""
    singles = [_stream(run, shape) for run in runs]
    return Stream(
        rows=_stack([s.rows for s in singles], spare=shape.drawn),
        blocks=_stack([s.blocks for s in singles], spare=0),
        draws=_stack([s.draws for s in singles], spare=0),
        bounds=_stack_records([s.bounds for s in singles], edge=True),
        valid=_stack_records([s.valid for s in singles], edge=False),
    )


def round_streams(runs: list[Run]) -> Stream:
    """Streams of methods that go in rounds: the bounds count rounds, no rows."""
    bounds = [np.append(0, run.records).astype(np.int32) for run in runs]
    valid = [np.ones(len(run.records), bool) for run in runs]
    return Stream(
        None,
        None,
        None,
        _stack_records(bounds, edge=True),
        _stack_records(valid, edge=False),
    )


def power_of_two(number: int) -> int:
    """The smallest power of two that is not below `number`."""
    return 1 << max(int(number) - 1, 0).bit_length()


def _rounded(number: int, least: int, factor: int) -> int:
    """The smallest least · factor^k that is not below `number`."""
    while least < number:
        least *= factor
    return least


def _stream(run: Run, shape: Capacities) -> Stream:
    rows, rows_until, records, *_ = run
    ends = rows_until[np.append(0, records)]
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
        gaps = np.append(0, np.cumsum(rows.weight == 0))
        batched &= gaps[start + length] == gaps[start]
    blocks = Blocks(start, length, batched)
    # A block belongs to the draw in whose first rows it starts, so that it ends in it.
    segment = np.searchsorted(ends, start, side="right") - 1
    within = (start - ends[segment]) // (shape.drawn - shape.block + 1)
    first = np.flatnonzero(
        (np.diff(within, prepend=-1) != 0) | (np.diff(segment, prepend=-1) != 0)
    )
    draws = Draws(start[first], first, np.append(first, len(start))[1:])
    bounds = np.searchsorted(draws.start, ends)
    valid = np.ones(len(records), bool)
    return Stream(_placed(run, shape), blocks, draws, bounds, valid)


def _placed(run: Run, shape: Capacities) -> Rows:
    """The rows with the slots of the points that they read and leave behind."""
    if shape.slots == 1:
        return run.rows
    versions, nobody = np.arange(len(run.rows_until), dtype=np.int32), shape.slots - 1
    slot = versions % nobody if run.slot is None else run.slot
    slot = np.where(slot < 0, nobody, slot).astype(np.int32)
    version, after = run.rows.version, run.rows.newest.copy()
    after[run.rows_until[1:] - 1] += 1
    return run.rows._replace(
        slot=slot[version], before=slot[np.maximum(version - 1, 0)], keep=slot[after]
    )


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
