"""The numbers of an asynchronous method: replays a stream of events.

A gradient is evaluated at the model version its job started from, which is kept in a
slot until it was read for the last time; its sample is drawn from the key of (worker,
job). The accumulator is one tree, whatever the batch size.
"""

import functools
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from .. import keys, needs, tree
from ..types import Accumulator, Method
from .stream import Blocks, Capacities, Draws, Stream

# What a replay supplies, see `needs.Needs`.
SUPPLIED = needs.OF_ONE_SAMPLE | {"full"}

# A job's key is that of its sample; other draws of the job fold in one of these, large
# so that they are none of the numbers that a sample may fold in, or `split` use.
READS, STEPS = 2**31 - 1, 2**31 - 2


class ReplayState(NamedTuple):
    """The server.

    Attributes:
      params: x^k.
      optimizer, estimator: their states.
      sums: the weighted sum of the gradients so far, and of what the estimator needs
        of the same samples; or the state of the method's accumulator.
      slots: the points that are still read, and one of no use: a row each of a table
        for every leaf; () if only the newest is read.
    """

    params: Any
    optimizer: Any
    estimator: Any
    sums: Any
    slots: Any


class Parts(NamedTuple):
    """What a replay is made of.

    Attributes:
      method: whose other parts they are.
      optimizer, estimator: the server's.
      inputs: what the estimator needs besides gradients.
      told: what the optimizer needs besides them.
      between: is the Hessian of a pair taken between its two points?
      accumulator: or None for the weighted sum.
      problem: the functions of a `Problem`: `loss`, `draw`, `grad`, `component`.
      data: of the problem.
      key: of the samples.
      samples: do gradients take a sample?
      num_workers: n.
      shape: what is static of the stream.
    """

    method: Method
    optimizer: optax.GradientTransformationExtraArgs
    estimator: optax.GradientTransformationExtraArgs
    inputs: frozenset
    told: frozenset
    between: bool
    accumulator: Accumulator | None
    problem: Any
    data: Any
    key: Any
    samples: bool
    num_workers: int
    shape: Capacities

    @property
    def second(self) -> str | None:
        """What is needed of the sample of a gradient besides it."""
        return next(iter(self.inputs & needs.OF_ONE_SAMPLE), None)

    @property
    def points(self) -> int:
        """How many points are read for a gradient."""
        return 1 if self.second is None else 2


def replay(
    method: Method, problem, data, params, key, num_workers: int, shape: Capacities
):
    """The replay as (state, advance), where `advance(state, stream, first, last)`.

    Args:
      problem: the functions of a `Problem`: `loss`, `draw`, `grad`, `component`.
      key: of the samples.
      shape: of `stream.capacities`.
    """
    parts = parts_of(method, problem, data, params, key, num_workers, shape)

    def advance(state, stream, first, last):
        def body(index, state):
            return _draw(parts, state, stream, index)

        return jax.lax.fori_loop(first, last, body, state)

    return start(parts, params), advance


def parts_of(
    method: Method, problem, data, params, key, num_workers: int, shape: Capacities
) -> Parts:
    """The parts of a method, ready for a problem."""
    sampled = problem.draw is not None or method.components
    estimator = optax.with_extra_args_support(method.estimator())
    optimizer = optax.with_extra_args_support(method.optimizer())
    return Parts(
        method=method,
        optimizer=optimizer,
        estimator=estimator,
        inputs=needs.inputs(estimator, params),
        told=needs.inputs(optimizer, params),
        between=needs.mixes(estimator, params),
        accumulator=None if method.accumulator is None else method.accumulator(),
        problem=problem,
        data=data,
        key=key,
        samples=sampled and not method.full_gradients,
        num_workers=num_workers,
        shape=shape,
    )


def start(parts: Parts, params) -> ReplayState:
    """The server at x⁰."""
    shape = parts.shape
    optimizer = parts.optimizer.init(params)
    state = ReplayState(
        params=params,
        optimizer=optimizer,
        estimator=parts.estimator.init(params),
        sums=_no_sums(parts, params),
        slots=(),
    )
    if shape.slots == 1:
        return state
    slots = tree.with_rows(tree.flat(sent(parts, state)), shape.slots)
    return state._replace(slots=slots)


