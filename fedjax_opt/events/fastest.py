"""Only the fastest workers work: Hero SGD, Naive Optimal ASGD."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.tree_util import Partial

from ..types import ComputeTime, Schedule
from . import cluster


class FastestState(NamedTuple):
    """Who works, [n], and the clock of the schedule among them."""

    works: Any
    clock: Any


def fastest(schedule: Schedule, count) -> Schedule:
    """`schedule` among the `count` workers with the smallest mean time per gradient.

    The others never start a job. Ties go to the lowest index. With `asgd()` and one
    worker this is Hero SGD; with m* = argmin (m/H_m)(1 + σ²/(mε)) workers, Naive
    Optimal ASGD.

    Args:
      schedule: one that does not wait for every worker.
      count: m >= 1; or a function of the means [n] that gives it.

    Raises:
      ValueError: if the schedule waits for every worker, or when used, if the compute
        times do not tell their means.

    Reference: Maranjyan, Tyurin, Richtárik (2025). arXiv:2501.16168.
    """
    if getattr(schedule.possible, "func", None) is cluster.all_alive:
        raise ValueError(
            "fastest needs a schedule that does not wait for every worker, such as "
            "asgd() or rennala(batch_size=...)"
        )
    if isinstance(count, (int, float)) and not count >= 1:
        raise ValueError(f"fastest needs at least 1 worker, got count={count}")
    return schedule._replace(
        init=Partial(_init, schedule.init, count),
        next=Partial(_next, schedule.next),
        events=None,
        longest=None,
    )


def _init(init, count, key, compute_time, num_components):
    if compute_time.mean is None:
        raise ValueError(
            "the fastest workers are unknown: these compute times have no mean; "
            "give ComputeTime(..., mean=[seconds per worker])"
        )
    m: Any = count(compute_time.mean) if callable(count) else count
    order = jnp.argsort(compute_time.mean, stable=True)
    works = jnp.zeros(order.shape, bool).at[order].set(jnp.arange(order.size) < m)
    clock = init(key, _among(works, compute_time), num_components)
    return FastestState(works, clock)


def _next(next_, state, compute_time, feedback):
    event, clock = next_(state.clock, _among(state.works, compute_time), feedback)
    return event, FastestState(state.works, clock)


def _among(works, compute_time: ComputeTime) -> ComputeTime:
    mean, cdf = compute_time.mean, compute_time.cdf
    return ComputeTime(
        sample=Partial(_if_works, compute_time.sample, works),
        lower_bound=jnp.where(works, compute_time.lower_bound, jnp.inf),
        mean=None if mean is None else jnp.where(works, mean, jnp.inf),
        cdf=None if cdf is None else Partial(_cdf_if_works, cdf, works),
        steady=compute_time.steady,
    )


def _cdf_if_works(cdf, works, seconds):
    return jnp.where(works | jnp.isinf(seconds), cdf(seconds), 0.0)


def _if_works(sample, works, key, worker, job, now, work):
    return jnp.where(works[worker], sample(key, worker, job, now, work), jnp.inf)
