"""The numbers of an asynchronous method: replays a stream of events.

A gradient is evaluated at the model version its job started from, kept in a ring of
the last versions; its sample is drawn from the key of (worker, job). The accumulator
is one tree, whatever the batch size.
"""

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from .. import keys, tree
from ..types import Accumulator, Estimator, Method
from .stream import Blocks, Capacities, Stream

# A job's key is that of its sample; other draws of the job fold in one of these, large
# so that they are none of the numbers that a sample may fold in, or `split` use.
READS, STEPS = 2**31 - 1, 2**31 - 2


class ReplayState(NamedTuple):
    """The server.

    Attributes:
      params: x^k.
      optimizer, estimator: their states.
      sums: per point of the estimator, the weighted sum of the gradients so far; or
        the state of the method's accumulator.
      point: what workers are sent: x^k unless the method has `eval_params`.
      ring: the points of the last versions, with a leading axis; () if only the
        newest is read.
      updates: k.
    """

    params: Any
    optimizer: Any
    estimator: Any
    sums: Any
    point: Any
    ring: Any
    updates: Any


class Parts(NamedTuple):
    """What a replay is made of.

    Attributes:
      method: whose other parts they are.
      optimizer, estimator: the server's.
      accumulator: or None for the weighted sum.
      problem: the functions of a `Problem`: `draw`, `grad`, `component`.
      data: of the problem.
      key: of the samples.
      samples: do gradients take a sample?
      num_workers: n.
      shape: what is static of the stream.
    """

    method: Method
    optimizer: optax.GradientTransformationExtraArgs
    estimator: Estimator
    accumulator: Accumulator | None
    problem: Any
    data: Any
    key: Any
    samples: bool
    num_workers: int
    shape: Capacities


def replay(
    method: Method, problem, data, params, key, num_workers: int, shape: Capacities
):
    """The replay as (state, advance), where `advance(state, stream, first, last)`.

    Args:
      problem: the functions of a `Problem`: `draw`, `grad`, `component`.
      key: of the samples.
      shape: of `stream.capacities`.
    """
    parts = parts_of(method, problem, data, key, num_workers, shape)

    def advance(state, stream, first, last):
        def body(index, state):
            return _block(parts, state, stream, index)

        return jax.lax.fori_loop(first, last, body, state)

    return start(parts, params), advance


