"""SAGA. arXiv:1407.0202."""

from typing import Any, NamedTuple

import optax

from .. import checks, tree
from ..needs import Needs
from ..static import memoised
from ..types import Tree


class SAGAState(NamedTuple):
    """State of `saga`.

    Attributes:
      table: T, the last gradient of every component, leaves [m, ...].
      mean: (1/m) Σⱼ Tⱼ.
      needs: what the update takes.
    """

    table: Tree
    mean: Tree
    needs: Any = Needs(("component",))


@memoised
def saga(num_components: int) -> optax.GradientTransformationExtraArgs:
    """The noise of a component is taken off by the gradient that it had last.

        g = ∇fⱼ(x) − Tⱼ + (1/m) Σₗ Tₗ,   then Tⱼ ← ∇fⱼ(x)

    for f = (1/m) Σⱼ fⱼ and j uniform. Unbiased, and no gradient is ever full: memory is
    paid instead, m + 1 vectors, n (m + 1) for n workers. With m = 1 it is the gradient.

    Args:
      num_components: m.

    Returns:
      An estimator whose `update(grads, state, params=None, *, component)` takes ∇fⱼ(x)
      and j.

    Raises:
      TypeError: if num_components is no integer.
      ValueError: if it is below 1.

    Reference: Defazio, Bach, Lacoste-Julien (2014). arXiv:1407.0202.
    Deviation: the table starts at 0, so that the first steps have the noise of SGD;
      ∇fⱼ(x⁰) would cost m gradients.
    """
    checks.positive_integer(num_components, "num_components")

    def init(params):
        zero = tree.zeros_like(params)
        return SAGAState(tree.with_rows(zero, num_components), zero)

    def update(updates, state, params=None, *, component=None, **extra):
        del params, extra
        if component is None:
            raise TypeError(
                "saga needs to know of which component the gradient is: "
                "update(grads, state, params, component=...), as Method.order tells"
            )
        change = tree.sub(updates, tree.row(state.table, component))
        estimate = tree.add(change, state.mean)
        mean = tree.add_scaled(state.mean, 1 / num_components, change)
        table = tree.set_row(state.table, component, updates, after=change)
        return estimate, SAGAState(table, mean)

    return optax.GradientTransformationExtraArgs(init, update)
