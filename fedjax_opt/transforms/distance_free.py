"""A ball around the start whose radius is found. arXiv:2605.18999, its spirit."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .. import checks, linalg, tree
from ..geometry import per_leaf
from ..needs import Needs
from ..types import Array, Geometry, Tree, TreeGeometry
from .layers import inner_products
from .momentum import momentum as averaged
from .recentred import mixing, recentred_step

VALUE = Needs(("value",))


class DistanceFreeState(NamedTuple):
    """State of `distance_free_style`.

    Attributes:
      start: x⁰, like the parameters.
      momentum: that of `momentum`; its `updates` is k.
      lowest: the smallest f(x) so far.
      distance: D, which for convex f is at most ‖x⁰ − x*‖.
      smallest: r; 0 before the first update, as R is.
      radius: R of the last step.
      largest: what R may be in the next.
      needs: the value.
    """

    start: Tree
    momentum: Any
    lowest: Array
    distance: Array
    smallest: Array
    radius: Array
    largest: Array
    needs: Any


def distance_free_style(
    geometry: Geometry | TreeGeometry,
    smoothness: Any,
    *,
    initial_radius: Any = None,
    momentum: Any = 0.0,
) -> optax.GradientTransformationExtraArgs:
    """`recentred_lmo` that finds its radius. Experimental, the least sure of its kind.

        D ← max(D, [f(x) − f_best + ⟨g, x⁰ − x⟩]₊ / ‖g‖*),   d = lmo(m)
        R = argmin aR⟨g, d⟩ + ½L a² (‖x − x⁰‖ + R)²   over [max(D, r), R_max]
        x ← (1 − a) x + a (x⁰ + R d),   a = 2/(k+2)

    f_best is the smallest value so far. R_max begins at r and doubles whenever the
    minimiser reaches it. The model majorises that of smoothness by ‖x⁺ − x‖ <=
    a (‖x − x⁰‖ + R), which makes it a quadratic of R.

    Args:
      geometry: of the tree, or of a leaf and then used on each.
      smoothness: L in this norm; may be traced.
      initial_radius: r, positive; by default 1e-6 (1 + ‖x⁰‖), as DoG.
      momentum: β, as for `momentum`.

    Returns:
      A transformation whose update needs the parameters, and `value=`, f(x).

    Raises:
      ValueError: if smoothness or initial_radius are numbers that are not positive.

    Reference: Demidovich, Chakraborty, Malinovsky, Nedić, Richtárik (2026).
      arXiv:2605.18999.
    Deviation: built from the description in the abstract; the certificate, the model
      and the doubling are choices of this library.
    """
    checks.positive(smoothness, "smoothness")
    checks.positive(initial_radius, "initial_radius")
    geometry, average = per_leaf(geometry), averaged(momentum)

    def init(params):
        zero = jnp.zeros((), jnp.result_type(float))
        return DistanceFreeState(
            start=jax.tree.map(jnp.copy, params),
            momentum=average.init(params),
            lowest=zero + jnp.inf,
            distance=zero,
            smallest=zero,
            radius=zero,
            largest=zero,
            needs=VALUE,
        )

    def update(updates, state, params=None, *, value=None, **extra):
        del extra
        if params is None or value is None:
            raise TypeError(
                "distance_free_style needs the parameters and f(x): update(grads, "
                "state, params, value=f(x))"
            )
        dtype = state.radius.dtype
        m, new = average.update(updates, state.momentum)
        direction, a = geometry.lmo(m), mixing(state.momentum)
        away = tree.sub(params, state.start)
        lowest = jnp.minimum(state.lowest, value).astype(dtype)

        gap = value - lowest - sum(inner_products(updates, away))
        certified = jnp.maximum(gap, 0) / linalg.nonzero(geometry.dual(updates))
        distance = jnp.maximum(state.distance, certified).astype(dtype)

        first = state.momentum.updates == 0
        size = geometry.norm(tree.select(first, params, away))
        smallest = 1e-6 * (1 + size) if initial_radius is None else initial_radius
        smallest = jnp.where(first, smallest, state.smallest).astype(dtype)

        descent = -sum(inner_products(updates, direction))
        minimiser = descent / (a * smoothness) - jnp.where(first, 0, size)
        least = jnp.maximum(distance, smallest)
        largest = jnp.maximum(state.largest, least)
        radius = jnp.clip(minimiser, least, largest).astype(dtype)
        doubled = jnp.where(minimiser >= largest, 2 * largest, state.largest)
        return recentred_step(a, away, radius, direction), DistanceFreeState(
            start=state.start,
            momentum=new,
            lowest=lowest,
            distance=distance,
            smallest=smallest,
            radius=radius,
            largest=doubled.astype(dtype),
            needs=VALUE,
        )

    return optax.GradientTransformationExtraArgs(init, update)
