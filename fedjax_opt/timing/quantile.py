"""Quantiles of compute times."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ..types import ComputeTime
from .inputs import of_workers, size


def quantile(compute_time: ComputeTime, probability):
    """[n] seconds in which a job of one gradient ends with at least that probability.

        Fᵢ⁻¹(p) = min {t >= 0 : Fᵢ(t) >= p}

    The smallest float that does it, by bisection over the floats themselves: as
    accurate as the cdf at every order of magnitude, and inf where the cdf stays below p
    at every finite time.

    Args:
      compute_time: a law with a cdf.
      probability: p, a number or [n], inside (0, 1).

    Returns:
      A NumPy array, computed in 64 bits; inside jit, a traced array of the precision
      there.
    """
    cdf = compute_time.cdf
    if cdf is None:
        raise ValueError(
            "quantiles need a cdf, but these compute times have none: take a law that "
            "does not change in time, or give ComputeTime(..., cdf=...)"
        )
    leaves = [jnp.zeros(()), *jax.tree.leaves((compute_time, probability))]
    if any(isinstance(leaf, Tracer) for leaf in leaves):
        p = jnp.broadcast_to(jnp.asarray(probability, float), (size(compute_time),))
        return _first(cdf, p)
    (p,) = of_workers(size(compute_time), probability=probability)
    if not ((p > 0) & (p < 1)).all():
        raise ValueError(f"probability must be inside (0, 1), got {probability}")
    with jax.enable_x64(True):
        return np.asarray(_first(cdf, p))


def median(compute_time: ComputeTime):
    """[n] seconds in which half of the jobs of one gradient end: `quantile` of 1/2."""
    return quantile(compute_time, 0.5)


@jax.jit
def _first(cdf, probability):
    # Floats >= 0 are ordered like the integers of their bits.
    number = jnp.result_type(float)
    bits = jnp.int64 if number == jnp.float64 else jnp.int32

    def seconds(pattern):
        return jax.lax.bitcast_convert_type(pattern, number)

    def halve(_, bracket):
        low, high = bracket
        middle = low + (high - low) // 2
        reached = cdf(seconds(middle)) >= probability
        return jnp.where(reached, low, middle), jnp.where(reached, middle, high)

    never = jax.lax.bitcast_convert_type(jnp.full(probability.shape, jnp.inf), bits)
    at_once = jnp.zeros_like(never)
    steps = jnp.iinfo(bits).bits - 1
    _, high = jax.lax.fori_loop(0, steps, halve, (at_once, never))
    return jnp.where(cdf(seconds(at_once)) >= probability, 0, seconds(high))