def _no_sums(parts: Parts, params):
    if parts.accumulator is not None:
        return parts.accumulator.init(params, parts.num_workers)
    if parts.shape.every_row_steps:
        return ()
    return (tree.zeros_like(params),) * parts.points


def sent(parts: Parts, server: ReplayState):
    """What workers are sent: x^k unless the optimizer names another point."""
    return needs.point(server.optimizer, server.params)


def _draw(parts: Parts, state: ReplayState, stream: Stream, index) -> ReplayState:
    """Replays the blocks whose samples are drawn in one call."""
    start, first, last = tree.row(cast(Draws, stream.draws), index)
    rows = _rows(stream.rows, start, parts.shape.drawn)
    samples = samples_of(parts, rows)

    def body(index, state):
        block = tree.row(cast(Blocks, stream.blocks), index)
        place = block.start - start
        mine, drawn = _rows((rows, samples), place, parts.shape.block)
        return _block(parts, state, mine, drawn, block)

    return jax.lax.fori_loop(first, last, body, state)


def _block(parts: Parts, state: ReplayState, rows, samples, block) -> ReplayState:
    if parts.shape.one_by_one:
        return _one_by_one(parts, state, rows, samples, block.length)
    return jax.lax.cond(
        block.batched,
        lambda: _in_one_call(parts, state, rows, samples),
        lambda: _one_by_one(parts, state, rows, samples, block.length),
    )


def _rows(table, start, count: int):
    """So many rows of a table."""
    return jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, start, count), table)


def samples_of(parts: Parts, rows):
    """The samples of rows, on a leading axis; () where gradients take none."""
    if not parts.samples:
        return ()
    if parts.method.components:
        return jax.vmap(lambda j: parts.problem.component(parts.data, j))(rows.sample)

    def draw(worker, job):
        key = keys.of_job(parts.key, worker, job)
        return parts.problem.draw(key, parts.data, worker)

    return jax.vmap(draw)(rows.worker, rows.job)


def _one_by_one(parts: Parts, state: ReplayState, rows, samples, length):
    kept = parts.shape.slots > 1

    def body(j, carry):
        state, ahead = carry
        row, sample = tree.row((rows, samples), j)
        points = _shaped(parts, state, ahead) if kept else _read(parts, state, row)
        server = one(parts, state._replace(slots=()), row, sample, points)
        state = _keep(parts, server, state.slots, row.keep)
        return state, read_ahead(state, j + 1)

    def read_ahead(state, j):
        # What goes around the loop is an array. Looked up where it is used, each entry
        # would be looked up in its slot anew, which takes several times longer.
        return tree.flat(_read(parts, state, tree.row(rows, j))) if kept else ()

    return jax.lax.fori_loop(0, length, body, (state, read_ahead(state, 0)))[0]


def one(parts: Parts, server: ReplayState, row, sample, points) -> ReplayState:
    """Replays one row: its gradient, and the step if it brings one about.

    Args:
      server: without its slots.
      points: one per point of the estimator: where the gradients are taken.
    """

    def gradients():
        return _gradients(parts, row, points, sample)

    grads = _if_any(row, gradients) if parts.shape.empty else gradients()
    if parts.accumulator is not None:
        return _accumulate(parts, server, row, grads[0])
    if parts.shape.every_row_steps:
        return _step(parts, server, row, grads, read_params=points[0])
    return _collect(parts, server, row, tree.scale(row.weight, grads))


def _in_one_call(parts: Parts, state: ReplayState, rows, samples) -> ReplayState:
    last = jax.tree.map(lambda x: x[-1], rows)

    def gradients(row, sample):
        # One update has jobs of one kind.
        points = _read(parts, state, row)
        return _gradients(parts, row._replace(kind=last.kind), points, sample)

    grads = jax.vmap(gradients)(rows, samples)
    weighted = jax.vmap(tree.scale)(rows.weight, grads)
    # One after the other they become one loop over the entries, a reduction does not.
    mean = jax.tree.map(lambda g: functools.reduce(jnp.add, g), weighted)
    return _keep(parts, _collect(parts, state, last, mean), state.slots, last.keep)


