"""Compression of symmetric matrices, of which half of the entries say everything."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .. import checks
from ..static import memoised
from ..types import Array, Bits, Certificate, Compressor
from .payload import of_sums, wire_bits


class Eigenpairs(NamedTuple):
    """Some eigenvalues and eigenvectors of an n × n matrix.

    Attributes:
      values: [R].
      vectors: [n, R], a column for each.
    """

    values: Array
    vectors: Array


@memoised
def symmetric(compressor: Compressor) -> Compressor:
    """Compresses the upper triangle of a symmetric matrix, and mirrors it.

        u(X) = (xᵢᵢ and √2 xᵢⱼ, i < j, row by row),   C(X) = u⁻¹(C(u(X)))

    An n × n matrix is a vector of T = n(n + 1)/2 entries. The factor √2 makes their
    Euclidean norm the Frobenius norm of X, in which an entry off the diagonal counts
    twice: all promises of the compressor for d = T are those for X. Symmetric Top-K
    has α = 2K/(n(n + 1)), TopLEK likewise with equality, Rand-K and RandSeqK
    ω = n(n + 1)/(2K) − 1.

    Deviation: in public code for FedNL, Top-K takes the largest |xᵢⱼ| without the
    factor; then only α = K/n² can be proved. Rand-K and RandSeqK are the same with it
    and without, up to rounding. Natural compression rounds √2 xᵢⱼ, and not xᵢⱼ, to a
    power of two.

    Args:
      compressor: on arrays. Only the upper triangle of a matrix is read: one that is
        not symmetric is treated as if it were.

    Returns:
      A Compressor with the messages of the given one; its d is n². What is kept off
      the diagonal is exact up to the rounding of √2 · x/√2; √2 |x| must be finite.

    Raises:
      TypeError: if the compressor is not one on arrays.
      ValueError: when encoding, if the array is not a square matrix.

    Reference: Burlachenko, Richtárik (2024), in FedNL systems. arXiv:2410.08760, for
      the upper triangle.
    """
    if not isinstance(compressor, Compressor):
        raise TypeError(
            "symmetric needs a compressor of arrays such as top_k(10), got "
            f"{compressor!r}"
        )
    label = f"symmetric({compressor.label})"

    def entries(d):
        n = _rows(label, d)
        return n * (n + 1) // 2

    def triangle_like(like):
        return jax.ShapeDtypeStruct((entries(like.size),), like.dtype)

    def encode(keys, x):
        _check_square(label, x)
        return compressor.encode(keys, _triangle(x))

    def decode(keys, message, like):
        triangle = compressor.decode(keys, message, triangle_like(like))
        return _mirrored(triangle, _rows(label, like.size))

    def add(inner, onto, message, weight):
        wide = jnp.promote_types(onto.dtype, jnp.float32)
        total = inner(jnp.zeros(entries(onto.size), wide), message, weight)
        matrix = _mirrored(total, _rows(label, onto.size))
        return (onto.astype(wide) + matrix).astype(onto.dtype)

    def bits(keys, message, like):
        return compressor.bits(keys, message, triangle_like(like))

    def certificate(d):
        return compressor.certificate(entries(d))

    def joint(inner, d, num_workers):
        return inner(entries(d), num_workers)

    return Compressor(
        encode,
        decode,
        bits,
        certificate,
        label,
        compressor.add and functools.partial(add, compressor.add),
        compressor.joint and functools.partial(joint, compressor.joint),
    )


@memoised
def symmetric_rank_r(rank: int) -> Compressor:
    """Keeps the R eigenvalues of a symmetric matrix that are largest in absolute value.

        X = Σₖ λₖ vₖ vₖᵀ,   C(X) = Σ_{k ∈ S} λₖ vₖ vₖᵀ,
        S the R largest |λₖ|,   α = R/n

    No matrix of rank R is nearer to X. Eigenpairs take R(n + 1) numbers, where the
    factors of a singular value decomposition take 2Rn; from R = n/2 upwards the upper
    triangle is shorter: `symmetric(identity())`.

    Args:
      rank: R, at most n. Only the upper triangle of a matrix is read.

    Returns:
      A Compressor of n × n matrices, deterministic; its d is n². Its message is R
      eigenvalues and R eigenvectors, computed in at least float32. The eigenvalues of
      a float16 matrix are sent in float32: they may be n times as large as its entries.

    Raises:
      ValueError: when encoding, if the array is not a square matrix, or n < R.
    """
    checks.positive_integer(rank, "rank")
    label = f"symmetric_rank_r({rank})"

    def encode(keys, x):
        _check_square(label, x)
        certificate(x.size)
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        peak = jnp.max(jnp.abs(wide))
        values, vectors = jnp.linalg.eigh(
            wide / jnp.where(peak > 0, peak, 1), UPLO="U", symmetrize_input=False
        )
        _, kept = lax.top_k(jnp.abs(values), rank)
        values = (peak * values[kept]).astype(of_sums(x.dtype))
        return Eigenpairs(values, vectors[:, kept].astype(x.dtype))

    def decode(keys, message, like):
        at_least_float32 = jnp.promote_types(like.dtype, jnp.float32)
        values, vectors = (part.astype(at_least_float32) for part in message)
        product = jnp.matmul(vectors * values[None], vectors.T, precision="highest")
        return (product / 2 + product.T / 2).astype(like.dtype)

    def bits(keys, message, like):
        length = wire_bits(message)
        return Bits(length, length, length)

    def certificate(d):
        n = _rows(label, d)
        if rank > n:
            raise ValueError(f"{label} cannot keep {rank} of {n} eigenvalues")
        dropped = 1 - rank / n
        return Certificate(alpha=1 - dropped, eta=dropped**0.5, variance=0.0)

    return Compressor(encode, decode, bits, certificate, label)


def _rows(label: str, d: int) -> int:
    """n of an n × n matrix with d entries."""
    n = math.isqrt(d)
    if n * n != d:
        raise ValueError(f"{label} needs a square matrix, got {d} entries")
    return n


def _check_square(label: str, x) -> None:
    if x.ndim != 2 or x.shape[0] != x.shape[1]:
        raise ValueError(f"{label} needs a square matrix, got shape {x.shape}")


def _triangle(x):
    """[n, n] -> [n(n + 1)/2], row by row, weighted to keep the Frobenius norm."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    weighted = (wide * _weights(x.shape[0], wide.dtype)).astype(x.dtype)
    return weighted[np.triu_indices(x.shape[0])]


def _mirrored(triangle, n: int):
    """[n(n + 1)/2] -> [n, n], undoing `_triangle`."""
    i, j = jnp.arange(n)[:, None], jnp.arange(n)[None]
    low, high = jnp.minimum(i, j), jnp.maximum(i, j)
    slot = low * (2 * n - low - 1) // 2 + high  # rows above it: n + (n − 1) + ...
    wide = triangle.astype(jnp.promote_types(triangle.dtype, jnp.float32))
    return (wide[slot] / _weights(n, wide.dtype)).astype(triangle.dtype)


def _weights(n: int, dtype):
    return jnp.where(jnp.eye(n, dtype=bool), 1, jnp.sqrt(jnp.asarray(2, dtype)))
