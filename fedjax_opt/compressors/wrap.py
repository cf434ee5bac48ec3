"""Compressors made of compressors: scaled, leaf by leaf, on the whole tree."""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp

from .. import checks
from ..keys import SERVER, for_leaf, in_round, public
from ..static import memoised
from ..tree import add_scaled, leaf_names, leaf_sizes, scale
from ..types import Bits, Certificate, Compressor, Joint, TreeCompressor


@memoised
def scaled(compressor: checks.AnyCompressor) -> checks.AnyCompressor:
    """Shrinks an unbiased compressor until it is a contraction.

        C(x) / (1 + ω),   α = 1/(1 + ω)

    Sparse messages, such as those of Rand-K, are read with both factors at once. Other
    compressors are decoded first, so that C(x) must fit in the dtype of x: with
    float16, whose largest number is 65504, it may not.

    Args:
      compressor: unbiased, on arrays or on trees; ω is that of the array or tree
        at hand. A tree has one factor for all its leaves: `per_leaf(scaled(c))`
        has one for each.

    Returns:
      A compressor of the same kind, with the same messages.

    Raises:
      ValueError: if the compressor certifies no ω.
    """
    checks.unbiased(compressor, user="wrap.scaled")
    takes_trees = isinstance(compressor, TreeCompressor)

    def shrinkage(size):
        omega = cast(float, compressor.certificate(size).omega)
        return 1 / (1 + omega)

    def decode(keys, message, like):
        size = leaf_sizes(like) if takes_trees else like.size
        if compressor.add is not None:
            zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
            return compressor.add(zero, message, shrinkage(size))
        return scale(shrinkage(size), compressor.decode(keys, message, like))

    def add(inner, onto, message, weight):
        size = leaf_sizes(onto) if takes_trees else onto.size
        return inner(onto, message, weight * shrinkage(size))

    def certificate(size):
        factor = shrinkage(size)
        noise = factor * (1 - factor)  # λ²ω = λ² (1/λ − 1)
        return Certificate(alpha=factor, eta=1 - factor, variance=noise)

    def joint(inner, size, num_workers):
        square = shrinkage(size) ** 2
        together = inner(size, num_workers)
        return Joint(square * together.a, square * together.b)

    return compressor._replace(
        decode=decode,
        certificate=certificate,
        label=f"wrap.scaled({compressor.label})",
        add=compressor.add and functools.partial(add, compressor.add),
        joint=compressor.joint and functools.partial(joint, compressor.joint),
    )


@memoised
def per_leaf(compressor: Compressor | TreeCompressor) -> TreeCompressor:
    """Compresses every leaf of a tree on its own, with a key of its own.

    The certificate is that of the worst leaf: ω = max ω(dₗ), α = min α(dₗ).

    Args:
      compressor: on arrays. One on trees is returned as it is.

    Returns:
      A TreeCompressor. Its message is the tuple of the leaves' messages.

    Raises:
      TypeError: if it is not a compressor.
      ValueError: when encoding, if the compressor cannot take a leaf of that size.
    """
    if isinstance(compressor, TreeCompressor):
        return compressor
    checks.compressor(compressor, user="wrap.per_leaf")

    def encode(keys, tree):
        _check_leaves(compressor, tree)
        leaves = enumerate(jax.tree.leaves(tree))
        return tuple(compressor.encode(for_leaf(keys, i), x) for i, x in leaves)

    def decode(keys, message, like):
        leaves, structure = jax.tree.flatten(like)
        decoded = [
            compressor.decode(for_leaf(keys, i), *pair)
            for i, pair in enumerate(zip(message, leaves, strict=True))
        ]
        return structure.unflatten(decoded)

    def add(inner, onto, message, weight):
        leaves, structure = jax.tree.flatten(onto)
        pairs = zip(leaves, message, strict=True)
        return structure.unflatten([inner(*pair, weight) for pair in pairs])

    def bits(keys, message, like):
        pairs = enumerate(zip(message, jax.tree.leaves(like), strict=True))
        each = [compressor.bits(for_leaf(keys, i), *pair) for i, pair in pairs]
        columns = zip(*each, strict=True)
        return Bits(*(sum(column) for column in columns))

    def certificate(sizes):
        each = [compressor.certificate(d) for d in sizes]
        return Certificate(
            omega=_worst(max, [c.omega for c in each]),
            alpha=_worst(min, [c.alpha for c in each]),
            eta=_worst(max, [c.eta for c in each]),
            variance=_worst(max, [c.variance for c in each]),
            absolute=_worst(math.fsum, [c.absolute for c in each]),
        )

    def joint(inner, sizes, num_workers):
        each = [inner(d, num_workers) for d in sizes]
        return Joint(max(j.a for j in each), min(j.b for j in each))

    return TreeCompressor(
        encode,
        decode,
        bits,
        certificate,
        compressor.label,
        compressor.add and functools.partial(add, compressor.add),
        compressor.joint and functools.partial(joint, compressor.joint),
    )


