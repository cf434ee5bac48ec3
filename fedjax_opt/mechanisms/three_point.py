"""3PC, three-point compressors. arXiv:2202.00998."""

from collections.abc import Callable
from typing import Any, NamedTuple

from .. import checks, tree
from ..compressors.payload import wire_bits
from ..compressors.wrap import per_leaf
from ..keys import for_leaf, public
from ..static import memoised
from ..types import Bits, Compressor, Mechanism, Roles, Tree, TreeCompressor
from .alternatives import Full
from .coins import common_coin, either
from .shifts import first_or_zero

AnyCompressor = Compressor | TreeCompressor


class ThreePointMap(NamedTuple):
    """C_{h,y}(x) on trees: from the last estimate h and the last gradient y to x.

        E|C_{h,y}(x) − x|² <= (1−A) |h − y|² + B |x − y|²

    `theory.three_point_ef21`, ... give A and B of every map.

    Attributes:
      encode: (keys, h, y, x) -> message.
      decode: (keys, message, like) -> C_{h,y}(x) − h; keys without the private one.
      bits: (keys, message, like) -> Bits.
    """

    encode: Callable[..., Any]
    decode: Callable[..., Tree]
    bits: Callable[..., Bits]


class ThreePointState(NamedTuple):
    """What a worker remembers.

    Attributes:
      estimate: gᵢ, like the parameters.
      gradient: the last ∇fᵢ, likewise.
    """

    estimate: Tree
    gradient: Tree


@memoised
def three_point(step: ThreePointMap) -> Mechanism:
    """The family of EF21, LAG and MARINA: each worker moves its estimate by one map.

        gᵢ ← C_{gᵢ, ∇fᵢ(x⁻)}(∇fᵢ(x)),   g = (1/n) Σᵢ gᵢ

    x⁻ is the point before x. A message says by how much gᵢ moves. All start at 0; or,
    given the first gradients, at gᵢ = ∇fᵢ(x⁰), and then the message at x⁰ moves
    nothing.

    Args:
      step: the map C, such as `clag_map(top_k(10), trigger=4.0)`.

    Returns:
      A Mechanism. Worker state: gᵢ and the last ∇fᵢ, like params. Server state: g,
      like params. Message cost: that of the map.

    Reference: Richtárik, Sokolov, Fatkhullin, Gasanov, Li, Gorbunov (2022).
      arXiv:2202.00998.
    """

    def init(params, first_grad=None):
        start = first_or_zero(params, first_grad)
        return Roles(worker=ThreePointState(start, start), server=start)

    def worker(keys, grad, state):
        message = step.encode(keys, state.estimate, state.gradient, grad)
        moved = step.decode(public(keys), message, grad)
        return message, ThreePointState(tree.add(state.estimate, moved), grad)

    def server(keys, aggregate, mask, g):
        g = tree.add(g, aggregate)
        return g, g

    return Mechanism(
        init, worker, step.decode, server, step.bits, linear=True, silent_start=True
    )


@memoised
def ef21_map(compressor: AnyCompressor) -> ThreePointMap:
    """EF21.

        C_{h,y}(x) = h + C(x − h),   A = 1 − √(1−α),   B = (1−α)/A

    Args:
      compressor: C, contractive with α; applied to each leaf, or to the tree if it is
        on trees. So are those of the other maps.

    Raises:
      ValueError: if the compressor certifies no α.

    Reference: arXiv:2106.05203.
    """
    c = checks.contractive(per_leaf(compressor), user="ef21_map")

    def encode(keys, h, y, x):
        return c.encode(keys, tree.sub(x, h))

    return ThreePointMap(encode, c.decode, c.bits)


@memoised
def v1_map(compressor: AnyCompressor) -> ThreePointMap:
    """3PCv1: the compressed change of the gradient, on top of the exact last one.

        C_{h,y}(x) = y + C(x − y),   A = 1,   B = 1 − α

    The server does not have y, so that nothing is saved: an idealised map.

    Args:
      compressor: C, contractive with α.

    Returns:
      A ThreePointMap. Its message is d numbers, the move from h.

    Raises:
      ValueError: if the compressor certifies no α.

    Reference: arXiv:2202.00998.
    """
    c = checks.contractive(per_leaf(compressor), user="v1_map")

    def encode(keys, h, y, x):
        change = c.decode(public(keys), c.encode(keys, tree.sub(x, y)), x)
        return tree.add(tree.sub(y, h), change)

    return ThreePointMap(encode, _as_it_is, _dense_bits)


