"""Messages that carry K of d numbers and their positions."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from .. import checks
from ..types import Array, Bits
from .payload import bits_per_number, wire_bits


class Sparse(NamedTuple):
    """K entries of an array.

    Attributes:
      values: [K] numbers.
      indices: [K] positions in the raveled array, all different.
    """

    values: Array
    indices: Array


def budget(
    name: str, k: int | None, fraction: float | None
) -> tuple[str, Callable[[int], int]]:
    """Reads the size arguments that the sparse compressors share.

    Args:
      name: of the compressor.
      k: number of entries kept, or None.
      fraction: share of the entries kept, in (0, 1], or None.

    Returns:
      The label of the compressor, and the function d -> K.

    Raises:
      ValueError: unless exactly one of k and fraction is given, within its range.
        The function itself raises it where K > d.
    """
    if k is not None and fraction is None:
        return _by_number(name, k)
    if k is None and fraction is not None:
        return _by_share(name, fraction)
    raise ValueError(
        f"{name} takes either k or fraction=, got k={k}, fraction={fraction}"
    )


def pack(values, indices, d: int) -> Sparse:
    """The message, with indices in the narrowest dtype that addresses d entries."""
    narrow = (jnp.uint8, jnp.uint16)
    fits = [dtype for dtype in narrow if d - 1 <= jnp.iinfo(dtype).max]
    return Sparse(values, indices.astype(fits[0] if fits else jnp.uint32))


def decode(keys, message: Sparse, like):
    """Puts the values in their places, zeros elsewhere."""
    flat = jnp.zeros(like.size, like.dtype)
    values = message.values.astype(like.dtype)
    return flat.at[message.indices].set(values, unique_indices=True).reshape(like.shape)


def add(onto, message: Sparse, weight):
    """onto + weight · decode(message), or the sum over a stack, in one scatter.

    Half precision is summed in float32. Where a sum runs in parallel, as on a GPU, the
    order of its terms, and with it the rounding, may differ between runs.
    """
    wide = jnp.promote_types(onto.dtype, jnp.float32)
    weight = jnp.asarray(weight, wide)[..., None]
    terms = jnp.where(weight == 0, 0, weight * message.values.astype(wide))
    alone = message.indices.ndim == 1
    flat = onto.ravel().astype(wide)
    flat = flat.at[message.indices.ravel()].add(terms.ravel(), unique_indices=alone)
    return flat.reshape(onto.shape).astype(onto.dtype)


def bits(keys, message: Sparse, like) -> Bits:
    """K numbers; on the wire their indices too, at best coded as one K-subset."""
    k = message.values.size
    values = k * bits_per_number(message.values)
    return Bits(values, wire_bits(message), values + _subset_bits(k, like.size))


def _by_number(name: str, k: int) -> tuple[str, Callable[[int], int]]:
    checks.positive_integer(k, "k")
    label = f"{name}(k={k})"

    def num_kept(d: int) -> int:
        if k > d:
            raise ValueError(
                f"{label} cannot keep {k} of {d} entries. Use a smaller k or "
                "fraction=, or treat all leaves as one vector: "
                f"wrap.whole_tree({label})."
            )
        return k

    return label, num_kept


def _by_share(name: str, fraction: float) -> tuple[str, Callable[[int], int]]:
    checks.in_unit_interval(fraction, "fraction", zero=False)
    return f"{name}(fraction={fraction})", lambda d: max(1, round(fraction * d))


def _subset_bits(k: int, d: int) -> int:
    """min{K ⌈log₂ d⌉, ⌈log₂ (d over K)⌉, d}: a list, a rank among subsets, a bitmap."""
    log_subsets = math.lgamma(d + 1) - math.lgamma(k + 1) - math.lgamma(d - k + 1)
    rank = math.ceil(log_subsets / math.log(2) - 1e-6)  # lgamma rounds
    return min(k * (d - 1).bit_length(), rank, d)
