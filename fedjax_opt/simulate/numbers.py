"""The numbers: one compiled program for a stack of runs, fed by their streams."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .. import tree
from ..types import Method, Problem
from .devices import Devices, each
from .replay import replay
from .rounds import RoundsState, rounds
from .stream import Capacities, Stream

# Points of a trace measured in one call, which makes one product of matrices out of
# many by a vector: 4 times faster for a linear model of 50 000 x 300 on a CPU. Where
# the data have fewer entries there is nothing to gain; more entries, or runs in
# parallel, fill a call, and the memory, on their own.
MEASURED = 8
MEASURED_TOGETHER = range(2**10, 2**24)


class Functions(NamedTuple):
    """The static part of a problem: what a program is compiled for."""

    loss: Callable[..., Any]
    draw: Callable[..., Any] | None
    grad: Callable[..., Any]
    component: Callable[..., Any] | None
    local_component: Callable[..., Any] | None
    metrics: tuple[tuple[str, Callable[..., Any]], ...]


class Start(NamedTuple):
    """The arrays of a problem: arguments of the program.

    Attributes:
      params: x⁰.
      data: of the problem.
      x_star: the minimiser, or None where unknown.
    """

    params: Any
    data: Any
    x_star: Any


def split_problem(problem: Problem) -> tuple[Functions, Start]:
    """A problem as its static functions and its arrays."""
    functions = Functions(
        problem.loss,
        problem.draw,
        problem.grad,
        problem.component,
        problem.local_component,
        tuple(problem.metrics.items()),
    )
    x_star = problem.constants.get("x_star")
    return functions, Start(problem.init, problem.data, x_star)


def sample_bytes(problem: Problem) -> int:
    """The size of one sample; 0 where gradients take none."""
    samples = []
    if problem.draw is not None:
        draw = functools.partial(problem.draw, jax.random.key(0), problem.data)
        samples.append(jax.eval_shape(draw, jnp.int32(0)))
    if problem.component is not None:
        component = functools.partial(problem.component, problem.data)
        samples.append(jax.eval_shape(component, jnp.int32(0)))
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(samples))


class Program(NamedTuple):
    """What the numbers are compiled for, whatever the numbers are.

    Attributes:
      functions: of the problem.
      shape: capacities of the replay; methods that go in rounds read none of it.
      num_workers: n.
      devices: who computes what.
    """

    functions: Functions
    shape: Capacities
    num_workers: int
    devices: Devices


class Ended(NamedTuple):
    """What is left of a run: the server's point."""

    params: Any


@functools.partial(jax.jit, static_argnames="program")
def begin(program: Program, methods: Method, keys: jax.Array, start: Start):
    """The states of a stack of R runs at x⁰.

    Args:
      methods: leaves with a leading axis R.
      keys: [R], of samples and mechanisms.
      start: point and data, the same for all.
    """

    def one(run, start):
        method, key = run
        return _parts(program, method, key, start)[0]

    return each(program.devices, one, (methods, keys), start)


@functools.partial(jax.jit, static_argnames="program", donate_argnames="states")
def advance(
    program: Program,
    methods: Method,
    keys: jax.Array,
    start: Start,
    streams: Stream,
    which: jax.Array,
    states,
):
    """Runs a stack of R methods along their streams, or pieces of them.

    Without states the runs go from x⁰ to their end in one piece, and only their points
    are returned: a device then holds the state of one run at a time (of all its runs
    where they go in parallel), and not what each of them would go on from.

    Args:
      methods, keys, start: as in `begin`.
      streams: leaves with a leading axis over the distinct streams.
      which: [R], the stream of each run.
      states: of `begin`, or of the piece before, which are used up; or None.

    Returns:
      (states, or `Ended`; columns {name: [R, records]}).
    """
    entries = sum(x.size for x in jax.tree.leaves(start.data))
    together = entries in MEASURED_TOGETHER and not program.devices.parallel
    at_once = min(MEASURED, streams.valid.shape[-1]) if together else 1

    def one(run, same):
        method, key, which, state = run
        start, streams = same
        stream = jax.tree.map(lambda x: x[which], streams)
        first, go_on = _parts(program, method, key, start)
        state, columns = _record(
            first if states is None else state,
            go_on,
            stream,
            program.functions,
            start,
            at_once,
        )
        return (Ended(state.params) if states is None else state), columns

    runs = (methods, keys, which, states)
    return each(program.devices, one, runs, (start, streams))


def _parts(program: Program, method: Method, key, start: Start):
    """(state at x⁰, function that advances it) of one run."""
    method = in_dtype_of(start.params, method)
    problem = (program.functions, start.data, start.params, key, program.num_workers)
    if method.mechanism is None:
        return replay(method, *problem, program.shape)
    return rounds(method, method.mechanism(), *problem, program.devices.workers)


def _record(state, advance, stream, functions, start, at_once: int):
    """Advances from record to record and measures, `at_once` points in one call."""
    measured = functools.partial(measure, functions, start)

    def record(state, row):
        first, last, valid = row
        state = advance(state, stream, first, last)
        return state, _where(valid, measured, state.params) | _sent(state)

    def record_several(state, rows):
        def go_on(state, row):
            state = advance(state, stream, *row)
            return state, (state.params, _sent(state))

        first, last, valid = rows
        state, (points, sent) = jax.lax.scan(go_on, state, (first, last))
        return state, _where(valid.any(), jax.vmap(measured), points) | sent

    records = stream.valid.shape[0]
    spare = -records % at_once
    bounds = jnp.pad(stream.bounds, (0, spare), mode="edge")
    rows = (bounds[:-1], bounds[1:], jnp.pad(stream.valid, (0, spare)))
    if at_once > 1:
        rows = jax.tree.map(lambda x: x.reshape(-1, at_once), rows)
    state, columns = jax.lax.scan(
        record_several if at_once > 1 else record, state, rows
    )
    return state, jax.tree.map(lambda x: x.reshape(-1)[:records], columns)


def _sent(state) -> dict[str, jax.Array]:
    """The bits that a method that goes in rounds has sent so far."""
    counted = state.bits if isinstance(state, RoundsState) else ()
    return dict(zip(("bits_up", "bits_down"), counted, strict=False))


def _where(valid, function, argument):
    """function(argument), or NaN of its shapes where there is nothing to measure."""

    def nothing(argument):
        shapes = jax.eval_shape(function, argument)
        return jax.tree.map(lambda x: jnp.full(x.shape, jnp.nan, x.dtype), shapes)

    return jax.lax.cond(valid, function, nothing, argument)


def measure(functions: Functions, start: Start, params) -> dict[str, jax.Array]:
    """The columns of a trace that depend on the point."""
    loss, grad = jax.value_and_grad(functools.partial(functions.loss, start.data))(
        params
    )
    columns = {"loss": loss, "grad_norm_sq": tree.squared_norm(grad)}
    if start.x_star is not None:
        columns["distance_sq"] = tree.squared_norm(tree.sub(params, start.x_star))
    for name, metric in functions.metrics:
        columns[name] = metric(start.data, params)
    return {
        name: column.astype(jnp.promote_types(column.dtype, jnp.float32))
        for name, column in columns.items()
    }


def without_schedule(method: Method) -> Method:
    """The part of a method that the numbers read."""
    return dataclasses.replace(method, schedule=(), label="")  # pyright: ignore


def in_dtype_of(params, method):
    """A method's numbers in the dtype of the parameters, so that neither widens."""
    dtype = jnp.result_type(*jax.tree.leaves(params))
    return jax.tree.map(
        lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x,
        method,
    )
