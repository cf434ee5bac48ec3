"""Numbers of a tree that are taken layer by layer."""

import jax
import jax.numpy as jnp

from .. import linalg
from ..types import Array, Geometry, Tree, TreeGeometry


def inner_products(a: Tree, b: Tree) -> list[Array]:
    """⟨aᵢ, bᵢ⟩ of each leaf i, in at least float32."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return [jnp.sum(linalg.wide(x) * linalg.wide(y)) for x, y in pairs]


def norms(geometry: Geometry | TreeGeometry, x: Tree) -> Array:
    """‖xᵢ‖ of each leaf i [leaves]; of a tree's norm with l leaves it takes l norms."""
    if isinstance(geometry, Geometry):
        return _stacked([geometry.norm(leaf) for leaf in jax.tree.leaves(x)])
    return _stacked([geometry.norm(y) for y in _alone(x)])


def dual_norms(geometry: Geometry | TreeGeometry, g: Tree) -> Array:
    """‖gᵢ‖* of each leaf i [leaves], at the same price."""
    if isinstance(geometry, Geometry):
        return _stacked([geometry.dual(leaf) for leaf in jax.tree.leaves(g)])
    return _stacked([geometry.dual(y) for y in _alone(g)])


def _alone(x: Tree) -> list[Tree]:
    """x with all leaves 0 but one, for each of them."""
    leaves, structure = jax.tree.flatten(x)
    indices = range(len(leaves))
    return [
        structure.unflatten(
            leaves[j] if i == j else jnp.zeros_like(leaves[j]) for j in indices
        )
        for i in indices
    ]


def _stacked(numbers: list[Array]) -> Array:
    return jnp.stack(numbers).astype(float)
