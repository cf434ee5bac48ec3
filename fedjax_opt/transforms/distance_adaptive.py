"""Step lengths from the distance that was explored. arXiv:2605.18999, its spirit."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .. import checks, tree
from ..geometry import matrices, per_leaf, rms, spectral
from ..types import Array, Geometry, Tree, TreeGeometry
from .dtypes import keeping_dtypes
from .horizon_free import horizon_free_momentum, horizon_free_step
from .lmo_step import scale_by_lmo
from .momentum import momentum as averaged


class ExploredState(NamedTuple):
    """State of `scale_by_explored_radius`.

    Attributes:
      start: x⁰, like the parameters.
      radius: r̄, the largest distance from x⁰ so far; 0 before the first update.
      updates: k, int32.
    """

    start: Tree
    radius: Array
    updates: Array


def scale_by_explored_radius(
    geometry: Geometry | TreeGeometry,
    *,
    weight: Callable[[Array], Any],
    initial_radius: Any = None,
) -> optax.GradientTransformation:
    """Directions get the length of the largest distance from the start so far.

        r̄ ← max(r̄, ‖x − x⁰‖),   u ← wₖ r̄ u

    After normalization in the l2 norm of the whole tree, with wₖ = 1/√(k+1), it is
    `optax.contrib.dog` of normalized gradients.

    Args:
      geometry: of the distance.
      weight: k -> wₖ, of the number of updates before.
      initial_radius: r̄ at first, positive; by default 1e-6 (1 + ‖x⁰‖), as DoG.

    Returns:
      A transformation whose update needs the parameters.

    Raises:
      ValueError: if initial_radius is a number that is not positive.
    """
    checks.positive(initial_radius, "initial_radius")
    geometry = per_leaf(geometry)

    def init(params):
        return ExploredState(
            start=jax.tree.map(jnp.copy, params),
            radius=jnp.zeros((), jnp.result_type(float)),
            updates=jnp.zeros((), jnp.int32),
        )

    def update(updates, state, params=None):
        if params is None:
            raise TypeError(
                "the explored radius needs the parameters: update(grads, state, params)"
            )
        radius = _explored(geometry, state, params, initial_radius)
        count = optax.safe_increment(state.updates)
        scaled = tree.scale(weight(state.updates) * radius, updates)
        return scaled, ExploredState(state.start, radius, count)

    return optax.GradientTransformation(init, update)


def distance_adaptive_style(
    geometry: Geometry | TreeGeometry | None = None,
    *,
    scale: Any = 1.0,
    momentum: Any = horizon_free_momentum,
    weight: Callable[[Array], Any] | None = None,
    initial_radius: Any = None,
) -> optax.GradientTransformation:
    """LMO steps as long as the explored radius. Experimental.

        m ← βₖ m + (1 − βₖ) g,   r̄ ← max(r̄, ‖x − x⁰‖),   x ← x + c r̄ wₖ lmo(m)

    A radius of its own for some leaves: `optax.partition`, with one of these for each.

    Args:
      geometry: of the tree, or of a leaf and then used on each; None: the spectral norm
        on matrices, the RMS norm on the others.
      scale: c; may be traced.
      momentum: β, as for `momentum`; by default 1 − (k+1)^(−1/2).
      weight: k -> wₖ; by default (k+1)^(−3/4).
      initial_radius: as for `scale_by_explored_radius`.

    Reference: Demidovich, Chakraborty, Malinovsky, Nedić, Richtárik (2026).
      arXiv:2605.18999.
    Deviation: built from the description in the abstract; the paper's formulas may
      differ.
    """
    geometry = matrices(spectral(), rms()) if geometry is None else geometry
    weight = horizon_free_step(1.0) if weight is None else weight
    return optax.chain(
        averaged(momentum),
        scale_by_lmo(geometry),
        scale_by_explored_radius(
            geometry, weight=weight, initial_radius=initial_radius
        ),
        keeping_dtypes(optax.scale_by_learning_rate(scale)),
    )


def _explored(geometry, state, params, initial_radius) -> Array:
    """r̄ with x among the points; one norm, at first that of x⁰."""
    first = state.updates == 0
    away = tree.select(first, params, tree.sub(params, state.start))
    size = geometry.norm(away)
    start = 1e-6 * (1 + size) if initial_radius is None else initial_radius
    radius = jnp.where(first, start, jnp.maximum(state.radius, size))
    return radius.astype(state.radius.dtype)
