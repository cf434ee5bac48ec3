"""Lengths of arrays in bits; shapes and dtypes suffice."""

from typing import Any

import jax
import jax.numpy as jnp


def bits_per_number(x: Any) -> int:
    """The length of one entry of x."""
    return 8 * x.dtype.itemsize


def wire_bits(message: Any) -> int:
    """What the arrays of a message take: 8 times their bytes."""
    return sum(x.size * bits_per_number(x) for x in jax.tree.leaves(message))


def of_sums(dtype: Any) -> Any:
    """The dtype in which sums of many numbers are sent: float32 for float16.

    The largest number of float16 is 65504; bfloat16 has the range of float32.
    """
    return jnp.promote_types(dtype, jnp.bfloat16)
