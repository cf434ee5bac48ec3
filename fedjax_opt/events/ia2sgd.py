"""IA²SGD: a step with the latest gradient of every worker. arXiv:2509.22860."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.tree_util import Partial

from ..types import Schedule
from . import cluster


class IA2SGDState(NamedTuple):
    """The cluster, and who has delivered, [n]."""

    cluster: cluster.Cluster
    delivered: Any


def ia2sgd() -> Schedule:
    """Every arrival replaces its worker's gradient in a table; then the model steps.

        Gᵢ ← ∇fᵢ(x^{k−δ}; ξ),   x^{k+1} = x^k − γ (1/n) Σⱼ Gⱼ

    Until all have delivered once there is no step; the arrival that fills the table
    makes none either. Belongs with `estimators.latest`, which keeps the table.

    Reference: baseline of arXiv:2509.22860 (the authors' code).
    """
    return Schedule(Partial(_init), Partial(_next), Partial(cluster.all_alive))


def _init(key, compute_time, num_components):
    del num_components
    workers = cluster.start(key, compute_time)
    return IA2SGDState(workers, jnp.zeros(workers.job.shape, bool))


def _next(clock, compute_time, feedback):
    event = cluster.arrival(clock.cluster)
    steps = event.accepted & clock.delivered.all()
    event = event._replace(step=steps.astype(jnp.float64))
    workers = cluster.advance(clock.cluster, event)
    workers = cluster.assign(workers, event.worker, compute_time)
    delivered = clock.delivered.at[event.worker].set(True)
    return event, IA2SGDState(workers, delivered)
