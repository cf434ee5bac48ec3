"""Gradient descent that measures the curvature on its way: AdGD. arXiv:1910.09529."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .. import checks, tree
from ..geometry import whole_tree_l2
from ..linalg import nonzero
from ..types import Array, Tree


class AdGDState(NamedTuple):
    """State of `adgd` and `adgd2`.

    Attributes:
      params: xₖ₋₁; x⁰ before the first update.
      grads: gₖ₋₁, like the parameters; 0 before the first update.
      step_size: λₖ₋₁.
      ratio: θₖ₋₁ = λₖ₋₁ / λₖ₋₂.
      started: has there been an update?
    """

    params: Tree
    grads: Tree
    step_size: Array
    ratio: Array
    started: Array


def adgd(first_step: Any = 1e-7) -> optax.GradientTransformation:
    """A complete optimizer without a step size: two lines of arithmetic choose it.

        λₖ = min {√(1 + θₖ₋₁) λₖ₋₁, ‖xₖ − xₖ₋₁‖ / (2 ‖gₖ − gₖ₋₁‖)},   θₖ = λₖ / λₖ₋₁
        xₖ₊₁ = xₖ − λₖ gₖ,   θ₀ = ∞,   λ₀ tiny

    For convex f whose gradient is locally Lipschitz. On ½L x² in one dimension λ tends
    to 1/(2L). Gradients must be exact: that of the update before is compared.

    Deviation: where the ratio is 0/0. If the gradients alone are equal, the first
    branch is taken, or 2λ where that is infinite. If the points are equal λ stays at
    g = 0; otherwise rounding has swallowed the step (a tiny λ₀ in float32), and λ
    doubles, θ waiting, until the point moves.

    Args:
      first_step: λ₀ > 0; may be traced.

    Returns:
      A transformation whose `update(grads, state, params)` needs the parameters.
      Two vectors are kept.

    Raises:
      ValueError: if first_step is a number that is not positive.

    Reference: Malitsky, Mishchenko (2019). arXiv:1910.09529.
    """
    return _adaptive(first_step, jnp.inf, _half_inverse, offset=1, user="adgd")


def adgd2(first_step: Any = 1e-7) -> optax.GradientTransformation:
    """AdGD with larger steps.

        Lₖ = ‖gₖ − gₖ₋₁‖ / ‖xₖ − xₖ₋₁‖
        λₖ = min {√(2/3 + θₖ₋₁) λₖ₋₁, λₖ₋₁ / √[2λₖ₋₁²Lₖ² − 1]₊},   θₖ = λₖ / λₖ₋₁
        xₖ₊₁ = xₖ − λₖ gₖ,   θ₀ = 1/3,   λ₀ tiny

    In one dimension λ need not converge: it ends in a 2-cycle around 1/L. As λ grows
    by a factor of at most 1.46, a tiny λ₀ takes a few dozen steps to be forgotten.

    Deviation: the same as those of `adgd`.

    Args:
      first_step: λ₀ > 0; may be traced.

    Returns:
      A transformation whose `update(grads, state, params)` needs the parameters.
      Two vectors are kept.

    Raises:
      ValueError: if first_step is a number that is not positive.

    Reference: Malitsky, Mishchenko (2023). arXiv:2308.02261.
    """
    return _adaptive(first_step, 1 / 3, _bounded_growth, offset=2 / 3, user="adgd2")


def _half_inverse(step_size, curvature):
    del step_size
    return 1 / (2 * curvature)


def _bounded_growth(step_size, curvature):
    """Infinite where the root is of nothing."""
    excess = 2 * (step_size * curvature) ** 2 - 1
    return step_size / jnp.sqrt(jnp.maximum(excess, 0))


def _adaptive(
    first_step: Any,
    first_ratio: float,
    bound: Callable[[Array, Array], Array],
    *,
    offset: float,
    user: str,
) -> optax.GradientTransformation:
    """λₖ = min {√(offset + θₖ₋₁) λₖ₋₁, bound(λₖ₋₁, Lₖ)}."""
    checks.positive(first_step, "first_step")
    l2 = whole_tree_l2().norm

    def init(params):
        return AdGDState(
            params=jax.tree.map(jnp.asarray, params),
            grads=tree.zeros_like(params),
            step_size=jnp.asarray(first_step, jnp.result_type(float)),
            ratio=jnp.asarray(first_ratio, jnp.result_type(float)),
            started=jnp.asarray(False),
        )

    def next_step(state, path, bend, at_rest):
        last, growth = state.step_size, jnp.sqrt(offset + state.ratio)
        curvature = jnp.where(bend > 0, bend, 1) / nonzero(path)
        bent = jnp.minimum(growth * last, bound(last, curvature))
        straight = jnp.where(jnp.isinf(growth), 2, growth) * last
        still = jnp.where(at_rest, last, 2 * last)
        return jnp.where(path > 0, jnp.where(bend > 0, bent, straight), still)

    def update(updates, state, params=None):
        if params is None:
            raise TypeError(f"{user} needs the point: update(grads, state, params)")
        dtype, last = state.step_size.dtype, state.step_size
        path = l2(tree.sub(params, state.params)).astype(dtype)
        bend = l2(tree.sub(updates, state.grads)).astype(dtype)
        following = next_step(state, path, bend, l2(updates) == 0)
        step_size = jnp.where(state.started, following, last)
        measured = state.started & (path > 0)
        state = AdGDState(
            params=params,
            grads=updates,
            step_size=step_size,
            ratio=jnp.where(measured, step_size / last, state.ratio),
            started=jnp.ones_like(state.started),
        )
        return tree.scale(-step_size, updates), state

    return optax.GradientTransformation(init, update)
