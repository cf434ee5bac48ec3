"""The p-norm of the entries: between greedy coordinates and sign descent."""

from typing import Any

import jax.numpy as jnp

from .. import static
from ..linalg import nonzero, shrunk
from ..types import Array, Geometry
from .operands import given


def lp(p: Any) -> Geometry:
    """p-norm of all entries, 1 < p < ∞; the dual is the q-norm, q = p / (p - 1).

        lmo(g) = -sign(g) |g|^(q - 1) / ‖g‖_q^(q - 1)

    Steepest descent in the p-norm: p = 2 is `l2`; `l1` and `linf` are the limits.
    Leaves of any shape.

    Args:
      p: may be traced.

    Raises:
      ValueError: if p is a number outside (1, ∞).
    """
    if isinstance(p, int | float) and not 1 < p < float("inf"):
        raise ValueError(
            f"p must lie in (1, ∞), got {p}. Use l1() or linf() at the ends."
        )
    return _lp(p)


@static.memoised
def _lp(p) -> Geometry:
    q = p / (p - 1)
    return Geometry(lambda x: _norm(x, p), lambda g: _norm(g, q), given(_lmo, q))


def _lmo(q: Any, g: Array) -> Array:
    size, _ = shrunk(jnp.abs(g))
    share = size / nonzero(_norm(size, q))
    return -(jnp.sign(g) * (share ** (q - 1)).astype(g.dtype))


def _norm(x: Array, p) -> Array:
    """max|x| · ‖x / max|x|‖_p; exactly 0 at x = 0, inf with an infinite entry."""
    size, q = shrunk(jnp.abs(x))
    largest = jnp.max(size, initial=0)
    norm = largest * jnp.sum((size / nonzero(largest)) ** p) ** (1 / p)
    return jnp.where(jnp.isinf(largest), largest, norm) / q
