"""How far `local_lmo` may go: radii of its balls.

Experimental: the paper's own radii are not known here; these are derived from its
iteration. Reference: Richtárik, Gruntkowska, Li (2026). arXiv:2605.08850.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from .. import checks
from ..linalg import euclidean_norm, nonzero
from ..types import Array


class Radius(NamedTuple):
    """A rule for the radius t.

    Attributes:
      of: (project, x, g, value) -> t, with the projection onto the set; x and g are
        vectors, `value` is f(x) where it is asked for, else None.
      inputs: what the update must be given: ("value",) or nothing.
    """

    of: Callable[..., Array]
    inputs: tuple[str, ...] = ()


def constant(radius: Any) -> Radius:
    """t. With t = R/√K the best of K points has f − f* <= R G/√K, f G-Lipschitz.

    Args:
      radius: t, positive; may be traced.
    """
    checks.positive(radius, "radius")
    return Radius(lambda project, x, g, value: jnp.asarray(radius))


def proportional(step_size: Any) -> Radius:
    """t = γ ‖g‖, as long as a step of gradient descent.

    Args:
      step_size: γ; may be traced.
    """
    checks.positive(step_size, "step_size")
    return Radius(lambda project, x, g, value: step_size * euclidean_norm(g))


def polyak(lowest: Any) -> Radius:
    """t = (f(x) − f*)/‖g‖. For convex f, ‖x⁺ − x*‖² <= ‖x − x*‖² − t².

    Args:
      lowest: f*, the least value on the set; may be traced.
    """

    def of(project, x, g, value):
        return jnp.maximum(value - lowest, 0) / nonzero(euclidean_norm(g))

    return Radius(of, ("value",))


def generalized(l0: Any, l1: Any) -> Radius:
    """t = ‖g‖/(L0 + L1 ‖g‖), for (L0, L1)-smooth f.

    Args:
      l0, l1: at least one positive; may be traced.
    """

    def of(project, x, g, value):
        length = euclidean_norm(g)
        return length / nonzero(l0 + l1 * length)

    return Radius(of)


def of_projected_gradient(step_size: Any) -> Radius:
    """t = ‖Proj(x − γ g) − x‖, with which the steps are those of projected descent.

    Args:
      step_size: γ; may be traced.
    """
    checks.positive(step_size, "step_size")

    def of(project, x, g, value):
        return euclidean_norm(project(x - step_size * g) - x)

    return Radius(of)
