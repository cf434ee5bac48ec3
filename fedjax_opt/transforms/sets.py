"""Convex sets for `local_lmo`: projections, and linear minimisation near a point.

Points are vectors: all leaves of the parameters one after the other, in the order of
`jax.flatten_util.ravel_pytree`. Results have the dtype of x, whatever that of the
numbers of a set.
Experimental: closed forms and bisection are derived from the iteration of the paper,
whose own sets are not known here. Reference: Richtárik, Gruntkowska, Li (2026).
arXiv:2605.08850.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .. import checks
from ..linalg import euclidean_norm, nonzero
from ..types import Array


class ConvexSet(NamedTuple):
    """A closed convex set X of vectors.

    Attributes:
      project: (x) -> the nearest point of X.
      step: (x, g, t) -> argmin ⟨g, z⟩ over z in X with ‖z − x‖₂ <= t, of several the
        nearest to x; for x in X, a unit vector g, and t > 0.
    """

    project: Callable[[Array], Array]
    step: Callable[[Array, Array, Array], Array]


def whole_space() -> ConvexSet:
    """All vectors: x − t g."""
    return _in_dtype_of_x(lambda x: x, lambda x, g, t: x - t * g)


def affine(normals: Array, offsets: Array) -> ConvexSet:
    """{x : A x = b}: steps along the gradient's projection P g.

        x − t P g / ‖P g‖,   P = I − A⁺ A

    Args:
      normals: A [k, d].
      offsets: b [k].
    """
    inverse = jnp.linalg.pinv(normals)

    def project(x):
        return x - inverse @ (normals @ x - offsets)

    def step(x, g, t):
        return x - t * _direction(g - inverse @ (normals @ g))

    return _in_dtype_of_x(project, step)


def half_space(normal: Array, offset: Any) -> ConvexSet:
    """{x : ⟨a, x⟩ <= b}: a free step, or one that ends on the boundary.

    Args:
      normal: a [d], not 0.
      offset: b.
    """
    length = euclidean_norm(normal)
    unit, level = normal / length, offset / length

    def project(x):
        return x - jnp.maximum(unit @ x - level, 0) * unit

    def step(x, g, t):
        free = x - t * g
        room = jnp.clip(level - unit @ x, 0, t)  # to the boundary
        along = _direction(g - (unit @ g) * unit)
        on_boundary = x + room * unit - jnp.sqrt(t**2 - room**2) * along
        return jnp.where(unit @ free <= level, free, on_boundary)

    return _in_dtype_of_x(project, step)


def ball(radius: Any, center: Any = 0.0) -> ConvexSet:
    """{x : ‖x − c‖₂ <= r}: a free step, the ball's own minimiser, or where they meet.

    Both balls active, the step is in the plane of g and u = x − c:

        c + y,   ‖y‖ = r,   ⟨y, u⟩ = (r² + ‖u‖² − t²)/2

    Args:
      radius: r > 0.
      center: c, a number or [d].

    Raises:
      ValueError: if the radius is a number that is not positive.
    """
    checks.positive(radius, "the radius of a ball")

    def project(x):
        away = x - center
        length = euclidean_norm(away)
        return center + away * jnp.minimum(1, radius / nonzero(length))

    def step(x, g, t):
        free, lowest, u = x - t * g, center - radius * g, x - center
        square = nonzero(u @ u)
        share = (radius**2 + u @ u - t**2) / 2 / square
        along = _direction(g - (g @ u) / square * u)
        height = jnp.sqrt(jnp.maximum(radius**2 - share**2 * square, 0))
        meeting = center + share * u - height * along
        inner = jnp.where(euclidean_norm(lowest - x) <= t, lowest, meeting)
        return jnp.where(euclidean_norm(free - center) <= radius, free, inner)

    return _in_dtype_of_x(project, step)


def box(lower: Any, upper: Any) -> ConvexSet:
    """{x : l <= x <= u}: coordinates run at speed |gᵢ| until they stop at a bound.

        clip(x − γ g, l, u),   γ such that the length is t: one sort, O(d log d)

    Entries of a unit g that are not normal numbers count as 0.

    Args:
      lower, upper: l and u, numbers or [d]; infinite where there is no bound.
    """

    def project(x):
        return jnp.clip(x, lower, upper)

    def step(x, g, t):
        g = jnp.where(jnp.abs(g) < jnp.finfo(g.dtype).tiny, 0, g)
        bound = jnp.where(g > 0, lower, jnp.where(g < 0, upper, x))
        # In units of t: the step is 1 long, and nothing overflows.
        room = jnp.minimum(jnp.abs(bound - x) / t, 2)
        share, reaches = _shares(room, jnp.abs(g))
        moved = jnp.clip(x - jnp.sign(g) * (t * share), lower, upper)
        return jnp.where(reaches & (share < room), moved, bound)

    return _in_dtype_of_x(project, step)


def simplex(total: Any = 1.0) -> ConvexSet:
    """{x >= 0 : Σᵢ xᵢ = s}, by bisection with `optax.projections`.

    Args:
      total: s > 0.
    """

    def project(x):
        return _on_simplex(x, total)

    def lowest(x, g):
        return _on_face(x, g == jnp.min(g), total)

    return by_projection(project, lowest)


def l1_ball(radius: Any = 1.0) -> ConvexSet:
    """{x : Σᵢ |xᵢ| <= r}, by bisection with `optax.projections`.

    Args:
      radius: r > 0.
    """

    def project(x):
        size = jnp.abs(x)
        onto = lambda: jnp.sign(x) * _on_simplex(size, radius)
        return jax.lax.cond(jnp.sum(size) <= radius, lambda: x, onto)

    def lowest(x, g):
        towards = jnp.where(g > 0, -1.0, 1.0).astype(x.dtype)
        face = jnp.abs(g) == jnp.max(jnp.abs(g))
        return towards * _on_face(towards * x, face, radius)

    return by_projection(project, lowest)


def by_projection(
    project: Callable[[Array], Array],
    lowest: Callable[[Array, Array], Array] | None = None,
) -> ConvexSet:
    """Any set with a projection: z = project(x − γ g), γ by bisection.

    The length ‖z − x‖ is continuous in γ and does not fall. Some 60 to 160 projections
    for a step in float64.

    Args:
      project: as in ConvexSet.
      lowest: (x, g) -> argmin ⟨g, z⟩ over the set, of several the nearest to x; None
        for sets whose steps always reach t.
    """

    def nearest(x):
        return project(x).astype(x.dtype)

    def step(x, g, t):
        def reaches(gamma):
            return euclidean_norm(nearest(x - gamma * g) - x) >= t

        def goes_on(carry):
            gamma, doublings = carry
            return ~reaches(gamma) & (doublings < 100)

        def halve(_, bracket):
            low, high = bracket
            middle = (low + high) / 2
            far = reaches(middle)
            return jnp.where(far, low, middle), jnp.where(far, middle, high)

        start = jnp.minimum(t, jnp.finfo(x.dtype).max / 2**102).astype(x.dtype)
        double = lambda carry: (2 * carry[0], carry[1] + 1)
        high, doublings = jax.lax.while_loop(goes_on, double, (start, 0))
        low = jnp.where(doublings == 0, start, high / 2)
        digits = jnp.finfo(x.dtype).nmant + 2
        low, _ = jax.lax.fori_loop(0, digits, halve, (low, high))
        z = nearest(x - low * g)
        if lowest is None:
            return z
        end = lowest(x, g)
        return jnp.where(euclidean_norm(end - x) <= t, end, z)

    return _in_dtype_of_x(project, step)


def _in_dtype_of_x(project: Callable, step: Callable) -> ConvexSet:
    return ConvexSet(
        lambda x: project(x).astype(x.dtype),
        lambda x, g, t: step(x, g, t).astype(x.dtype),
    )


def _direction(v: Array) -> Array:
    """v / ‖v‖; 0 where v, a part of a unit vector, is rounding error."""
    length = euclidean_norm(v)
    noise = 100 * jnp.finfo(v.dtype).eps
    return jnp.where(length > noise, v / nonzero(length), 0)


def _shares(room: Array, speed: Array) -> tuple[Array, Array]:
    """How far each coordinate runs until the length is 1, and whether it ever is."""
    stop = room / nonzero(speed)  # the time at which a coordinate stops
    order = jnp.argsort(stop)
    stop, ends, speed = stop[order], room[order], speed[order]
    stopped = jnp.cumsum(jnp.roll(ends**2, 1).at[0].set(0))  # those before
    moving = jax.lax.associative_scan(jnp.hypot, speed, reverse=True)  # the others
    square = stopped + (stop * moving) ** 2  # of the length, when each one stops
    first = jnp.argmax(square >= 1)
    left = jnp.sqrt(jnp.maximum(1 - stopped[first], 0))
    runs = jnp.minimum(ends, left * (speed / nonzero(moving[first])))
    runs = jnp.where(jnp.arange(runs.size) < first, ends, runs)
    return jnp.zeros_like(room).at[order].set(runs), jnp.any(square >= 1)


def _on_face(x: Array, face: Array, total: Any) -> Array:
    """The point of the simplex that is nearest to x and is 0 off the face."""
    least = jnp.max(x) - jnp.min(x) + total  # so much less, and it is 0
    kept = jnp.where(face, x, x - 2 * least)
    return _on_simplex(kept, total)


def _on_simplex(x: Array, total: Any) -> Array:
    """In the dtype of x: optax divides by integers, which gives float64 under x64."""
    return optax.projections.projection_simplex(x, total).astype(x.dtype)
