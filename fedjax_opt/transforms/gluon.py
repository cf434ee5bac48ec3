"""Gluon: radii that adapt to each layer. arXiv:2505.13416."""

import jax
import optax

from .. import checks, linalg, tree
from ..geometry import per_leaf
from ..types import Geometry, Tree, TreeGeometry
from .layers import inner_products


def scale_by_gluon(
    geometry: Geometry | TreeGeometry, l0: Tree = 1.0, l1: Tree = 0.0
) -> optax.GradientTransformation:
    """LMO steps, in each layer of the length that its (L0, L1)-smoothness allows.

        gᵢ ← -tᵢ lmo(gᵢ),   tᵢ = ‖gᵢ‖* / (L0ᵢ + L1ᵢ ‖gᵢ‖*)

    Followed by `optax.scale(-1.0)` it is deterministic Gluon; its stochastic form with
    decreasing radii is `horizon_free_lmo`. With L1 = 0 it is steepest descent in every
    layer with the step 1/L0ᵢ, with L0 = 0 every step has the length 1/L1ᵢ. By default
    it is the sharp operator of every layer. ‖gᵢ‖* is taken as -⟨gᵢ, lmo(gᵢ)⟩.

    Args:
      geometry: of a leaf, used on each; or of the tree, the largest of norms of leaves.
      l0, l1: numbers >= 0, or trees of them, like the parameters or a prefix of them;
        may be traced. `fit_smoothness` finds some.

    Raises:
      ValueError: if a number among them is negative, or l0 and l1 are both 0.

    Reference: Riabinin, Shulgin, Gruntkowska, Richtárik (2025). arXiv:2505.13416.
    """
    geometry = per_leaf(geometry)
    checks.generalized_smoothness(l0, l1, user="scale_by_gluon")
    for name, constants in (("l0", l0), ("l1", l1)):
        for number in jax.tree.leaves(constants):
            checks.not_negative(number, name)

    def update(updates, state, params=None):
        del params
        leaves, structure = jax.tree.flatten(geometry.lmo(updates))
        constants = [jax.tree.leaves(jax.tree.broadcast(l, updates)) for l in (l0, l1)]
        grads = jax.tree.leaves(updates)
        small, factors = zip(*map(linalg.shrunk, grads), strict=True)
        slopes = inner_products(small, leaves)  # -qᵢ ‖gᵢ‖*: does not overflow
        parts = zip(leaves, slopes, factors, *constants, strict=True)
        return structure.unflatten(
            tree.scale(slope / linalg.nonzero(q * a - b * slope), leaf)
            for leaf, slope, q, a, b in parts
        ), state

    return optax.GradientTransformation(optax.init_empty_state, update)
