"""Natural compression. arXiv:1905.10988."""

import jax
import jax.numpy as jnp
from jax import lax

from ..keys import required
from ..static import memoised
from ..types import Bits, Certificate, Compressor
from .payload import wire_bits


@memoised
def natural() -> Compressor:
    """Rounds every entry at random to a power of two, so that the mean is right.

        |t| = (1 + m) 2ᵉ, 0 <= m < 1:
        C(t) = sgn(t) 2ᵉ with probability 1 − m, else sgn(t) 2ᵉ⁺¹;   ω = 1/8

    Sign and exponent are sent, the mantissa is not. The probabilities are exact,
    and powers of two are unchanged. As ω < 1, it is a contraction as it stands,
    α = 1 − ω = 7/8; `wrap.scaled(natural())` has α = 8/9.

    The certificate is for numbers in the normal range. Outside it:
      - subnormal numbers go to 0 or to the smallest normal number; still unbiased,
        but with a larger variance;
      - from the largest power of two upwards, numbers go to that power, since the
        next one is not finite;
      - infinities stay, and NaN becomes one of them.

    Returns:
      A Compressor; it draws from the private key of the worker. Its message is one
      small integer per entry; `like` must have the dtype that was encoded. A number
      counts 9 bits in float32 and bfloat16, 12 in float64, 6 in float16.

    Reference: Horváth, Ho, Horváth, Sahu, Canini, Richtárik (2019).
      arXiv:1905.10988.
    """

    def encode(keys, x):
        layout = jnp.finfo(x.dtype)
        word = _unsigned(layout.bits)
        pattern = lax.bitcast_convert_type(x, word)
        magnitude = (pattern << 1) >> 1
        noise = jax.random.bits(required(keys.private), x.shape, word) >> (
            1 + layout.nexp
        )
        rounded = (magnitude + noise) >> layout.nmant  # carries with probability m
        largest = 2**layout.nexp - 2  # the exponent above it means inf and NaN
        exponent = jnp.minimum(rounded, jnp.maximum(magnitude >> layout.nmant, largest))
        negative = pattern >> (layout.bits - 1)
        code = (negative << layout.nexp) | exponent
        return code.astype(_unsigned(8 if layout.nexp < 8 else 16))

    def decode(keys, message, like):
        layout = jnp.finfo(like.dtype)
        code = message.astype(_unsigned(layout.bits))
        negative = code >> layout.nexp
        exponent = code & (2**layout.nexp - 1)
        pattern = (negative << (layout.bits - 1)) | (exponent << layout.nmant)
        return lax.bitcast_convert_type(pattern, like.dtype)

    def bits(keys, message, like):
        values = like.size * (1 + jnp.finfo(like.dtype).nexp)
        return Bits(values, wire_bits(message), values)

    def certificate(d):
        return Certificate(omega=1 / 8, alpha=7 / 8)

    return Compressor(encode, decode, bits, certificate, "natural()")


def _unsigned(num_bits: int):
    return jnp.dtype(f"uint{num_bits}")
