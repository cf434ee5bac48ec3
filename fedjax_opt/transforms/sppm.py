"""The stochastic proximal point method."""

from typing import Any

import optax

from .. import checks, tree
from ..needs import Needs, only
from .prox_solvers import ProxSolver


def sppm(step_size: Any, solver: ProxSolver) -> optax.GradientTransformationExtraArgs:
    """Goes to the proximal point of the sampled loss.

        x ← prox(x; γ f_ξ) = argmin_z f_ξ(z) + ‖z − x‖²/(2γ)

    An implicit step, x⁺ = x − γ ∇f_ξ(x⁺), stable for every γ. On f_ξ = ½(a·x − b)² it
    is x − γ a (a·x − b)/(1 + γ‖a‖²), which for γ → ∞ is Kaczmarz, as is Polyak's step
    with c = ½. With the loss of a cohort of clients as value_fn, Σ_{i∈S} fᵢ/(n pᵢ), it
    is SPPM-AS.

    Args:
      step_size: γ > 0; may be traced.
      solver: (value_fn, point, γ) -> proximal point, such as
        `prox_by_gradient_steps(10, L)`. A closed form reads the sample from a value_fn
        that is a Partial: `lambda f, x, γ: closed_form(*f.args, x, γ)`.

    Returns:
      A transformation whose `update(grads, state, params, *, value_fn)` needs the point
      and the loss on the sample; of `grads` the shape alone matters.

    Raises:
      ValueError: if step_size is a number that is not positive.

    Reference: Bertsekas (2011), incremental proximal methods.
    """
    checks.positive(step_size, "step_size")

    needs = Needs(("value_fn",))

    def update(updates, state, params=None, *, value_fn=None, **extra):
        del updates, extra
        if params is None or value_fn is None:
            raise TypeError(
                "sppm needs the point and the loss on the sample: "
                "update(grads, state, params, value_fn=...)"
            )
        return tree.sub(solver(value_fn, params, step_size), params), state

    return optax.GradientTransformationExtraArgs(only(needs), update)
