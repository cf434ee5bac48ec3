"""One experiment: a clock, then its numbers."""

import os
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from .. import needs
from ..simulate import cost
from ..simulate.devices import (
    gathered,
    no_ambient_mesh,
    place,
    spread_runs,
    spread_workers,
)
from ..simulate.interleaved import clocks_with_numbers
from ..simulate.numbers import (
    Program,
    advance,
    begin,
    sample_bytes,
    split_problem,
    without_schedule,
)
from ..simulate.order import made_for
from ..simulate.progress import Goal, Progress, check_time_advances, missing
from ..simulate.stream import capacities, round_streams, streams, used
from ..simulate.trace import (
    arrivals_until,
    clocks,
    weighed,
)
from ..static import stacked
from ..types import ComputeTime, Event, Link, Method, Problem
from .chunks import (
    ONE_CHUNK,
    Chunks,
    Halts,
    Report,
    advance_in_chunks,
    check_chunks,
    chunk_ends,
    chunk_length,
    cut,
    events_once,
    halts_of,
    on_device,
    reporter,
)
from .fingerprint import claimed
from .prepare import Horizon, check_mesh, check_pairs, prepare
from .progress_bar import progress_bar
from .record import Trace


def run(
    method: Method,
    problem: Problem,
    *,
    num_workers: int,
    key,
    compute_time: ComputeTime | None = None,
    link: Link | None = None,
    num_updates: int | None = None,
    until: float | None = None,
    record_every: int = 1,
    mesh: Mesh | None = None,
    checkpoint: str | os.PathLike | None = None,
    chunk: int | None = None,
    progress: bool | Report = False,
) -> Trace:
    """Runs a method on a problem with simulated workers.

    The clock and the numbers are one compiled program each; a second call that
    differs in numbers only (step sizes, thresholds, times, keys) compiles nothing.

    Args:
      method: of `fo.methods`, or a `Method` put together by hand.
      problem: of `fo.problems`.
      num_workers: n.
      key: `jax.random.key(...)`; the same key gives the same trace bit for bit.
      compute_time: of `fo.timing`; by default every gradient takes one second.
      link: of `fo.timing`; by default messages take no time. The clock runs before the
        numbers, so that a message whose length depends on a coin or on the data always
        takes as long as the longest that it may be, also where it is not sent;
        `bits_up` and `bits_down` count what is.
      num_updates, until: when to stop: server updates, simulated seconds (inclusive);
        at least one of them.
      record_every: updates between rows of the trace.
      mesh: with one axis whose size divides n, for methods that go in rounds: the
        workers are spread over its devices. Each of them has the data and the model;
        in a round only messages cross its links. The mesh may span processes, of which
        each makes the same call and gets the same trace. One device by default.
      checkpoint: a folder of this run alone, in which its state is saved after every
        chunk. The same call goes on from there, to the same trace bit for bit; if the
        run was at its end, it returns the trace at once.
      chunk: server updates between checkpoints, or between moves of the progress bar;
        by default a fiftieth of the run.
      progress: show a bar with updates per second and the remaining time; or a
        function to be called with (updates done, updates in all).

    Returns:
      A `Trace`; with `num_updates` it has 1 + num_updates // record_every rows.

    Raises:
      ValueError: if sizes disagree, the method can never make a step, the mesh does
        not fit, or the checkpoint is damaged or that of another run.
      OSError: if the checkpoint cannot be written.
    """
    horizon = Horizon(num_updates, until, record_every)
    with progress_bar(progress, method.label) as report:
        (trace,) = execute(
            [method],
            problem,
            [key],
            horizon,
            num_workers=num_workers,
            compute_time=compute_time,
            link=link,
            mesh=mesh,
            chunks=Chunks(chunk, checkpoint, report),
        )
    return trace


PATIENCE = 2**20  # arrivals without a step, after which a run is given up


