"""Scaled sign. arXiv:1901.09847."""

from typing import NamedTuple

import jax.numpy as jnp

from ..static import memoised
from ..types import Array, Bits, Certificate, Compressor
from .payload import bits_per_number, wire_bits


class Signs(NamedTuple):
    """The signs of d numbers and their common magnitude.

    Attributes:
      packed: [⌈d/8⌉] bytes, one bit per entry: 1 where xᵢ >= 0.
      scale: |x|₁/d.
    """

    packed: Array
    scale: Array


@memoised
def scaled_sign() -> Compressor:
    """Sends one bit per entry and the mean absolute value.

        C(x) = (|x|₁/d) sgn(x),   |C(x) − x|² = |x|² − |x|₁²/d,   α = 1/d

    One bit cannot say zero, so zero entries get the sign +. The identity above, and
    with it α, holds whichever sign they get; the zero vector has scale 0 and maps
    to itself. Without the factor it is `sign`, which is no contraction.

    Returns:
      A Compressor, deterministic. Its message is d bits and one number.

    Reference: Karimireddy, Rebjock, Stich, Jaggi (2019). arXiv:1901.09847.
    """

    def encode(keys, x):
        flat = x.ravel()
        magnitude = jnp.abs(flat).astype(jnp.promote_types(x.dtype, jnp.float32))
        # Divided first: the sum of huge entries must not overflow.
        scale = jnp.sum(magnitude / x.size).astype(x.dtype)
        return Signs(jnp.packbits(flat >= 0), scale)

    def decode(keys, message, like):
        positive = jnp.unpackbits(message.packed, count=like.size).astype(bool)
        scale = message.scale.astype(like.dtype)
        return jnp.where(positive, scale, -scale).reshape(like.shape)

    def bits(keys, message, like):
        values = like.size + bits_per_number(message.scale)
        return Bits(values, wire_bits(message), values)

    def certificate(d):
        return Certificate(alpha=1 / d, eta=(1 - 1 / d) ** 0.5, variance=0.0)

    return Compressor(encode, decode, bits, certificate, "scaled_sign()")