@memoised
def v2_map(unbiased: AnyCompressor, compressor: AnyCompressor) -> ThreePointMap:
    """3PCv2: an unbiased guess, corrected by a contraction.

        C_{h,y}(x) = b + C(x − b),   b = h + Q(x − y),   A = α,   B = (1−α) ω

    Args:
      unbiased: Q, with ω.
      compressor: C, contractive with α.

    Returns:
      A ThreePointMap. Its message is those of Q and of C.

    Raises:
      ValueError: if one of them does not certify what is needed.

    Reference: arXiv:2202.00998.
    """
    q = checks.unbiased(per_leaf(unbiased), user="v2_map")

    def encode(keys, h, y, x):
        return q.encode(keys, tree.sub(x, y))

    guess = ThreePointMap(encode, q.decode, q.bits)
    return _corrected(guess, checks.contractive(per_leaf(compressor), user="v2_map"))


@memoised
def v3_map(inner: ThreePointMap, compressor: AnyCompressor) -> ThreePointMap:
    """3PCv3: any map, corrected by a contraction.

        C_{h,y}(x) = b + C(x − b),   b = C¹_{h,y}(x)
        A = 1 − (1−α)(1−A₁),   B = (1−α) B₁

    Args:
      inner: C¹, with A₁ and B₁.
      compressor: C, contractive with α.

    Returns:
      A ThreePointMap. Its message is those of both.

    Raises:
      ValueError: if the compressor certifies no α.

    Reference: arXiv:2202.00998.
    """
    return _corrected(inner, checks.contractive(per_leaf(compressor), user="v3_map"))


@memoised
def v4_map(inner: AnyCompressor, compressor: AnyCompressor) -> ThreePointMap:
    """3PCv4: EF21 with two contractions, one after the other.

        C_{h,y}(x) = b + C₁(x − b),   b = h + C₂(x − h)

    It is `v3_map` of `ef21_map(C₂)`, and EF21 with 1 − α = (1−α₁)(1−α₂): A and B are
    its.

    Args:
      inner: C₂, contractive with α₂.
      compressor: C₁, contractive with α₁.

    Returns:
      A ThreePointMap. Its message is those of both.

    Raises:
      ValueError: if one of them certifies no α.

    Reference: arXiv:2202.00998.
    """
    return v3_map(ef21_map(inner), compressor)


@memoised
def v5_map(compressor: AnyCompressor, *, probability: Any) -> ThreePointMap:
    """3PCv5: now and then the whole gradient, in between compressed changes.

        C_{h,y}(x) = x   with probability p,   else h + C(x − y)

    A = 1 − √(1−p) and B = (1−p)(1−α)/A if C is contractive. With an unbiased C this
    is MARINA: A = p and B = (1−p) ω. p = 1 is gradient descent.

    Args:
      compressor: C, contractive with α, or unbiased with ω.
      probability: p, in (0, 1]; may be traced.

    Returns:
      A ThreePointMap; everybody sees the same coin, from the shared key. Its message
      is d numbers, x − h, or that of C; both are in the arrays, one is counted.

    Raises:
      ValueError: if the compressor certifies neither, or probability is a Python number
        out of range.

    Reference: arXiv:2202.00998.
    """
    c = checks.contractive_or_unbiased(per_leaf(compressor), user="v5_map")
    checks.in_unit_interval(probability, "probability", zero=False)

    def encode(keys, h, y, x):
        return Full(tree.sub(x, h), c.encode(keys, tree.sub(x, y)))

    def decode(keys, message, like):
        change = c.decode(keys, message.difference, like)
        return tree.select(common_coin(keys, probability), message.full, change)

    def bits(keys, message, like):
        change = c.bits(keys, message.difference, like)
        coin = common_coin(keys, probability)
        return either(coin, _dense_bits(keys, message.full, like), change)

    return ThreePointMap(encode, decode, bits)


def _corrected(first: ThreePointMap, c: TreeCompressor) -> ThreePointMap:
    """b + C(x − b) with b = first(h, y, x); each draws from keys of its own."""

    def encode(keys, h, y, x):
        guess = first.encode(for_leaf(keys, 0), h, y, x)
        moved = first.decode(public(for_leaf(keys, 0)), guess, x)
        missed = tree.sub(tree.sub(x, h), moved)
        return guess, c.encode(for_leaf(keys, 1), missed)

    def decode(keys, message, like):
        guess, correction = message
        return tree.add(
            first.decode(for_leaf(keys, 0), guess, like),
            c.decode(for_leaf(keys, 1), correction, like),
        )

    def bits(keys, message, like):
        guess, correction = message
        pairs = zip(
            first.bits(for_leaf(keys, 0), guess, like),
            c.bits(for_leaf(keys, 1), correction, like),
            strict=True,
        )
        return Bits(*(a + b for a, b in pairs))

    return ThreePointMap(encode, decode, bits)


def _as_it_is(keys, message, like):
    return message


def _dense_bits(keys, message, like) -> Bits:
    length = wire_bits(message)
    return Bits(length, length, length)
