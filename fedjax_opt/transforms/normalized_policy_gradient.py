"""Normalized policy gradients without lag: N-PG-IGT, N-HARPG. arXiv:2302.01734."""

from typing import Any

import jax.numpy as jnp
import optax
from jax.tree_util import Partial

from .. import checks
from ..geometry import whole_tree_l2
from ..types import Array
from .hessian_momentum import hessian_momentum
from .lmo_step import lmo_step
from .nigt import nigt


def n_pg_igt_momentum(updates: Array) -> Array:
    """β after t updates: 1 − ηₜ, ηₜ = (2/(t+2))^(4/5), 0 at first."""
    return 1 - _new_weight(updates) ** 0.8


def n_harpg_momentum(updates: Array) -> Array:
    """β after t updates: 1 − ηₜ, ηₜ = 2/(t+2), 0 at first."""
    return 1 - _new_weight(updates)


def n_pg_igt(step_size: Any) -> optax.GradientTransformationExtraArgs:
    """Normalized policy gradients with implicit gradient transport.

        y = xₜ + (1−ηₜ)/ηₜ (xₜ − xₜ₋₁),   ηₜ = (2/(t+2))^(4/5)
        mₜ = (1 − ηₜ) mₜ₋₁ + ηₜ ∇f(y; ξₜ),   xₜ₊₁ = xₜ − γ/(t+2) mₜ/‖mₜ‖

    `nigt` with this schedule. f is the negated return, or any loss.

    Args:
      step_size: γ, a length, proportional to M_g/μ_F in the theory; may be traced.

    Returns:
      An optimizer whose `update(grads, state, params)` takes gradients at y.

    Raises:
      ValueError: if step_size is a number that is not positive.

    Reference: Fatkhullin, Barakat, Kireeva, He (2023). arXiv:2302.01734.
    """
    checks.positive(step_size, "step_size")
    steps = Partial(_harmonic, step_size)
    return optax.chain(nigt(n_pg_igt_momentum), lmo_step(whole_tree_l2(), steps))


def n_harpg(step_size: Any, key: Array) -> optax.GradientTransformationExtraArgs:
    """Normalized policy gradients with products of Hessians, at random points.

        z = q xₜ + (1 − q) xₜ₋₁,   q uniform in [0, 1],   ηₜ = 2/(t+2)
        mₜ = (1 − ηₜ) (mₜ₋₁ + ∇²f(z; ξₜ)(xₜ − xₜ₋₁)) + ηₜ ∇f(xₜ; ξₜ)
        xₜ₊₁ = xₜ − γₜ mₜ/‖mₜ‖

    `hessian_momentum` with this schedule. f is the negated return, or any loss.

    Args:
      step_size: γ, a length; may be traced, or a schedule of optax.
      key: random key, from which the q are drawn.

    Returns:
      An optimizer with the arguments of `hessian_momentum`.

    Raises:
      ValueError: if step_size is a number that is not positive.

    Reference: Fatkhullin, Barakat, Kireeva, He (2023). arXiv:2302.01734.
    Deviation: the schedule of γ is left to the caller.
    """
    checks.positive(step_size, "step_size")
    direction = hessian_momentum(n_harpg_momentum, key)
    return optax.chain(direction, lmo_step(whole_tree_l2(), step_size))


def _new_weight(updates: Array) -> Array:
    """2/(t+2) in full precision: integers divide in 32 bits."""
    return 2 / (jnp.asarray(updates).astype(float) + 2)


def _harmonic(step_size, updates: Array) -> Array:
    return step_size * _new_weight(updates) / 2
