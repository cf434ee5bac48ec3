"""Workers that never deliver, from the start or from some time on."""

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from ..types import ComputeTime
from .durations import SLACK
from .inputs import of_workers, size


def dead(compute_time: ComputeTime, workers) -> ComputeTime:
    """The same cluster, in which the listed workers never deliver.

    Args:
      workers: indices, 0-based.
    """
    num_workers = size(compute_time)
    workers = np.atleast_1d(np.asarray(workers))
    if workers.size and not (
        workers.dtype.kind in "iu" and 0 <= workers.min() <= workers.max() < num_workers
    ):
        raise ValueError(
            f"dead workers must be indices in 0..{num_workers - 1}, got {workers}"
        )
    is_dead = np.isin(np.arange(num_workers), workers)
    mean, cdf = compute_time.mean, compute_time.cdf
    return ComputeTime(
        Partial(_unless_dead, compute_time.sample, is_dead),
        np.where(is_dead, np.inf, compute_time.lower_bound),
        None if mean is None else np.where(is_dead, np.inf, mean),
        None if cdf is None else Partial(_unless_dead_cdf, cdf, is_dead),
        steady=compute_time.steady,
    )


def dies(compute_time: ComputeTime, times) -> ComputeTime:
    """The same cluster, in which worker i delivers nothing after the time tᵢ.

    A job that runs at tᵢ is lost; one that ends at tᵢ arrives. The mean is that of the
    long run: inf for all who die.

    Args:
      times: tᵢ, a number or [n] seconds; inf for those who live.
    """
    (times,) = of_workers(size(compute_time), times=times)
    mean = compute_time.mean
    return ComputeTime(
        Partial(_until_death, compute_time.sample, times),
        np.where(times == 0, np.inf, compute_time.lower_bound),
        None if mean is None else np.where(np.isinf(times), mean, np.inf),
    )


def _unless_dead(sample, is_dead, key, worker, job, now, work):
    return jnp.where(is_dead[worker], jnp.inf, sample(key, worker, job, now, work))


def _unless_dead_cdf(cdf, is_dead, seconds):
    at_infinity = jnp.where(jnp.asarray(seconds) == jnp.inf, 1.0, 0.0)
    return jnp.where(is_dead, at_infinity, cdf(seconds))


def _until_death(sample, times, key, worker, job, now, work):
    seconds = sample(key, worker, job, now, work)
    death = times[worker]
    alive = (now < death) & (now + seconds <= death * (1 + SLACK))
    return jnp.where(alive, seconds, jnp.inf)
