"""MVR, also known as STORM. arXiv:1905.10018."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from .. import masks, tree
from ..needs import PREVIOUS_GRADS
from ..types import Array, Tree


class MVRState(NamedTuple):
    """State of `mvr`.

    Attributes:
      estimate: g, like the parameters.
      started: has there been a gradient?
      needs: what the update takes.
    """

    estimate: Tree
    started: Array
    needs: Any = PREVIOUS_GRADS


def mvr(momentum: Any) -> optax.GradientTransformationExtraArgs:
    """Momentum that is moved along with the point, so that it does not lag behind.

        g⁰ = ∇f(x⁰; ξ⁰),   gᵏ = ∇f(xᵏ; ξᵏ) + β (gᵏ⁻¹ - ∇f(xᵏ⁻¹; ξᵏ))

    Both gradients of a step are on one sample. β = 0 is SGD, β = 1 SARAH; without
    noise gᵏ is the exact gradient for every β.

    Args:
      momentum: β, the weight of the old estimate, in [0, 1]; may be traced.

    Returns:
      An estimator whose `update(grads, state, params=None, *, previous_grads)` needs
      the gradient at the previous point. The first update has no previous point and
      ignores the values given: pass `grads` again. It does not work inside
      `optax.MultiSteps`, which averages `grads` but hands over the `previous_grads`
      of the last minibatch, or in a chain none: average both, then update.

    Raises:
      ValueError: if momentum is a number outside [0, 1].

    Reference: Cutkosky, Orabona (2019). arXiv:1905.10018.
    """
    if isinstance(momentum, int | float) and not 0 <= momentum <= 1:
        raise ValueError(
            f"mvr needs the weight of the old estimate, in [0, 1]; got {momentum}. "
            "For a weight alpha of the new gradient pass 1 - alpha."
        )

    def init(params):
        return MVRState(tree.zeros_like(params), jnp.asarray(False))

    def update(updates, state, params=None, *, previous_grads=None, **extra):
        del params, extra
        if previous_grads is None:
            raise TypeError(
                "mvr needs the gradient of the same sample at the previous point: "
                "update(grads, state, params, previous_grads=...), at the first update "
                "grads itself. Wrappers that drop it cannot be used, such as "
                "MultiSteps(...).gradient_transformation()."
            )
        behind = masks.given(previous_grads, updates, name="previous_grads")
        correction = tree.sub(state.estimate, behind)
        estimate = tree.select(
            state.started, tree.add_scaled(updates, momentum, correction), updates
        )
        return estimate, MVRState(estimate, jnp.ones_like(state.started))

    return optax.GradientTransformationExtraArgs(init, update)
