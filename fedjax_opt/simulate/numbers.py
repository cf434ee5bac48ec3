"""The numbers: one compiled program for a stack of runs, fed by their streams."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .. import tree
from ..types import Method, Problem
from .replay import replay
from .rounds import rounds
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
        tuple(problem.metrics.items()),
    )
    x_star = problem.constants.get("x_star")
    return functions, Start(problem.init, problem.data, x_star)


@functools.partial(
    jax.jit, static_argnames=("functions", "shape", "num_workers", "parallel")
)
def numbers(
    methods: Method,
    streams: Stream,
    which: jax.Array,
    keys: jax.Array,
    start: Start,
    *,
    functions: Functions,
    shape: Capacities,
    num_workers: int,
    parallel: bool,
):
    """Runs a stack of R methods.

    Args:
      methods: leaves with a leading axis R.
      streams: leaves with a leading axis over the distinct streams.
      which: [R], the stream of each run.
      keys: [R], of samples and mechanisms.
      start: point and data, the same for all.
      shape: capacities of the replay; methods that go in rounds read none of it.
      parallel: `vmap` the runs; otherwise one after the other, which evaluates no
        gradient in vain and is as fast on a CPU.

    Returns:
      (final params, columns {name: [R, records]}).
    """

    entries = sum(x.size for x in jax.tree.leaves(start.data))
    together = entries in MEASURED_TOGETHER and not parallel
    at_once = min(MEASURED, streams.valid.shape[-1]) if together else 1

    def one(run):
        method, which, key = run
        stream = jax.tree.map(lambda x: x[which], streams)
        method = in_dtype_of(start.params, method)
        if method.mechanism is None:
            state, advance = replay(
                method, functions, start.data, start.params, key, num_workers, shape
            )
        else:
            state, advance = rounds(
                method,
                method.mechanism(),
                functions,
                start.data,
                start.params,
                key,
                num_workers,
            )
        return _record(state, advance, stream, functions, start, at_once)

    runs = (methods, which, keys)
    return jax.vmap(one)(runs) if parallel else jax.lax.map(one, runs)


def _record(state, advance, stream, functions, start, at_once: int):
    """Advances from record to record and measures, `at_once` points in one call."""
    measured = functools.partial(measure, functions, start)

    def record(state, row):
        first, last, valid = row
        state = advance(state, stream, first, last)
        return state, _where(valid, measured, state.params)

    def record_several(state, rows):
        def go_on(state, row):
            state = advance(state, stream, *row)
            return state, state.params

        first, last, valid = rows
        state, points = jax.lax.scan(go_on, state, (first, last))
        return state, _where(valid.any(), jax.vmap(measured), points)

    records = stream.valid.shape[0]
    spare = -records % at_once
    bounds = jnp.pad(stream.bounds, (0, spare), mode="edge")
    rows = (bounds[:-1], bounds[1:], jnp.pad(stream.valid, (0, spare)))
    if at_once > 1:
        rows = jax.tree.map(lambda x: x.reshape(-1, at_once), rows)
    state, columns = jax.lax.scan(
        record_several if at_once > 1 else record, state, rows
    )
    return state.params, jax.tree.map(lambda x: x.reshape(-1)[:records], columns)


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
