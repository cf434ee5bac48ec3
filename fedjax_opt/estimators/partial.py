"""Gradient estimates of workers that are often absent. arXiv:2205.15580."""

from typing import Any

import jax.numpy as jnp
import optax

from .. import checks, tree
from ..needs import PREVIOUS_GRADS, Needs
from .mvr import MVRState


def partial_mvr(
    probability: Any, momentum: Any = None
) -> optax.GradientTransformationExtraArgs:
    """MVR of a worker that comes with probability p: what it learns counts 1/p times.

        k = ∇f(xᵏ; ξᵏ) − ∇f(xᵏ⁻¹; ξᵏ) − b (h − ∇f(xᵏ⁻¹; ξᵏ)),   h ← h + k/p
        h⁰ = ∇f(x⁰; ξ⁰),   b = 1 − β

    xᵏ⁻¹ is the point of the round before, whether the worker came then or not. p = 1 is
    `mvr(β)`. Everybody has to come in the first round, so that h⁰ is known:
    `simulate.after_first_round` sees to it.

    Args:
      probability: p, in (0, 1]; may be traced.
      momentum: β, the weight of the old estimate, in [0, 1]; may be traced. None
        stands for b = p/(2 − p), the largest of the theory.

    Returns:
      An estimator whose `update(grads, state, params=None, *, previous_grads)` needs
      the gradient of the same sample at the previous point; the first update ignores
      it. State: that of `mvr`, like params.

    Raises:
      ValueError: if a Python number is out of range.

    Reference: Tyurin, Richtárik (2022). arXiv:2205.15580.
    """
    b = _step(probability, momentum)
    return _partial("partial_mvr", probability, lambda full: b, PREVIOUS_GRADS)


def partial_page(
    probability: Any, momentum: Any = None
) -> optax.GradientTransformationExtraArgs:
    """PAGE of a worker that comes with probability p: what it learns counts 1/p times.

        k = ∇f(xᵏ) − ∇f(xᵏ⁻¹) − b (h − ∇f(xᵏ⁻¹))     if the batch is full, else
        k = ∇f(xᵏ; ξᵏ) − ∇f(xᵏ⁻¹; ξᵏ)
        h ← h + k/p,   h⁰ = ∇f(x⁰),   b = 1 − β

    As `partial_mvr`, whose full batches these are. With p = 1 and β = 0 it is `page`.

    Args:
      probability: p, in (0, 1]; may be traced.
      momentum: β, in [0, 1]; may be traced. None stands for b = p/(2 − p).

    Returns:
      An estimator whose `update(grads, state, params=None, *, previous_grads, full)`
      takes the gradients at both points, of full batches too, and whether they are
      full. The first update is to be a full one.

    Raises:
      ValueError: if a Python number is out of range.

    Reference: Tyurin, Richtárik (2022). arXiv:2205.15580. Deviation: b is not divided
      by the probability of a full batch, as one reading has it; that would neither
      give DASHA-PAGE at p = 1 nor be stable.
    """
    b = _step(probability, momentum)

    def step(full):
        if full is None:
            raise TypeError(
                "partial_page needs to know whether the batch is full: update(grads, "
                "state, params, previous_grads=..., full=...)"
            )
        return jnp.where(full, b, 0.0)

    needs = Needs(("previous_grads", "full"))
    return _partial("partial_page", probability, step, needs)


def _step(probability, momentum):
    """b = 1 − β, or the largest of the theory."""
    checks.in_unit_interval(probability, "probability", zero=False)
    checks.in_unit_interval(momentum, "momentum")
    return probability / (2 - probability) if momentum is None else 1 - momentum


def _partial(
    name: str, probability, step, needs: Needs
) -> optax.GradientTransformationExtraArgs:
    """h ← h + k/p, where `step(full)` is the b of k."""

    def init(params):
        return MVRState(tree.zeros_like(params), jnp.asarray(False), needs)

    def update(
        updates, state, params=None, *, previous_grads=None, full: Any = None, **extra
    ):
        del params, extra
        if previous_grads is None:
            raise TypeError(
                f"{name} needs the gradient of the same sample at the previous point: "
                "update(grads, state, params, previous_grads=...), at the first update "
                "grads itself"
            )
        h = state.estimate
        behind = tree.sub(h, previous_grads)
        k = tree.add_scaled(tree.sub(updates, previous_grads), -step(full), behind)
        moved = tree.add_scaled(h, 1 / probability, k)
        estimate = tree.select(state.started, moved, updates)
        return estimate, MVRState(estimate, jnp.ones_like(state.started), needs)

    return optax.GradientTransformationExtraArgs(init, update)
