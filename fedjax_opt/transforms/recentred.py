"""LMO steps over a ball around the start: Frank–Wolfe."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .. import checks, tree
from ..geometry import per_leaf, whole_tree_l2
from ..types import Array, Geometry, Tree, TreeGeometry
from .momentum import MomentumState
from .momentum import momentum as averaged


class RecentredState(NamedTuple):
    """State of `recentred_lmo`.

    Attributes:
      start: x⁰, like the parameters.
      momentum: that of `momentum`; its `updates` is k.
    """

    start: Tree
    momentum: Any


def recentred_lmo(
    geometry: Geometry | TreeGeometry, radius: Any, *, momentum: Any = 0.0
) -> optax.GradientTransformation:
    """Frank–Wolfe over the ball of radius R around the starting point.

        x ← (1 − a) x + a (x⁰ + R lmo(m)),   a = 2/(k+2),   m ← β m + (1 − β) g

    ‖x − x⁰‖ <= R always, and x stays where m = 0. With exact gradients, β = 0, convex
    f, and a minimiser in the ball, f(xᵏ) − f* <= 2 L (2R)² / (k+2) after k updates.

    Args:
      geometry: of the tree, or of a leaf and then used on each.
      radius: R; may be traced.
      momentum: β, as for `momentum`.

    Returns:
      A transformation whose update needs the parameters.

    Raises:
      ValueError: if the radius is a number that is not positive.
    """
    checks.positive(radius, "radius")
    geometry, average = per_leaf(geometry), averaged(momentum)

    def init(params):
        return RecentredState(jax.tree.map(jnp.copy, params), average.init(params))

    def update(updates, state, params=None):
        if params is None:
            raise TypeError(
                "recentred_lmo needs the parameters: update(grads, state, params)"
            )
        m, new = average.update(updates, state.momentum)
        away = tree.sub(params, state.start)
        step = recentred_step(mixing(state.momentum), away, radius, geometry.lmo(m))
        return step, RecentredState(state.start, new)

    return optax.GradientTransformation(init, update)


def mixing(state: MomentumState) -> Array:
    """a = 2/(k+2), in full precision: integers divide in 32 bits."""
    return 2 / (state.updates.astype(float) + 2)


def recentred_step(a: Array, away: Tree, radius: Any, direction: Tree) -> Tree:
    """a (x⁰ − x + R d); 0 where d is, when x is as good as any point of the ball.

    Args:
      away: x − x⁰.
      direction: d.
    """
    moves = whole_tree_l2().norm(direction) != 0
    step = tree.scale(a, tree.sub(tree.scale(radius, direction), away))
    return tree.select(moves, step, tree.zeros_like(step))
