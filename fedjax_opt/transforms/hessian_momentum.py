"""Momentum that the Hessian moves along with the point. arXiv:2512.13227."""

from typing import Any, NamedTuple

import jax
import optax

from .. import checks, masks, tree
from ..needs import Needs
from ..types import Array, Tree
from .clip import clip
from .momentum import MomentumState
from .momentum import momentum as averaged


class HessianMomentumState(NamedTuple):
    """State of `hessian_momentum`.

    Attributes:
      momentum: that of `momentum`, of m.
      key: from which the coming q are drawn; None where there is none.
      needs: the product with the Hessian, and q of the coming one.
    """

    momentum: Any
    key: Array | None
    needs: Any


def hessian_momentum(
    momentum: Any, key: Array | None = None, *, coefficient: Any = None
) -> optax.GradientTransformationExtraArgs:
    """Momentum that does not lag behind, for a product with the Hessian: HCM.

        m⁰ = ∇f(x⁰; ξ⁰)
        mᵏ = β mᵏ⁻¹ + b ∇²f(zᵏ; ξᵏ)(xᵏ − xᵏ⁻¹) + (1 − β) ∇f(xᵏ; ξᵏ),   b = β
        zᵏ = q xᵏ + (1 − q) xᵏ⁻¹, q uniform in [0, 1], with a key; zᵏ = xᵏ without

    β is the weight in the update that makes mᵏ: 1 − αₖ₋₁ of papers that count steps
    first. With q the product is right in the mean, however the Hessian varies; without,
    on smooth Hessians. Where the Hessian is constant both are `mvr`, and without noise
    m is the exact gradient. b = 0 is momentum.

    Steps are those of an LMO: `chain(hessian_momentum(0.9), lmo_step(None, 0.01))`, and
    `chain(hessian_momentum(0.9, key), lmo_step(whole_tree_l2(), 0.01))` is NSGDHess.

    Args:
      momentum: β in [0, 1); may be traced, or be a function of the number of updates
        before this one.
      key: random key; drawn from once per update. None: z = x, which draws nothing.
        `fo.run` draws q itself, for every worker its own.
      coefficient: b; may be traced. None: β, as in the theory; others are experimental.

    Returns:
      A transformation whose `update(grads, state, params=None, *, hvp)` takes the
      product, which `value_and_grads` supplies for about one more gradient. The first
      update has no previous point and ignores the values given. It does not work
      inside `optax.MultiSteps`, which averages `grads` only.

    Raises:
      ValueError: if momentum is a number outside [0, 1).

    Reference: Khirirat, Sadiev, Demidovich, Richtárik (2025). arXiv:2512.13227; with q
      and l2: Sadiev, Richtárik, Fatkhullin (2025). arXiv:2510.10690.
    Experimental: the form was read in public reviews. That it is SOM-V1 with a key and
      SOM-V2 without, and which update has which β, was not checked in the paper.
    Deviation: the product is on the sample of the gradient, where the papers may draw
      another.
    """
    inner = averaged(momentum, from_first=True)

    def init(params):
        return _state(inner.init(params), key)

    def update(updates, state, params=None, *, hvp=None, **extra):
        del extra
        count = state.momentum.updates
        average, _ = inner.update(updates, state.momentum, params)
        b: Any = momentum(count) if callable(momentum) else momentum
        b = b if coefficient is None else coefficient
        product = _given("hessian_momentum", hvp, updates)
        corrected = tree.add_scaled(average, b, product)
        m = tree.select(count > 0, corrected, average)
        counted = MomentumState(m, optax.safe_increment(count))
        return m, _state(counted, state.key)

    return optax.GradientTransformationExtraArgs(init, update)


def clipped_hessian_momentum(
    momentum: Any,
    step_size: Any,
    grad_threshold: Any,
    hessian_threshold: Any,
    key: Array | None = None,
) -> optax.GradientTransformationExtraArgs:
    """The same for noise with heavy tails: gradient and product are clipped.

        mᵏ = β (mᵏ⁻¹ + γ clip(pᵏ/γ, λₕ)) + (1 − β) clip(∇f(xᵏ; ξᵏ), λ)
        pᵏ = ∇²f(zᵏ; ξᵏ)(xᵏ − xᵏ⁻¹)

    For steps of length γ: Clip NSGDHess is `chain(clipped_hessian_momentum(β, γ, λ, λₕ,
    key), lmo_step(whole_tree_l2(), γ))`. Norms are over all leaves. λ = λₕ = ∞ is
    `hessian_momentum`.

    Args:
      momentum: β, as for `hessian_momentum`.
      step_size: γ > 0, the length of the steps; may be traced.
      grad_threshold: λ ≥ 0, in units of the gradient; may be traced; inf never clips.
      hessian_threshold: λₕ ≥ 0, per unit of length; likewise.
      key: as for `hessian_momentum`.

    Returns:
      A transformation with the state and the arguments of `hessian_momentum`.

    Raises:
      ValueError: if a number is out of range.

    Reference: Sadiev, Richtárik, Fatkhullin (2025). arXiv:2510.10690.
    Deviation: the first gradient, which starts m, is clipped as the others.
    """
    checks.positive(step_size, "step_size")
    inner = hessian_momentum(momentum, key)
    of_gradient, of_product = clip(grad_threshold), clip(step_size * hessian_threshold)

    def update(updates, state, params=None, *, hvp=None, **extra):
        del extra
        product = _given("clipped_hessian_momentum", hvp, updates)
        updates, _ = of_gradient.update(updates, optax.EmptyState())
        product, _ = of_product.update(product, optax.EmptyState())
        return inner.update(updates, state, params, hvp=product)

    return optax.GradientTransformationExtraArgs(inner.init, update)


def _state(momentum: Any, key: Array | None) -> Any:
    """With what the coming update must be given."""
    if key is None:
        return HessianMomentumState(momentum, None, Needs(("hvp",)))
    key, drawn = jax.random.split(key)
    needs = Needs(("hvp",), mixture=jax.random.uniform(drawn))
    return HessianMomentumState(momentum, key, needs)


def _given(user: str, hvp: Tree, grads: Tree) -> Tree:
    """The product, of the leaves that are seen."""
    if hvp is None:
        raise TypeError(
            f"{user} needs the product of the Hessian with the last step: "
            "update(grads, state, params, hvp=...), as value_and_grads supplies it"
        )
    return masks.given(hvp, grads, name="hvp")
