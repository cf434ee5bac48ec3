"""The adapter: a mechanism, told for one worker and the server, as an optax part.

A mechanism file has no worker axis in sight. It is added here, with `vmap` on one
device and with `shard_map` on a mesh.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from .. import aggregators, checks, keys, tree
from ..types import Aggregator, Array, Mechanism, Tree
from .layout import over, stacked
from .participation import Participation, who_comes
from .round_trip import Parts, RoundInfo, Server, Workers, no_round, round_trip
from .worker_axis import check_worker_axis, with_worker_axis


class DistributeState(NamedTuple):
    """State of `distribute`.

    Attributes:
      key: from which the coming rounds draw.
      worker: the mechanism's state of every worker, leaves [n, ...].
      transform: the state of every worker's transform, leaves [n, ...].
      server: the mechanism's state of the server.
      aggregator: the state of the aggregator.
      round: how many there have been.
      info: of the last one.
    """

    key: keys.Key
    worker: Tree
    transform: Tree
    server: Tree
    aggregator: Tree
    round: Array
    info: RoundInfo


def distribute(
    mechanism: Mechanism,
    num_workers: int,
    *,
    key: keys.Key,
    aggregator: Aggregator | None = None,
    worker_transform: optax.GradientTransformation | None = None,
    participation: Participation | None = None,
    mesh: Mesh | None = None,
    first_grads: Tree | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Turns the gradients of n workers into one estimate, by way of their messages.

    In each round every worker transforms its gradient and makes a message of it; the
    server decodes and aggregates the n messages. The sign stays that of the gradient:

        optax.chain(distribute(ef21(top_k(10)), 8, key=key), optax.adam(1e-3))

    A worker that does not come sends zero, keeps its state and pays no bits. The mean
    divides by n all the same: if τ of n come, the estimate of a mechanism without
    memory (`dcgd`) is on average τ/n times the mean gradient.

    Args:
      mechanism: who sends what.
      num_workers: n.
      key: `jax.random.key(...)`, from which all rounds draw.
      aggregator: what the server makes of the messages; the mean by default. Many
        mechanisms need a linear one (`Mechanism.linear`).
      worker_transform: optax transformation of each worker's gradient before the
        message: an estimator, clipping, noise. Every worker has a state of its own;
        random keys in it are made different.
      participation: (key, num_workers, round) -> mask [n] of bools; all come by
        default. Some mechanisms take none (`Mechanism.everybody`).
      mesh: with one axis whose size divides n: the workers are spread over it, and
        only messages cross its links. One device by default.
      first_grads: leaves [n, ...], for mechanisms that may begin at ∇fᵢ(x⁰).

    Returns:
      An optax transformation. `update(worker_grads, state, params=None, **extra)`
      takes leaves [n, ...], in the dtypes of the parameters, and returns the estimate,
      like the parameters. Those of the extra arguments (`previous_grads=`) whose
      leaves all have a leading axis n go to worker_transform, to each worker its own.

    Raises:
      TypeError: if the key is not a typed one.
      ValueError: if the mesh, the participation or the aggregator does not fit, or an
        array has not one row per worker.
    """
    checks.positive_integer(num_workers, "num_workers")
    if not _is_key(key):
        raise TypeError(f"key must be made by jax.random.key(seed), got {key!r}")
    checks.company(
        mechanism,
        participation=participation,
        aggregator=aggregator,
        user="distribute",
    )
    layout = stacked() if mesh is None else over(mesh, num_workers)
    transform = optax.identity() if worker_transform is None else worker_transform
    parts = Parts(
        mechanism,
        aggregators.mean() if aggregator is None else aggregator,
        optax.with_extra_args_support(transform),
        num_workers,
        layout.gather,
    )
    one_round = layout.spread(lambda *inputs: round_trip(parts, *inputs))

    def init(params):
        workers, server = _start(parts, params, first_grads)
        workers, (own_key, *server) = layout.place(workers, (key, *server))
        # A state of its own: callers may donate its buffers.
        return jax.tree.map(jnp.copy, DistributeState(own_key, *workers, *server))

    def update(updates, state, params=None, **extra):
        check_worker_axis("worker_grads", updates, num_workers)
        next_key, round_key, aggregator_key, came_key = _round_keys(state)
        came = who_comes(participation, came_key, num_workers, state.round)
        workers = Workers(
            index=jnp.arange(num_workers),
            came=came,
            grad=updates,
            extra=with_worker_axis(extra, num_workers),
            state=state.worker,
            transform=state.transform,
        )
        server = Server(
            round_key=round_key,
            aggregator_key=aggregator_key,
            came=came,
            params=params,
            state=state.server,
            aggregator=state.aggregator,
        )
        (worker, transform), served = one_round(workers, server)
        estimate, server_state, aggregator_state, info = served
        return estimate, DistributeState(
            key=next_key,
            worker=worker,
            transform=transform,
            server=server_state,
            aggregator=aggregator_state,
            round=state.round + 1,
            info=info,
        )

    return optax.GradientTransformationExtraArgs(init, update)


def coming_keys(state: DistributeState, num_workers: int) -> keys.Keys:
    """What every worker may draw from in the coming round, leaves [n]."""
    round_key = _round_keys(state)[1]
    return jax.vmap(lambda i: keys.in_round(round_key, i, num_workers))(
        jnp.arange(num_workers)
    )


def _round_keys(state: DistributeState):
    """Keys of the next state, the mechanism, the aggregator, the participation."""
    return jax.random.split(state.key, 4)


def _start(parts: Parts, params: Tree, first_grads: Tree | None):
    """The states before the first round: of the workers, of the server."""
    if first_grads is not None:
        check_worker_axis("first_grads", first_grads, parts.num_workers)

    def of_worker(index, first_grad):
        state = parts.mechanism.init(params, first_grad).worker
        return state, _own_keys(parts.transform.init(params), index)

    workers = jax.vmap(of_worker)(jnp.arange(parts.num_workers), first_grads)
    mean_grad = None if first_grads is None else tree.mean_over_workers(first_grads)
    state = parts.mechanism.init(params, mean_grad).server
    nothing = jnp.zeros((), jnp.int32)
    return workers, (state, parts.aggregator.init(params), nothing, no_round())


def _own_keys(state: Tree, index) -> Tree:
    """Makes the random keys in a transform's state those of one worker."""

    def own(leaf):
        return jax.random.fold_in(leaf, index) if _is_key(leaf) else leaf

    return jax.tree.map(own, state)


def _is_key(value) -> bool:
    is_array = isinstance(value, jax.Array)
    return is_array and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
