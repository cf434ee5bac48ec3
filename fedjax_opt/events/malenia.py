"""Malenia: a batch from every worker, its mean first. arXiv:2305.12387."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from .. import checks
from ..static import bind
from ..types import Event, Schedule
from . import cluster

ROUNDING = 1e-12  # 0.1 + 0.1 + 0.1 is not above 0.3


class MaleniaState(NamedTuple):
    """The cluster, and how many gradients of each worker are in the batch, [n]."""

    cluster: cluster.Cluster
    collected: Any


def malenia(*, batch_size, stop: bool = False) -> Schedule:
    """Collects fresh gradients until every worker's mean is good enough.

        until  ((1/n) Σᵢ 1/Bᵢ)⁻¹ >= S/n,   then   g = (1/n) Σᵢ (1/Bᵢ) Σⱼ ∇fᵢ(x^k; ξᵢⱼ)

    with Bᵢ gradients of worker i. The variance is at most σ²/S. A gradient from an
    older point is ignored; its worker starts anew at x^k. With S <= n the batch closes
    as soon as everybody has delivered.

    Args:
      batch_size: S.
      stop: at each step interrupt all workers and restart them at the new point;
        otherwise running jobs finish and are ignored.

    Reference: Tyurin, Richtárik (2023). arXiv:2305.12387.
    """
    checks.counts("malenia", batch_size=batch_size)
    return Schedule(
        Partial(_init),
        Partial(bind(_next, stop), batch_size),
        Partial(cluster.all_alive),
        weigh=Partial(_weigh),
    )


def _init(key, compute_time, num_components):
    del num_components
    workers = cluster.start(key, compute_time)
    return MaleniaState(workers, jnp.zeros(workers.job.shape, jnp.int32))


def _next(stop, batch_size, clock, compute_time, feedback):
    workers, collected = clock
    num_workers = collected.shape[0]
    event = cluster.arrival(workers)
    accepted = event.accepted & (event.delay == 0)
    collected = collected.at[event.worker].add(accepted)
    spread = jnp.sum(1 / collected.astype(jnp.float64))  # inf while somebody is missing
    full = accepted & (spread * batch_size <= num_workers**2 * (1 + ROUNDING))
    event = event._replace(
        accepted=accepted,
        weight=accepted.astype(jnp.float64),  # see _weigh
        step=full.astype(jnp.float64),
    )
    workers = cluster.advance(workers, event)
    workers = cluster.restart(workers, event.worker, compute_time, stop, full)
    return event, MaleniaState(workers, jnp.where(full, 0, collected))


def _weigh(events: Event) -> Event:
    """1/(n Bᵢ), with the Bᵢ of the batch that a gradient ends up in."""
    num_workers = int(events.worker.max(initial=0)) + 1  # n once a batch has closed
    batch = (np.cumsum(events.step != 0) - (events.step != 0)) * num_workers
    of_worker = batch + events.worker
    counts = np.bincount(of_worker, events.accepted, minlength=1)
    weight = 1 / (num_workers * np.maximum(counts[of_worker], 1))
    return events._replace(weight=np.where(events.accepted, weight, 0.0))
