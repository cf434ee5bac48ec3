"""L-SVRG, loopless SVRG. arXiv:1901.08689."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from .. import tree
from ..needs import Needs
from ..static import memoised
from ..types import Array, Tree


class LSVRGState(NamedTuple):
    """State of `l_svrg`.

    Attributes:
      anchor: ∇f(w), like the parameters.
      started: has there been a gradient?
      needs: what the update takes.
    """

    anchor: Tree
    started: Array
    needs: Any = Needs(("reference_grads", "full_grads", "full"))


@memoised
def l_svrg() -> optax.GradientTransformationExtraArgs:
    """The noise of a sample is taken off at a reference point, whose gradient is known.

        g = ∇f(x; ξ) − ∇f(w; ξ) + ∇f(w),   then w ← x with probability p

    w starts at x⁰. Unbiased, and its noise vanishes with |x − w|. In the round in which
    the coin falls g still comes from the old w, the new w is the point at which this g
    was taken. Nothing is drawn here: whoever takes the gradients keeps w and flips the
    coin.

    Returns:
      An estimator whose `update(grads, state, params=None, *, reference_grads, full,
      full_grads)` takes the gradients on one sample at x and at w; has the coin fallen;
      and then ∇f(x), which is not read otherwise. The first update is to be with
      `full`, w being x⁰.

    Reference: Kovalev, Horváth, Richtárik (2019). arXiv:1901.08689.
    """

    def init(params):
        return LSVRGState(tree.zeros_like(params), jnp.asarray(False))

    def update(
        updates,
        state,
        params=None,
        *,
        reference_grads=None,
        full: Any = None,
        full_grads=None,
        **extra,
    ):
        del params, extra
        if reference_grads is None or full is None or full_grads is None:
            raise TypeError(
                "l_svrg needs the gradient of the same sample at the reference point, "
                "whether that point moves, and the full gradient if it does: "
                "update(grads, state, params, reference_grads=..., full=..., "
                "full_grads=...). Wrappers that drop them cannot be used, such as "
                "MultiSteps(...).gradient_transformation()."
            )
        anchor = tree.select(state.started, state.anchor, full_grads)
        estimate = tree.add(tree.sub(updates, reference_grads), anchor)
        anchor = tree.select(full, full_grads, anchor)
        return estimate, LSVRGState(anchor, jnp.ones_like(state.started))

    return optax.GradientTransformationExtraArgs(init, update)
