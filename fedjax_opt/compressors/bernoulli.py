"""All or nothing: the array is sent with probability p."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from .. import checks
from ..keys import required
from ..static import memoised
from ..types import Array, Bits, Certificate, Compressor
from .payload import wire_bits


class Perhaps(NamedTuple):
    """An array that may not be sent.

    Attributes:
      sent: one byte, 1 where it is.
      values: its entries; zeros where it is not.
    """

    sent: Array
    values: Array


@memoised
def bernoulli(p: float) -> Compressor:
    """Sends the array with probability p, scaled up so that the mean is right.

        C(x) = x/p with probability p, else 0;   ω = 1/p − 1

    The variance is ω|x|² exactly. It certifies ω only: `lazy(p)` is its contraction.

    Args:
      p: in (0, 1].

    Returns:
      A Compressor; the coin is flipped with the private key of the worker. Its message
      is one byte that says whether the array is sent, and the array before the scaling:
      8 bits on the wire, or 8 and d numbers. An ideal code counts one bit for the coin.

    Raises:
      ValueError: unless 0 < p <= 1.
    """
    checks.in_unit_interval(p, "p", zero=False)
    return _coin(p, 1 / p, Certificate(omega=1 / p - 1), f"bernoulli({p})")


@memoised
def lazy(p: float) -> Compressor:
    """Sends the array with probability p, as it is.

        C(x) = x with probability p, else 0;
        α = p,   η = 1 − p,   variance = p(1 − p)

    All three hold with equality. It is `wrap.scaled(bernoulli(p))` without the rounding
    of a division and a multiplication: what is sent arrives bit by bit.

    Args:
      p: in (0, 1].

    Returns:
      A Compressor, with the coin and the message of `bernoulli`.

    Raises:
      ValueError: unless 0 < p <= 1.
    """
    checks.in_unit_interval(p, "p", zero=False)
    certificate = Certificate(alpha=p, eta=1 - p, variance=p * (1 - p))
    return _coin(p, 1, certificate, f"lazy({p})")


def _coin(p: float, scaling: float, promise: Certificate, label: str) -> Compressor:
    """x times `scaling` with probability p, else 0."""

    def encode(keys, x):
        sent = jax.random.bernoulli(required(keys.private), jnp.asarray(p, float))
        return Perhaps(sent.astype(jnp.uint8), jnp.where(sent, x, 0))

    def decode(keys, message, like):
        at_least_float32 = jnp.promote_types(like.dtype, jnp.float32)
        return (message.values.astype(at_least_float32) * scaling).astype(like.dtype)

    def bits(keys, message, like):
        dense = float(wire_bits(message.values))  # may not fit 32 bits
        values = jnp.where(message.sent == 1, dense, 0.0)
        return Bits(values, wire_bits(message.sent) + values, 1 + values)

    return Compressor(encode, decode, bits, lambda d: promise, label)
