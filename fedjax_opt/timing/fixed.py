"""Times that do not vary."""

import jax.numpy as jnp
from jax.tree_util import Partial

from ..types import ComputeTime
from .durations import product
from .inputs import per_worker


def fixed(times) -> ComputeTime:
    """Worker i always needs τᵢ seconds per gradient.

    Args:
      times: [n] seconds, >= 0; inf for a worker that never delivers.
    """
    (times,) = per_worker(times=times)
    sample, cdf = Partial(_fixed, times), Partial(_cdf, times)
    return ComputeTime(sample, times, times, cdf, steady=True)


def _fixed(times, key, worker, job, now, work):
    return product(times[worker], work)


def _cdf(times, seconds):
    return jnp.where(seconds >= times, 1.0, 0.0)
