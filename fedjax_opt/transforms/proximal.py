"""A proximal step after a gradient step."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from .. import checks, tree
from ..static import memoised
from ..types import Tree

Prox = Callable[[Tree, Any], Tree]


def proximal(step_size: Any, prox: Prox) -> optax.GradientTransformation:
    """Moves the point after the step, x + update, to where a proximal map puts it.

        x^{k+1} = prox(x^k + update, γ),   prox(z, γ) = argmin γR(x) + ½|x − z|²

    The last of a chain: `optax.chain(optax.sgd(γ), proximal(γ, prox))`.

    Args:
      step_size: γ of the step before; may be traced.
      prox: (point, step size) -> point: `soft_threshold(weight)`, or a projection such
        as `lambda point, _: optax.projections.projection_non_negative(point)`.

    Returns:
      An optax transformation whose update needs `params`.
    """

    def update(updates, state, params=None):
        if params is None:
            raise TypeError(
                "proximal moves the parameters, so its update needs them: "
                "update(grads, state, params)"
            )
        point = prox(optax.apply_updates(params, updates), step_size)
        return tree.sub(point, params), state

    return optax.GradientTransformation(optax.init_empty_state, update)


def proximal_sgd(prox: Prox | None, step_size: Any) -> optax.GradientTransformation:
    """SGD, and after every step `proximal`; None is no such step."""
    step = optax.sgd(step_size)
    return step if prox is None else optax.chain(step, proximal(step_size, prox))


@memoised
def soft_threshold(weight: float) -> Prox:
    """The proximal map of weight · |x|₁: entries shrink by γ · weight, at most to 0.

    Args:
      weight: a Python number, > 0.

    Raises:
      ValueError: if the weight is not positive.
    """
    checks.positive(weight, "weight")

    def prox(point, step_size):
        def of_leaf(x):
            least = jnp.asarray(step_size * weight, x.dtype)
            return jnp.sign(x) * jnp.maximum(jnp.abs(x) - least, 0)

        return jax.tree.map(of_leaf, point)

    return prox
