"""Small unsigned integers, packed into bytes without gaps."""

import jax.numpy as jnp

from ..types import Array


def pack(codes: Array, width: int) -> Array:
    """[⌈d · width / 8⌉] bytes that hold d integers, the lowest bit of each first.

    Args:
      codes: [d] integers below 2**width.
      width: bits of each, at most 32.
    """
    codes = codes.astype(jnp.uint32)
    places = jnp.arange(width, dtype=jnp.uint32)
    bits = (codes[:, None] >> places[None]) & 1
    return jnp.packbits(bits.astype(bool).ravel())


def unpack(packed: Array, width: int, count: int) -> Array:
    """[count] integers, uint32: the inverse of `pack`."""
    bits = jnp.unpackbits(packed, count=count * width).reshape(count, width)
    places = jnp.arange(width, dtype=jnp.uint32)
    return jnp.sum(bits.astype(jnp.uint32) << places[None], axis=1, dtype=jnp.uint32)
