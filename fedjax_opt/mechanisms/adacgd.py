"""AdaCGD, compressors chosen by what they lose. arXiv:2211.00188."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .. import checks, tree
from ..compressors.payload import wire_bits
from ..compressors.wrap import per_leaf
from ..geometry import whole_tree_l2
from ..keys import for_leaf, public
from ..static import memoised
from ..types import Array, Bits
from .three_point import AnyCompressor, ThreePointMap


class Chosen(NamedTuple):
    """A message that is one of several, as the worker decides.

    Attributes:
      index: which; one byte on the wire.
      candidates: the messages of all; the others are not read.
    """

    index: Array
    candidates: tuple[Any, ...]


@memoised
def adacgd_map(
    compressors: tuple[AnyCompressor, ...], *, trigger: Any
) -> ThreePointMap:
    """AdaCGD: EF21 with the cheapest of several compressors that is good enough.

        C_{h,y}(x) = h + Cⱼ(x − h),   j the first with |h + Cⱼ(x−h) − x|² <= ζ |x − y|²
        A = 1 − √(1−α),   B = max {(1−α)/A, ζ},   α of the last compressor

    If none is good enough it is the last. One compressor alone is EF21; ζ = 0 is EF21
    with the last one, unless another loses nothing. Norms are over all leaves.

    Args:
      compressors: C₁, ..., C_m, from cheap to good, at most 255; the last contractive
        with α. Each is applied to each leaf, or to the tree if it is on trees.
      trigger: ζ >= 0; may be traced.

    Returns:
      A ThreePointMap. Its message is j and that of Cⱼ; ideally coded log₂ m bits
      and Cⱼ's. The messages of all are in the arrays, one is counted.

    Raises:
      ValueError: if there is no compressor, the last certifies no α, or trigger is a
        negative Python number.

    Reference: Makarenko, Gasanov, Islamov, Sadiev, Richtárik (2022). arXiv:2211.00188.
      Deviation: A and B are derived here, as those of CLAG.
    """
    if not 1 <= len(compressors) <= 255:
        raise ValueError(
            f"adacgd_map needs 1 to 255 compressors, got {len(compressors)}; pass a "
            "tuple such as (top_k(1), top_k(10))"
        )
    ladder = tuple(per_leaf(c) for c in compressors)
    checks.contractive(ladder[-1], user="adacgd_map")
    if isinstance(trigger, int | float) and not trigger >= 0:
        raise ValueError(
            f"trigger must be at least 0, got {trigger}; 0 takes the last compressor"
        )
    norm = whole_tree_l2().norm

    def decoded(keys, candidates, like):
        return [
            c.decode(for_leaf(keys, j), message, like)
            for j, (c, message) in enumerate(zip(ladder, candidates, strict=True))
        ]

    def encode(keys, h, y, x):
        missed = tree.sub(x, h)
        candidates = tuple(
            c.encode(for_leaf(keys, j), missed) for j, c in enumerate(ladder)
        )
        lost = [
            norm(tree.sub(missed, moved))
            for moved in decoded(public(keys), candidates, x)
        ]
        enough = jnp.stack(lost) <= jnp.sqrt(trigger) * norm(tree.sub(x, y))
        # The last one is always good enough; argmax finds the first that is.
        index = jnp.argmax(enough.at[-1].set(True))
        return Chosen(index.astype(jnp.uint8), candidates)

    def decode(keys, message, like):
        moved = decoded(keys, message.candidates, like)
        return jax.tree.map(
            lambda *leaves: jax.lax.select_n(message.index.astype(jnp.int32), *leaves),
            *moved,
        )

    def bits(keys, message, like):
        each = [
            c.bits(for_leaf(keys, j), sent, like)
            for j, (c, sent) in enumerate(zip(ladder, message.candidates, strict=True))
        ]
        columns = [
            jnp.stack([jnp.asarray(b, float) for b in column])
            for column in zip(*each, strict=True)
        ]
        values, wire, entropy = (column[message.index] for column in columns)
        return Bits(
            values,
            wire + wire_bits(message.index),
            entropy + math.log2(len(ladder)),
        )

    return ThreePointMap(encode, decode, bits)
