"""The ball-proximal ("broximal") point method. arXiv:2502.02002."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from .. import checks, tree
from ..geometry import whole_tree_l2
from ..linalg import nonzero
from ..needs import Needs, only
from .clip import clip
from .prox_solvers import ProxSolver

DOUBLINGS = 60  # γ is at most 2^60 times the least, which stands for infinity
HALVINGS = 60  # they leave 2^-54 of relative doubt in γ


def bpm(radius: Any, solver: ProxSolver) -> optax.GradientTransformationExtraArgs:
    """Goes to the best point of a ball around the present one.

        x ← argmin {f(z) : ‖z − x‖ ≤ t}

    For convex f, until the ball meets the minimisers, ‖x⁺ − x‖ = t and the distance d
    to them shrinks, d⁺² ≤ d² − t²; then the next point is a minimiser: K ≤ ⌈d₀²/t²⌉
    steps in all. With the linear model of f it is normalized gradient descent.

    The point is prox(x; γf) for the γ that makes the step t long. It lies above t/‖∇f‖
    and is found by bisection of its logarithm, so that an update costs about
    sixty proximal points. If the largest γ stays in the ball, that point is taken.

    Args:
      radius: t > 0; may be traced.
      solver: (value_fn, point, γ) -> proximal point, as for `sppm`.

    Returns:
      A transformation whose `update(grads, state, params, *, value_fn)` needs the
      gradient at the point, the point and the loss.

    Raises:
      ValueError: if radius is a number that is not positive.

    Reference: Gruntkowska, Li, Rane, Richtárik (2025). arXiv:2502.02002.
    """
    checks.positive(radius, "radius")

    needs = Needs(("value_fn",))

    def update(updates, state, params=None, *, value_fn=None, **extra):
        del extra
        if params is None or value_fn is None:
            raise TypeError(
                "bpm needs the gradient, the point and the loss: "
                "update(grads, state, params, value_fn=...)"
            )
        l2 = whole_tree_l2().norm
        slope = l2(updates)
        least = radius / nonzero(slope)

        def step(doublings):
            point = solver(value_fn, params, least * 2.0**doublings)
            return tree.sub(point, params)

        def halve(_, bracket):
            low, high = bracket
            middle = (low + high) / 2
            inside = l2(step(middle)) <= radius
            return jnp.where(inside, middle, low), jnp.where(inside, high, middle)

        zero, most = jnp.zeros_like(least), jnp.full_like(least, DOUBLINGS)
        low, _ = jax.lax.fori_loop(0, HALVINGS, halve, (zero, most))
        low = jnp.where(l2(step(most)) <= radius, most, low)
        change, _ = clip(radius).update(step(low), optax.EmptyState())
        return tree.select(slope > 0, change, tree.zeros_like(change)), state

    return optax.GradientTransformationExtraArgs(only(needs), update)
