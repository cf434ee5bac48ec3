"""Implicit gradient transport: momentum of gradients taken ahead. arXiv:2002.03305."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .. import tree
from ..needs import Needs
from ..types import Array, Tree
from .momentum import momentum as averaged


class NIGTState(NamedTuple):
    """State of `nigt`.

    Attributes:
      momentum: that of `momentum`, of m.
      previous: x⁻, like the parameters.
      weight: β of the coming gradient.
      needs: where that is to be taken.
    """

    momentum: Any
    previous: Tree
    weight: Array
    needs: Any


def nigt(momentum: Any) -> optax.GradientTransformationExtraArgs:
    """Momentum that does not lag behind, for one gradient: it is taken ahead of x.

        yᵏ = xᵏ + β/(1 − β) (xᵏ − xᵏ⁻¹),   y⁰ = x⁰
        mᵏ = β mᵏ⁻¹ + (1 − β) ∇f(yᵏ; ξᵏ),   m⁰ = ∇f(x⁰; ξ⁰)

    The parameters are x; gradients are to be taken at y, which `nigt_eval_params`
    gives, and `value_and_grads` goes to. On quadratics without noise mᵏ is the exact
    gradient at xᵏ, with varying β too; in general as far as the Hessian is constant.
    NIGT is `chain(nigt(0.9), lmo_step(whole_tree_l2(), 0.01))`.

    Args:
      momentum: β in [0, 1); may be traced, or be a function of the number of updates
        before this one, 0 at the first. Both equations take the same β: if it is
        injected and changed, the change takes effect one update later.

    Returns:
      A transformation whose `update(grads, state, params)` needs the parameters.

    Raises:
      ValueError: if momentum is a number outside [0, 1).

    Reference: Cutkosky, Mehta (2020). arXiv:2002.03305.
    """
    start = averaged(momentum).init  # refuses a momentum out of range

    def init(params):
        previous = jax.tree.map(jnp.copy, params)
        return _state(start(params), previous, momentum)

    def update(updates, state, params=None, **extra):
        del extra
        if params is None:
            raise TypeError("nigt needs the parameters: update(grads, state, params)")
        average = averaged(state.weight, from_first=True)
        m, counted = average.update(updates, state.momentum, params)
        return m, _state(counted, params, momentum)

    return optax.GradientTransformationExtraArgs(init, update)


def nigt_eval_params(state: NIGTState, params: Tree) -> Tree:
    """yᵏ, where the next gradient is to be taken."""
    ahead = state.weight / (1 - state.weight)
    return tree.add_scaled(params, ahead, tree.sub(params, state.previous))


def _state(counted: Any, previous: Tree, momentum: Any) -> NIGTState:
    """With β of the coming gradient."""
    beta: Any = momentum(counted.updates) if callable(momentum) else momentum
    weight = jnp.asarray(beta, jnp.result_type(float))
    return NIGTState(counted, previous, weight, Needs(point=nigt_eval_params))
