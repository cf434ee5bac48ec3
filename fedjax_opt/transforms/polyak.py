"""Polyak's step size without a cap. arXiv:2002.10542, arXiv:2409.14989."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .. import checks
from ..geometry import whole_tree_l2
from ..linalg import nonzero
from ..needs import Needs, only
from ..types import Array

VALUE = Needs(("value",))


def scale_by_polyak_step(f_min: Any = 0.0) -> optax.GradientTransformationExtraArgs:
    """Steps as long as the gap to the minimum asks for; nothing else to choose.

        g ← γ g,   γ = (f(x) − f*)₊ / ‖g‖²,   ‖g‖ over all leaves

    GD-PS is `chain(scale_by_polyak_step(f*), optax.scale_by_learning_rate(1.0))`. For
    convex f the distance to every minimiser never grows, as long as f(x) − f* is far
    above its rounding error, and under (L₀, L₁)-smoothness it needs as many steps as
    `scale_by_generalized_smoothness`, without L₀ and L₁. On samples it is SPS, which
    has the step size 1/c in the chain; with a cap it is SPS_max: `optax.polyak_sgd`.

    That one caps γ, at 1 unless told, and rests where ‖g‖² ≤ 2.2e-16, in every
    precision. This one does neither: it rests at g = 0 alone, and ‖g‖² may underflow.

    A minimum that differs between samples: pass `value=f_ξ(x) − f_ξ*` and f_min = 0.
    StoP is that on the mean gradient of a minibatch, with a lower bound of its loss,
    StoPS with its loss at x* (experimental: arXiv:2208.05287, from its abstract).

    Args:
      f_min: f*; may be traced.

    Returns:
      A transformation whose `update(grads, state, params, *, value)` needs f(x), on
      the sample of the gradient. `optax.MultiSteps` averages `grads`, and hands over
      the value of the last minibatch: it cannot be used.

    Reference: Loizou, Vaswani, Laradji, Lacoste-Julien (2020). arXiv:2002.10542; GD-PS
      Gorbunov et al. (2024). arXiv:2409.14989.
    """

    def update(updates, state, params=None, *, value=None, **extra):
        del params, extra
        _needs_value("scale_by_polyak_step", value)
        norm, length = _polyak(value, f_min, updates)
        return _times(length, norm, updates), state

    return optax.GradientTransformationExtraArgs(only(VALUE), update)


class SmoothedPolyakState(NamedTuple):
    """State of `scale_by_smoothed_polyak_step`.

    Attributes:
      step_size: γ of the update before; the first bound where there was none.
      needs: what the update takes.
    """

    step_size: Array
    needs: Any


def scale_by_smoothed_polyak_step(
    f_min: Any = 0.0, *, first_bound: Any = 1.0, growth: Any = 2.0
) -> optax.GradientTransformationExtraArgs:
    """Stochastic Polyak steps that grow slowly, and shrink as fast as they like.

        γₖ = min {(f_ξ(x) − f_ξ*)₊ / ‖g‖², q γₖ₋₁},   g ← γₖ g

    SPS_max with the smoothed bound: for batches of b out of n samples q = 2^{b/n}, so
    that γ at most doubles in one epoch. At g = 0 the bound stays where it is.

    Args:
      f_min: f_ξ*; may be traced.
      first_bound: γ before the first update, divided by no growth: γ₀ ≤ q first_bound.
      growth: q ≥ 1; may be traced.

    Returns:
      A transformation whose `update(grads, state, params, *, value)` needs f_ξ(x).

    Raises:
      ValueError: if a number is out of range.

    Reference: Loizou, Vaswani, Laradji, Lacoste-Julien (2020). arXiv:2002.10542.
    """
    checks.positive(first_bound, "first_bound")
    if isinstance(growth, int | float) and not growth >= 1:
        raise ValueError(f"growth must be at least 1, got {growth}. Try 2 ** (b / n).")

    def init(params):
        del params
        step_size = jnp.asarray(first_bound, jnp.result_type(float))
        return SmoothedPolyakState(step_size, VALUE)

    def update(updates, state, params=None, *, value=None, **extra):
        del params, extra
        _needs_value("scale_by_smoothed_polyak_step", value)
        norm, length = _polyak(value, f_min, updates)
        length = jnp.minimum(length, growth * state.step_size * norm)
        step_size = jnp.where(norm > 0, length / nonzero(norm), state.step_size)
        state = state._replace(step_size=step_size.astype(state.step_size.dtype))
        return _times(length, norm, updates), state

    return optax.GradientTransformationExtraArgs(init, update)


def _needs_value(user, value):
    if value is None:
        raise TypeError(
            f"{user} needs the loss at the point, on the sample of the gradient: "
            "update(grads, state, params, value=...)"
        )


def _polyak(value, f_min, updates):
    """‖g‖, and the length of the step, (f − f*)₊ / ‖g‖; 0 at g = 0."""
    norm = whole_tree_l2().norm(updates)
    gap = jnp.maximum(value - f_min, 0)
    return norm, jnp.where(norm > 0, gap / nonzero(norm), 0)


def _times(length, norm, updates):
    """Of that length along the updates; ‖g‖² is never formed."""
    return jax.tree.map(
        lambda g: (length * (g / nonzero(norm))).astype(g.dtype), updates
    )
