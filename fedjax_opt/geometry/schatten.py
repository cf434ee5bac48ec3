"""Norms of the singular values of a matrix: between one rank and all of them."""

from typing import Any

from jax.tree_util import Partial

from .. import linalg, static
from ..types import Array, Geometry
from .l1 import l1
from .lp import lp
from .matrix import require_matrix
from .operands import operand


@static.memoised
def nuclear() -> Geometry:
    """Sum of singular values; the dual is the largest of them (`spectral`).

        lmo(G) = -u₁ v₁ᵀ,   G = U Σ Vᵀ

    The steps have rank one, as in Frank–Wolfe over the nuclear ball.

    Raises:
      ValueError: when used, for a leaf that is not a matrix.

    Reference: Jaggi (2013), https://proceedings.mlr.press/v28/jaggi13.html.
    """
    return _of_singular_values(l1())


def schatten(p: Any) -> Geometry:
    """p-norm of the singular values, 1 < p < ∞; the dual is the q-norm, q = p/(p - 1).

        lmo(G) = -U diag(σ^(q - 1)) Vᵀ / ‖σ‖_q^(q - 1),   G = U diag(σ) Vᵀ

    p = 2 is `l2` (Frobenius); `nuclear` and `spectral` are the limits. Singular values
    below max(rows, columns) · machine epsilon · the largest count as 0.

    Args:
      p: may be traced.

    Raises:
      ValueError: if p is a number outside (1, ∞), and, when used, for a leaf that is
        not a matrix.
    """
    return _of_singular_values(lp(p))


@static.memoised
def _of_singular_values(vector: Geometry) -> Geometry:
    def norm(x):
        require_matrix(x.shape)
        return vector.norm(linalg.singular_values(x))

    def dual(g):
        require_matrix(g.shape)
        return vector.dual(linalg.singular_values(g))

    return Geometry(norm, dual, Partial(_lmo, operand(vector.lmo)))


def _lmo(of_values: Partial, g: Array) -> Array:
    require_matrix(g.shape)
    small, _ = linalg.shrunk(g)  # the lmo is the same
    return linalg.map_singular_values(of_values, small).astype(g.dtype)
