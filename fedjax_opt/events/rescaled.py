"""Rescaled ASGD: steps as long as the worker is slow. arXiv:2605.13434."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.tree_util import Partial

from .. import keys
from ..types import Schedule
from . import cluster


class RescaledState(NamedTuple):
    """The cluster, and the multiplier of each worker's steps, [n]."""

    cluster: cluster.Cluster
    factor: Any


class ObservedState(NamedTuple):
    """State of the clock that learns the times.

    Attributes:
      cluster: the workers.
      started: [n] when the running jobs started, seconds.
      seconds, counts: [n] how long the delivered jobs took in all, and their number.
    """

    cluster: cluster.Cluster
    started: Any
    seconds: Any
    counts: Any


def rescaled_asgd(*, observed: bool = False) -> Schedule:
    """Asynchronous SGD whose steps undo that fast workers deliver more often.

        γᵢ = γ τᵢ / mean(τ)      for a gradient of worker i with mean time τᵢ

    Nothing is dropped. Workers that never deliver do not count in the mean.

    Args:
      observed: take for τᵢ the mean duration of the jobs that i has delivered so far,
        the arriving one included, and the mean over those who have delivered; where
        that is 0 the step is γ.

    Raises:
      ValueError: when used, if the compute times do not tell their means and
        `observed` is False.

    Reference: Mahran, Maranjyan, Richtárik (2026). arXiv:2605.13434 (abstract).
    Deviation: the paper's normalisation was not available; with this one equal times
      give plain asynchronous SGD. `observed` is not in the paper.
    """
    init, next_ = (_init_observed, _next_observed) if observed else (_init, _next)
    return Schedule(Partial(init), Partial(next_), Partial(cluster.all_alive))


def _init(key, compute_time, num_components):
    del num_components
    means = compute_time.mean
    if means is None:
        raise ValueError(
            "rescaled_asgd needs the mean times, and these compute times have none; "
            "give ComputeTime(..., mean=[seconds per worker]), or observed=True"
        )
    alive = jnp.isfinite(means)
    factor = _relative(jnp.where(alive, means, 0.0), means, alive)
    return RescaledState(cluster.start(key, compute_time), factor)


def _next(state, compute_time, feedback):
    event = cluster.arrival(state.cluster)
    event = event._replace(step=event.step * state.factor[event.worker])
    workers = cluster.advance(state.cluster, event)
    workers = cluster.assign(workers, event.worker, compute_time)
    return event, state._replace(cluster=workers)


def _init_observed(key, compute_time, num_components):
    del num_components
    workers = cluster.start(key, compute_time)
    zeros = jnp.zeros_like(workers.finish)
    return ObservedState(workers, zeros, zeros, zeros)


def _next_observed(state, compute_time, feedback):
    event = cluster.arrival(state.cluster)
    i, key = event.worker, keys.of_job(state.cluster.key, event.worker, event.job)
    took = compute_time.sample(key, i, event.job, state.started[i], 1)
    seconds = state.seconds.at[i].add(jnp.where(event.accepted, took, 0.0))
    counts = state.counts.at[i].add(event.accepted)
    seen = counts > 0
    means = seconds / jnp.where(seen, counts, 1)
    event = event._replace(step=event.step * _relative(means[i], means, seen))
    workers = cluster.advance(state.cluster, event)
    workers = cluster.assign(workers, i, compute_time)
    started = state.started.at[i].set(event.time)
    return event, ObservedState(workers, started, seconds, counts)


def _relative(times, means, known):
    """`times` over the mean of the `known` of `means`; 1 where that mean is 0."""
    least = jnp.min(jnp.where(known, means, jnp.inf))
    above = jnp.sum(jnp.where(known, means - least, 0.0))
    mean = least + above / jnp.maximum(known.sum(), 1)  # exact if all are equal
    positive = mean > 0
    return jnp.where(positive, times / jnp.where(positive, mean, 1.0), 1.0)
