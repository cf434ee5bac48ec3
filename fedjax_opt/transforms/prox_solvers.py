"""Inner solvers of proximal-point methods."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .. import checks, tree
from ..types import Tree

ProxSolver = Callable[[Callable[[Tree], Any], Tree, Any], Tree]


def prox_by_gradient_steps(num_steps: int, smoothness: Any) -> ProxSolver:
    """A fixed number of gradient steps on the proximal objective, from its centre.

        z ← z − (∇f(z) + (z − x)/γ) / (L + 1/γ),   z⁰ = x

    For convex f the error shrinks by 1 − 1/(1 + γL) or more in a step.

    Args:
      num_steps: how many.
      smoothness: L of f; may be traced.

    Returns:
      A solver: (value_fn, point x, step size γ) -> point z.

    Raises:
      TypeError: if num_steps is not an integer.
      ValueError: if a number is not positive.
    """
    checks.positive_integer(num_steps, "num_steps")
    checks.positive(smoothness, "smoothness")

    def solve(value_fn, point, step_size):
        gradient, pull = jax.grad(value_fn), 1 / step_size

        def step(_, z):
            slope = tree.add_scaled(gradient(z), pull, tree.sub(z, point))
            return tree.add_scaled(z, -1 / (smoothness + pull), slope)

        return jax.lax.fori_loop(0, num_steps, step, point)

    return solve


def prox_by_newton_step(num_products: int) -> ProxSolver:
    """The minimiser of the proximal objective of a quadratic, by conjugate gradients.

        z = x − (∇²f(x) + I/γ)⁻¹ ∇f(x)

    Exact on quadratics, with as many products as the Hessian has different eigenvalues;
    one Newton step on other functions.

    Args:
      num_products: Hessian-vector products at most.

    Returns:
      A solver: (value_fn, point, step size γ) -> point.

    Raises:
      TypeError: if num_products is not an integer.
      ValueError: if it is not positive.
    """
    checks.positive_integer(num_products, "num_products")

    def solve(value_fn, point, step_size):
        gradient, pull = jax.grad(value_fn), 1 / step_size

        def matrix(v):
            _, product = jax.jvp(gradient, (point,), (v,))
            return tree.add_scaled(product, pull, v)

        direction, _ = jax.scipy.sparse.linalg.cg(
            matrix, gradient(point), tol=1e-13, maxiter=num_products
        )
        return jax.tree.map(jnp.subtract, point, direction)

    return solve
