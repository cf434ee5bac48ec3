"""STORM with its own steps and momentum. arXiv:1905.10018."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from .. import checks, tree
from ..types import Array
from .mvr import mvr


class STORMState(NamedTuple):
    """State of `storm`.

    Attributes:
      estimate: that of `mvr`.
      squares: Σ ‖∇f(xⁱ; ξⁱ)‖² so far.
      gradient_weight: α of the coming update.
    """

    estimate: Any
    squares: Array
    gradient_weight: Array


def storm(
    step_scale: Any, offset: Any, momentum_scale: Any
) -> optax.GradientTransformationExtraArgs:
    """MVR that sets its step and its momentum by the gradients it has seen.

        gᵗ = ∇f(xᵗ; ξᵗ) + (1 − αₜ) (gᵗ⁻¹ − ∇f(xᵗ⁻¹; ξᵗ)),   g⁰ = ∇f(x⁰; ξ⁰)
        ηₜ = k / (w + Σ_{i≤t} ‖∇f(xⁱ; ξⁱ)‖²)^(1/3),   αₜ₊₁ = min {1, c ηₜ²}
        xᵗ⁺¹ = xᵗ − ηₜ gᵗ

    A complete optimizer, that needs to know neither the noise nor the number of steps.
    Norms are over all leaves.

    Args:
      step_scale: k > 0; may be traced.
      offset: w > 0, in units of a squared gradient; may be traced.
      momentum_scale: c > 0; may be traced. Small ones near SARAH, large ones SGD.

    Returns:
      An optimizer whose `update(grads, state, params=None, *, previous_grads)` takes
      what `mvr` takes.

    Raises:
      ValueError: if a number is not positive.

    Reference: Cutkosky, Orabona (2019). arXiv:1905.10018.
    """
    checks.positive(step_scale, "step_scale")
    checks.positive(offset, "offset")
    checks.positive(momentum_scale, "momentum_scale")

    def init(params):
        wide = jnp.result_type(float)
        start = mvr(0.0).init(params)
        return STORMState(start, jnp.zeros((), wide), jnp.ones((), wide))

    def update(updates, state, params=None, **extra):
        momentum = mvr(1 - state.gradient_weight)
        g, estimate = momentum.update(updates, state.estimate, params, **extra)
        squares = state.squares + tree.squared_norm(updates).astype(state.squares.dtype)
        step = step_scale / jnp.cbrt(offset + squares)
        weight = jnp.minimum(momentum_scale * step**2, 1)
        return tree.scale(-step, g), STORMState(estimate, squares, weight)

    return optax.GradientTransformationExtraArgs(init, update)
