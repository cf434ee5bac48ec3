"""Long runs in chunks: after each the state can be saved, and a bar can move."""

import itertools
import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..simulate.numbers import MEASURED
from ..simulate.stream import Stream
from ..types import Event
from .checkpoint import CLOCK, Arrays, newest, numbers_of, read, save_numbers, write
from .prepare import Horizon

# The number of chunks if no length is given. On two cores a chunk takes 0.2 ms, and 15
# to 40 ms if it is saved: less than one per cent of a second, or of some minutes.
CHUNKS = 50

Report = Callable[[int, int], None]  # (updates done, updates in all)


class Chunks(NamedTuple):
    """Into what a run is cut, and what happens after each chunk.

    Attributes:
      length: in updates, or in rows of the trace where these lie on a grid of times;
        None for `CHUNKS` of them, or for one if neither of the others is given.
      folder: of the checkpoints, or None.
      report: is told how far the runs are, or None.
    """

    length: int | None = None
    folder: str | os.PathLike | None = None
    report: Report | None = None


ONE_CHUNK = Chunks()


def check_chunks(chunks: Chunks) -> None:
    """Refuses what cannot be cut, or saved.

    Raises:
      ValueError: for a length below 1, or checkpoints of several processes.
    """
    if chunks.length is not None and chunks.length < 1:
        raise ValueError(f"chunk must be at least 1, got {chunks.length}")
    if chunks.folder is not None and jax.process_count() > 1:
        raise ValueError(
            f"checkpoint= is for one process, and here are {jax.process_count()}: "
            "leave it out"
        )


class Halts(NamedTuple):
    """The fields of a `Stream` that say where its runs halt, of a chunk or of all."""

    bounds: np.ndarray
    valid: np.ndarray


class Cut(NamedTuple):
    """Where the replay of one run comes to a halt.

    Attributes:
      updates: [halts], the updates done there.
      rows: which of the halts are rows of the trace (or its end), ascending.
    """

    updates: np.ndarray
    rows: np.ndarray


