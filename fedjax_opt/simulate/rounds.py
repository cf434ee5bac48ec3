"""The numbers of a method that goes in rounds: all workers, one message each."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from .. import keys, tree
from ..types import Mechanism, Method
from .distribute import DistributeState, coming_keys, distribute
from .downlink import downlink, eval_params
from .layout import over, stacked


class RoundsState(NamedTuple):
    """The server, the workers, and the point of the round before.

    Attributes:
      params: x^k.
      previous: the point of the last gradients where a worker needs it, else ().
      optimizer: state of the adapter and the server's optimizer, chained.
      round: k.
      bits: the `wire` bits sent so far, in 64 bits: up; down where that is compressed.
    """

    params: Any
    previous: Any
    optimizer: Any
    round: Any
    bits: Any


def rounds(
    method: Method,
    mechanism: Mechanism,
    problem,
    data,
    params,
    key,
    num_workers: int,
    mesh: Mesh | None,
):
    """The rounds as (state, advance), where `advance(state, stream, first, last)`.

    On a mesh every device has the data and the model; it computes the gradients and
    keeps the states of its own workers.
    """
    sample_key, mechanism_key = jax.random.split(key)
    estimator = method.estimator()
    layout = stacked() if mesh is None else over(mesh, num_workers)
    workers = jnp.arange(num_workers, dtype=jnp.int32)
    draws = problem.draw is not None and not method.full_gradients
    two_points = estimator.points == 2

    refresh = None if method.refresh is None else method.refresh()

    def gradients_of(workers, server):
        index, full = workers
        point, round_index, data, sample_key = server

        def sampled(worker):
            sample = None
            if draws:
                job_key = keys.of_job(sample_key, worker, round_index)
                sample = problem.draw(job_key, data, worker)
            return problem.grad(data, point, worker, sample)

        def local(worker):
            return problem.grad(data, point, worker, None)

        grads = jax.vmap(sampled)(index)
        if refresh is not None:
            whole = jax.lax.cond(
                full.any(), lambda: jax.vmap(local)(index), lambda: grads
            )
            grads = jax.vmap(tree.select)(full, whole, grads)
        return grads, ()

    def gradients(point, round_index, full):
        server = (point, round_index, data, sample_key)
        return layout.spread(gradients_of)((workers, full), server)[0]

    def coins(state):
        """Who takes a full gradient, [n]."""
        if refresh is None:
            return jnp.zeros(num_workers, bool)
        adapter = _adapter(method, state.optimizer)
        return jax.vmap(refresh)(coming_keys(adapter, num_workers)) | (state.round == 0)

    beginning = jnp.zeros((), jnp.int32)
    first_grads = None
    if method.first_gradients:
        first_grads = gradients(params, beginning, jnp.ones(num_workers, bool))
    make_participation, make_aggregator = method.participation, method.aggregator
    uplink = distribute(
        mechanism,
        num_workers,
        key=mechanism_key,
        worker_transform=estimator,
        participation=make_participation and make_participation(),
        aggregator=make_aggregator and make_aggregator(),
        mesh=mesh,
        first_grads=first_grads,
    )
    optimizer = optax.chain(uplink, method.optimizer())
    if method.downlink is not None:
        down_key = jax.random.fold_in(mechanism_key, num_workers)
        optimizer = downlink(optimizer, method.downlink(), key=down_key)

    def seen(state):
        if method.downlink is None:
            return state.params
        return eval_params(state.optimizer)

    def one_round(_, state):
        point, full, extra = seen(state), coins(state), {}
        if two_points:
            extra["previous_grads"] = gradients(state.previous, state.round, full)
        if refresh is not None:
            extra["full"] = full
        grads = gradients(point, state.round, full)
        updates, optimizer_state = optimizer.update(
            grads, state.optimizer, state.params, **extra
        )
        return RoundsState(
            params=optax.apply_updates(state.params, updates),
            previous=point if two_points else (),
            optimizer=optimizer_state,
            round=state.round + 1,
            bits=_counted(state.bits, _infos(method, optimizer_state)),
        )

    def advance(state, stream, first, last):
        return jax.lax.fori_loop(first, last, one_round, state)

    optimizer_state = optimizer.init(params)
    state = RoundsState(
        params=params,
        previous=params if two_points else (),
        optimizer=optimizer_state,
        round=beginning,
        bits=_nothing_sent(len(_infos(method, optimizer_state))),
    )
    return state, advance


def _adapter(method: Method, optimizer_state) -> DistributeState:
    """The state of `distribute`, of a chain that may be wrapped by `downlink`."""
    wrapped = method.downlink is not None
    return (optimizer_state.optimizer if wrapped else optimizer_state)[0]


def _infos(method: Method, optimizer_state):
    """The accounts of the last round: up; down where that is compressed."""
    up = _adapter(method, optimizer_state).info
    return (up,) if method.downlink is None else (up, optimizer_state.info)


def _nothing_sent(directions: int):
    with jax.enable_x64(True):
        return (jnp.zeros((), jnp.float64),) * directions


def _counted(bits, infos):
    """The bits of one more round, in 64 bits also where the numbers have 32."""
    with jax.enable_x64(True):
        return tuple(
            total + info.bits.wire.astype(jnp.float64)
            for total, info in zip(bits, infos, strict=True)
        )
