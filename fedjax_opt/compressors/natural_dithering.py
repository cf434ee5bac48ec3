"""Natural dithering. arXiv:1905.10988."""

import jax.numpy as jnp

from .. import checks
from ..static import memoised
from ..types import Compressor
from .dithering import norm_ratio, on_levels

MOST_LEVELS = 100  # 2^(1 - s) and its inverse are then normal numbers in float32


@memoised
def natural_dithering(levels: int, *, norm: float = 2) -> Compressor:
    """Rounds every entry at random to ‖x‖ₚ times a power of two, or to zero.

        yᵢ = |xᵢ|/‖x‖ₚ goes to one of its two neighbours among
        0, 2¹⁻ˢ, 2²⁻ˢ, ..., 1/2, 1, with probabilities that make the mean right

        a = 2¹⁻ˢ d^(1/r), r = min(p, 2):   ω = 1/8 + min{a, a²/4}

    Large entries have the error of `natural`, those below 2¹⁻ˢ that of `dithering`
    with one level. The ω is derived here: a number has the variance y²/8 at most
    from 2¹⁻ˢ on, and y (2¹⁻ˢ − y) below; in the papers' code it is 1/8 + min{a, a²}.

    Args:
      levels: s, 1 to 100.
      norm: p >= 1; math.inf is the maximum.

    Returns:
      A Compressor; it draws from the private key of the worker. Its message is the
      norm, and sign and level of every entry in 1 + ⌈log₂(s + 1)⌉ bits. As its
      entropy counts ⌈d log₂(2s + 1)⌉ and the norm.

    Raises:
      TypeError: if levels is no integer.
      ValueError: if levels or norm is out of range.

    Reference: Horváth, Ho, Horváth, Sahu, Canini, Richtárik (2019).
      arXiv:1905.10988 (the constants of ω were read in code).
    """
    checks.positive_integer(levels, "levels")
    if levels > MOST_LEVELS:
        raise ValueError(f"levels must be at most {MOST_LEVELS}, got {levels}")
    lowest = 2.0 ** (1 - levels)

    def locate(y):
        fraction, exponent = jnp.frexp(y)  # y = fraction · 2^exponent, fraction >= 1/2
        small = y < lowest
        below = jnp.where(small, 0, exponent - 1 + levels).astype(y.dtype)
        return below, jnp.where(small, y / lowest, 2 * fraction - 1)

    def value(level):
        powers = jnp.array([0.0] + [2.0**-k for k in reversed(range(levels))])
        return powers.astype(level.dtype)[level.astype(jnp.int32)]

    def omega(d):
        a = lowest * norm_ratio(d, norm)
        return 1 / 8 + min(a, a**2 / 4)

    label = f"natural_dithering({levels}, norm={norm})"
    return on_levels(levels, norm, locate, value, omega, label)
