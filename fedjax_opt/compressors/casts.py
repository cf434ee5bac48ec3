"""Casts to shorter floating-point numbers, to the nearest one or at random."""

from numbers import Integral
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ..keys import required
from ..static import memoised
from ..types import Array, Bits, Certificate, Compressor
from .packing import pack, unpack
from .payload import wire_bits

# The largest entry is brought to [K, 2K), which the type can represent.
SCALED_TO = {"bfloat16": 1.0, "float8_e4m3fn": 2.0**7, "float8_e5m2": 2.0**14}
MOST_MANTISSA_BITS = 20  # with sign and exponent of float64 they fit into 32


class Short(NamedTuple):
    """Short numbers and their common scale.

    Attributes:
      values: [d] numbers, the largest one in [K, 2K] of `SCALED_TO`.
      scale: the power of two in (max|x|/2, max|x|], in at least float32.
    """

    values: Array
    scale: Array


@memoised
def cast(dtype: str) -> Compressor:
    """Rounds to the nearest short number, after a common scaling by a power of two.

        C(x) = (p/K) round(K x/p),   p = 2^⌊log₂ max|x|⌋,
        |C(x)ᵢ − xᵢ| <= u |xᵢ| in the normal range, half a subnormal step q p below it

        η = √(u² + (d − 1) q²),   α = 1 − η²   (derived)

        bfloat16        K = 1      u = 2⁻⁸    q = 2⁻¹³⁴
        float8_e4m3fn   K = 2⁷     u = 2⁻⁴    q = 2⁻¹⁷
        float8_e5m2     K = 2¹⁴    u = 2⁻³    q = 2⁻³¹

    K keeps the scaled numbers away from the largest ones (448 and 57344 in 8 bits);
    as p and K are powers of two, nothing but the cast rounds. An infinity or a NaN
    makes all entries NaN.

    Args:
      dtype: one of the names above.

    Returns:
      A Compressor, deterministic. Its message is d short numbers and the scale.

    Raises:
      ValueError: if the dtype is none of these.
    """
    if dtype not in SCALED_TO:
        known = ", ".join(SCALED_TO)
        raise ValueError(f"cast takes one of {known}, got {dtype!r}")
    layout, k = jnp.finfo(dtype), SCALED_TO[dtype]
    unit, step = float(layout.eps) / 2, float(layout.smallest_subnormal) / 2 / k

    def encode(keys, x):
        wide = x.ravel().astype(jnp.promote_types(x.dtype, jnp.float32))
        scale = _power_of_two(jnp.max(jnp.abs(wide)))
        return Short((wide / scale * k).astype(dtype), scale)

    def decode(keys, message, like):
        wide = message.values.astype(message.scale.dtype) / k * message.scale
        return wide.astype(like.dtype).reshape(like.shape)

    def bits(keys, message, like):
        length = wire_bits(message)
        return Bits(length, length, length)

    def certificate(d):
        squared = unit**2 + (d - 1) * step**2
        return Certificate(alpha=1 - squared, eta=squared**0.5, variance=0.0)

    return Compressor(encode, decode, bits, certificate, f"cast({dtype!r})")


@memoised
def stochastic_rounding(mantissa: int) -> Compressor:
    """Rounds every mantissa at random to m bits, so that the mean is right.

        |t| = a + b, a the next number below with m bits of mantissa, a + h above:
        C(t) = sgn(t) (a + h) with probability b/h, else sgn(t) a

        ω = 4⁻ᵐ/(4 (1 + 2⁻ᵐ)),   α = 1 − ω

    With m = 0 it is `natural`. The ω cannot be improved (derived; for m = 0 it is that
    of the paper, 1/8): (t − a)(a + h − t)/t² is at most h²/(4a (a + h)), which is
    largest where a is a power of two and h = 2⁻ᵐ a. It is for numbers in the normal
    range: subnormal ones are unbiased with a larger variance, beyond the largest
    number with m bits all go to that one. Infinities stay, and NaN may become one.

    Args:
      mantissa: m, 0 to 20, and less than the dtype at hand has.

    Returns:
      A Compressor; it draws from the private key of the worker. Its message is sign,
      exponent and m bits per entry; `like` must have the dtype that was encoded.

    Raises:
      ValueError: if mantissa is out of range; when encoding, if the dtype has no more
        bits than that.

    Reference: Horváth, Ho, Horváth, Sahu, Canini, Richtárik (2019), for m = 0.
      arXiv:1905.10988.
    """
    if not (isinstance(mantissa, Integral) and 0 <= mantissa <= MOST_MANTISSA_BITS):
        raise ValueError(
            f"mantissa must be 0, 1, ..., {MOST_MANTISSA_BITS}, got {mantissa!r}"
        )

    def encode(keys, x):
        layout, flat = jnp.finfo(x.dtype), x.ravel()
        if mantissa >= layout.nmant:
            raise ValueError(
                f"stochastic_rounding({mantissa}) would change nothing: {x.dtype} has "
                f"{layout.nmant} bits of mantissa. Take fewer, or identity()."
            )
        word = jnp.dtype(f"uint{layout.bits}")
        pattern = lax.bitcast_convert_type(flat, word)
        magnitude, kept = (pattern << 1) >> 1, layout.nmant - mantissa
        noise = jax.random.bits(required(keys.private), flat.shape, word)
        rounded = (magnitude + (noise >> (layout.bits - kept))) >> kept
        largest = ((2**layout.nexp - 1) << mantissa) - 1  # above it are inf and NaN
        rounded = jnp.minimum(rounded, jnp.maximum(magnitude >> kept, largest))
        negative = pattern >> (layout.bits - 1)
        code = (negative << (layout.nexp + mantissa)) | rounded
        return pack(code, 1 + layout.nexp + mantissa)

    def decode(keys, message, like):
        layout = jnp.finfo(like.dtype)
        width = 1 + layout.nexp + mantissa
        code = unpack(message, width, like.size).astype(f"uint{layout.bits}")
        pattern = code << (layout.nmant - mantissa)
        return lax.bitcast_convert_type(pattern, like.dtype).reshape(like.shape)

    def bits(keys, message, like):
        values = like.size * (1 + jnp.finfo(like.dtype).nexp + mantissa)
        return Bits(values, wire_bits(message), values)

    def certificate(d):
        unit = 2.0**-mantissa
        omega = unit**2 / (4 * (1 + unit))
        return Certificate(omega=omega, alpha=1 - omega)

    return Compressor(
        encode, decode, bits, certificate, f"stochastic_rounding({mantissa})"
    )


def _power_of_two(size):
    """The largest power of two that is at most `size`, or the smallest normal one."""
    layout = jnp.finfo(size.dtype)
    pattern = lax.bitcast_convert_type(size, jnp.dtype(f"uint{layout.bits}"))
    exponent = (pattern >> layout.nmant) << layout.nmant
    power = lax.bitcast_convert_type(exponent, size.dtype)
    return jnp.maximum(power, layout.tiny)
