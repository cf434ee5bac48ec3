"""Ringmaster with thresholds and steps that nobody tunes. arXiv:2605.18174."""

import jax.numpy as jnp
from jax.tree_util import Partial

from ..static import bind
from ..types import Schedule
from . import cluster
from .ringmaster import ringmaster


def ringmaster_agnostic(*, stop: bool = False) -> Schedule:
    """Ringmaster whose delay threshold grows and whose step shrinks.

        if δ < Rₖ:  step by ηₖ = η / (k+1)^(3/4),   else drop;   Rₖ = max{1, ⌊√k⌋}

    with k steps done before. In both cases the worker starts anew at the newest point.

    Args:
      stop: after step k interrupt the workers whose jobs have become Rₖ or more steps
        old, and restart them at the new point (the authors' code); otherwise they
        finish, and are dropped if they are too old on arrival.

    Reference: Sadiev, Maranjyan, Ilin, Richtárik (2026). arXiv:2605.18174.
    """
    return Schedule(
        Partial(cluster.start), Partial(bind(_next, stop)), Partial(cluster.any_alive)
    )


def _next(stop, clock, compute_time, feedback):
    k = clock.updates.astype(jnp.float64)
    threshold = jnp.maximum(1.0, jnp.floor(jnp.sqrt(k)))
    schedule = ringmaster(delay_threshold=threshold, stop=stop)
    event, clock = schedule.next(clock, compute_time, feedback)
    return event._replace(step=event.step * (k + 1) ** -0.75), clock
