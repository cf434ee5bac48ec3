"""Steps of unit length in a norm of choice."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from .. import checks
from ..geometry import l2, matrices, per_leaf, spectral
from ..types import Geometry, TreeGeometry
from .dtypes import keeping_dtypes
from .momentum import momentum as averaged


def scale_by_lmo(geometry: Geometry | TreeGeometry) -> optax.GradientTransformation:
    """Replaces the gradient, or momentum, by the direction that a norm descends in.

        g ← -lmo(g),   lmo(g) = argmin {⟨g, z⟩ : ‖z‖ ≤ 1}

    so that with optax's sign, `chain(momentum(0.9), scale_by_lmo(spectral()),
    optax.scale_by_learning_rate(eta))` steps x + η lmo(m). With l2 that is normalized
    gradient descent, with linf sign descent, with the spectral norm Muon.

    Args:
      geometry: of the tree, or of a leaf and then used on each.
    """
    geometry = per_leaf(geometry)

    def update(updates, state, params=None):
        del params
        return jax.tree.map(jnp.negative, geometry.lmo(updates)), state

    return optax.GradientTransformation(optax.init_empty_state, update)


def lmo_step(
    geometry: Geometry | TreeGeometry | None,
    step_size: Any,
    momentum: Any = None,
    *,
    nesterov: bool = False,
    weight_decay: Any = None,
) -> optax.GradientTransformation:
    """Steps of length η in a norm of choice, along a momentum.

        m ← β m + (1 − β) g,   x ← (1 − ηλ) x + η lmo(m)

    Args:
      geometry: of the tree, or of a leaf and then used on each; None: the spectral
        norm on leaves with two axes (Muon), the Euclidean norm on the others.
      step_size: η > 0; may be traced, or a schedule of optax.
      momentum: β, as for `momentum`, which starts at 0; None: m = g.
      nesterov: along β m + (1 − β) g, with the new m, instead.
      weight_decay: λ ≥ 0; None for 0, and an update that needs no parameters.

    Raises:
      ValueError: if step_size, weight_decay or momentum are numbers out of range.
    """
    checks.positive(step_size, "step_size")
    checks.not_negative(weight_decay, "weight_decay")
    direction = scale_by_lmo(
        matrices(spectral(), l2()) if geometry is None else geometry
    )
    parts = [direction, keeping_dtypes(optax.scale_by_learning_rate(step_size))]
    if weight_decay is not None:
        parts.insert(1, keeping_dtypes(optax.add_decayed_weights(weight_decay)))
    if momentum is not None:
        parts.insert(0, averaged(momentum, nesterov=nesterov))
    return optax.chain(*parts)
