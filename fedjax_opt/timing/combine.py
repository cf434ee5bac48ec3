"""Laws made of laws: mixtures, and noise that all workers share."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from ..static import bind
from ..types import ComputeTime
from .durations import several, weighted
from .inputs import of_workers, probabilities, size


def mixture(first: ComputeTime, second: ComputeTime, *, probability) -> ComputeTime:
    """Every job follows the first law with probability pᵢ, otherwise the second.

    Args:
      first, second: laws of the same n workers.
      probability: pᵢ, a number or [n].
    """
    n = size(first)
    if size(second) != n:
        raise ValueError(
            f"a mixture needs two laws of the same workers, got {n} and {size(second)}"
        )
    (p,) = of_workers(n, probability=probability, finite=("probability",))
    probabilities("probability", p)
    bounds = np.minimum(
        np.where(p > 0, first.lower_bound, np.inf),
        np.where(p < 1, second.lower_bound, np.inf),
    )
    mean = cdf = None
    if first.mean is not None and second.mean is not None:
        mean = weighted(p, first.mean) + weighted(1 - p, second.mean)
    if first.cdf is not None and second.cdf is not None:
        cdf = Partial(_mixture_cdf, first.cdf, second.cdf, p)
    sample = Partial(_mixture, first.sample, second.sample, p)
    steady = first.steady and second.steady
    return ComputeTime(sample, bounds, mean, cdf, steady=steady)


def common(compute_time: ComputeTime, key) -> ComputeTime:
    """The j-th jobs of all workers share their noise; each worker keeps its own law.

    Times of several workers are then as dependent as they can be: one bad moment hits
    all. The draws belong to `key` and to j, no longer to the key of a run: all runs on
    this cluster see the same times.

    Args:
      compute_time: the law of each worker.
      key: `jax.random.key(...)`, of the noise.
    """
    if not (
        isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    ):
        raise ValueError(f"key must be a typed key, jax.random.key(0), not {key!r}")
    draw = bind(_common, str(jax.random.key_impl(key)))
    data = np.asarray(jax.random.key_data(key))
    sample = Partial(draw, compute_time.sample, data)
    return dataclasses.replace(compute_time, sample=sample)


def _mixture(first, second, probability, key, worker, job, now, work):
    coin, key_1, key_2 = several(key, 3)
    chosen = jax.random.uniform(coin) < probability[worker]
    return jnp.where(
        chosen,
        first(key_1, worker, job, now, work),
        second(key_2, worker, job, now, work),
    )


def _mixture_cdf(first, second, probability, seconds):
    mixed = probability * first(seconds) + (1 - probability) * second(seconds)
    return jnp.minimum(mixed, 1)


def _common(implementation, sample, data, key, worker, job, now, work):
    shared = jax.random.wrap_key_data(data, impl=implementation)
    return sample(jax.random.fold_in(shared, job), worker, job, now, work)
