"""Asynchronous SGD with smaller steps for later gradients. arXiv:2206.07638."""

from jax.tree_util import Partial

from ..types import Arrivals, Event, Schedule
from . import cluster
from .asgd import every_arrival, next_arrival


def delay_adaptive_asgd() -> Schedule:
    """Asynchronous SGD whose step shrinks with the delay.

        γₖ = γ · n / max(n, δₖ)

    n counts every worker, so that adding a dead one changes the run. This is the rule
    of the authors' code; the theorems' constants differ.

    Reference: Mishchenko, Bach, Even, Woodworth (2022). arXiv:2206.07638.
    """
    return Schedule(
        Partial(cluster.start),
        Partial(_next),
        Partial(cluster.any_alive),
        events=Partial(_events),
    )


def _next(clock, compute_time, feedback):
    event, clock = next_arrival(clock, compute_time, feedback)
    return _shortened(event, clock.finish.shape[0]), clock


def _events(arrivals: Arrivals) -> Event:
    return _shortened(every_arrival(arrivals), arrivals.num_workers)


def _shortened(event: Event, num_workers: int) -> Event:
    xp = event.delay.__array_namespace__()
    late = xp.maximum(event.delay, num_workers).astype(xp.float64)
    return event._replace(step=event.step * (num_workers / late))
