"""What the laws share: durations τ + s·Z, products with infinity, and keys."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from ..static import bind
from ..types import ComputeTime

# What a job misses by rounding, relative to the instants involved: thousands of
# additions on the clock stay below it.
SLACK = 1e-12

# Folded into the key of a job by laws that split it. The keys of a split are those of
# folding in 0, 1, ..., and the clock folds in 1 itself for a number of its own.
CHILD = 2

MAX_SHAPE = 1e6  # where the incomplete gamma function is off by 3e-9


def located(
    draw: Callable[..., Any],
    at_most: Callable[..., Any],
    base: np.ndarray,
    scale: np.ndarray,
    shape: tuple[np.ndarray, ...] = (),
    *,
    mean,
) -> ComputeTime:
    """The law of τᵢ + sᵢ Z for a number Z >= 0 that can come as close to 0 as it likes.

    Where s = 0 the law is fixed, whatever Z is; where τ or s is inf the worker never
    delivers.

    Args:
      draw: (key, *shape of one worker) -> Z; a function of a module.
      at_most: (z [n], *shape) -> [n], P(Z <= z) for z >= 0, inf included; likewise.
      base, scale: τ, s, [n].
      shape: further numbers of Z, [n] each.
      mean: E Z, a number or [n]; inf where there is none.
    """
    with np.errstate(over="ignore"):
        mean = base + times_or_itself(scale, mean)
    return ComputeTime(
        Partial(bind(_duration, draw), base, scale, shape),
        np.where(np.isinf(scale), np.inf, base),
        mean,
        Partial(bind(_cdf, at_most), base, scale, shape),
        steady=True,
    )


def times_or_itself(scale: np.ndarray, factor) -> np.ndarray:
    """`product` of NumPy arrays."""
    return scale * np.where((scale == 0) | np.isinf(scale), 1.0, factor)


def weighted(weight: np.ndarray, values) -> np.ndarray:
    """weight · values, where a weight of 0 stands even for inf."""
    return weight * np.where(weight > 0, values, 0)


def product(scale, factor):
    """scale · factor; a scale of 0 or inf stands whatever the factor is: no 0 · inf."""
    return scale * jnp.where((scale == 0) | jnp.isinf(scale), 1, factor)


def several(key, count: int):
    """Keys for a law that draws more than one number."""
    return jax.random.split(child(key), count)


def child(key):
    """A key for samplers of JAX that split theirs."""
    return jax.random.fold_in(key, CHILD)


def excess(base, seconds):
    """Which durations a living worker can have, and by how much they exceed `base`.

    Returns:
      (possible [n], seconds - base [n], 0 where impossible). Not possible are times
      below the base, and infinite ones, which `otherwise` answers.
    """
    possible = jnp.isfinite(base) & jnp.isfinite(seconds) & (seconds >= base)
    return possible, jnp.where(possible, seconds, 0) - jnp.where(possible, base, 0)


def otherwise(possible, probability, seconds):
    """`probability` where possible; else P = 1 of at most inf, 0 of at most less."""
    return jnp.where(possible, probability, jnp.where(seconds == jnp.inf, 1.0, 0.0))


def _duration(draw, base, scale, shape, key, worker, job, now, work):
    noise = draw(key, *(numbers[worker] for numbers in shape))
    return product(base[worker] + product(scale[worker], noise), work)


def _cdf(at_most, base, scale, shape, seconds):
    seconds = jnp.asarray(seconds, float)
    possible, extra = excess(base, seconds)
    possible &= jnp.isfinite(scale)
    noise = extra / jnp.where(possible & (scale > 0), scale, 1)
    probability = jnp.where(scale > 0, at_most(noise, *shape), 1.0)
    return otherwise(possible, probability, seconds)
