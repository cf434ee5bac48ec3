"""Three-point maps of workers that often stay silent: LAG, CLAG, CBAG."""

from typing import Any

import jax
import jax.numpy as jnp

from .. import checks, tree
from ..compressors.identity import identity
from ..compressors.payload import wire_bits
from ..compressors.wrap import per_leaf
from ..linalg import euclidean_norm
from ..static import memoised
from ..types import Bits, Tree
from .alternatives import NOTHING, Lazy
from .coins import either, own_coin
from .three_point import AnyCompressor, ThreePointMap


@memoised
def lag_map(*, trigger: Any) -> ThreePointMap:
    """LAG: the whole gradient, but only when the estimate has become too bad.

        C_{h,y}(x) = x   if |x − h|² > ζ |x − y|²,   else h;   A = 1,   B = ζ

    ζ = 0 is gradient descent. Norms are over all leaves.

    Args:
      trigger: ζ >= 0; may be traced.

    Returns:
      A ThreePointMap. Its message is a flag and, if that is set, x − h: in the ideal
      code one bit, or 1 + d numbers' bits.

    Raises:
      ValueError: if trigger is a negative Python number.

    Reference: Chen, Giannakis, Sun, Yin (2018). arXiv:1805.09965; this rule
      arXiv:2202.00998.
    """
    return clag_map(identity(), trigger=trigger)


@memoised
def clag_map(compressor: AnyCompressor, *, trigger: Any) -> ThreePointMap:
    """CLAG: EF21 that sends only when the estimate has become too bad.

        C_{h,y}(x) = h + C(x − h)   if |x − h|² > ζ |x − y|²,   else h
        A = 1 − √(1−α),   B = max {(1−α)/A, ζ}

    ζ = 0 is EF21, C = identity LAG. Norms are over all leaves.

    Args:
      compressor: C, contractive with α.
      trigger: ζ >= 0; may be traced.

    Returns:
      A ThreePointMap. Its message is a flag and, if that is set, C(x − h): in the
      ideal code one bit, or 1 + bits(C).

    Raises:
      ValueError: if the compressor certifies no α, or trigger is a negative Python
        number.

    Reference: arXiv:2202.00998.
    """
    c = checks.contractive(per_leaf(compressor), user="clag_map")
    if isinstance(trigger, int | float) and not trigger >= 0:
        raise ValueError(f"trigger must be at least 0, got {trigger}; 0 always sends")

    def encode(keys, h, y, x):
        missed = tree.sub(x, h)
        allowed = jnp.sqrt(trigger) * _norm(tree.sub(x, y))
        return Lazy(_norm(missed) > allowed, c.encode(keys, missed))

    def decode(keys, message, like):
        moved = c.decode(keys, message.difference, like)
        return tree.select(message.sent, moved, tree.zeros_like(moved))

    def bits(keys, message, like):
        sent = either(message.sent, c.bits(keys, message.difference, like), NOTHING)
        wire = sent.wire + wire_bits(message.sent)
        return Bits(sent.values, wire, sent.entropy + 1)

    return ThreePointMap(encode, decode, bits)


@memoised
def cbag_map(compressor: AnyCompressor, *, probability: Any) -> ThreePointMap:
    """CBAG, compressed Bernoulli aggregation: EF21 with lazy workers.

        C_{h,y}(x) = h + C(x − h)   with probability p,   else h

    A and B are those of EF21 with pα in place of α. p = 1 is EF21.

    Args:
      compressor: C, contractive with α.
      probability: p, in (0, 1]; may be traced.

    Returns:
      A ThreePointMap; each worker has a coin of its own, which the server draws as
      well. Its message is that of C, or nothing.

    Raises:
      ValueError: if the compressor certifies no α, or probability is a Python number
        out of range.

    Reference: arXiv:2206.03588. Deviation: A and B are derived here, from EF21 with
      the pα-contractive lazy compressor.
    """
    c = checks.contractive(per_leaf(compressor), user="cbag_map")
    checks.in_unit_interval(probability, "probability", zero=False)

    def encode(keys, h, y, x):
        return c.encode(keys, tree.sub(x, h))

    def decode(keys, message, like):
        moved = c.decode(keys, message, like)
        sent = own_coin(keys, probability)
        return tree.select(sent, moved, tree.zeros_like(moved))

    def bits(keys, message, like):
        sent = own_coin(keys, probability)
        return either(sent, c.bits(keys, message, like), NOTHING)

    return ThreePointMap(encode, decode, bits)


def _norm(a: Tree):
    """|a| over all leaves, at every scale."""
    return euclidean_norm(jnp.stack([euclidean_norm(x) for x in jax.tree.leaves(a)]))
