"""Compressors made of compressors: composed, induced, shifted, averaged, switched.

All are on arrays; `wrap.per_leaf` and `wrap.whole_tree` lift the result. The parts draw
from keys of their own: independently of each other, and each as the part does.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp

from .. import checks
from ..keys import for_leaf, of_worker, public
from ..static import memoised
from ..types import Bits, Certificate, Compressor, Joint


@memoised
def composed(outer: Compressor, inner: Compressor) -> Compressor:
    """Compresses what another compressor has left.

        C(x) = Q₂(Q₁(x)),   ω = (1 + ω₁)(1 + ω₂) − 1

    Args:
      outer: Q₂, unbiased.
      inner: Q₁, unbiased.

    Returns:
      A Compressor. Its message is that of Q₂ about the dense array Q₁(x), so that what
      sends every entry, such as natural compression, belongs inside.

    Raises:
      ValueError: if one of them certifies no ω.
      TypeError: if one of them is not on arrays.

    Reference: Horváth, Ho, Horváth, Sahu, Canini, Richtárik (2019). arXiv:1905.10988.
    """
    _check_arrays("composed", outer, inner)
    checks.unbiased(outer, user="composed")
    checks.unbiased(inner, user="composed")

    def encode(keys, x):
        return outer.encode(for_leaf(keys, 1), _apply(inner, for_leaf(keys, 0), x))

    def decode(keys, message, like):
        return outer.decode(for_leaf(keys, 1), message, like)

    def bits(keys, message, like):
        return outer.bits(for_leaf(keys, 1), message, like)

    def omega(d):
        return (1 + _omega(outer, d)) * (1 + _omega(inner, d)) - 1

    return Compressor(
        encode,
        decode,
        bits,
        lambda d: Certificate(omega=omega(d)),
        f"composed({outer.label}, {inner.label})",
        outer.add,
        _joint(omega, outer, inner),
    )


@memoised
def induced(contractive: Compressor, unbiased: Compressor) -> Compressor:
    """Makes a contractive compressor unbiased: sends what it drops, compressed.

        C(x) = B(x) + Q(x − B(x)),   ω = ω_Q (1 − α_B)

    Top-K with Rand-K on the rest is unbiased and needs no error feedback.

    Args:
      contractive: B, with α.
      unbiased: Q, with ω.

    Returns:
      A Compressor. Its message is that of B and that of Q.

    Raises:
      ValueError: if B certifies no α, or Q no ω.
      TypeError: if one of them is not on arrays.

    Reference: Horváth, Richtárik (2020). arXiv:2006.11077.
    """
    _check_arrays("induced", contractive, unbiased)
    checks.contractive(contractive, user="induced")
    checks.unbiased(unbiased, user="induced")
    parts = (contractive, unbiased)

    def encode(keys, x):
        first = contractive.encode(for_leaf(keys, 0), x)
        known = contractive.decode(public(for_leaf(keys, 0)), first, x)
        return first, unbiased.encode(for_leaf(keys, 1), x - known)

    def decode(keys, message, like):
        first, rest = _decoded(parts, keys, message, like)
        return first + rest

    def bits(keys, message, like):
        return _added(_bits(parts, keys, message, like))

    def omega(d):
        alpha = cast(float, contractive.certificate(d).alpha)
        return _omega(unbiased, d) * (1 - alpha)

    return Compressor(
        encode,
        decode,
        bits,
        lambda d: Certificate(omega=omega(d)),
        f"induced({contractive.label}, {unbiased.label})",
        _add(parts),
        _joint(omega, *parts),
    )


@memoised
def averaged(compressor: Compressor, copies: int) -> Compressor:
    """Sends several independent messages about the same array, and takes their mean.

        C(x) = (1/m) Σⱼ Qⱼ(x),   ω = ω_Q/m

    The joint promise of the workers is divided by m as well.

    Args:
      compressor: Q, unbiased.
      copies: m; each is compiled on its own, so that it should be small.

    Returns:
      A Compressor. Its message is the tuple of m messages.

    Raises:
      ValueError: if Q certifies no ω, or copies < 1.
      TypeError: if Q is not on arrays, or copies is no integer.

    Reference: elementary.
    """
    _check_arrays("averaged", compressor)
    checks.unbiased(compressor, user="averaged")
    checks.positive_integer(copies, "copies")
    parts = (compressor,) * copies

    def encode(keys, x):
        return tuple(c.encode(for_leaf(keys, j), x) for j, c in enumerate(parts))

    def decode(keys, message, like):
        at_least_float32 = jnp.promote_types(like.dtype, jnp.float32)
        each = jnp.stack(_decoded(parts, keys, message, like))
        shares = each.astype(at_least_float32) / copies
        return jnp.sum(shares, axis=0).astype(like.dtype)

    def bits(keys, message, like):
        return _added(_bits(parts, keys, message, like))

    def joint(inner, d, num_workers):
        one = inner(d, num_workers)
        return Joint(one.a / copies, one.b / copies)

    return Compressor(
        encode,
        decode,
        bits,
        lambda d: Certificate(omega=_omega(compressor, d) / copies),
        f"averaged({compressor.label}, copies={copies})",
        _add(parts, 1 / copies),
        compressor.joint and functools.partial(joint, compressor.joint),
    )


@memoised
def switch(
    compressors: Sequence[Compressor], probabilities: Sequence[float]
) -> Compressor:
    """Uses one of several compressors, chosen at random by every worker.

        C = Qⱼ with probability qⱼ,   ω = Σⱼ qⱼ ωⱼ

    Args:
      compressors: Q₁, Q₂, ..., unbiased; a tuple, for `switch` to be memoised.
      probabilities: q₁, q₂, ..., Python numbers that sum to 1; likewise.

    Returns:
      A Compressor; both ends draw j, one for each worker, so that it is not sent. Its
      message has room for those of all Qⱼ, and all of them are computed; the bits are
      those of the one that was chosen.

    Raises:
      ValueError: if one certifies no ω, or the probabilities are none.
      TypeError: if one of them is not on arrays.

    Reference: elementary.
    """
    parts, chances = tuple(compressors), tuple(probabilities)
    _check_arrays("switch", *parts)
    for compressor in parts:
        checks.unbiased(compressor, user="switch")
    _check_probabilities(chances, len(parts))

    def choice(keys):
        key = of_worker(for_leaf(keys, len(parts)))
        return jax.random.choice(key, len(parts), p=jnp.asarray(chances, float))

    def encode(keys, x):
        return tuple(c.encode(for_leaf(keys, j), x) for j, c in enumerate(parts))

    def decode(keys, message, like):
        branches = [
            lambda j=j: parts[j].decode(for_leaf(keys, j), message[j], like)
            for j in range(len(parts))
        ]
        return jax.lax.switch(choice(keys), branches)

    def bits(keys, message, like):
        columns = zip(*_bits(parts, keys, message, like), strict=True)
        index = choice(keys)
        return Bits(*(_floats(column)[index] for column in columns))

    def omega(d):
        pairs = zip(chances, parts, strict=True)
        return math.fsum(chance * _omega(part, d) for chance, part in pairs)

    return Compressor(
        encode,
        decode,
        bits,
        lambda d: Certificate(omega=omega(d)),
        f"switch({', '.join(part.label for part in parts)})",
        joint=_joint(omega, *parts),
    )


def shifted(compressor: Compressor, shift: Any) -> Compressor:
    """Compresses the distance from an array that both ends know.

        C(x) = h + Q(x − h)

    It is unbiased if Q is, and C(h) = h if Q(0) = 0; but the error is small against
    |x − h|, not |x|, so that it certifies nothing. `mechanisms.diana` and
    `mechanisms.ef21` learn the shift.

    An array cannot be hashed: two calls give two compressors, and two programs. Build
    it once and use that.

    Args:
      compressor: Q, any.
      shift: h, with the shape of the arrays that are compressed.

    Returns:
      A Compressor with the messages of Q.

    Raises:
      TypeError: if Q is not on arrays.
      ValueError: when encoding, if the shift has another shape.

    Reference: Shulgin, Richtárik (2022). arXiv:2206.10452.
    """
    _check_arrays("shifted", compressor)

    def shift_like(x):
        if jnp.shape(shift) != x.shape:
            raise ValueError(
                f"the shift has the shape {jnp.shape(shift)} and the array {x.shape}: "
                "make one compressor for each shape"
            )
        return jnp.asarray(shift, x.dtype)

    def encode(keys, x):
        return compressor.encode(keys, x - shift_like(x))

    def decode(keys, message, like):
        return shift_like(like) + compressor.decode(keys, message, like)

    return Compressor(
        encode,
        decode,
        compressor.bits,
        lambda d: Certificate(),
        f"shifted({compressor.label})",
    )


def _apply(compressor: Compressor, keys, x):
    """C(x)."""
    return compressor.decode(public(keys), compressor.encode(keys, x), x)


def _decoded(parts: Sequence[Compressor], keys, message, like) -> list:
    """What the parts have sent."""
    pairs = enumerate(zip(parts, message, strict=True))
    return [c.decode(for_leaf(keys, j), part, like) for j, (c, part) in pairs]


def _bits(parts: Sequence[Compressor], keys, message, like) -> list[Bits]:
    """The lengths of the parts."""
    pairs = enumerate(zip(parts, message, strict=True))
    return [c.bits(for_leaf(keys, j), part, like) for j, (c, part) in pairs]


def _added(each: list[Bits]) -> Bits:
    return Bits(*(sum(column) for column in zip(*each, strict=True)))


def _add(parts: Sequence[Compressor], share: float = 1):
    """onto + weight · share · Σ decoded; None if a part must be decoded."""
    adders = [c.add for c in parts if c.add is not None]
    if len(adders) < len(parts):
        return None

    def add(onto, message, weight):
        for adder, part in zip(adders, message, strict=True):
            onto = adder(onto, part, share * weight)
        return onto

    return add


def _floats(lengths):
    """Lengths in floating point, where they cannot overflow."""
    return jnp.stack([jnp.asarray(length, float) for length in lengths])


def _omega(compressor: Compressor, d: int) -> float:
    return cast(float, compressor.certificate(d).omega)


def _joint(omega, *parts: Compressor):
    """None if all parts are independent between workers.

    Else ω and 0, by convexity true of all unbiased compressors, whatever they share.
    """
    if all(part.joint is None for part in parts):
        return None
    return lambda d, num_workers: Joint(omega(d), 0.0)


def _check_arrays(user: str, *compressors: Any) -> None:
    for value in compressors:
        checks.compressor(value, user=user)
        if not isinstance(value, Compressor):
            raise TypeError(
                f"{user} takes compressors of arrays such as top_k(10), got one of "
                f"trees: lift the result instead, wrap.whole_tree({user}(...))"
            )


def _check_probabilities(probabilities: tuple[float, ...], number: int) -> None:
    for probability in probabilities:
        checks.in_unit_interval(probability, "a probability")
    if len(probabilities) != number or abs(math.fsum(probabilities) - 1) > 1e-6:
        raise ValueError(
            f"switch needs {number} probabilities that sum to 1, got {probabilities}"
        )