@no_ambient_mesh()
def execute(
    methods: list[Method],
    problem: Problem,
    keys: list,
    horizon: Horizon,
    *,
    num_workers: int,
    compute_time: ComputeTime | None,
    link: Link | None,
    mesh: Mesh | None = None,
    chunks: Chunks = ONE_CHUNK,
) -> list[Trace]:
    """Runs methods that differ in numbers only, each with its key, as one program.

    They are spread over the local devices; the workers of a single one over the mesh.
    """
    if mesh is not None:
        check_mesh(methods[0], mesh, num_workers)
    check_chunks(chunks)
    cluster = (num_workers, compute_time, link)
    compute_time, mechanism, bits, counted = prepare(
        methods, problem, keys, horizon, num_workers, compute_time, link
    )
    methods = [made_for(method, problem) for method in methods]
    method = methods[0]
    clock_keys, number_keys = jax.vmap(jax.random.split, out_axes=1)(jnp.stack(keys))
    looks_at_numbers = method.schedule.feedback is not None
    which, distinct = _distinct(
        methods if looks_at_numbers else [m.schedule for m in methods], keys
    )
    folder = claimed(chunks, mesh, methods, problem, keys, horizon, cluster)
    events = events_once(
        folder,
        lambda: _events(
            [methods[i] for i in distinct],
            problem,
            (clock_keys[np.array(distinct)], number_keys[np.array(distinct)]),
            horizon,
            num_workers,
            compute_time,
        ),
    )
    asked = needs.inputs(method.estimator(), problem.init)
    check_pairs(method, asked, events)
    records = [_records(e, horizon, method.label) for e in events]
    length = chunk_length(chunks, [r.updates for r in records], horizon)
    cuts = [cut(r.updates, length, horizon) for r in records]
    points, in_order = 1 + bool(asked & needs.OF_ONE_SAMPLE), method.read is not None
    runs = [
        used(e, c.updates, points, in_order) for e, c in zip(events, cuts, strict=True)
    ]
    shape = capacities(
        runs, sample_bytes(problem), table=method.accumulator is not None
    )
    stream = streams(runs, shape) if mechanism is None else round_streams(runs)
    functions, start = split_problem(problem)
    devices, index = spread_runs(len(methods))
    if mesh is not None:
        devices = spread_workers(mesh)
    program = Program(functions, shape, num_workers, devices)
    own = (stacked([without_schedule(methods[i]) for i in index]), number_keys[index])
    halts = halts_of(stream, cuts)
    (*own, which_stream), (start, stream) = place(
        devices, (*own, np.array(which, np.int32)[index]), (start, stream)
    )
    start, stream = on_device((start, stream))  # once for all chunks

    def step(states, halts: Halts):
        piece = stream._replace(bounds=halts.bounds, valid=halts.valid)
        return advance(program, *own, start, piece, which_stream, states)

    ends = chunk_ends(cuts, length, horizon)
    in_pieces = folder is not None or len(ends) > 1
    states, columns = advance_in_chunks(
        step,
        lambda: begin(program, *own, start) if in_pieces else None,
        halts,
        ends,
        folder,
        reporter(chunks, cuts, which),
    )
    params = gathered(devices, states.params)
    # A compiled program returns its columns in alphabetical order.
    order = ["loss", "grad_norm_sq", "distance_sq", *problem.metrics, *counted]
    columns = {n: np.asarray(columns[n], np.float64) for n in order if n in columns}
    accounts = [_accounts(e, r, bits) for e, r in zip(events, records, strict=True)]

    def trace(i):
        rows = cuts[which[i]].rows
        own = accounts[which[i]] | {n: c[i][rows] for n, c in columns.items()}
        return Trace(
            columns=_padded(_with_discarded(own), records[which[i]]),
            params=jax.tree.map(lambda x: x[i], params),
            label=methods[i].label,
        )

    return [trace(i) for i in range(len(methods))]


class Records(NamedTuple):
    """At which points of one run the trace has its rows.

    Attributes:
      updates: [records + 1] server updates done; the last is the end of the run.
      events: [records] arrivals until then.
      times: [records] seconds.
      rows: how many rows the trace has, padding included.
    """

    updates: np.ndarray
    events: np.ndarray
    times: np.ndarray
    rows: int


