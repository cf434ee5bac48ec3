"""Momentum of stochastic gradients, once or twice. arXiv:2305.15155."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from .. import checks, tree
from ..types import Array, Tree


class SGDMState(NamedTuple):
    """State of `sgdm`.

    Attributes:
      averages: v, and with two folds u; each like the parameters.
      started: has there been a gradient?
    """

    averages: tuple[Tree, ...]
    started: Array


def sgdm(momentum: Any, *, folds: int = 1) -> optax.GradientTransformationExtraArgs:
    """Averages gradients with exponentially small weight of old ones, from the first.

        v⁰ = ∇f(x⁰; ξ⁰),   vᵏ = β vᵏ⁻¹ + (1 − β) ∇f(xᵏ; ξᵏ)

    and with two folds that average once more: u⁰ = v⁰, uᵏ = β uᵏ⁻¹ + (1 − β) vᵏ. In the
    notation of the paper β = 1 − η. β = 0 is SGD.

    Args:
      momentum: β, the weight of the old average, in [0, 1]; may be traced.
      folds: how many times to average: 1 gives v, 2 gives u. Never traced: say
        `static_args="folds"` to `optax.inject_hyperparams`.

    Raises:
      ValueError: if momentum is a number outside [0, 1], or folds is not positive.

    Reference: Fatkhullin, Tyurin, Richtárik (2023). arXiv:2305.15155.
    """
    checks.in_unit_interval(momentum, "momentum")
    checks.positive_integer(folds, "folds")

    def init(params):
        zeros = (tree.zeros_like(params),) * folds
        return SGDMState(zeros, jnp.asarray(False))

    def update(updates, state, params=None, **extra):
        del params, extra
        estimate, averages = updates, []
        for old in state.averages:
            moved = tree.add_scaled(estimate, momentum, tree.sub(old, estimate))
            estimate = tree.select(state.started, moved, estimate)
            averages.append(estimate)
        return estimate, SGDMState(tuple(averages), jnp.ones_like(state.started))

    return optax.GradientTransformationExtraArgs(init, update)
