"""One experiment: a clock, then its numbers."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..simulate import cost
from ..simulate.interleaved import clocks_with_numbers
from ..simulate.numbers import numbers, split_problem, without_schedule
from ..simulate.stream import capacities, round_streams, streams
from ..simulate.trace import (
    arrivals_until,
    clocks,
    weighed,
)
from ..types import ComputeTime, Event, Link, Method, Problem
from .prepare import Horizon, prepare
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
      link: of `fo.timing`; by default messages take no time.
      num_updates, until: when to stop: server updates, simulated seconds (inclusive);
        at least one of them.
      record_every: updates between rows of the trace.

    Returns:
      A `Trace`; with `num_updates` it has 1 + num_updates // record_every rows.

    Raises:
      ValueError: if sizes disagree, or the method can never make a step.
    """
    horizon = Horizon(num_updates, until, record_every)
    (trace,) = execute(
        [method],
        problem,
        [key],
        horizon,
        num_workers=num_workers,
        compute_time=compute_time,
        link=link,
    )
    return trace


PATIENCE = 2**20  # arrivals without a step, after which a run is given up


def execute(
    methods: list[Method],
    problem: Problem,
    keys: list,
    horizon: Horizon,
    *,
    num_workers: int,
    compute_time: ComputeTime | None,
    link: Link | None,
) -> list[Trace]:
    """Runs methods that differ in numbers only, each with its key, as one program."""
    compute_time, mechanism, bits = prepare(
        methods, problem, keys, horizon, num_workers, compute_time, link
    )
    method = methods[0]
    clock_keys, number_keys = jax.vmap(jax.random.split, out_axes=1)(jnp.stack(keys))
    looks_at_numbers = method.schedule.feedback is not None
    which, distinct = _distinct(
        methods if looks_at_numbers else [m.schedule for m in methods], keys
    )
    events = _events(
        [methods[i] for i in distinct],
        problem,
        (clock_keys[np.array(distinct)], number_keys[np.array(distinct)]),
        horizon,
        num_workers,
        compute_time,
    )
    records = [_records(e, horizon, method.label) for e in events]
    cuts = list(zip(events, [r.updates for r in records], strict=True))

    shape = capacities(
        cuts, method.estimator().points, one_by_one=method.accumulator is not None
    )
    stream = streams(cuts, shape) if mechanism is None else round_streams(cuts)
    functions, start = split_problem(problem)
    params, columns = numbers(
        _stack([without_schedule(m) for m in methods]),
        stream,
        np.array(which, np.int32),
        number_keys,
        start,
        functions=functions,
        shape=shape,
        num_workers=num_workers,
        parallel=jax.default_backend() != "cpu" and len(methods) > 1,
    )
    # A compiled program returns its columns in alphabetical order.
    order = ["loss", "grad_norm_sq", "distance_sq", *problem.metrics]
    columns = {n: np.asarray(columns[n], np.float64) for n in order if n in columns}
    accounts = [_accounts(e, r, bits) for e, r in zip(events, records, strict=True)]

    def trace(i):
        own = accounts[which[i]] | {name: c[i] for name, c in columns.items()}
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

    def enough(events):
        done = np.isinf(events.time[:, -1])  # nobody can arrive any more
        if until is not None:
            done |= events.time[:, -1] > until
        if num_updates is not None:
            done |= np.count_nonzero(events.step, axis=1) >= num_updates
        if until is None:
            _check_progress(events.step[~done], patience, methods[0].label)
        return done.all()

    patience = PATIENCE + 4 * (problem.num_components or 0)
    expected = num_updates or 0
    if until is not None:
        arrivals = arrivals_until(compute_time, until)
        expected = min(arrivals, expected or arrivals)
    compute_times = _stack([compute_time] * len(methods))
    until_when = {"enough": enough, "expected": expected}
    if methods[0].schedule.feedback is None:
        stacked = clocks(
            _stack([m.schedule for m in methods]),
            compute_times,
            keys[0],
            problem.num_components,
            **until_when,
        )
    else:
        stacked = clocks_with_numbers(
            _stack(methods), compute_times, keys, problem, num_workers, **until_when
        )
    horizon_time = np.inf if until is None else until

    def of_run(i):
        event = jax.tree.map(lambda x: x[i], stacked)
        happens = np.isfinite(event.time) & (event.time <= horizon_time)
        return weighed(methods[i].schedule, jax.tree.map(lambda x: x[happens], event))

    return [of_run(i) for i in range(len(methods))]


def _check_progress(steps: np.ndarray, patience: int, label: str) -> None:
    """Refuses to wait for ever for a step; `steps` [runs, rows] of those not done."""
    rows = steps.shape[1]
    since = np.where(steps.any(axis=1), np.argmax(steps[:, ::-1] != 0, axis=1), rows)
    if (since > patience).any():
        raise ValueError(
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


def _stack(trees):
    """One tree whose leaves have a leading axis; the structures must agree."""
    first = jax.tree.structure(trees[0])
    for other in trees[1:]:
        if jax.tree.structure(other) != first:
            raise ValueError(
                "the runs of one call must differ in numbers only; vary options such "
                "as stop= or compressor= in separate calls"
            )
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)
