"""Top-K of blocks, by their norms. arXiv:2002.12410."""

import jax
import jax.numpy as jnp
from jax import lax

from .. import checks
from ..linalg import euclidean_norm
from ..static import memoised
from ..types import Bits, Certificate, Compressor
from . import sparse
from .payload import wire_bits


@memoised
def block_norm_top(
    k: int, *, block_size: int | None = None, num_blocks: int | None = None
) -> Compressor:
    """Keeps the K blocks of an array that have the largest Euclidean norm.

        C(x) = Σ_{b ∈ S} x_b,   S the K largest |x_b| of B blocks,   α = K/B

    Blocks are entries in a row, all of one size but for the last, which may be
    shorter; one index is sent for a whole block. Of equal ones those with the lowest
    index are kept.

    Args:
      k: K, at most the number of blocks.
      block_size: entries per block; B = ⌈d / block_size⌉.
      num_blocks: B instead of the size: blocks have ⌈d / num_blocks⌉ entries. If that
        does not divide d, fewer blocks may do; α then has their number.

    Returns:
      A Compressor, deterministic. Its message is K blocks of numbers and K indices;
      the last block is filled up with zeros.

    Raises:
      ValueError: unless exactly one of block_size and num_blocks is given; when
        encoding, if the array has fewer than k blocks.

    Reference: Beznosikov, Horváth, Richtárik, Safaryan (2020). arXiv:2002.12410, for
      Top-K, which this is on the norms.
    """
    checks.positive_integer(k, "k")
    label, width_of = _partition(k, block_size, num_blocks)

    def layout(d):
        """(entries per block, number of blocks)."""
        width = width_of(d)
        count = -(-d // width)
        if k > count:
            raise ValueError(
                f"{label} cannot keep {k} of the {count} blocks of {d} entries: use a "
                "smaller k or smaller blocks"
            )
        return width, count

    def encode(keys, x):
        width, count = layout(x.size)
        padded = jnp.pad(x.ravel(), (0, width * count - x.size))
        blocks = padded.reshape(count, width)
        _, indices = lax.top_k(euclidean_norm(blocks, axis=1), k)
        return sparse.pack(blocks[indices], indices, count)

    def entries(message, like):
        """The same entry by entry; the padding lies outside the array."""
        width, _ = layout(like.size)
        begin = message.indices.astype(jnp.int32)[..., None] * width
        offset = lax.broadcasted_iota(
            jnp.int32, (*message.indices.shape, width), begin.ndim - 1
        )
        flat = (*message.indices.shape[:-1], k * width)
        return sparse.Sparse(
            message.values.reshape(flat), (begin + offset).reshape(flat)
        )

    def decode(keys, message, like):
        return sparse.decode(keys, entries(message, like), like)

    def add(onto, message, weight):
        return sparse.add(onto, entries(message, onto), weight)

    def bits(keys, message, like):
        _, count = layout(like.size)
        # K of B items, each as long as one number of the dtype: the rest is numbers.
        chosen = sparse.Sparse(
            jax.ShapeDtypeStruct((k,), message.values.dtype), message.indices
        )
        among = jax.ShapeDtypeStruct((count,), jnp.uint8)
        of_one = sparse.bits(None, chosen, among)
        numbers = wire_bits(message.values)
        return Bits(
            numbers, wire_bits(message), numbers + of_one.entropy - of_one.values
        )

    def certificate(d):
        _, count = layout(d)
        dropped = 1 - k / count
        return Certificate(alpha=1 - dropped, eta=dropped**0.5, variance=0.0)

    return Compressor(encode, decode, bits, certificate, label, add)


def _partition(k: int, block_size: int | None, num_blocks: int | None):
    """The label, and the function d -> entries per block."""
    if (block_size is None) == (num_blocks is None):
        raise ValueError(
            "block_norm_top takes either block_size= or num_blocks=, got "
            f"block_size={block_size}, num_blocks={num_blocks}"
        )
    if block_size is not None:
        checks.positive_integer(block_size, "block_size")
        label = f"block_norm_top({k}, block_size={block_size})"
        return label, lambda d: min(block_size, d)
    checks.positive_integer(num_blocks, "num_blocks")
    label = f"block_norm_top({k}, num_blocks={num_blocks})"
    return label, lambda d: -(-d // num_blocks)
