"""Extragradient steps for variational inequalities. arXiv:2302.00999."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from .. import checks, tree
from ..needs import Needs
from ..types import Array, Tree


class ExtragradientState(NamedTuple):
    """State of `extragradient`.

    Attributes:
      offset: x̃ − x, like the parameters; 0 where the next update extrapolates.
      extrapolated: does the next update step?
      needs: where gradients are to be taken.
    """

    offset: Tree
    extrapolated: Array
    needs: Any


def extragradient(
    step_size: Any, extrapolation_step: Any = None
) -> optax.GradientTransformation:
    """Steps along the operator at a point that lies ahead; two updates are one step.

        x̃ = x − γ₁ F(x; ξ₁)       the first update, which leaves the parameters alone
        x ← x − γ₂ F(x̃; ξ₂)       the second

    The parameters are x after every update. "Gradients" F are to be taken at
    `extragradient_eval_params`, that is at x and x̃ in turn. For min-max problems F is
    the gradient in the one group of variables and minus that in the other. Clipped-SEG
    is `optax.chain(clip(λ), extragradient(γ₂, γ₁))`, and clipped-SGDA, without the
    look ahead, `optax.chain(clip(λ), optax.sgd(γ))`.

    Args:
      step_size: γ₂; may be traced.
      extrapolation_step: γ₁; may be traced; None: the same.

    Raises:
      ValueError: if a number is not positive.

    Reference: Sadiev, Danilova, Gorbunov, Horváth, Gidel, Dvurechensky, Gasnikov,
      Richtárik (2023). arXiv:2302.00999.
    """
    ahead = step_size if extrapolation_step is None else extrapolation_step
    checks.positive(step_size, "step_size")
    checks.positive(ahead, "extrapolation_step")

    def init(params):
        return ExtragradientState(tree.zeros_like(params), jnp.asarray(False), AHEAD)

    def update(updates, state, params=None):
        del params
        stepping, zero = state.extrapolated, tree.zeros_like(updates)
        change = tree.select(stepping, tree.scale(-step_size, updates), zero)
        offset = tree.select(stepping, zero, tree.scale(-ahead, updates))
        return change, ExtragradientState(offset, ~stepping, state.needs)

    return optax.GradientTransformation(init, update)


def extragradient_eval_params(state: ExtragradientState, params: Tree) -> Tree:
    """x or x̃, where F is to be taken next."""
    return tree.add(params, state.offset)


AHEAD = Needs(point=extragradient_eval_params)
