"""Synchronous rounds: everybody delivers once, then the model steps."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from ..types import Schedule
from . import cluster


class SynchronousState(NamedTuple):
    """The cluster, and how many workers have arrived in this round."""

    cluster: cluster.Cluster
    arrived: Any


def synchronous() -> Schedule:
    """Minibatch rounds: each worker computes one gradient, the server waits for all.

        x^{k+1} = x^k − (γ/n) Σᵢ ∇fᵢ(x^k; ξᵢ)

    Workers that have delivered idle. A round takes as long as its slowest worker; a
    dead one stops everything.
    """
    return Schedule(Partial(_init), Partial(_next), Partial(cluster.all_alive))


def _init(key, compute_time, num_components):
    del num_components
    return SynchronousState(cluster.start(key, compute_time), jnp.zeros((), jnp.int32))


def _next(clock, compute_time, feedback):
    num_workers = clock.cluster.finish.shape[0]
    event = cluster.arrival(clock.cluster)
    arrived = clock.arrived + event.accepted
    last = event.accepted & (arrived == num_workers)
    event = event._replace(
        weight=event.weight / num_workers, step=last.astype(jnp.float64)
    )
    workers = cluster.rest(cluster.advance(clock.cluster, event), event.worker)
    workers = jax.lax.cond(
        last,
        lambda: cluster.assign_where(
            workers, jnp.ones(num_workers, bool), compute_time
        ),
        lambda: workers,
    )
    return event, SynchronousState(workers, jnp.where(last, 0, arrived))
