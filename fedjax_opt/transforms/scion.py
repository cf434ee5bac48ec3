"""Scion: LMO steps over balls of chosen norms, constrained or not. arXiv:2502.07529."""

from typing import Any

import jax.numpy as jnp
import optax

from .. import checks, tree
from ..geometry import per_leaf
from ..types import Geometry, TreeGeometry
from .layers import inner_products
from .lmo_step import lmo_step


def scion(
    step_size: Any,
    geometry: Geometry | TreeGeometry,
    *,
    radius: Any = 1.0,
    momentum: Any = 0.9,
    constrained: bool = True,
) -> optax.GradientTransformation:
    """Stochastic Frank–Wolfe over the ball of a norm; unconstrained, its directions.

        d ← (1−α)d + αg
        x ← (1−γ)x + γρ lmo(d)    constrained: ‖x‖ <= ρ for ever if it is so at first
        x ← x + γρ lmo(d)         unconstrained

    The constrained form is the other with decoupled weight decay 1. It starts on the
    boundary of the ball: `geometry.initial_point(key, geometry, params, ρ)`. ScionLight
    keeps d in the place of the gradient, and has the same iterates.

    Args:
      step_size: γ > 0, and at most 1 where constrained; may be traced, or a schedule.
      geometry: of layers; `geometry.transformer` and the like have those of the paper.
      radius: ρ of every leaf; others are radii of `geometry.by_label`.
      momentum: 1 − α, the weight of the old d, which starts at 0.
      constrained: stay in the ball. The update then needs the parameters.

    Raises:
      ValueError: if step_size or momentum are numbers out of range.

    Reference: Pethick, Xie, Antonakopoulos, Zhu, Silveti-Falls, Cevher (2025).
      arXiv:2502.07529.
    """
    if constrained:
        checks.in_unit_interval(step_size, "step_size", zero=False)
    weight_decay = 1.0 if constrained else None
    ball = per_leaf(geometry, radius)
    return lmo_step(ball, step_size, momentum, weight_decay=weight_decay)


def scale_by_clipped_lmo(
    geometry: Geometry | TreeGeometry, threshold: Any
) -> optax.GradientTransformation:
    """Steepest descent in a norm, at most so far: clipped Scion, generalized clipping.

        g ← -min(ρ, ‖g‖*) lmo(g)

    In a chain after `momentum` and before a step size γ it is GGNC. Up to ρ it is the
    sharp operator, beyond it an LMO step of length ρ; in the l2 norm of the whole tree
    it is gradient clipping. ‖g‖* is taken as -⟨g, lmo(g)⟩.

    Args:
      geometry: of the tree, or of a leaf and then used on each; ‖·‖* is of all.
      threshold: ρ, in units of the dual norm; may be traced; inf: never clipped.

    Raises:
      ValueError: if the threshold is a number that is not positive.

    Reference: Pethick et al. (2025). arXiv:2506.01913.
    """
    checks.positive(threshold, "threshold")
    geometry = per_leaf(geometry)

    def update(updates, state, params=None):
        del params
        direction = geometry.lmo(updates)
        dual = -sum(inner_products(updates, direction))
        return tree.scale(-jnp.minimum(threshold, dual), direction), state

    return optax.GradientTransformation(optax.init_empty_state, update)
