"""Light tails: half-normal, exponential, gamma and uniform times.

Every law takes arrays over the n workers. A job of w gradients takes w times one draw.
An infinite duration is legal: that worker never delivers. Draws depend on (worker, job)
only, never on who else is at work.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ..types import ComputeTime
from .durations import MAX_SHAPE, child, located
from .inputs import at_most, per_worker


def half_normal(base, *, scale) -> ComputeTime:
    """τᵢ + |N(0, sᵢ²)|: the law of the Ringmaster ASGD experiments (arXiv:2501.16168).

    Args:
      base: [n] seconds τᵢ that no job can beat.
      scale: sᵢ, a number or [n]: the standard deviation before the absolute value.
    """
    base, scale = per_worker(base=base, scale=scale)
    mean = np.sqrt(2 / np.pi)
    return located(_half_normal, _half_normal_cdf, base, scale, mean=mean)


def exponential(scale, *, base=0.0) -> ComputeTime:
    """τᵢ + Exp with mean sᵢ.

    The law "mean + Exp(mean)" is `exponential(mean, base=mean)`.

    Args:
      scale: [n] seconds sᵢ.
      base: τᵢ, a number or [n] seconds.
    """
    scale, base = per_worker(scale=scale, base=base)
    return located(_exponential, _exponential_cdf, base, scale, mean=1.0)


def gamma(base, *, shape, scale) -> ComputeTime:
    """τᵢ + Gamma with shape kᵢ and scale sᵢ: mean τᵢ + kᵢ sᵢ, variance kᵢ sᵢ².

    The gamma law of the scripts of arXiv:2502.00775, x + Gamma(x³, 1/x), is
    `gamma(x, shape=x**3, scale=1 / x)`. Its mean is x + x², its variance x.

    Args:
      base: [n] seconds τᵢ that no job can beat.
      shape: kᵢ, a number or [n], at most 1e6. The cdf is accurate to 3e-15 kᵢ, but at
        best 3e-14.
      scale: sᵢ, a number or [n] seconds.
    """
    base, shape, scale = per_worker(
        base=base, shape=shape, scale=scale, finite=("shape",)
    )
    at_most("shape", shape, MAX_SHAPE, "; beyond it the cdf loses its digits")
    scale = np.where(shape == 0, 0.0, scale)
    shape = np.where(shape == 0, 1.0, shape)
    return located(_gamma, _gamma_cdf, base, scale, (shape,), mean=shape)


def uniform(low, *, high) -> ComputeTime:
    """Uniform between aᵢ and bᵢ.

    Args:
      low: [n] seconds aᵢ.
      high: bᵢ >= aᵢ, a number or [n] seconds; inf for a worker that never delivers.
    """
    low, high = per_worker(low=low, high=high)
    if (high < low).any():
        bad = int(np.argmax(high < low))
        raise ValueError(
            f"high must not be below low, but worker {bad} has {high[bad]} below "
            f"{low[bad]}"
        )
    width = np.where(np.isinf(high), np.inf, high - np.where(np.isinf(high), 0, low))
    return located(_uniform, _uniform_cdf, low, width, mean=0.5)


def _half_normal(key):
    return jnp.abs(jax.random.normal(key))


def _half_normal_cdf(z):
    return jax.scipy.special.erf(z / np.sqrt(2.0))


def _exponential(key):
    return jax.random.exponential(key)


def _exponential_cdf(z):
    return -jnp.expm1(-z)


def _gamma(key, shape):
    return jax.random.gamma(child(key), shape)


def _gamma_cdf(z, shape):
    return jax.scipy.special.gammainc(shape, z)


def _uniform(key):
    return jax.random.uniform(key)


def _uniform_cdf(z):
    return jnp.minimum(z, 1)
