"""The Euclidean norm, of one leaf or of all of them: normalized gradient descent."""

import jax
import jax.numpy as jnp

from ..linalg import euclidean_norm, nonzero, scaled_norm, unit
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
    return -unit(g).astype(g.dtype)


def _tree_norm(x: Tree) -> Array:
    return euclidean_norm(jnp.stack([euclidean_norm(y) for y in jax.tree.leaves(x)]))


def _tree_lmo(g: Tree) -> Tree:
    norms, factors = zip(*[_scalars(x) for x in jax.tree.leaves(g)], strict=True)
    q = jnp.min(jnp.stack(factors))
    parts = [norm * (q / own) for norm, own in zip(norms, factors, strict=True)]
    norm = euclidean_norm(jnp.stack(parts))
    return jax.tree.map(lambda x: -(q * x / nonzero(norm)).astype(x.dtype), g)


def _scalars(x: Array) -> list[Array]:
    return [jnp.squeeze(y) for y in scaled_norm(x)]
