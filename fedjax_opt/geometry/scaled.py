"""A norm times a factor: balls of another radius, operator norms of layers."""

from typing import Any

from jax.tree_util import Partial

from .. import checks, static, tree
from ..types import Array, Geometry
from .operands import given, operand


def scaled(geometry: Geometry, factor: Any) -> Geometry:
    """The norm times a factor.

        factor · ‖A‖,   dual: ‖G‖* / factor,   lmo(G) / factor

    Args:
      geometry: of one leaf.
      factor: positive, may be traced; or a function from the shape of a leaf to one,
        called after the norm, which may have refused the leaf.

    Raises:
      TypeError: if `geometry` is not a Geometry of one leaf.
      ValueError: if the factor is a number that is not positive.
    """
    if not isinstance(geometry, Geometry):
        raise TypeError(
            f"scaled needs a Geometry of one leaf, got {type(geometry).__name__}. Call "
            "its constructor: l2(), not l2; for a tree take per_leaf(..., radius)."
        )
    checks.positive(factor, "the factor of a scaled norm")
    return _scaled(geometry, factor)


@static.memoised
def _scaled(geometry: Geometry, factor: Any) -> Geometry:
    if callable(factor):
        of_shape = Partial(factor)
    else:
        of_shape = given(_of_any, factor)

    def norm(x):
        return geometry.norm(x) * of_shape(x.shape)

    def dual(g):
        return geometry.dual(g) / of_shape(g.shape)

    return Geometry(norm, dual, Partial(_lmo, operand(geometry.lmo), of_shape))


def _lmo(lmo: Partial, of_shape: Partial, g: Array) -> Array:
    step = lmo(g)  # first: it refuses what it does not fit
    return tree.scale(1 / of_shape(g.shape), step)


def _of_any(factor: Any, shape: tuple) -> Any:
    del shape
    return factor
