"""Step lengths from a certificate of descent. arXiv:2605.18999, its spirit."""

from typing import Any

import jax.numpy as jnp
import optax

from .. import checks, linalg, tree
from ..geometry import per_leaf
from ..types import Geometry, TreeGeometry
from .layers import inner_products
from .momentum import momentum as averaged


def scale_calibrated_style(
    geometry: Geometry | TreeGeometry,
    l0: Any,
    l1: Any = None,
    *,
    momentum: Any = 0.9,
) -> optax.GradientTransformation:
    """LMO steps along a momentum, as long as the gradient vouches for. Experimental.

        m ← β m + (1 − β) g,   d = lmo(m),   c = max(0, -⟨g, d⟩),   x ← x + (c/L) d

    With exact gradients f(x⁺) <= f(x) − c²/(2L): no step goes uphill, and there is none
    where the momentum points that way. With β = 0 it is steepest descent in the norm.

    Args:
      geometry: of the tree, or of a leaf and then used on each.
      l0: L ≥ 0 in this norm, ‖∇f(x) − ∇f(y)‖* <= L ‖x − y‖; may be traced.
      l1: L₁ ≥ 0, with which L + L₁ ‖g‖* takes the place of L; may be traced. None for
        0, which saves the norm.
      momentum: β, as for `momentum`.

    Raises:
      ValueError: if one of them is a number below 0, or both are 0.

    Reference: Demidovich, Chakraborty, Malinovsky, Nedić, Richtárik (2026).
      arXiv:2605.18999.
    Deviation: built from the description in the abstract; the paper's formulas may
      differ.
    """
    known = 0.0 if l1 is None else l1
    checks.generalized_smoothness(l0, known, user="scale_calibrated_style")
    geometry, average = per_leaf(geometry), averaged(momentum)

    def update(updates, state, params=None):
        m, state = average.update(updates, state, params)
        direction = geometry.lmo(m)
        descent = jnp.maximum(0, -sum(inner_products(updates, direction)))
        bound = l0 if l1 is None else l0 + l1 * geometry.dual(updates)
        return tree.scale(descent / linalg.nonzero(bound), direction), state

    return optax.GradientTransformation(average.init, update)
