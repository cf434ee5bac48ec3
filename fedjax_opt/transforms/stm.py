"""The method of similar triangles. arXiv:2409.14989, arXiv:2302.00999."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .. import checks, tree
from ..geometry import whole_tree_l2
from ..linalg import nonzero
from ..needs import Needs
from ..types import Array, Tree
from .clip import clip


class STMState(NamedTuple):
    """State of `stm` and `clipped_stm`.

    Attributes:
      lookahead: z, like the parameters.
      curvature: G of the last update, 0 before the first.
      count: k, the updates so far.
      needs: where gradients are to be taken.
    """

    lookahead: Tree
    curvature: Array
    count: Array
    needs: Any


def stm(
    l0: Any, l1: Any = 0.0, *, step_size: Any = 1.0, largest: bool = False
) -> optax.GradientTransformation:
    """Nesterov's acceleration, with steps that shorten where the gradient is long.

        aₖ₊₁ = η (k+2)/2,   Aₖ₊₁ = Aₖ + aₖ₊₁ = η (k+1)(k+4)/4,   z⁰ = y⁰
        xᵏ⁺¹ = (Aₖ yᵏ + aₖ₊₁ zᵏ) / Aₖ₊₁
        Gₖ₊₁ = L₀ + L₁ ‖∇f(xᵏ⁺¹)‖,   or max {Gₖ, that}
        zᵏ⁺¹ = zᵏ − (aₖ₊₁ / Gₖ₊₁) ∇f(xᵏ⁺¹)
        yᵏ⁺¹ = (Aₖ yᵏ + aₖ₊₁ zᵏ⁺¹) / Aₖ₊₁

    The parameters are y. Gradients are to be taken at x, which `stm_eval_params` gives.
    With L₁ = 0 and η = 1 it is the classical method, and f(yᵏ) − f* ≤ 2L₀R²/(k(k+3)),
    R = ‖x⁰ − x*‖, for convex f. Two vectors are in use, one of them kept here.

    Args:
      l0: L₀ ≥ 0, a curvature; may be traced.
      l1: L₁ ≥ 0, one over a distance; may be traced.
      step_size: η in (0, 1], a factor of 1/G; may be traced.
      largest: G never falls, the variant "Max" of the paper.

    Returns:
      A transformation whose `update(grads, state, params)` needs the parameters.

    Raises:
      ValueError: if step_size is a number outside (0, 1], l0 or l1 one below 0, or both
        are 0.

    Reference: Gorbunov, Tupitsa, Choudhury, Aliev, Richtárik, Horváth, Takáč (2024).
      arXiv:2409.14989.
    """
    checks.generalized_smoothness(l0, l1, user="stm")
    checks.in_unit_interval(step_size, "step_size", zero=False)

    def init(params):
        curvature = jnp.zeros((), jnp.result_type(float))
        lookahead = jax.tree.map(jnp.asarray, params)
        count = jnp.zeros((), jnp.int32)
        return STMState(lookahead, curvature, count, AT_LOOKAHEAD)

    def update(updates, state, params=None):
        if params is None:
            raise TypeError("stm needs the parameters: update(grads, state, params)")
        curvature = l0 + l1 * whole_tree_l2().norm(updates)
        if largest:
            curvature = jnp.maximum(state.curvature, curvature)
        curvature = jnp.asarray(curvature, state.curvature.dtype)
        step = step_size * _half(state) / nonzero(curvature)
        lookahead = tree.add_scaled(state.lookahead, -step, updates)
        change = tree.scale(_weight(state), tree.sub(lookahead, params))
        count = state.count + 1
        return change, STMState(lookahead, curvature, count, state.needs)

    return optax.GradientTransformation(init, update)


def clipped_stm(step_size: Any, level: Any) -> optax.GradientTransformation:
    """Clipped-SSTM: similar triangles for noise with heavy tails.

        zᵏ⁺¹ = zᵏ − αₖ₊₁ clip(∇f(xᵏ⁺¹; ξ), λₖ₊₁),   λₖ₊₁ = B / αₖ₊₁,   αₖ₊₁ = γ (k+2)/2

    The rest is `stm`, with its state and `stm_eval_params`. No step of z is longer
    than B. B = ∞ is `stm(1/γ)`. Gradients without acceleration are clipped by
    `chain(clip(λ), optax.sgd(γ))`, which is clipped-SGD.

    Args:
      step_size: γ > 0, 1/(aL) in the paper, with a ≥ 1; may be traced.
      level: B > 0, a distance; may be traced; inf never clips.

    Returns:
      A transformation whose `update(grads, state, params)` needs the parameters.

    Raises:
      ValueError: if a number is not positive.

    Reference: Sadiev, Danilova, Gorbunov, Horváth, Gidel, Dvurechensky, Gasnikov,
      Richtárik (2023). arXiv:2302.00999.
    """
    checks.positive(step_size, "step_size")
    checks.positive(level, "level")
    triangles = stm(1 / step_size)

    def update(updates, state, params=None):
        shorten = clip(level / (step_size * _half(state)))
        clipped, _ = shorten.update(updates, optax.EmptyState())
        return triangles.update(clipped, state, params)

    return optax.GradientTransformation(triangles.init, update)


def stm_eval_params(state: STMState, params: Tree) -> Tree:
    """xᵏ⁺¹, where the next gradient is to be taken."""
    return tree.add_scaled(params, _weight(state), tree.sub(state.lookahead, params))


AT_LOOKAHEAD = Needs(point=stm_eval_params)


def _half(state: STMState):
    """(k+2)/2, in full precision: integers divide in 32 bits."""
    return (state.count.astype(jnp.result_type(float)) + 2) / 2


def _weight(state: STMState):
    """aₖ₊₁ / Aₖ₊₁ = 2 (k+2) / ((k+1)(k+4)), without η."""
    half = _half(state)
    return 2 * half / ((2 * half - 1) * (half + 1))