def _events(
    methods, problem, keys, horizon: Horizon, num_workers, compute_time
) -> list[Event]:
    """The events of each method, up to the horizon; keys of clocks and of numbers."""
    num_updates, until = horizon.num_updates, horizon.until

    guess = num_updates or 0
    if until is not None:
        arrivals = arrivals_until(compute_time, until)
        guess = min(arrivals, guess or arrivals)
    goal = Goal(guess, steps=num_updates, until=until)
    patience = PATIENCE + 4 * (problem.num_components or 0)

    def left(progress: Progress):
        more = missing(goal, progress)
        if until is not None:
            check_time_advances(progress, num_workers)
        elif more and progress.waiting > patience:
            raise ValueError(_waits(methods[0].label, patience))
        return more

    if methods[0].schedule.feedback is None:
        runs = clocks(
            [m.schedule for m in methods],
            compute_time,
            keys[0],
            problem.num_components,
            left=left,
            until=until,
        )
    else:
        runs = clocks_with_numbers(
            stacked(methods), compute_time, keys, problem, num_workers, left
        )
    horizon_time = np.inf if until is None else until

    def up_to_horizon(method, events):
        happens = np.isfinite(events.time) & (events.time <= horizon_time)
        events = jax.tree.map(lambda x: x[happens], events)
        return weighed(method.schedule, events)

    return list(map(up_to_horizon, methods, runs))


def _waits(label: str, patience: int) -> str:
    return (
        f"{label or 'the method'} has not made a step in the last {patience} "
        "arrivals: a worker that it waits for may have died; give until= to look "
        "at the run, or the worker finite times"
    )


def _records(events: Event, horizon: Horizon, label: str) -> Records:
    steps = np.flatnonzero(events.step)[: horizon.num_updates]
    if horizon.until is None and len(steps) == 0 and horizon.num_updates:
        raise ValueError(
            f"{label or 'the method'} never makes a step: no more worker can arrive; "
            "give the workers finite times"
        )
    if horizon.times is not None:
        updates = np.searchsorted(events.time[steps], horizon.times, side="right")
        happened = np.searchsorted(events.time, horizon.times, side="right")
        times, rows = horizon.times, len(horizon.times)
    else:
        updates = np.arange(0, len(steps) + 1, horizon.record_every)
        happened = np.concatenate([[0], steps + 1])[updates]
        times = np.concatenate([[0.0], events.time])[happened]
        rows = len(updates)
        if horizon.num_updates is not None:
            rows = 1 + horizon.num_updates // horizon.record_every
    return Records(np.append(updates, len(steps)), happened, times, rows)


def _accounts(events: Event, records: Records, bits: dict[str, int]):
    columns = {"update": records.updates[:-1], "time": records.times}
    columns |= cost.accounts(events, records.events, records.times, **bits)
    return columns


def _with_discarded(columns):
    """Adds the gradients that were computed and thrown away."""
    discarded = columns["gradients_computed"] - columns["gradients_used"]
    return columns | {"gradients_discarded": discarded}


def _padded(columns, records: Records) -> dict[str, np.ndarray]:
    """Every column with the rows of the trace, NaN behind the end of the run."""
    reached = len(records.times)

    def pad(column):
        out = np.full(records.rows, np.nan)
        out[:reached] = column[:reached]
        return out

    return {name: pad(column) for name, column in columns.items()}


def _distinct(clocks, keys):
    """Which of the distinct (clock, key) pairs each run has, and their indices."""
    seen: dict[tuple, int] = {}
    which, distinct = [], []
    for i, (clock, key) in enumerate(zip(clocks, keys, strict=True)):
        leaves, structure = jax.tree.flatten((clock, jax.random.key_data(key)))
        identity = (structure, *(np.asarray(leaf).tobytes() for leaf in leaves))
        if identity not in seen:
            seen[identity] = len(distinct)
            distinct.append(i)
        which.append(seen[identity])
    return which, distinct
