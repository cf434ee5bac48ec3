"""The clock of rules that look at numbers: it runs together with the numbers.

Yields the events that the clock alone would yield if it knew the model; `run` then
replays them as those of any other schedule. Gradients that are used are therefore
evaluated twice, once to find out what comes next and once for the trace.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .. import tree
from ..types import Event
from .numbers import in_dtype_of, split_problem, without_schedule
from .replay import ReplayState, one, parts_of, samples_of, sent, start
from .stream import Capacities, Rows
from .trace import chunks

# One gradient at a time, at a point that is handed over: no slots.
SHAPE = Capacities(
    slots=1,
    block=1,
    drawn=1,
    every_row_steps=True,
    one_by_one=True,
    empty=False,
)


class State(NamedTuple):
    """The clock, the server, and the points of the running jobs, [n, ...]."""

    clock: Any
    server: ReplayState
    points: Any


def clocks_with_numbers(
    methods, compute_time, keys, problem, num_workers: int, left
) -> list[Event]:
    """Events of a stack of runs whose schedules have `feedback`, as `clocks`.

    Every accepted gradient is a step, and only the worker that arrives starts a new
    job. One model per worker is kept.

    Args:
      methods: leading axis over the runs.
      keys: those of the clocks and those of the numbers, likewise.
      left: as in `clocks`.
    """
    clock_keys, number_keys = keys
    functions, origin = split_problem(problem)
    wide = jnp.result_type(float) == jnp.float64
    static = {"functions": functions, "num_workers": num_workers, "wide": wide}
    runs = (methods, number_keys)
    with jax.enable_x64(True):
        state = _start(
            runs,
            compute_time,
            clock_keys,
            origin,
            num_components=problem.num_components,
            **static,
        )

    def advance(state, length):
        return _advance(runs, compute_time, state, origin, length=length, **static)

    return chunks(state, advance, left)


@functools.partial(
    jax.jit, static_argnames=("functions", "num_workers", "num_components", "wide")
)
def _start(
    runs,
    compute_time,
    clock_keys,
    origin,
    *,
    functions,
    num_workers,
    num_components,
    wide,
):
    def of_run(run):
        (method, number_key), clock_key = run
        clock = method.schedule.init(clock_key, compute_time, num_components)
        with jax.enable_x64(wide):
            parts = _parts(method, functions, origin, number_key, num_workers)
            server = start(parts, origin.params)
            points = tree.with_rows(sent(parts, server), num_workers)
        return State(clock, server, points)

    return jax.lax.map(of_run, (runs, clock_keys))


@functools.partial(
    jax.jit, static_argnames=("functions", "num_workers", "wide", "length")
)
def _advance(
    runs, compute_time, states, origin, *, functions, num_workers, wide, length
):
    def of_run(run):
        (method, number_key), state = run
        with jax.enable_x64(wide):
            parts = _parts(method, functions, origin, number_key, num_workers)

        def arrival(state, _):
            return _arrival(method.schedule, parts, compute_time, wide, state)

        return jax.lax.scan(arrival, state, length=length)

    return jax.lax.map(of_run, (runs, states))


def _parts(method, functions, origin, number_key, num_workers):
    method = in_dtype_of(origin.params, without_schedule(method))
    problem = (functions, origin.data, origin.params)
    return parts_of(method, *problem, number_key, num_workers, SHAPE)


def _arrival(schedule, parts, compute_time, wide, state: State):
    def feedback(worker):
        point = jax.tree.map(lambda p: p[worker], state.points)
        with jax.enable_x64(wide):
            return schedule.feedback(state.server.params, point)

    event, clock = schedule.next(state.clock, compute_time, feedback)
    columns = {n: getattr(event, n) for n in Rows._fields if n in Event._fields}
    nowhere = jnp.int32(0)
    row = Rows(**columns, newest=nowhere, slot=nowhere, before=nowhere, keep=nowhere)
    point = jax.tree.map(lambda p: p[event.worker], state.points)

    with jax.enable_x64(wide):

        def used():
            rows = jax.tree.map(lambda x: x[None], row)
            sample = jax.tree.map(lambda x: x[0], samples_of(parts, rows))
            return one(parts, state.server, row, sample, (point,))

        server = jax.lax.cond(event.accepted, used, lambda: state.server)
        points = jax.tree.map(
            lambda table, new: table.at[event.worker].set(new),
            state.points,
            sent(parts, server),
        )
    return State(clock, server, points), event
