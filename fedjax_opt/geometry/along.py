"""The largest norm among the vectors along one axis: rows or columns, one by one."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from .. import static
from ..types import Array, Geometry
from .operands import operand


def along(geometry: Geometry, *, axis: int) -> Geometry:
    """A norm of vectors, on each of the vectors that lie along an axis.

        ‖A‖ = maxᵢ ‖aᵢ‖,   dual: Σᵢ ‖gᵢ‖*,   lmo: to each i  lmo(gᵢ)

    Of a matrix m × n, with its rows along axis 1 and its columns along axis 0:

    - `along(l2(), axis=1)`: rows normalized, the operator norm 2 → ∞;
    - `along(l2(), axis=0)`: columns normalized, 1 → 2;
    - `along(l1(), axis=1)`: the largest entry of each row moves, ∞ → ∞;
    - `along(l1(), axis=0)`: the largest entry of each column, 1 → 1.

    Args:
      geometry: of a vector.
      axis: of the leaf, from the end if negative.

    Raises:
      TypeError: if `geometry` is not a Geometry of one leaf.
      ValueError: when used, for a leaf without this axis.
    """
    if not isinstance(geometry, Geometry):
        raise TypeError(
            f"along needs a Geometry of a vector, got {type(geometry).__name__}. "
            "Call its constructor: l2(), not l2."
        )
    return _along(geometry, axis)


@static.memoised
def _along(geometry: Geometry, axis: int) -> Geometry:
    def norm(x):
        return jnp.max(_each(geometry.norm, x, axis), initial=0)

    def dual(g):
        return jnp.sum(_each(geometry.dual, g, axis))

    lmo = Partial(static.bind(_lmo, axis), operand(geometry.lmo))
    return Geometry(norm, dual, lmo)


def _lmo(axis: int, lmo: Partial, g: Array) -> Array:
    return jnp.moveaxis(_each(lmo, g, axis), -1, axis)


def _each(function: Callable[[Array], Array], x: Array, axis: int) -> Array:
    """The function of every vector along the axis; a result of vectors has it last."""
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(
            f"this norm is along axis {axis}, got a leaf of shape {x.shape}. Give the "
            "leaf another norm with by_label."
        )
    every = functools.reduce(lambda f, _: jax.vmap(f), range(x.ndim - 1), function)
    return every(jnp.moveaxis(x, axis, -1))
