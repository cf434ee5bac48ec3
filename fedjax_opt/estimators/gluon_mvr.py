"""Variance reduction before momentum: Gluon-MVR-2 and -3. arXiv:2512.16598."""

from typing import Any, NamedTuple

import optax

from .. import masks, tree
from ..needs import PREVIOUS_GRADS
from .mvr import mvr
from .sgdm import sgdm


def gluon_mvr2(
    momentum: Any, inner_momentum: Any
) -> optax.GradientTransformationExtraArgs:
    """Momentum of MVR's estimates: Gluon-MVR-2. Gluon-MVR-1 is `mvr` itself.

        gᵏ = Gᵏ + (1 − q) (gᵏ⁻¹ − Hᵏ),   Gᵏ = ∇f(xᵏ; ξᵏ),   Hᵏ = ∇f(xᵏ⁻¹; ξᵏ)
        mᵏ = β mᵏ⁻¹ + (1 − β) gᵏ,         m⁰ = g⁰ = G⁰

    `chain(mvr(1 − q), sgdm(β))`, to be followed by steps in norms of layers, such as
    `transforms.lmo_step`. q = 1 is momentum, β = 0 is `mvr(1 − q)`. It lags behind the
    gradient, with or without noise; `gluon_mvr3` does not.

    Args:
      momentum: β, the weight of the old m, in [0, 1]; may be traced.
      inner_momentum: 1 − q, the weight of the old g, in [0, 1]; may be traced.

    Returns:
      A transformation whose `update(grads, state, params=None, *, previous_grads)`
      takes G and H, as that of `mvr`.

    Raises:
      ValueError: if one of them is a number outside [0, 1].

    Reference: Qian, Rammal, Kovalev, Richtárik (2025). arXiv:2512.16598 (read in a
      summary).
    """
    return optax.chain(mvr(inner_momentum), sgdm(momentum))


class GluonMVR3State(NamedTuple):
    """State of `gluon_mvr3`.

    Attributes:
      estimate: that of `mvr`, of g.
      momentum: likewise of m.
      needs: what it must be given.
    """

    estimate: Any
    momentum: Any
    needs: Any = PREVIOUS_GRADS


def gluon_mvr3(
    momentum: Any, inner_momentum: Any
) -> optax.GradientTransformationExtraArgs:
    """Momentum of MVR's estimates that is itself moved along with the point.

        gᵏ = Gᵏ + (1 − q) (gᵏ⁻¹ − Hᵏ),   Gᵏ = ∇f(xᵏ; ξᵏ),   Hᵏ = ∇f(xᵏ⁻¹; ξᵏ)
        mᵏ = β mᵏ⁻¹ + (1 − β) gᵏ + β (Gᵏ − Hᵏ),   m⁰ = g⁰ = G⁰

    q = 1 is `mvr(β)`, β = 0 is `mvr(1 − q)`; without noise mᵏ is the exact gradient.
    Experimental.

    Args:
      momentum: β, the weight of the old m, in [0, 1]; may be traced.
      inner_momentum: 1 − q, the weight of the old g, in [0, 1]; may be traced.

    Returns:
      A transformation whose `update(grads, state, params=None, *, previous_grads)`
      takes G and H, as that of `mvr`.

    Raises:
      ValueError: if one of them is a number outside [0, 1].

    Reference: Qian, Rammal, Kovalev, Richtárik (2025). arXiv:2512.16598.
    Deviation: the last term of m was not seen in the paper; the two limits fix it.
    """
    of_gradient, of_estimate = mvr(inner_momentum), mvr(momentum)

    def init(params):
        return GluonMVR3State(of_gradient.init(params), of_estimate.init(params))

    def update(updates, state, params=None, *, previous_grads=None, **extra):
        del extra
        g, estimate = of_gradient.update(
            updates, state.estimate, params, previous_grads=previous_grads
        )
        seen = masks.given(previous_grads, updates, name="previous_grads")
        behind = tree.sub(g, tree.sub(updates, seen))
        m, momentum_state = of_estimate.update(
            g, state.momentum, params, previous_grads=behind
        )
        return m, GluonMVR3State(estimate, momentum_state)

    return optax.GradientTransformationExtraArgs(init, update)