def parts_of(
    method: Method, problem, data, key, num_workers: int, shape: Capacities
) -> Parts:
    """The parts of a method, ready for a problem."""
    sampled = problem.draw is not None or method.components
    return Parts(
        method=method,
        optimizer=optax.with_extra_args_support(method.optimizer()),
        estimator=method.estimator(),
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
    point = _point(parts, optimizer, params)
    return ReplayState(
        params=params,
        optimizer=optimizer,
        estimator=parts.estimator.init(params),
        sums=_no_sums(parts, params),
        point=point,
        ring=jax.tree.map(
            lambda x: jnp.broadcast_to(x, (shape.ring, *x.shape)), _rung(point, shape)
        ),
        updates=jnp.zeros((), jnp.int32),
    )


def _no_sums(parts: Parts, params):
    if parts.accumulator is not None:
        return parts.accumulator.init(params, parts.num_workers)
    if parts.shape.every_row_steps:
        return ()
    return (tree.zeros_like(params),) * parts.estimator.points


def _point(parts: Parts, optimizer_state, params):
    """What workers are sent."""
    eval_params = parts.method.eval_params
    return params if eval_params is None else eval_params(optimizer_state, params)


def _block(parts: Parts, state: ReplayState, stream: Stream, index) -> ReplayState:
    """Replays one block: its samples are drawn in one call."""
    blocks = cast(Blocks, stream.blocks)
    start, length, batched = (column[index] for column in blocks)
    rows = jax.tree.map(
        lambda x: jax.lax.dynamic_slice_in_dim(x, start, parts.shape.block), stream.rows
    )
    samples = samples_of(parts, rows)
    if parts.shape.one_by_one:
        return _one_by_one(parts, state, rows, samples, length)
    return jax.lax.cond(
        batched,
        lambda: _in_one_call(parts, state, rows, samples),
        lambda: _one_by_one(parts, state, rows, samples, length),
    )


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
    def body(j, state):
        row, sample = jax.tree.map(lambda x: x[j], (rows, samples))
        return one(parts, state, row, sample, _read(parts, state, row))

    return jax.lax.fori_loop(0, length, body, state)


def one(parts: Parts, state: ReplayState, row, sample, point) -> ReplayState:
    """Replays one row: its gradient at `point`, and the step if it brings one about."""

    def gradients():
        return _gradients(parts, state, row, point, sample, row.kind)

    grads = _if_any(row, gradients) if parts.shape.empty else gradients()
    if parts.accumulator is not None:
        return _accumulate(parts, state, row, grads[0])
    if parts.shape.every_row_steps:
        return _step(parts, state, row, grads, read_params=point)
    return _collect(parts, state, row, tree.scale(row.weight, grads))


def _in_one_call(parts: Parts, state: ReplayState, rows, samples) -> ReplayState:
    last = jax.tree.map(lambda x: x[-1], rows)

    def gradients(row, sample):
        # One update has jobs of one kind.
        point = _read(parts, state, row)
        return _gradients(parts, state, row, point, sample, last.kind)

    grads = jax.vmap(gradients)(rows, samples)
    mean = jax.tree.map(
        lambda g: jnp.tensordot(rows.weight.astype(g.dtype), g, axes=1), grads
    )
    return _collect(parts, state, last, mean)


def _read(parts: Parts, state: ReplayState, row):
    """The point that the job started from."""
    read = parts.method.read
    if read is None or parts.shape.ring == 1:
        return _version(parts, state, row.version)
    key = jax.random.fold_in(keys.of_job(parts.key, row.worker, row.job), READS)
    return read(key, state.ring, row.version, state.updates)


def _version(parts: Parts, state: ReplayState, version):
    if parts.shape.ring == 1:
        return state.point
    slot = version % parts.shape.ring
    return jax.tree.map(lambda r: r[slot], state.ring)


def _gradients(parts: Parts, state: ReplayState, row, point, sample, kind):
    """At the job's point and, for a pair, at the version before."""

    def at(point):
        sampled = sample if parts.samples else None
        return parts.problem.grad(parts.data, point, row.worker, sampled)

    if parts.estimator.points == 1:
        return (at(point),)
    return jax.lax.cond(
        kind == 0,
        lambda: (at(point), tree.zeros_like(state.params)),
        lambda: (at(point), at(_version(parts, state, row.version - 1))),
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
    two = parts.estimator.points == 2
    pair = {"previous_grads": grads[1], "full": row.kind == 0} if two else {}
    estimate, estimator_state = parts.estimator.update(
        grads[0], state.estimator, state.params, **pair
    )
    key = jax.random.fold_in(keys.of_job(parts.key, row.worker, row.job), STEPS)
    updates, optimizer_state = parts.optimizer.update(
        estimate, state.optimizer, state.params, key=key, **extra
    )
    params = optax.apply_updates(state.params, tree.scale(row.step, updates))
    point = _point(parts, optimizer_state, params)
    k = state.updates + 1
    slot = k % parts.shape.ring
    return ReplayState(
        params=params,
        optimizer=optimizer_state,
        estimator=estimator_state,
        sums=state.sums,
        point=point,
        ring=jax.tree.map(
            lambda r, x: r.at[slot].set(x), state.ring, _rung(point, parts.shape)
        ),
        updates=k,
    )


def _rung(point, shape: Capacities):
    """What the ring keeps of a version: nothing if only the newest is read."""
    return point if shape.ring > 1 else ()
