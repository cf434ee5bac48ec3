"""Asynchronous SGD that shortens or drops late gradients. arXiv:2206.08307."""

from jax.tree_util import Partial

from ..types import Arrivals, Event, Schedule
from . import cluster
from .asgd import every_arrival, next_arrival


def koloskova_asgd(*, late_step) -> Schedule:
    """Asynchronous SGD: full steps up to delay n, later ones shorter, or none.

        γₖ = γ                   if δₖ <= n
        γₖ = γ min(1, c/δₖ)      otherwise;   with c = 0 the gradient is dropped

    Every arrival counts as a server step, also one whose gradient is dropped. n counts
    every worker, so that adding a dead one changes the run.

    Args:
      late_step: c >= 0; 1/(4Lγ) makes the late steps min {γ, 1/(4Lδₖ)}.

    Reference: Koloskova, Stich, Jaggi (2022). arXiv:2206.08307.
    Deviation: the paper's threshold is the average concurrency; here it is n, which
      equals it as long as nobody is dead.
    """
    if isinstance(late_step, (int, float)) and not late_step >= 0:
        raise ValueError(
            "koloskova_asgd needs late_step to be at least 0 (0 drops late gradients), "
            f"got {late_step}"
        )
    return Schedule(
        Partial(cluster.start),
        Partial(_next, late_step),
        Partial(cluster.any_alive),
        events=Partial(_events, late_step),
    )


def _next(late_step, clock, compute_time, feedback):
    event, clock = next_arrival(clock, compute_time, feedback)
    return _shortened(late_step, event, clock.finish.shape[0]), clock


def _events(late_step, arrivals: Arrivals) -> Event:
    return _shortened(late_step, every_arrival(arrivals), arrivals.num_workers)


def _shortened(late_step, event: Event, num_workers: int) -> Event:
    xp = event.delay.__array_namespace__()
    late = event.delay > num_workers
    used = event.accepted & ~(late & (late_step == 0))
    shorter = xp.minimum(1.0, late_step / xp.maximum(event.delay, 1))
    factor = xp.where(late & used, shorter, 1.0)
    return event._replace(
        accepted=used, weight=used.astype(xp.float64), step=event.step * factor
    )
