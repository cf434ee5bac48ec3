"""Local LMO: projection-free steps over a part of the set. arXiv:2605.08850."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from .. import linalg
from ..needs import Needs
from .radii import Radius
from .sets import ConvexSet


class LocalLMOState(NamedTuple):
    """State of `local_lmo`.

    Attributes:
      needs: what the radius must be told.
    """

    needs: Any


def local_lmo(
    convex_set: ConvexSet, radius: Radius
) -> optax.GradientTransformationExtraArgs:
    """Minimises the linear model over the set and a Euclidean ball around the point.

        x ← argmin {⟨g, z⟩ : z in X, ‖z − x‖₂ <= t}

    The set need not be bounded; without constraints and with t = γ ‖g‖ it is gradient
    descent, with t beyond the diameter a Frank–Wolfe step of size one. Of several
    minimisers the nearest to x; x itself at g = 0 or t = 0. The last of a chain.

    Args:
      convex_set: X, of `fo.transforms.sets`; x⁰ must be in it.
      radius: t, of `fo.transforms.radii`.

    Returns:
      A transformation whose update needs the parameters, and `value=` for the radius of
      Polyak.

    Raises:
      TypeError: if either is something else.

    Reference: Richtárik, Gruntkowska, Li (2026). arXiv:2605.08850.
    """
    if not isinstance(convex_set, ConvexSet) or not isinstance(radius, Radius):
        raise TypeError(
            "local_lmo needs a set and a radius, such as local_lmo(sets.box(0, 1), "
            f"radii.constant(0.1)); got {type(convex_set).__name__} and "
            f"{type(radius).__name__}"
        )

    def init(params):
        del params
        return LocalLMOState(Needs(radius.inputs))

    def update(updates, state, params=None, *, value=None, **extra):
        del extra
        if params is None or (value is None and "value" in radius.inputs):
            given = ["params"] + [f"{name}=..." for name in radius.inputs]
            raise TypeError(f"local_lmo needs update(grads, state, {', '.join(given)})")
        flat, unravel = ravel_pytree(params)
        x, g = linalg.wide(flat), linalg.wide(ravel_pytree(updates)[0])
        length = linalg.euclidean_norm(g)
        t = jnp.asarray(radius.of(convex_set.project, x, g, value), x.dtype)
        moves = (length > 0) & (t > 0)
        z = convex_set.step(x, linalg.unit(g), jnp.where(moves, t, 1))
        return unravel(jnp.where(moves, z - x, 0).astype(flat.dtype)), state

    return optax.GradientTransformationExtraArgs(init, update)
