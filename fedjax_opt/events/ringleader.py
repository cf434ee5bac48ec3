"""Ringleader: rounds of n steps, one at an arrival of each worker. arXiv:2509.22860."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.tree_util import Partial

from ..types import Schedule
from . import cluster


class RingleaderState(NamedTuple):
    """State of the clock.

    Attributes:
      cluster: the workers.
      waiting: [n] whose step of this round is still to come; nobody while gathering.
      delivered: [n] who has a gradient in the table that is being filled: this round's
        while gathering, the next round's while stepping.
    """

    cluster: cluster.Cluster
    waiting: Any
    delivered: Any


def ringleader() -> Schedule:
    """Gathers until everybody has delivered, then steps once with each worker.

        gather:  until all bᵢ >= 1:  Gᵢ += g, bᵢ += 1                    (no step)
        step:    at the arrival that completes the table, then at the next one of each
                 other worker:   Gᵢ += g, bᵢ += 1,   x ← x − γ (1/n) Σⱼ Gⱼ/bⱼ
                 further arrivals of a worker go to the next round's table

    Nothing is dropped or interrupted, and delays are at most 2n − 2. Belongs with
    `estimators.ringleader`, which keeps the table.

    Reference: Maranjyan, Richtárik (2025). arXiv:2509.22860.
    """
    return Schedule(Partial(_init), Partial(_next), Partial(cluster.all_alive))


def _init(key, compute_time, num_components):
    del num_components
    workers = cluster.start(key, compute_time)
    nobody = jnp.zeros(workers.job.shape, bool)
    return RingleaderState(workers, nobody, nobody)


def _next(clock, compute_time, feedback):
    workers, waiting, delivered = clock
    event = cluster.arrival(workers)
    arrives = event.accepted & (jnp.arange(waiting.shape[0]) == event.worker)
    delivered = delivered | (arrives & ~waiting)
    complete = delivered.all()  # never while somebody waits: they have not delivered
    steps = complete | (arrives & waiting).any()
    event = event._replace(step=steps.astype(jnp.float64))
    workers = cluster.advance(workers, event)
    workers = cluster.assign(workers, event.worker, compute_time)
    waiting = (waiting | complete) & ~arrives
    return event, RingleaderState(workers, waiting, delivered & ~complete)
