"""The spectral norm of a matrix: the polar factor as a direction, as in Muon."""

from collections.abc import Callable

import jax.numpy as jnp

from .. import linalg, static
from ..types import Array, Geometry
from .matrix import require_matrix

KERNELS: dict[str, Callable[..., linalg.Coefficients]] = {
    "jordan": linalg.jordan,
    "polar_express": linalg.polar_express,
    "cubic": linalg.cubic,
    "quintic": linalg.quintic,
}


def spectral(
    kernel: str | linalg.Coefficients = "polar_express", steps: int | None = None
) -> Geometry:
    """Largest singular value; the dual (nuclear norm) is the sum of all of them.

        lmo(G) = -U Vᵀ,   G = U Σ Vᵀ

    The norms are exact. The lmo is as exact as its kernel: "svd" and 8 steps of
    "polar_express" to rounding (singular values above 1e-3 ‖G‖_F), "jordan" to 32 %.
    For a matrix with one row it is `l2()`.

    Args:
      kernel: "polar_express", "jordan", "cubic", "quintic" (see `linalg`), "svd", or
        coefficients for `linalg.orthogonalize`, such as `linalg.dion()`.
      steps: of the kernel; its own number by default.

    Raises:
      ValueError: for an unknown kernel, for steps below 1 or without a kernel that has
        them, and, when used, for a leaf that is not a matrix.

    Reference: Bernstein, Newhouse (2024). arXiv:2409.20325.
    """
    return _spectral(_polar(kernel, steps))


@static.memoised
def _spectral(polar: Callable[[Array], Array]) -> Geometry:
    def norm(x):
        require_matrix(x.shape)
        return jnp.max(linalg.singular_values(x), initial=0)

    def dual(g):
        require_matrix(g.shape)
        return jnp.sum(linalg.singular_values(g))

    def lmo(g):
        require_matrix(g.shape)
        return -polar(g)

    return Geometry(norm, dual, lmo)


def _polar(kernel: str | linalg.Coefficients, steps: int | None):
    """The function that computes the polar factor; equal for equal arguments."""
    if isinstance(kernel, str) and kernel in KERNELS:
        if steps is not None and steps < 1:
            raise ValueError(f"a kernel needs at least 1 step, got steps={steps}.")
        make = KERNELS[kernel]
        return static.bind(_iterate, make() if steps is None else make(steps))
    if steps is not None:
        raise ValueError(
            f"steps={steps} given with kernel {kernel!r}; only {', '.join(KERNELS)} "
            "have steps. Leave it out."
        )
    if kernel == "svd":
        return linalg.polar_svd
    if isinstance(kernel, str):
        raise ValueError(
            f"unknown kernel {kernel!r}; use {', '.join(KERNELS)}, svd, or "
            "coefficients ((a, b, c), ...)."
        )
    return static.bind(_iterate, tuple((a, b, c) for a, b, c in kernel))


def _iterate(coefficients: linalg.Coefficients, x: Array) -> Array:
    return linalg.orthogonalize(x, coefficients)
