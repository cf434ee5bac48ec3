"""The sum of absolute entries: greedy coordinate descent."""

import jax.numpy as jnp

from ..static import memoised
from ..types import Array, Geometry
from .linf import linf


@memoised
def l1() -> Geometry:
    """Sum of absolute entries; the dual is the largest of them.

        lmo(g) = -sign(gₖ) eₖ,   k = argmax |gₖ|

    One entry moves, the first of the largest: the Gauss–Southwell rule. Leaves of any
    shape.

    Reference: Nutini, Schmidt, Laradji, Friedlander, Koepke (2015). arXiv:1506.00552.
    """
    largest, total, _ = linf()
    return Geometry(total, largest, _lmo)


def _lmo(g: Array) -> Array:
    vector = jnp.ravel(g)
    chosen = jnp.arange(vector.size) == jnp.argmax(jnp.abs(vector))
    return jnp.where(chosen, -jnp.sign(vector), 0).reshape(g.shape)
