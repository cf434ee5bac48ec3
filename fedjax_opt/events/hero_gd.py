"""Hero GD: the fastest worker computes full gradients. arXiv:2405.15545."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.tree_util import Partial

from ..types import Schedule
from . import cluster
from .allocation import need_components
from .fastest import fastest


class HeroState(NamedTuple):
    """The cluster, and m."""

    cluster: cluster.Cluster
    components: Any


def hero_gd() -> Schedule:
    """The worker with the smallest mean time works alone; a job is a full gradient.

        x^{k+1} = x^k − γ (1/m) Σⱼ ∇fⱼ(x^k)

    A job costs m gradients and is a step.

    Reference: baseline of arXiv:2405.15545.
    """
    everybody = Schedule(Partial(_init), Partial(_next), Partial(cluster.any_alive))
    return fastest(everybody, 1)


def _init(key, compute_time, num_components):
    components = jnp.int32(need_components("hero_gd", num_components))
    workers = cluster.idle(key, compute_time)
    everybody = jnp.ones(workers.job.shape, bool)
    workers = cluster.assign_where(workers, everybody, compute_time, components)
    return HeroState(workers, components)


def _next(state, compute_time, feedback):
    workers, components = state
    event = cluster.arrival(workers)._replace(work=components)
    workers = cluster.advance(workers, event)
    workers = cluster.assign(workers, event.worker, compute_time, components)
    return event, HeroState(workers, components)
