"""The numbers of a method that goes in rounds: all workers, one message each."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from .. import keys
from ..types import Mechanism, Method
from .distribute import distribute
from .layout import over, stacked


class RoundsState(NamedTuple):
    """The server, the workers, and the point of the round before.

    Attributes:
      params: x^k.
      previous: x^{k−1} where a worker needs it, else ().
      optimizer: state of the adapter and the server's optimizer, chained.
      round: k.
    """

    params: Any
    previous: Any
    optimizer: Any
    round: Any


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
    optimizer = optax.chain(
        distribute(
            mechanism,
            num_workers,
            key=mechanism_key,
            worker_transform=estimator,
            mesh=mesh,
        ),
        method.optimizer(),
    )
    layout = stacked() if mesh is None else over(mesh, num_workers)
    workers = jnp.arange(num_workers, dtype=jnp.int32)
    draws = problem.draw is not None and not method.full_gradients

    def gradients_of(workers, server):
        point, round_index, data, sample_key = server

        def of_worker(worker):
            sample = None
            if draws:
                job_key = keys.of_job(sample_key, worker, round_index)
                sample = problem.draw(job_key, data, worker)
            return problem.grad(data, point, worker, sample)

        return jax.vmap(of_worker)(workers), ()

    def gradients(point, round_index):
        server = (point, round_index, data, sample_key)
        return layout.spread(gradients_of)(workers, server)[0]

    def one_round(_, state):
        extra = {}
        if estimator.points == 2:
            extra["previous_grads"] = gradients(state.previous, state.round)
        updates, optimizer_state = optimizer.update(
            gradients(state.params, state.round), state.optimizer, state.params, **extra
        )
        return RoundsState(
            params=optax.apply_updates(state.params, updates),
            previous=state.params if estimator.points == 2 else (),
            optimizer=optimizer_state,
            round=state.round + 1,
        )

    def advance(state, stream, first, last):
        return jax.lax.fori_loop(first, last, one_round, state)

    state = RoundsState(
        params=params,
        previous=params if estimator.points == 2 else (),
        optimizer=optimizer.init(params),
        round=jnp.zeros((), jnp.int32),
    )
    return state, advance
