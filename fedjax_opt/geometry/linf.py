"""The largest absolute entry: sign descent."""

import jax.numpy as jnp

from ..linalg import wide
from ..static import memoised
from ..types import Array, Geometry


@memoised
def linf() -> Geometry:
    """Largest absolute entry; the dual is the sum of absolute entries.

        lmo(g) = -sign(g),   sign(0) = 0

    Leaves of any shape.
    """
    return Geometry(_largest, _sum, _lmo)


def _largest(x: Array) -> Array:
    return jnp.max(jnp.abs(wide(x)), initial=0)


def _sum(g: Array) -> Array:
    return jnp.sum(jnp.abs(wide(g)))


def _lmo(g: Array) -> Array:
    return -jnp.sign(g)
