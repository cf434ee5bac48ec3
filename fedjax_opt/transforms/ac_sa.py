"""Acceleration for stochastic gradients: Lan's AC-SA."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .. import checks, tree
from ..needs import Needs
from ..types import Array, Tree


class ACSAState(NamedTuple):
    """State of `ac_sa`.

    Attributes:
      lookahead: u, like the parameters.
      count: k, the updates so far.
      needs: where gradients are to be taken.
    """

    lookahead: Tree
    count: Array
    needs: Any


def ac_sa(step_size: Any) -> optax.GradientTransformation:
    """Accelerated steps that stay stable under noise; no momentum to choose.

        yᵏ⁺¹ = (1−α) xᵏ + α uᵏ,   α = 2 / (k+2),   u⁰ = x⁰
        uᵏ⁺¹ = uᵏ − γ (k+1) g(yᵏ⁺¹)
        xᵏ⁺¹ = (1−α) xᵏ + α uᵏ⁺¹

    The parameters are x. Gradients are to be taken at y, which `ac_sa_eval_params`
    gives. Without noise f(x^K) − f* <= |x⁰ − x*|² / (γ K (K+1)) for convex f and
    γ <= 1/(2L). One more vector is kept.

    Args:
      step_size: γ; may be traced.

    Returns:
      A transformation whose `update(grads, state, params)` needs the parameters.

    Raises:
      ValueError: if step_size is a number that is not positive.

    Reference: Lan's AC-SA, as in the accelerated methods of arXiv:2405.16218.
    """
    checks.positive(step_size, "step_size")

    def init(params):
        lookahead = jax.tree.map(jnp.asarray, params)
        return ACSAState(lookahead, jnp.zeros((), jnp.int32), AT_LOOKAHEAD)

    def update(updates, state, params=None):
        if params is None:
            raise TypeError("ac_sa needs the parameters: update(grads, state, params)")
        growing = step_size * (_number(state.count) + 1)
        lookahead = tree.add_scaled(state.lookahead, -growing, updates)
        change = tree.scale(_weight(state), tree.sub(lookahead, params))
        return change, state._replace(lookahead=lookahead, count=state.count + 1)

    return optax.GradientTransformation(init, update)


def ac_sa_eval_params(state: ACSAState, params: Tree) -> Tree:
    """yᵏ⁺¹, where the next gradient is to be taken."""
    return tree.add_scaled(params, _weight(state), tree.sub(state.lookahead, params))


AT_LOOKAHEAD = Needs(point=ac_sa_eval_params)


def _weight(state: ACSAState):
    """α of the next update."""
    return 2 / (_number(state.count) + 2)


def _number(count):
    """In full precision: integers divide in 32 bits."""
    return count.astype(jnp.result_type(float))
