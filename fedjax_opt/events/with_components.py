"""A random component of a finite sum for every job."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.tree_util import Partial

from ..types import Schedule
from . import cluster
from .allocation import need_components


class WithComponentsState(NamedTuple):
    """The clock of the schedule, the key of its jobs, and m."""

    clock: Any
    key: Any
    components: Any


def with_components(schedule: Schedule) -> Schedule:
    """`schedule` in which every job has a component of its own, uniform on all m.

    The components are independent, also of the durations. With `rennala` this is the
    clock of Freya SGD.

    Args:
      schedule: one that chooses no components.

    Reference: Tyurin, Gruntkowska, Richtárik (2024). arXiv:2405.15545.
    """
    return schedule._replace(
        init=Partial(_init, schedule.init),
        next=Partial(_next, schedule.next),
        events=None,
        longest=None,
    )


def _init(init, key, compute_time, num_components):
    num_components = need_components("with_components", num_components)
    clock = init(key, compute_time, num_components)
    return WithComponentsState(clock, key, jnp.int32(num_components))


def _next(next_, state, compute_time, feedback):
    event, clock = next_(state.clock, compute_time, feedback)
    uniform = cluster.job_uniform(state.key, event.worker, event.job)
    sample = jnp.floor(uniform * state.components).astype(jnp.int32)
    return event._replace(sample=sample), state._replace(clock=clock)