def chunk_length(chunks: Chunks, updates: list[np.ndarray], horizon: Horizon):
    """The length of a chunk, or None if there is only one.

    Args:
      updates: of each run, those done at the rows of the trace and at the end.
    """
    if chunks.length is not None or chunks.folder is chunks.report is None:
        return chunks.length
    by_rows = horizon.times is not None
    most = max(len(u) if by_rows else int(u[-1]) for u in updates)
    return max(-(-most // CHUNKS), MEASURED)


def cut(updates: np.ndarray, length: int | None, horizon: Horizon) -> Cut:
    """Halts at every row of the trace, and at the ends of chunks between them."""
    ends = np.array([], updates.dtype)
    if length is not None and horizon.times is None:
        ends = np.setdiff1d(np.arange(length, updates[-1], length), updates)
    merged = np.concatenate([updates, ends])
    order = np.argsort(merged, kind="stable")
    return Cut(merged[order], np.flatnonzero(order < len(updates)))


def halts_of(stream: Stream, cuts: list[Cut]) -> Halts:
    """Those of the streams; nothing is measured where a chunk alone ends."""
    valid = np.zeros_like(stream.valid)
    for of_run, one in zip(valid, cuts, strict=True):
        of_run[one.rows] = True
    return Halts(stream.bounds, valid)


def chunk_ends(cuts: list[Cut], length: int | None, horizon: Horizon) -> list[int]:
    """How many halts are behind at the end of each chunk."""
    longest = max((one.updates for one in cuts), key=len)
    if length is None:
        inner = []
    elif horizon.times is not None:
        inner = range(length, len(longest), length)
    else:
        ends = np.arange(length, longest[-1], length)
        inner = np.searchsorted(longest, ends, side="right").tolist()
    return [*inner, len(longest)]


def reporter(chunks: Chunks, cuts: list[Cut], which: list[int]):
    """Reports the updates of all runs, given the number of halts that are behind.

    Args:
      which: the cut of each run.
    """
    if chunks.report is None:
        return lambda behind: None
    runs = np.bincount(which, minlength=len(cuts))
    updates = [np.append(0, one.updates) for one in cuts]

    def done(behind):
        return int(
            sum(n * u[: behind + 1][-1] for n, u in zip(runs, updates, strict=True))
        )

    everything = done(max(map(len, updates)))
    report = chunks.report
    return lambda behind: report(done(behind), everything)


def advance_in_chunks(
    step: Callable[[Any, Halts], tuple[Any, dict[str, Any]]],
    begin: Callable[[], Any],
    halts: Halts,
    ends: list[int],
    folder: pathlib.Path | None,
    report: Callable[[int], None],
) -> tuple[Any, dict[str, np.ndarray]]:
    """Runs a stack of runs from where the folder has them, or from x⁰, to the end.

    A chunk is saved and reported while the next one is computed.

    Args:
      step: (states, halts of a chunk) -> (states, columns [R, halts]).
      begin: () -> states at x⁰.
      ends: of `chunk_ends`.
      folder: of the checkpoints, or None.
      report: is told the number of halts that are behind.

    Returns:
      (states, columns {name: [R, halts]}).
    """
    states, columns, done = _resumed(begin, ends[-1], folder)
    report(done)
    starts = [0, *ends[:-1]]
    longest = max(np.subtract(ends, starts))

    def finish(first, last, kept, new):
        for name, column in new.items():
            piece = np.asarray(column)[:, : last - first]
            columns.setdefault(name, []).append(piece)
        if folder is not None:
            arrays = {f"column.{n}": np.concatenate(c, 1) for n, c in columns.items()}
            save_numbers(folder, last, kept | arrays)
        report(last)

    waiting = None
    for first, last in zip(starts, ends, strict=True):
        if last <= done:
            continue
        chunk = halts if len(ends) == 1 else _piece(halts, first, last, longest)
        states, new = step(states, chunk)
        if waiting is not None:
            finish(*waiting)
        waiting = first, last, {} if folder is None else _on_host(states), new
    if waiting is not None:
        finish(*waiting)
    return states, {n: np.concatenate(c, 1) for n, c in columns.items()}


def on_device(tree):
    """NumPy's arrays as JAX's, so that not every chunk copies them."""
    return jax.tree.map(
        lambda x: jnp.asarray(x) if isinstance(x, np.ndarray) else x, tree
    )


def _piece(halts: Halts, first: int, last: int, length: int) -> Halts:
    """Halts `first` to `last`, padded to a length."""
    spare = (0, 0), (0, length - (last - first))
    return Halts(
        np.pad(halts.bounds[:, first : last + 1], spare, mode="edge"),
        np.pad(halts.valid[:, first:last], spare),
    )


def events_once(folder: pathlib.Path | None, run_clocks: Callable[[], list[Event]]):
    """The events of each clock, from the folder if it has them, else into it."""
    if folder is None:
        return run_clocks()
    path = folder / CLOCK
    if not path.exists():
        events = run_clocks()
        joined = Event(*map(np.concatenate, zip(*events, strict=True)))
        lengths = np.array([len(e.time) for e in events])
        write(path, {**joined._asdict(), "lengths": lengths})
        return events
    arrays = read(path)
    ends = np.cumsum(arrays["lengths"])[:-1]
    columns = [np.split(arrays[name], ends) for name in Event._fields]
    return [Event(*of_run) for of_run in zip(*columns, strict=True)]


def _resumed(begin, end: int, folder: pathlib.Path | None):
    """(states, columns in pieces, number of halts done)."""
    done = None if folder is None else newest(folder)
    if folder is None or done is None:
        return begin(), {}, 0
    arrays = read(numbers_of(folder, done))
    columns = {
        name.removeprefix("column."): [array]
        for name, array in arrays.items()
        if name.startswith("column.")
    }
    # Of a finished run only the shapes matter: nothing has to be compiled.
    like = jax.eval_shape(begin) if done == end else begin()
    return _on_devices(arrays, like), columns, done


def _on_host(states) -> Arrays:
    """Copies of the leaves, whose own memory the next chunk takes over."""
    leaves = [
        jax.random.key_data(leaf) if _is_key(leaf) else leaf
        for leaf in jax.tree.leaves(states)
    ]
    return {f"state.{i}": np.array(leaf) for i, leaf in enumerate(leaves)}


def _on_devices(arrays: Arrays, like):
    """The inverse, with the structure and the places of `like`."""

    def restored(i, leaf):
        array = jnp.array(arrays[f"state.{i}"])
        if _is_key(leaf) and isinstance(leaf, jax.Array):
            array = jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf))
        return jax.device_put(array, leaf.sharding)

    leaves, structure = jax.tree.flatten(like)
    return jax.tree.unflatten(structure, map(restored, itertools.count(), leaves))


def _is_key(leaf) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
