"""Gradients of components, by name."""

from typing import NamedTuple

import optax

from ..needs import Needs, only
from ..static import memoised
from ..types import Array, Tree


class OfComponent(NamedTuple):
    """What `of_component` makes of a gradient.

    Attributes:
      grad: ∇fⱼ(x).
      component: j.
    """

    grad: Tree
    component: Array


@memoised
def of_component() -> optax.GradientTransformationExtraArgs:
    """Passes gradients on, with the component that they are of.

    For mechanisms that remember something of every component, such as `diana_rr`.

    Returns:
      An estimator whose `update(grads, state, params=None, *, component)` returns an
      `OfComponent`.
    """

    needs = Needs(("component",))

    def update(updates, state, params=None, *, component=None, **extra):
        del params, extra
        if component is None:
            raise TypeError(
                "of_component needs to know of which component the gradient is: "
                "update(grads, state, params, component=...), as Method.order tells"
            )
        return OfComponent(updates, component), state

    return optax.GradientTransformationExtraArgs(only(needs), update)
