"""Random points at which to start, on the boundary of a ball."""

from typing import Any

import jax
import jax.numpy as jnp

from .. import tree
from ..types import Array, Geometry, Tree, TreeGeometry
from .product import per_leaf


def initial_point(
    key: Array, geometry: Geometry | TreeGeometry, like: Tree, radius: Any = 1.0
) -> Tree:
    """A random point of norm `radius`, whatever the norm.

        x = -radius · lmo(z),   z Gaussian

    Spectral norms give random orthogonal matrices, times their scale; sign norms ±1,
    times theirs; l2 and RMS a uniform direction; l1 a random ±eₖ. In the largest norm
    over leaves each leaf lies on the boundary of its own ball. Where the lmo is not
    exact (Newton–Schulz with few steps), the norm is not either.
    Deviation: Scion starts with biases at 0; a leaf can be set to 0 afterwards.

    Args:
      key: random key.
      geometry: of the tree, or of a leaf and then used on each.
      like: an array or a tree; only shapes and dtypes are read.
      radius: positive; may be traced.

    Reference: Pethick et al. (2025). arXiv:2502.07529.
    """
    leaves, structure = jax.tree.flatten(like)
    keys = jax.random.split(key, len(leaves))
    z = structure.unflatten(
        jax.random.normal(k, jnp.shape(x), x.dtype)
        for k, x in zip(keys, leaves, strict=True)
    )
    return tree.scale(-radius, per_leaf(geometry).lmo(z))
