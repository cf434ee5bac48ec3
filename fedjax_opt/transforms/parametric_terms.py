"""The terms of the unified parametric assumption. arXiv:2502.12329."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from .. import tree
from ..types import Array, Tree
from .layers import inner_products


class ParametricTerms(NamedTuple):
    """The terms at one point.

    Attributes:
      alignment: ⟨∇f(x), x − xₚ⟩.
      distance: ‖x − xₚ‖².
      gap: f(x) − f(xₚ).
      gradient: ‖∇f(x)‖².
    """

    alignment: Array
    distance: Array
    gap: Array
    gradient: Array


def parametric_terms(
    grads: Tree, params: Tree, target: Tree, *, value: Any, target_value: Any = 0.0
) -> ParametricTerms:
    """A diagnostic: does the gradient point away from the target, and by how much?

        ⟨∇f(x), x − xₚ⟩ ≥ a ‖x − xₚ‖² + b (f(x) − f(xₚ)) + c ‖∇f(x)‖² − slack

    The assumption asks this along the trajectory of plain GD or SGD, with weights of
    its own for convex, star-convex and nonconvex f. Log the terms, or `jax.vmap` this
    over a recorded trajectory, and fit the weights. Convex f have b = 1 and a = c = 0.

    Experimental: reconstructed; which terms and weights the paper uses is not checked.

    Args:
      grads: ∇f(x), or of a sample.
      params: x.
      target: xₚ, such as a minimiser or the last point of the run.
      value: f(x).
      target_value: f(xₚ).

    Reference: Riabinin, Khaled, Richtárik (2025). arXiv:2502.12329.
    """
    apart = tree.sub(params, target)
    return ParametricTerms(
        alignment=jnp.asarray(sum(inner_products(grads, apart))),
        distance=tree.squared_norm(apart),
        gap=jnp.asarray(value - target_value),
        gradient=tree.squared_norm(grads),
    )
