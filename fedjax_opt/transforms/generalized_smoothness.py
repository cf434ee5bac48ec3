"""Gradient descent where the curvature grows with the gradient. arXiv:2409.14989."""

from typing import Any

import jax
import optax

from .. import checks
from ..geometry import whole_tree_l2
from ..linalg import nonzero


def scale_by_generalized_smoothness(l0: Any, l1: Any) -> optax.GradientTransformation:
    """Divides the gradient by the curvature that may be found where it is so long.

        g ← g / (L₀ + L₁ ‖g‖),   ‖g‖ over all leaves,   ‖∇²f(x)‖ ≤ L₀ + L₁ ‖∇f(x)‖

    (L₀, L₁)-GD is this and a step: `chain(scale_by_generalized_smoothness(L₀, L₁),
    optax.scale_by_learning_rate(η))`. For convex f and 0 < η ≤ ν/2, ν = exp(−ν)
    ≈ 0.567143, the distance to every minimiser, f and ‖∇f‖ never grow, and
    O(max {L₀R²/ε, L₁²R²}) steps are enough: nothing is exponential in R = ‖x⁰ − x*‖.

    It is smoothed clipping: within a factor of two of `clip(L₀/L₁)` divided by L₀,

        ½ min {1/L₀, 1/(L₁‖g‖)} ≤ 1/(L₀ + L₁‖g‖) ≤ min {1/L₀, 1/(L₁‖g‖)}

    and `smoothed_normalization(L₀/L₁)` divided by L₁. Clip-GD is `clip(L₀/L₁)` and
    `optax.sgd(η/L₀)`. L₁ = 0 is gradient descent, L₀ = 0 normalized descent.

    Args:
      l0: L₀ ≥ 0, a curvature; may be traced.
      l1: L₁ ≥ 0, one over a distance; may be traced.

    Raises:
      ValueError: if a number is negative, or both are 0.

    Reference: Gorbunov, Tupitsa, Choudhury, Aliev, Richtárik, Horváth, Takáč (2024).
      arXiv:2409.14989.
    """
    checks.generalized_smoothness(l0, l1, user="scale_by_generalized_smoothness")

    def update(updates, state, params=None):
        del params
        curvature = l0 + l1 * whole_tree_l2().norm(updates)
        return jax.tree.map(
            lambda g: (g / nonzero(curvature)).astype(g.dtype), updates
        ), state

    return optax.GradientTransformation(optax.init_empty_state, update)
