"""Momentum and steps that need to know neither the noise nor the number of steps."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax
from jax.tree_util import Partial

from .. import checks
from ..types import Array, Geometry, TreeGeometry
from .lmo_step import lmo_step


def horizon_free_momentum(updates: Array) -> Array:
    """β for `momentum` after k updates: 1 − (k+1)^(−1/2), 0 at first.

    One update behind `growing_momentum`, which repeats its first weight.
    """
    return 1 - 1 / jnp.sqrt(_count(updates))


def horizon_free_step(step_size: Any) -> Callable[[Array], Array]:
    """A schedule for optax: η (k+1)^(−3/4) after k updates.

    Args:
      step_size: η; may be traced.
    """
    return Partial(_decreasing, step_size)


def horizon_free_lmo(
    step_size: Any, geometry: Geometry | TreeGeometry | None = None
) -> optax.GradientTransformation:
    """LMO steps whose only number is the length of the first: Gluon's, and NSGD-M's.

        m ← βₖ m + (1 − βₖ) g,   x ← x + ηₖ lmo(m),
        βₖ = 1 − (k+1)^(−1/2),   ηₖ = η (k+1)^(−3/4)

    With `geometry.whole_tree_l2()` it is NSGD-M, with a norm for each layer Gluon, each
    layer with its radius (`geometry.by_label`).

    Args:
      step_size: η, in units of the norm; may be traced.
      geometry: as for `lmo_step`.

    Raises:
      ValueError: if step_size is a number that is not positive.

    Reference: Riabinin, Shulgin, Gruntkowska, Richtárik (2025). arXiv:2505.13416;
      Cutkosky, Mehta (2020). arXiv:2002.03305.
    """
    checks.positive(step_size, "step_size")
    return lmo_step(geometry, horizon_free_step(step_size), horizon_free_momentum)


def _decreasing(step_size, updates: Array) -> Array:
    return step_size * _count(updates) ** -0.75


def _count(updates: Array) -> Array:
    """k + 1 in full precision: integers divide in 32 bits."""
    return jnp.asarray(updates).astype(float) + 1
