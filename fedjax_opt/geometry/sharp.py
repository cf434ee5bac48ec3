"""The direction of steepest descent in a norm, with the length of the gradient."""

from .. import tree
from ..types import Geometry, Tree, TreeGeometry
from .product import per_leaf


def sharp(geometry: Geometry | TreeGeometry, g: Tree) -> Tree:
    """The sharp operator of a norm; steepest descent steps x - γ g#.

        g# = argmax {⟨g, x⟩ - ‖x‖²/2} = -‖g‖* lmo(g)

    Its norm is ‖g‖*, and ⟨g, g#⟩ = ‖g‖*². With l2 it is g. Where the lmo is not exact
    (Newton–Schulz with few steps), g# is not either; the factor ‖g‖* always is.

    Args:
      geometry: of the tree, or of a leaf and then used on each.
      g: an array or a tree.

    Reference: Kelner, Lee, Orecchia, Sidford (2013). arXiv:1304.2338.
    """
    geometry = per_leaf(geometry)
    return tree.scale(-geometry.dual(g), geometry.lmo(g))
