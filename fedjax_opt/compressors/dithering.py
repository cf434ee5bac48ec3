"""Standard dithering, which is QSGD with the Euclidean norm. arXiv:1610.02132."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .. import checks
from ..keys import required
from ..static import memoised
from ..types import Array, Bits, Certificate, Compressor
from .packing import pack, unpack
from .payload import bits_per_number, wire_bits

MOST_LEVELS = 2**16 - 1


class Levels(NamedTuple):
    """A norm, and for each of d numbers its sign and its level below that norm.

    Attributes:
      packed: [⌈d (1 + ⌈log₂(s + 1)⌉) / 8⌉] bytes; of each number the sign, 1 for
        minus, then the level 0, ..., s.
      norm: ‖x‖ₚ, in at least float32.
    """

    packed: Array
    norm: Array


@memoised
def dithering(levels: int, *, norm: float = 2) -> Compressor:
    """Rounds every entry at random to a multiple of ‖x‖ₚ/s, so that the mean is right.

        yᵢ = |xᵢ|/‖x‖ₚ,   l = ⌊s yᵢ⌋:   C(x)ᵢ = ‖x‖ₚ sgn(xᵢ) · (l + 1)/s with
        probability s yᵢ − l, else ‖x‖ₚ sgn(xᵢ) · l/s

        ω = min{(√d − 1)/s, d/(4s²)} for p = 2;   r = min(p, 2):
        ω = min{(d^(1/r) − 1)/s, d^(2/r)/(4s²)},  for p = ∞ (√d − 1)/(2s) in the first

    The ω are derived here: with t = s y and f its fraction, a number has the variance
    f (1 − f)/s², and f (1 − f) <= min{1/4, t − t²/s}. Hence the variance of all is at
    most (‖x‖₁‖x‖ₚ − |x|²)/s and at most d‖x‖ₚ²/(4s²). The QSGD paper has
    min{√d/s, d/s²} for p = 2.

    Args:
      levels: s, 1 to 65535.
      norm: p >= 1; math.inf is the maximum.

    Returns:
      A Compressor; it draws from the private key of the worker. Its message is the
      norm, and sign and level of every entry in 1 + ⌈log₂(s + 1)⌉ bits. As its
      entropy counts the shorter one of ⌈d log₂(2s + 1)⌉ and, for p = 2, the paper's
      expected length of Elias' code without its o(1).

    Raises:
      TypeError: if levels is no integer.
      ValueError: if levels or norm is out of range.

    Reference: Alistarh, Grubic, Li, Tomioka, Vojnovic (2016). arXiv:1610.02132.
    """
    checks.positive_integer(levels, "levels")
    if levels > MOST_LEVELS:
        raise ValueError(f"levels must be at most {MOST_LEVELS}, got {levels}")

    def locate(y):
        below = jnp.floor(levels * y)
        return below, levels * y - below

    def value(level):
        return level / levels

    def omega(d):
        spread = norm_ratio(d, norm)
        excess = (math.sqrt(d) - 1) / 2 if norm == math.inf else spread - 1
        return min(excess / levels, spread**2 / (4 * levels**2))

    label = f"dithering({levels}, norm={norm})"
    c = on_levels(levels, norm, locate, value, omega, label)
    if norm != 2:
        return c

    def bits(keys, message, like):
        length = c.bits(keys, message, like)
        elias = bits_per_number(message.norm) + _elias_bits(levels, like.size)
        return length._replace(entropy=min(length.entropy, elias))

    return c._replace(bits=bits)


def on_levels(
    levels: int,
    norm: float,
    locate: Callable[[Array], tuple[Array, Array]],
    value: Callable[[Array], Array],
    omega: Callable[[int], float],
    label: str,
) -> Compressor:
    """Unbiased rounding of |xᵢ|/‖x‖ₚ to levels 0, ..., s, with the sign of xᵢ.

    Args:
      levels: s.
      norm: p.
      locate: (y) -> the highest level that is not above y, and the probability of
        the next one; numbers of y's dtype.
      value: (level) -> the y that it stands for; likewise.
      omega: (d) -> ω.
      label: of the compressor.

    Raises:
      ValueError: unless p >= 1.
    """
    if not norm >= 1:
        raise ValueError(f"norm must be at least 1, or math.inf, got {norm}")
    width = 1 + levels.bit_length()

    def encode(keys, x):
        y, size = _over_norm(x.ravel(), norm)
        below, chance = locate(jnp.abs(y))
        coin = jax.random.uniform(required(keys.private), y.shape, y.dtype)
        level = (below + (coin < chance)).astype(jnp.uint32)
        return Levels(pack((level << 1) | (y < 0), width), size)

    def decode(keys, message, like):
        code = unpack(message.packed, width, like.size)
        size = message.norm * value((code >> 1).astype(message.norm.dtype))
        signed = jnp.where((code & 1) == 1, -size, size)
        return signed.astype(like.dtype).reshape(like.shape)

    def bits(keys, message, like):
        scale = bits_per_number(message.norm)
        values = scale + like.size * width
        ideal = scale + math.ceil(like.size * math.log2(2 * levels + 1))
        return Bits(values, wire_bits(message), ideal)

    def certificate(d):
        return Certificate(omega=omega(d))

    return Compressor(encode, decode, bits, certificate, label)


def norm_ratio(d: int, p: float) -> float:
    """d^(1/r), r = min(p, 2): no x has a larger ‖x‖₁‖x‖ₚ/|x|², nor √d ‖x‖ₚ/|x|."""
    return d ** (1 / min(p, 2))


def _over_norm(x, p):
    """x/‖x‖ₚ and ‖x‖ₚ, in at least float32; zero stays zero."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    peak = jnp.max(jnp.abs(x))
    x = x / jnp.where(peak == 0, 1, peak)
    if p == math.inf:
        size = jnp.ones_like(peak)
    elif p == 2:
        size = jnp.sqrt(jnp.sum(jnp.square(x)))
    else:
        size = jnp.sum(jnp.abs(x) ** p) ** (1 / p)
    size = jnp.maximum(size, 1)  # as it is, but for rounding; 0 for the zero vector
    return x / size, peak * size


def _elias_bits(s: int, d: int) -> int:
    """Theorem 3.2 of the paper, without its o(1)."""
    sparse = s * (s + math.sqrt(d))
    return math.ceil((3 + 1.5 * math.log2(2 * (s**2 + d) / sparse)) * sparse)
