"""Picky SGD: only gradients from nearby points. arXiv:2106.10344."""

import jax.numpy as jnp
from jax.tree_util import Partial

from .. import checks, tree
from ..types import Schedule
from . import cluster


def picky(*, radius) -> Schedule:
    """Accepts a gradient if the model has not moved far since it was asked for.

        if |x^k − y| <= r:  x^{k+1} = x^k − γ ∇f(y; ξ),   else drop it  (k unchanged)

    where y is the point of the job. In both cases the worker starts anew at the newest
    point. The clock looks at the model, and so runs together with the numbers.

    Args:
      radius: r = ε/(2L), with the target |∇f| <= ε.

    Reference: Cohen, Daniely, Drori, Koren, Schain (2021). arXiv:2106.10344.
    """
    checks.positive(radius, "radius")
    return Schedule(
        Partial(cluster.start),
        Partial(_next, radius),
        Partial(cluster.any_alive),
        feedback=Partial(_distance),
    )


def _distance(params, point):
    return tree.norm(tree.sub(params, point))


def _next(radius, clock, compute_time, feedback):
    event = cluster.arrival(clock)
    # A distance that is NaN is accepted: a diverged run goes on, and is marked.
    accepted = event.accepted & ~(feedback(event.worker) > radius)
    used = accepted.astype(jnp.float64)
    event = event._replace(accepted=accepted, weight=used, step=used)
    clock = cluster.advance(clock, event)
    return event, cluster.assign(clock, event.worker, compute_time)