def _keep(parts: Parts, server: ReplayState, slots, slot) -> ReplayState:
    """The server with its slots, in one of which is now the newest point."""
    if parts.shape.slots == 1:
        return server

    def put(slots, point):
        # `at[].set` would first read what it overwrites.
        return jax.lax.dynamic_update_index_in_dim(slots, point, slot, 0)

    point = tree.flat(sent(parts, server))
    return server._replace(slots=jax.tree.map(put, slots, point))


def _read(parts: Parts, state: ReplayState, row):
    """The points that the job needs: the one it started from, the one before that."""
    if parts.shape.slots == 1:
        return (sent(parts, state),) * parts.points
    if parts.method.read is not None:
        key = jax.random.fold_in(keys.of_job(parts.key, row.worker, row.job), READS)
        ring = jax.tree.map(
            lambda s, x: s[:-1].reshape(-1, *x.shape), state.slots, state.params
        )
        return (parts.method.read(key, ring, row.version, row.newest),)
    places = (row.slot, row.before)[: parts.points]
    points = tuple(tree.row(state.slots, place) for place in places)
    return _shaped(parts, state, points)


def _shaped(parts: Parts, state: ReplayState, points):
    """Points whose leaves are flat, with those of the model."""
    like = (state.params,) * parts.points
    return jax.tree.map(lambda flat, x: flat.reshape(x.shape), points, like)


def _gradients(parts: Parts, row, points, sample):
    """At the job's point and, for a pair, what looks back at the version before."""

    def at(point):
        sampled = sample if parts.samples else None
        return parts.problem.grad(parts.data, point, row.worker, sampled)

    def back():
        if parts.second == "hvp":
            key = keys.of_job(parts.key, row.worker, row.job)
            q = needs.mixture_of_job(key, parts.between)
            return needs.hessian_product(at, points[0], points[1], q)
        return at(points[1])

    if parts.points == 1:
        return (at(points[0]),)
    return jax.lax.cond(
        row.kind == 0,
        lambda: (at(points[0]), tree.zeros_like(points[1])),
        lambda: (at(points[0]), back()),
    )


def _if_any(row, gradients):
    """The gradients of a row, zero and not computed if it has none."""
    shapes = jax.eval_shape(gradients)
    return jax.lax.cond(row.weight != 0, gradients, lambda: tree.zeros_like(shapes))


def _collect(parts: Parts, state: ReplayState, row, grads) -> ReplayState:
    """Adds weighted gradients to the batch; steps when it is full."""
    sums = tree.add(state.sums, grads)

    def full():
        stepped = _step(parts, state, row, sums)
        return stepped._replace(sums=tree.zeros_like(sums))

    return jax.lax.cond(row.step != 0, full, lambda: state._replace(sums=sums))


def _accumulate(parts: Parts, state: ReplayState, row, grad) -> ReplayState:
    """Hands a gradient to the accumulator; steps along what it makes of it."""
    accumulator, steps = cast(Accumulator, parts.accumulator), row.step != 0
    estimate, sums = accumulator.update(grad, row.worker, row.weight, steps, state.sums)
    state = state._replace(sums=sums)
    return jax.lax.cond(
        steps, lambda: _step(parts, state, row, (estimate,)), lambda: state
    )


def _step(parts: Parts, state: ReplayState, row, grads, **extra) -> ReplayState:
    """The server's step with the batch's mean gradients; the update times `row.step`.

    `extra` goes to the optimizer, with the key of the job that brought the step about.
    """
    given = {"full": row.kind == 0} if "full" in parts.inputs else {}
    if parts.second is not None:
        given[parts.second] = grads[1]
    estimate, estimator_state = parts.estimator.update(
        grads[0], state.estimator, state.params, **given
    )
    key = jax.random.fold_in(keys.of_job(parts.key, row.worker, row.job), STEPS)
    loss = functools.partial(parts.problem.loss, parts.data)
    extra |= needs.of_the_loss(parts.told, loss, sent(parts, state))
    updates, optimizer_state = parts.optimizer.update(
        estimate, state.optimizer, state.params, key=key, **extra
    )
    params = optax.apply_updates(state.params, tree.scale(row.step, updates))
    return state._replace(
        params=params,
        optimizer=optimizer_state,
        estimator=estimator_state,
    )
