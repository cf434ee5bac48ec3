"""The Euclidean norm, of one leaf or of all of them: normalized gradient descent."""

import jax
import jax.numpy as jnp

from ..linalg import euclidean_norm, nonzero
from ..static import memoised
from ..types import Array, Geometry, Tree, TreeGeometry


@memoised
def l2() -> Geometry:
    """Euclidean (of a matrix: Frobenius) norm, its own dual; leaves of any shape.

    lmo(g) = -g / ‖g‖₂
    """
    return Geometry(euclidean_norm, euclidean_norm, _lmo)


@memoised
def whole_tree_l2() -> TreeGeometry:
    """Euclidean norm of all leaves as one vector.

        lmo(g) = -g / ‖g‖₂,   ‖g‖₂² = Σᵢ ‖gᵢ‖₂²

    Not `per_leaf(l2())`, which gives every leaf a step of length 1.
    """
    return TreeGeometry(_tree_norm, _tree_norm, _tree_lmo)


def _lmo(g: Array) -> Array:
    return _negative_ratio(g, euclidean_norm(g))


def _tree_norm(x: Tree) -> Array:
    return euclidean_norm(jnp.stack([euclidean_norm(y) for y in jax.tree.leaves(x)]))


def _tree_lmo(g: Tree) -> Tree:
    norm = _tree_norm(g)
    return jax.tree.map(lambda x: _negative_ratio(x, norm), g)


def _negative_ratio(g: Array, norm: Array) -> Array:
    """-g / norm in the dtype of g; 0 where the norm is."""
    return -(g / nonzero(norm)).astype(g.dtype)
