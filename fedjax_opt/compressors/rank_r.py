"""Rank-R, the truncated singular value decomposition."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .. import checks
from ..static import memoised
from ..types import Array, Bits, Certificate, Compressor
from .payload import wire_bits


class Factors(NamedTuple):
    """A matrix of rank R, as left · rightᵀ.

    Attributes:
      left: [m, R].
      right: [q, R].
    """

    left: Array
    right: Array


@memoised
def rank_r(rank: int) -> Compressor:
    """Keeps the R largest singular values of a matrix.

        X = Σ σᵣ uᵣ vᵣᵀ [m, q],   C(X) = Σ_{r <= R} σᵣ uᵣ vᵣᵀ,   α = R/min(m, q)

    The error Σ_{r > R} σᵣ² attains the certificate where all σᵣ are equal. An array
    with more than two axes is flattened to (first, rest); a vector, or a number,
    becomes the most square m × q with mq = d, so that one of prime length is a row.
    Where the factors are no shorter than the matrix, R(m + q) >= mq, it is sent as it
    is.

    The certificate knows d alone, and is that of a vector. It holds for every matrix
    with d entries: none has a larger min(m, q), or shorter factors.

    Args:
      rank: R.

    Returns:
      A Compressor, deterministic. Its message is the two factors, R(m + q) numbers,
      with √σᵣ in each, or the array itself.

    Raises:
      ValueError, TypeError: unless the rank is an integer >= 1.

    Reference: Vogels, Karimireddy, Jaggi (2019), whose PowerSGD approximates it.
      arXiv:1905.13727. The certificate is elementary: the R largest of min(m, q)
      squared singular values have at least their share of the sum.
    """
    checks.positive_integer(rank, "rank")

    def encode(keys, x):
        rows, columns = matrix_shape(x.shape)
        if is_dense(rank, rows, columns):
            return x
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        peak = jnp.max(jnp.abs(wide))
        scaled = wide.reshape(rows, columns) / jnp.where(peak == 0, 1, peak)
        u, s, vt = jnp.linalg.svd(scaled, full_matrices=False)
        half = jnp.sqrt(s[:rank]) * jnp.sqrt(peak)
        left, right = u[:, :rank] * half[None, :], vt[:rank].T * half[None, :]
        return Factors(left.astype(x.dtype), right.astype(x.dtype))

    def decode(keys, message, like):
        if not isinstance(message, Factors):
            return message.astype(like.dtype)
        at_least_float32 = jnp.promote_types(like.dtype, jnp.float32)
        left, right = (factor.astype(at_least_float32) for factor in message)
        product = jnp.matmul(left, right.T, precision=jax.lax.Precision.HIGHEST)
        return product.reshape(like.shape).astype(like.dtype)

    def bits(keys, message, like):
        length = wire_bits(message)
        return Bits(length, length, length)

    def certificate(d):
        rows, columns = _most_square(d)
        kept = 1.0 if is_dense(rank, rows, columns) else rank / rows
        return Certificate(alpha=kept, eta=(1 - kept) ** 0.5, variance=0.0)

    return Compressor(encode, decode, bits, certificate, f"rank_r(rank={rank})")


def is_dense(rank: int, rows: int, columns: int) -> bool:
    """Are the factors no shorter than the matrix?"""
    return rank * (rows + columns) >= rows * columns


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """(m, q) of an array of which `rank_r` makes a matrix."""
    size = math.prod(shape)
    if len(shape) < 2 or size == 0:
        return _most_square(size)
    return shape[0], size // shape[0]


@functools.cache
def _most_square(d: int) -> tuple[int, int]:
    """(m, q) with mq = d, m <= q, and m as large as possible."""
    rows = max(1, math.isqrt(d))
    while d % rows:
        rows -= 1
    return rows, d // rows
