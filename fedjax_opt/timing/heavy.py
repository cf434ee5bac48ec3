"""Heavy tails: lognormal, Cauchy, log-Cauchy and Lévy times.

The laws of the MindFlayer experiments (arXiv:2410.04285), as a noise on top of τᵢ. All
but the lognormal have an infinite mean. A draw too large for a float is inf: that job
never ends.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ..types import ComputeTime
from .durations import located
from .inputs import per_worker


def lognormal(median, *, sigma, base=0.0) -> ComputeTime:
    """τᵢ + mᵢ · exp(sᵢ N(0, 1)).

    Without `base` the whole time is lognormal. The law of MindFlayer is
    `lognormal(np.ones(n), sigma=s, base=times)`, with one s or, heteroscedastic, [n].

    Args:
      median: [n] seconds mᵢ.
      sigma: sᵢ, a number or [n]: the standard deviation of the logarithm.
      base: τᵢ, a number or [n] seconds.
    """
    median, sigma, base = per_worker(
        median=median, sigma=sigma, base=base, finite=("sigma",)
    )
    base, median, sigma = _without_spread(base, median, sigma)
    with np.errstate(over="ignore"):
        mean = np.exp(sigma**2 / 2)
    return located(_lognormal, _lognormal_cdf, base, median, (sigma,), mean=mean)


def folded_cauchy(base, *, scale, location=0.0) -> ComputeTime:
    """τᵢ + |cᵢ + sᵢ C| with a standard Cauchy C.

    Args:
      base: [n] seconds τᵢ that no job can beat.
      scale: sᵢ, a number or [n] seconds: the median of the noise if the location is 0.
      location: cᵢ, a number or [n] seconds.
    """
    base, scale, location = per_worker(
        base=base, scale=scale, location=location, finite=("location",)
    )
    # So little noise that no float shows it, and that its square would overflow.
    point = scale <= 1e-150 * location
    base = np.where(point, base + location, base)
    scale = np.where(point, 0.0, scale)
    ratio = np.where(point, 0.0, location) / np.where(scale > 0, scale, 1.0)
    return located(_cauchy, _cauchy_cdf, base, scale, (ratio,), mean=np.inf)


def log_cauchy(base, *, scale, median=1.0) -> ComputeTime:
    """τᵢ + mᵢ · exp(sᵢ C) with a standard Cauchy C: no power of it has a mean.

    Args:
      base: [n] seconds τᵢ that no job can beat.
      scale: sᵢ, a number or [n].
      median: mᵢ of the noise, a number or [n] seconds.
    """
    base, scale, median = per_worker(
        base=base, scale=scale, median=median, finite=("scale",)
    )
    base, median, scale = _without_spread(base, median, scale)
    return located(_log_cauchy, _log_cauchy_cdf, base, median, (scale,), mean=np.inf)


def levy(base, *, scale) -> ComputeTime:
    """τᵢ + sᵢ / N(0, 1)²: the Lévy law.

    A location is part of the base.

    Args:
      base: [n] seconds τᵢ that no job can beat.
      scale: sᵢ, a number or [n] seconds.
    """
    base, scale = per_worker(base=base, scale=scale)
    return located(_levy, _levy_cdf, base, scale, mean=np.inf)


def _without_spread(base, median, spread):
    """A logarithm that does not vary leaves a fixed time."""
    point = spread == 0
    return (
        np.where(point, base + median, base),
        np.where(point & np.isfinite(median), 0.0, median),
        np.where(point, 1.0, spread),
    )


def _lognormal(key, sigma):
    return jnp.exp(sigma * jax.random.normal(key))


def _lognormal_cdf(z, sigma):
    return jax.scipy.special.ndtr(jnp.log(z) / sigma)


def _cauchy(key, ratio):
    return jnp.abs(ratio + jax.random.cauchy(key))


def _cauchy_cdf(z, ratio):
    # atan(z − c) + atan(z + c) as one angle, which does not cancel for small z.
    above = jnp.where(z > 0, z, 1)
    angle = jnp.arctan2(2, 1 / above + (ratio - above) * (ratio / above + 1))
    return jnp.where(z > 0, angle / np.pi, 0)


def _log_cauchy(key, scale):
    return jnp.exp(scale * jax.random.cauchy(key))


def _log_cauchy_cdf(z, scale):
    # 1/2 + atan(x)/π as one angle, accurate for x → −inf.
    return jnp.arctan2(1, -jnp.log(z) / scale) / np.pi


def _levy(key):
    return 1 / jax.random.normal(key) ** 2


def _levy_cdf(z):
    return jax.scipy.special.erfc(1 / jnp.sqrt(2 * z))
