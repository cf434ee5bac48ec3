"""PAGE. arXiv:2008.10898."""

from typing import Any, NamedTuple

import optax

from .. import tree
from ..needs import Needs
from ..static import memoised
from ..types import Tree


class PAGEState(NamedTuple):
    """State of `page`.

    Attributes:
      estimate: g, like the parameters.
      needs: what the update takes.
    """

    estimate: Tree
    needs: Any = Needs(("previous_grads", "full"))


@memoised
def page() -> optax.GradientTransformationExtraArgs:
    """Now and then the full gradient; in between differences on small batches add up.

        gᵏ = ∇f(xᵏ)                                              if the batch is full
        gᵏ = gᵏ⁻¹ + (1/S) Σ_{j∈Sᵏ} (∇fⱼ(xᵏ) − ∇fⱼ(xᵏ⁻¹))        otherwise

    Nothing is drawn here: whoever makes the batches says which are full.

    Returns:
      An estimator whose `update(grads, state, params=None, *, previous_grads, full)`
      takes the batch's mean gradients at the current and at the previous point, and
      whether they are the full gradient (then `previous_grads` is not read). The
      estimate starts at 0: the first update is to be a full one.

    Reference: Li, Bao, Zhang, Richtárik (2020). arXiv:2008.10898.
    """

    def init(params):
        return PAGEState(tree.zeros_like(params))

    def update(
        updates,
        state,
        params=None,
        *,
        previous_grads=None,
        full: Any = None,
        **extra,
    ):
        del params, extra
        if previous_grads is None or full is None:
            raise TypeError(
                "page needs the gradients of the same samples at the previous point, "
                "and whether the batch is full: update(grads, state, params, "
                "previous_grads=..., full=...). Wrappers that drop them cannot be "
                "used, such as MultiSteps(...).gradient_transformation()."
            )
        moved = tree.add(state.estimate, tree.sub(updates, previous_grads))
        estimate = tree.select(full, updates, moved)
        return estimate, PAGEState(estimate)

    return optax.GradientTransformationExtraArgs(init, update)
