"""No compression."""

from ..static import memoised
from ..types import Bits, Certificate, Compressor
from .payload import wire_bits


@memoised
def identity() -> Compressor:
    """Sends the array as it is.

        C(x) = x,   ω = 0,   α = 1

    Returns:
      A Compressor. Its message is x; d numbers.
    """

    def encode(keys, x):
        return x

    def decode(keys, message, like):
        return message.astype(like.dtype)

    def bits(keys, message, like):
        length = wire_bits(message)
        return Bits(length, length, length)

    def certificate(d):
        return Certificate(omega=0.0, alpha=1.0)

    return Compressor(encode, decode, bits, certificate, "identity()")