@memoised
def whole_tree(compressor: Compressor) -> TreeCompressor:
    """Compresses a tree as one vector, as the papers do.

    The leaves are joined in order, in the dtype that they promote to; decoded leaves
    have their own dtypes again. The certificate is that of d = Σ dₗ.

    Args:
      compressor: on arrays.

    Returns:
      A TreeCompressor. Its message is that of the vector.

    Raises:
      TypeError: if the compressor is not one on arrays.
    """
    if not isinstance(compressor, Compressor):
        raise TypeError(
            "wrap.whole_tree needs a compressor of arrays such as top_k(10), "
            f"got {compressor!r}"
        )

    def encode(keys, tree):
        return compressor.encode(keys, _join(tree))

    def decode(keys, message, like):
        return _split(compressor.decode(keys, message, _vector_like(like)), like)

    def add(inner, onto, message, weight):
        return _split(inner(_join(onto), message, weight), onto)

    def bits(keys, message, like):
        return compressor.bits(keys, message, _vector_like(like))

    def certificate(sizes):
        return compressor.certificate(sum(sizes))

    def joint(inner, sizes, num_workers):
        return inner(sum(sizes), num_workers)

    label = f"wrap.whole_tree({compressor.label})"
    return TreeCompressor(
        encode,
        decode,
        bits,
        certificate,
        label,
        compressor.add and functools.partial(add, compressor.add),
        compressor.joint and functools.partial(joint, compressor.joint),
    )


def blank_message(compressor: TreeCompressor, like: Any) -> Any:
    """Zeros of the shapes of a message, for states that will hold one."""

    def encode(key):
        return compressor.encode(in_round(key, SERVER, 1), like)

    shapes = jax.eval_shape(encode, jax.random.key(0))
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)


def add_decoded(compressor: TreeCompressor, keys, onto, message, weight: Any = 1):
    """onto + weight · decode(message), without a dense array where that is possible.

    Args:
      compressor: whose message it is.
      keys: of the worker.
      onto: the tree to which it is added.
      message: one, not a stack.
      weight: a number; may be traced.
    """
    if compressor.add is not None:
        return compressor.add(onto, message, weight)
    decoded = compressor.decode(public(keys), message, onto)
    return add_scaled(onto, weight, decoded)


def _join(tree):
    """The leaves of a tree as one vector, in the dtype that they promote to."""
    dtype = _vector_like(tree).dtype
    return jnp.concatenate([x.ravel().astype(dtype) for x in jax.tree.leaves(tree)])


def _split(vector, like):
    """A tree like `like`, of one vector."""
    leaves, structure = jax.tree.flatten(like)
    ends = list(itertools.accumulate(leaf_sizes(like)))
    parts = jnp.split(vector, ends[:-1])
    return structure.unflatten(
        part.reshape(x.shape).astype(x.dtype)
        for part, x in zip(parts, leaves, strict=True)
    )


def _vector_like(tree) -> jax.ShapeDtypeStruct:
    """Shape and dtype of the leaves of a tree, joined."""
    dtypes = [x.dtype for x in jax.tree.leaves(tree)]
    dtype = functools.reduce(jnp.promote_types, dtypes)
    return jax.ShapeDtypeStruct((sum(leaf_sizes(tree)),), dtype)


def _worst(choose: Callable, constants: list[float | None]) -> float | None:
    """The weakest of the leaves' promises; none if one leaf has none."""
    return None if None in constants else choose(constants)


def _check_leaves(compressor: Compressor, tree) -> None:
    """Names the leaf that the compressor cannot take."""
    for name, size in zip(leaf_names(tree), leaf_sizes(tree), strict=True):
        try:
            compressor.certificate(size)
        except ValueError as error:
            raise ValueError(f"leaf {name}: {error}") from None
