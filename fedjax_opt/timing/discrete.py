"""Times with atoms: two values, or whole multiples. The cdf jumps where draws fall."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from ..types import ComputeTime
from .durations import (
    MAX_SHAPE,
    child,
    excess,
    otherwise,
    product,
    times_or_itself,
    weighted,
)
from .inputs import at_most, per_worker, probabilities, refuse


def infinite_bernoulli(base, *, probability) -> ComputeTime:
    """τᵢ with probability pᵢ; otherwise the job never ends.

    The extreme case of MindFlayer (arXiv:2410.04285), and Bernoulli dropout.

    Args:
      base: [n] seconds τᵢ.
      probability: pᵢ, a number or [n].
    """
    base, probability = per_worker(
        base=base, probability=probability, finite=("probability",)
    )
    return _two_points(base, np.full_like(base, np.inf), probability)


def alpha_bernoulli(base, *, alpha, probability) -> ComputeTime:
    """τᵢ with probability pᵢ; otherwise ατᵢ.

    Args:
      base: [n] seconds τᵢ.
      alpha: α >= 1, a number or [n].
      probability: pᵢ, a number or [n].
    """
    base, alpha, probability = per_worker(
        base=base, alpha=alpha, probability=probability, finite=("alpha", "probability")
    )
    refuse("alpha", alpha, alpha < 1, "must be at least 1")
    return _two_points(base, alpha * base, probability)


def poisson(base, *, rate, scale=1.0) -> ComputeTime:
    """τᵢ + sᵢ · Poisson(λᵢ).

    Args:
      base: [n] seconds τᵢ that no job can beat.
      rate: λᵢ, a number or [n], at most 1e6. The cdf is accurate to 3e-15 λᵢ, but at
        best 3e-14.
      scale: sᵢ, a number or [n] seconds: the unit that is multiplied.
    """
    base, rate, scale = per_worker(base=base, rate=rate, scale=scale, finite=("rate",))
    at_most("rate", rate, MAX_SHAPE, "; beyond it the cdf loses its digits")
    mean = base + times_or_itself(np.where(rate == 0, 0.0, scale), rate)
    base = np.where(np.isinf(scale), np.inf, base)
    halves = _halves(np.where(np.isinf(scale), 0.0, scale))
    return ComputeTime(
        Partial(_poisson, base, halves, rate),
        base,
        np.where(np.isinf(base), np.inf, mean),
        Partial(_poisson_cdf, base, halves, rate),
        steady=True,
    )


def _two_points(first, second, probability) -> ComputeTime:
    """`first` <= `second`, the first with that probability; [n] each."""
    probabilities("probability", probability)
    return ComputeTime(
        Partial(_either, first, second, probability),
        np.where(probability > 0, first, second),
        weighted(probability, first) + weighted(1 - probability, second),
        Partial(_either_cdf, first, second, probability),
        steady=True,
    )


def _either(first, second, probability, key, worker, job, now, work):
    chosen = jax.random.uniform(key) < probability[worker]
    return product(jnp.where(chosen, first[worker], second[worker]), work)


def _either_cdf(first, second, probability, seconds):
    below = jnp.where(seconds >= first, probability, 0.0)
    return jnp.where(seconds >= second, 1.0, below)


def _halves(scale):
    """Two numbers of 26 bits whose sum is s, [n, 2]."""
    fraction, exponent = np.frexp(scale)
    high = np.ldexp(np.round(fraction * 2**26), exponent - 26)
    return np.stack([high, scale - high], axis=-1)


def _atom(base, halves, count):
    """τ + s k for k <= 2**26."""
    # Both products are exact: a compiler may round a product before it is added, or
    # not, and the draws and the cdf still agree.
    return (base + halves[..., 0] * count) + halves[..., 1] * count


def _poisson(base, halves, rate, key, worker, job, now, work):
    count = jax.random.poisson(child(key), rate[worker])
    return product(_atom(base[worker], halves[worker], count), work)


def _poisson_cdf(base, halves, rate, seconds):
    seconds = jnp.asarray(seconds, float)
    possible, extra = excess(base, seconds)
    start = jnp.where(possible, base, 0)
    # The largest k whose rounded τ + s k is <= seconds, missed by at most one.
    scale = halves.sum(axis=-1)
    extra += (jnp.nextafter(seconds, jnp.inf) - seconds) / 2
    count = jnp.where(possible, extra, 0) / jnp.where(scale > 0, scale, 1)
    count = jnp.floor(jnp.minimum(count, 2.0**25))
    count += _atom(start, halves, count + 1) <= seconds
    count -= _atom(start, halves, count) > seconds
    probability = jax.scipy.special.gammaincc(count + 1, jnp.where(rate > 0, rate, 1))
    certain = (rate == 0) | (scale == 0)
    return otherwise(possible, jnp.where(certain, 1.0, probability), seconds)
