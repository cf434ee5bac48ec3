"""Ringmaster: asynchronous, with a delay threshold. arXiv:2501.16168."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from ..static import bind
from ..types import Arrivals, Event, Schedule
from . import cluster, stream

# Below this threshold the arrivals of the last steps are kept at hand.
SMALL = 1024


def ringmaster(*, delay_threshold, stop: bool = False) -> Schedule:
    """Every gradient with delay below R is a step; the rest are dropped.

        if δ < R:  x^{k+1} = x^k − γ ∇f(x^{k−δ}; ξ)
        else:      drop it                            (k unchanged)

    In both cases the worker starts anew at the newest point. R models are kept.

    Args:
      delay_threshold: R >= 1; inf gives vanilla asynchronous SGD.
      stop: after each step interrupt the workers whose jobs have become R or more
        steps old, and restart them at the new point (version B of the paper);
        otherwise they finish and are dropped (version A).

    Reference: Maranjyan, Tyurin, Richtárik (2025). arXiv:2501.16168.
    """
    if isinstance(delay_threshold, (int, float)) and not delay_threshold >= 1:
        raise ValueError(
            "ringmaster needs a delay_threshold of at least 1 (1 accepts only fresh "
            f"gradients), got {delay_threshold}"
        )
    if isinstance(delay_threshold, int):
        delay_threshold = float(delay_threshold)  # so that 6 and inf share a program
    return Schedule(
        Partial(cluster.start),
        Partial(bind(_next, stop), delay_threshold),
        Partial(cluster.any_alive),
        events=None if stop else Partial(_events, delay_threshold),
        longest=Partial(_longest, delay_threshold) if stop else None,
    )


def _next(stop, delay_threshold, clock, compute_time, feedback):
    event = cluster.arrival(clock)
    accepted = event.accepted & (event.delay < delay_threshold)
    used = accepted.astype(jnp.float64)
    event = event._replace(accepted=accepted, weight=used, step=used)
    clock = cluster.advance(clock, event)
    if not stop:
        return event, cluster.assign(clock, event.worker, compute_time)
    stale = clock.updates - clock.version >= delay_threshold
    return event, cluster.interrupt(clock, event.worker, stale, compute_time)


class Steps(NamedTuple):
    """Between two arrivals: at which arrivals the last steps were, and their number."""

    last: Any
    updates: Any


def _events(delay_threshold, arrivals: Arrivals) -> Event:
    count = len(arrivals.time)
    threshold = np.ceil(delay_threshold)
    if threshold > count:
        used = np.ones(count, bool)
    elif threshold < SMALL:
        index = np.arange(count, dtype=np.int32)
        nothing = Steps(jnp.zeros(SMALL, jnp.int32), jnp.int32(0))
        columns = (index, arrivals.started)
        used = stream.decide(_is_fresh, jnp.int32(threshold), nothing, columns)
    else:
        used = _in_pieces(int(threshold), arrivals.started)
    return stream.events(arrivals, used, used)


def _is_fresh(threshold, steps: Steps, arrival):
    """Did the job start at or after the step before the last `threshold` - 1?"""
    index, started = arrival
    oldest = steps.updates - threshold + 1
    used = (oldest <= 0) | (started >= steps.last[oldest % SMALL])
    updates = steps.updates + used
    # Without a step the entry that is written is one that is not read.
    slot = jnp.where(used, updates, updates + 1) % SMALL
    last = steps.last.at[slot].set(index)
    return Steps(last, updates), used


def _in_pieces(threshold: int, started):
    """For thresholds above the length of a piece: jobs that start in it are fresh."""
    used, updates = np.zeros(len(started), bool), np.zeros(len(started) + 1, np.int32)
    for first in range(0, len(started), SMALL):
        rows = slice(first, first + SMALL)
        earlier = started[rows] < first
        version = updates[np.where(earlier, started[rows], -1) + 1]
        delay = np.where(earlier, updates[first] - version, -SMALL).astype(np.int32)
        if delay.max(initial=0) + SMALL < threshold:
            used[rows] = True
        else:
            number = jnp.int32(threshold)
            used[rows] = stream.decide(_is_young, number, jnp.int32(0), delay)
        after = slice(first + 1, first + 1 + SMALL)
        updates[after] = updates[first] + np.cumsum(used[rows])
    return used


def _is_young(threshold, steps, delay):
    """Is the delay, and the steps since the piece began, below the threshold?"""
    used = delay + steps < threshold
    return steps + used, used


def _longest(delay_threshold, events: Event) -> float:
    """A job that started after step k is interrupted at step k + R."""
    steps = np.concatenate([[0.0], events.time[events.step != 0]])
    threshold = int(min(np.ceil(delay_threshold), len(steps)))
    starts = np.append(steps[::threshold], events.time[-1])
    return np.diff(starts).max()
