"""Gaussian sketch: R random numbers, linear in the vector."""

import jax
import jax.numpy as jnp
from jax import lax

from .. import checks
from ..keys import required
from ..static import memoised
from ..types import Bits, Certificate, Compressor, Joint
from .payload import of_sums, wire_bits


@memoised
def gaussian_sketch(rows: int) -> Compressor:
    """Sends R random projections, the same for all workers.

        C(x) = Sᵀ S x,   S [R, d] of independent N(0, 1/R),   ω = (d + 1)/R

    The variance is ω|x|² exactly, for every x: for one row E|g|²⟨g, x⟩² = (d + 2)|x|².
    It is linear: as all workers have the same S, the sum of their messages is the
    message of the sum, and the error of the mean is ω|ā|², whence the joint promise
    A = ω, B = 0.

    Args:
      rows: R, the length of the message.

    Returns:
      A Compressor; both ends draw S, row by row, so that no more than one row is kept.
      That is R·d normal numbers at each end, for any dtype in float32. Its message is
      the R numbers √R S x, for float16 in float32: they are about √d times as large as
      the entries. So, divided by √R, is C(x), which must fit in the dtype of x.

    Raises:
      ValueError, TypeError: unless rows is an integer >= 1.

    Reference: the sketch is folklore; ω is derived from the fourth moments above.
    """
    checks.positive_integer(rows, "rows")

    def row_keys(keys):
        return jax.random.split(required(keys.shared), rows)

    def row(key, like):
        return jax.random.normal(key, like.shape, jnp.float32).astype(like.dtype)

    def encode(keys, x):
        flat = x.ravel().astype(jnp.promote_types(x.dtype, jnp.float32))
        project = lambda key: _sum_by_halves(row(key, flat) * flat)
        return lax.map(project, row_keys(keys)).astype(of_sums(x.dtype))

    def decode(keys, message, like):
        def add_row(total, drawn):
            key, number = drawn
            return total + row(key, total) * number, None

        zero = jnp.zeros(like.size, jnp.promote_types(like.dtype, jnp.float32))
        drawn = (row_keys(keys), message.astype(zero.dtype) / rows)
        total, _ = lax.scan(add_row, zero, drawn)
        return total.reshape(like.shape).astype(like.dtype)

    def bits(keys, message, like):
        length = wire_bits(message)
        return Bits(length, length, length)

    def certificate(d):
        return Certificate(omega=(d + 1) / rows)

    def joint(d, num_workers):
        return Joint((d + 1) / rows, 0.0)

    label = f"gaussian_sketch(rows={rows})"
    return Compressor(encode, decode, bits, certificate, label, joint=joint)


def _sum_by_halves(x):
    """The sum of a vector, with the same rounding alone and under `vmap`."""
    x = jnp.pad(x, (0, (1 << (x.size - 1).bit_length()) - x.size))
    while x.size > 1:
        x = x[: x.size // 2] + x[x.size // 2 :]
    return x[0]
