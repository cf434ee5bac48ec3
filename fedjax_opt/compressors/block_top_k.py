"""Top-K in every block of an array. arXiv:2002.12410."""

import jax
import jax.numpy as jnp

from .. import checks
from ..static import memoised
from ..types import Bits, Certificate, Compressor
from . import sparse
from .largest import largest


@memoised
def block_top_k(k: int, *, block_size: int) -> Compressor:
    """Keeps the K entries of each block that are largest in absolute value.

        C(x) = Σ_b Σ_{i ∈ S_b} xᵢ eᵢ,   S_b the K_b largest |xᵢ| of block b,
        K_b = min{K, d_b},   α = min_b K_b/d_b

    Blocks are `block_size` entries in a row; the last one may be shorter. An index
    counts within its block: 8 bits do up to a block size of 256, however large d is.
    Of equal entries those with the lowest index are kept.

    Args:
      k: K, at most the block size.
      block_size: entries per block; an array with fewer is one block.

    Returns:
      A Compressor, deterministic. Its message is Σ K_b numbers and as many indices.

    Raises:
      ValueError: if k is larger than the block size.

    Reference: Beznosikov, Horváth, Richtárik, Safaryan (2020). arXiv:2002.12410, for
      Top-K, which this is in every block.
    """
    checks.positive_integer(k, "k")
    checks.positive_integer(block_size, "block_size")
    label = f"block_top_k({k}, block_size={block_size})"
    if k > block_size:
        raise ValueError(
            f"{label} cannot keep {k} of {block_size} entries: use a smaller k or "
            "larger blocks"
        )

    def layout(d):
        """(blocks before the last, size of those, size of the last)."""
        width = min(block_size, d)
        full = -(-d // width) - 1
        return full, width, d - full * width

    def encode(keys, x):
        full, width, last = layout(x.size)
        padded = jnp.pad(x.ravel(), (0, width - last))
        # Padding is kept only once everything else is, at the end of the last row.
        local = jax.vmap(lambda block: largest(block, min(k, width)))(
            padded.reshape(-1, width)
        ).ravel()[: full * min(k, width) + min(k, last)]
        return sparse.pack(padded[local + starts(local, width)], local, width)

    def starts(indices, width):
        """Where the block of each index begins."""
        block = jnp.arange(indices.shape[-1], dtype=jnp.int32) // min(k, width)
        return jnp.broadcast_to(block * width, indices.shape)

    def in_array(message, like):
        _, width, _ = layout(like.size)
        indices = message.indices.astype(jnp.int32)
        return message._replace(indices=indices + starts(indices, width))

    def decode(keys, message, like):
        return sparse.decode(keys, in_array(message, like), like)

    def add(onto, message, weight):
        return sparse.add(onto, in_array(message, onto), weight)

    def bits(keys, message, like):
        full, width, last = layout(like.size)
        one, end = block_bits(message, width), block_bits(message, last)
        return Bits(*(full * a + b for a, b in zip(one, end, strict=True)))

    def block_bits(message, size):
        kept = min(k, size)
        part = sparse.Sparse(
            *(jax.ShapeDtypeStruct((kept,), part.dtype) for part in message)
        )
        return sparse.bits(None, part, jax.ShapeDtypeStruct((size,), jnp.uint8))

    def certificate(d):
        full, width, last = layout(d)
        sizes = (width, last) if full else (last,)
        dropped = max(1 - min(k, size) / size for size in sizes)
        return Certificate(alpha=1 - dropped, eta=dropped**0.5, variance=0.0)

    return Compressor(encode, decode, bits, certificate, label, add)
