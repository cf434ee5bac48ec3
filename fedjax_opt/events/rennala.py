"""Rennala: a batch at one point, filled by whoever is fast. arXiv:2305.12387."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from .. import checks
from ..static import bind
from ..types import Arrivals, Event, Schedule
from . import cluster, stream


class RennalaState(NamedTuple):
    """The cluster, and the size of the batch so far."""

    cluster: cluster.Cluster
    collected: Any


def rennala(
    *, batch_size, stop: bool = False, first_batch_size=None, pairs: bool = False
) -> Schedule:
    """Collects S fresh gradients, then steps with their mean.

        x^{k+1} = x^k − (γ/S) Σ_{j=1}^{S} ∇f(x^k; ξⱼ)

    A gradient from an older point is ignored; its worker starts anew at x^k. Every
    gradient that counts is taken at the current point, so one model is kept.

    Args:
      batch_size: S.
      stop: at each step interrupt all workers and restart them at the new point (the
        authors' experiments); otherwise running jobs finish and are ignored (paper).
      first_batch_size: the batch at x⁰; S by default.
      pairs: after the first batch a job is a pair of gradients on one sample, at the
        current and at the previous point, and costs two.

    Reference: Tyurin, Richtárik (2023). arXiv:2305.12387.
    """
    if first_batch_size is None:
        first_batch_size = batch_size
    checks.counts("rennala", batch_size=batch_size, first_batch_size=first_batch_size)
    rests = stop or pairs
    return Schedule(
        Partial(_init),
        Partial(bind(_next, stop, pairs), batch_size, first_batch_size),
        Partial(cluster.any_alive),
        events=None if rests else Partial(_events, batch_size, first_batch_size),
        longest=Partial(_longest) if stop and not pairs else None,
    )


def _init(key, compute_time, num_components):
    del num_components
    return RennalaState(cluster.start(key, compute_time), jnp.zeros((), jnp.int32))


def _next(stop, pairs, batch_size, first_batch_size, clock, compute_time, feedback):
    workers, collected = clock
    event = cluster.arrival(workers)
    size = jnp.where(workers.updates == 0, first_batch_size, batch_size)
    accepted = event.accepted & (event.delay == 0)
    collected = collected + accepted
    full = accepted & (collected >= size)
    event = event._replace(
        accepted=accepted,
        weight=jnp.where(accepted, 1 / size.astype(jnp.float64), 0.0),
        step=full.astype(jnp.float64),
        work=_work(pairs, event.version),
        kind=_work(pairs, event.version) - 1,
    )
    workers = cluster.advance(workers, event)
    work = _work(pairs, workers.updates)
    workers = cluster.restart(workers, event.worker, compute_time, stop, full, work)
    return event, RennalaState(workers, jnp.where(full, 0, collected))


class Batch(NamedTuple):
    """Between two arrivals: the last step's arrival, the batch so far, the steps."""

    began: Any
    collected: Any
    updates: Any


def _events(batch_size, first_batch_size, arrivals: Arrivals) -> Event:
    sizes = jnp.int32(batch_size), jnp.int32(first_batch_size)
    nothing = Batch(jnp.int32(-1), jnp.int32(0), jnp.int32(0))
    index = np.arange(len(arrivals.time), dtype=np.int32)
    columns = (index, arrivals.started)
    fresh, full = stream.decide(_collect, sizes, nothing, columns)
    batch = np.cumsum(full) - full
    size = np.where(batch == 0, first_batch_size, batch_size)
    return stream.events(arrivals, fresh, full, 1 / size)


def _collect(sizes, batch: Batch, arrival):
    index, started = arrival
    batch_size, first_batch_size = sizes
    fresh = started >= batch.began
    collected = batch.collected + fresh
    size = jnp.where(batch.updates == 0, first_batch_size, batch_size)
    full = fresh & (collected >= size)
    batch = Batch(
        began=jnp.where(full, index, batch.began),
        collected=jnp.where(full, 0, collected),
        updates=batch.updates + full,
    )
    return batch, (fresh, full)


def _longest(events: Event) -> float:
    """Every step interrupts all jobs."""
    steps = events.time[events.step != 0]
    return np.diff(steps, prepend=0.0, append=events.time[-1]).max()


def _work(pairs, version):
    """Gradients in a job that starts at `version`."""
    return 1 + jnp.where(version > 0, jnp.int32(pairs), 0)
