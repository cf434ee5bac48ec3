"""Rennala: a batch at one point, filled by whoever is fast. arXiv:2305.12387."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.tree_util import Partial

from .. import checks
from ..static import bind
from ..types import Schedule
from . import cluster


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
    return Schedule(
        Partial(_init),
        Partial(bind(_next, stop, pairs), batch_size, first_batch_size),
        Partial(cluster.any_alive),
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


def _work(pairs, version):
    """Gradients in a job that starts at `version`."""
    return 1 + jnp.where(version > 0, jnp.int32(pairs), 0)
