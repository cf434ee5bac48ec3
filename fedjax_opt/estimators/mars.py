"""MVR whose correction is scaled: γ-MVR and MARS. arXiv:2411.10438."""

from typing import Any, NamedTuple

import optax

from .. import checks, masks, tree
from ..needs import PREVIOUS_GRADS
from ..types import Tree
from .mvr import mvr


def gamma_mvr(momentum: Any, gamma: Any) -> optax.GradientTransformationExtraArgs:
    """MVR that moves the old estimate along with a part γ of the change of gradient.

        g⁰ = ∇f(x⁰; ξ⁰),   gᵏ = β (gᵏ⁻¹ + γ Δᵏ) + (1 − β) ∇f(xᵏ; ξᵏ)
        Δᵏ = ∇f(xᵏ; ξᵏ) − ∇f(xᵏ⁻¹; ξᵏ)

    γ = 1 is `mvr`, γ = 0 momentum from the first gradient (`sgdm`). In between Δ has
    less noise, but the estimate lags behind: `theory.best_gamma` balances both.

    Args:
      momentum: β, the weight of the old estimate, in [0, 1]; may be traced.
      gamma: γ in [0, 1]; may be traced.

    Returns:
      A transformation with the state and the arguments of `mvr`.

    Raises:
      ValueError: if one of them is a number outside [0, 1].

    Reference: Yuan, Liu, Wu, Zhou, Gu (2024). arXiv:2411.10438; as γ-MVR: Shulgin,
      Gadaev, Khirirat, Richtárik (2026), PMLR 306.
    """
    checks.in_unit_interval(gamma, "gamma")
    inner = mvr(momentum)

    def update(updates, state, params=None, *, previous_grads=None, **extra):
        del extra
        change = _change("gamma_mvr", updates, previous_grads)
        behind = tree.add_scaled(updates, -gamma, change)
        return inner.update(updates, state, params, previous_grads=behind)

    return optax.GradientTransformationExtraArgs(inner.init, update)


class MARSState(NamedTuple):
    """State of `mars`: what it must be given."""

    needs: Any = PREVIOUS_GRADS


def mars(momentum: Any, gamma: Any = 0.025) -> optax.GradientTransformationExtraArgs:
    """Gradients whose average with weight β is γ-MVR: MARS before any optimizer.

        cᵏ = ∇f(xᵏ; ξᵏ) + γ β/(1 − β) (∇f(xᵏ; ξᵏ) − ∇f(xᵏ⁻¹; ξᵏ))

    MARS clips c to unit norm and hands it to an optimizer with momentum β:
    `chain(mars(0.95), transforms.clip(1.0), optax.adamw(3e-3, b1=0.95))`, or
    `optax.lion`, or `transforms.muon` (MARS-M). `chain(mars(β, γ), sgdm(β))`, without
    clipping, is `gamma_mvr(β, γ)`. With one gradient per step: `inexact_mvr`.

    Args:
      momentum: β of the momentum that follows, in [0, 1); may be traced.
      gamma: γ ≥ 0; may be traced.

    Returns:
      A transformation whose `update(grads, state, params=None, *, previous_grads)`
      takes the gradient of the same sample at the previous point, at the first update
      `grads` itself.

    Raises:
      ValueError: if momentum is a number outside [0, 1), or gamma one below 0.

    Reference: Yuan, Liu, Wu, Zhou, Gu (2024). arXiv:2411.10438.
    """
    checks.in_unit_interval(momentum, "momentum", one=False)
    checks.not_negative(gamma, "gamma")

    def init(params):
        del params
        return MARSState()

    def update(updates, state, params=None, *, previous_grads=None, **extra):
        del params, extra
        change = _change("mars", updates, previous_grads)
        factor = gamma * momentum / (1 - momentum)
        return tree.add_scaled(updates, factor, change), state

    return optax.GradientTransformationExtraArgs(init, update)


def _change(user: str, grads: Tree, previous_grads: Tree) -> Tree:
    """Δ; refuses to do without the gradient at the previous point."""
    if previous_grads is None:
        raise TypeError(
            f"{user} needs the gradient of the same sample at the previous point: "
            "update(grads, state, params, previous_grads=...), at the first update "
            "grads itself; value_and_grads supplies it"
        )
    behind = masks.given(previous_grads, grads, name="previous_grads")
    return tree.sub(grads, behind)
