"""Freya: PAGE's gradients and differences from whoever is fast. arXiv:2405.15545."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from ..static import bind
from ..types import ComputeTime, Schedule
from . import cluster, missing, page
from .allocation import need_components


class FreyaState(NamedTuple):
    """State of the clock.

    Attributes:
      cluster: the workers.
      missing: components that the full gradient of this version still lacks.
      full: does this version collect the full gradient?
      collected: gradients, or differences, of this version so far.
      kind, sample: [n] of the running jobs.
    """

    cluster: cluster.Cluster
    missing: missing.Missing
    full: Any
    collected: Any
    kind: Any
    sample: Any


def freya(
    *, batch_size=None, probability=None, cost_difference=2, stop: bool = False
) -> Schedule:
    """Collects every component once, or S differences on random ones, and steps.

        version 0, and others with probability p:  ∇f(x^k), a component per job
        otherwise:  (1/S) Σ_{j∈S^k} (∇fⱼ(x^k) − ∇fⱼ(x^{k−1})), a difference per job

    For a full gradient a worker that is free takes a component drawn uniformly from
    those not yet received; what comes twice is dropped. For differences it draws from
    all m, and the first S count. What an older version asked for is ignored, and its
    worker starts anew at x^k. Belongs with `estimators.page`, which keeps g.

    Args:
      batch_size: S; ⌈√m⌉ by default.
      probability: p; 1/√m by default.
      cost_difference: gradients that a difference costs, 1 or 2.
      stop: at each step interrupt all workers and restart them at the new point;
        otherwise running jobs finish and are ignored.

    Reference: Tyurin, Gruntkowska, Richtárik (2024). arXiv:2405.15545.
    """
    page.check("freya", batch_size, probability, cost_difference)
    return Schedule(
        Partial(_init),
        Partial(bind(_next, stop), batch_size, probability, cost_difference),
        Partial(cluster.any_alive),
    )


def _init(key, compute_time, num_components):
    num_components = need_components("freya", num_components)
    workers = cluster.idle(key, compute_time)
    nothing = jnp.zeros_like(workers.job)
    state = FreyaState(
        cluster=workers,
        missing=missing.everything(num_components),
        full=jnp.asarray(True),
        collected=jnp.int32(0),
        kind=nothing,
        sample=nothing,
    )
    return _assign_all(state, 1, compute_time)


def _next(
    stop,
    batch_size,
    probability,
    cost_difference,
    state: FreyaState,
    compute_time,
    feedback,
):
    event = cluster.arrival(state.cluster)
    kind, sample = state.kind[event.worker], state.sample[event.worker]
    version, size = state.cluster.updates, _size(batch_size, state)
    new = ~state.full | missing.contains(state.missing, sample, version)
    accepted = event.accepted & (event.delay == 0) & new
    collected = state.collected + accepted
    closes = accepted & (collected >= size)
    event = event._replace(
        accepted=accepted,
        weight=jnp.where(accepted, 1 / size, 0.0),
        step=closes.astype(jnp.float64),
        work=page.work(kind, cost_difference),
        kind=kind,
        sample=sample,
    )
    comes = accepted & state.full
    state = state._replace(
        cluster=cluster.advance(state.cluster, event),
        missing=missing.without(state.missing, sample, version, comes),
        collected=collected,
    )
    state = jax.lax.cond(
        closes, lambda: _new_version(probability, state), lambda: state
    )

    def one():
        return _assign(state, event.worker, cost_difference, compute_time)

    def everybody():
        return _assign_all(state, cost_difference, compute_time)

    return event, jax.lax.cond(closes, everybody, one) if stop else one()


def _size(batch_size, state: FreyaState):
    """How many gradients, or differences, this version needs, float64."""
    components = state.missing.components
    size = page.root(components) if batch_size is None else batch_size
    return jnp.where(state.full, components, size).astype(jnp.float64)


def _new_version(probability, state: FreyaState) -> FreyaState:
    """Nothing is collected yet, and the coin is flipped."""
    version = state.cluster.updates
    if probability is None:
        probability = 1 / jnp.sqrt(state.missing.components.astype(jnp.float64))
    key = cluster.server_key(state.cluster, version)
    return state._replace(
        missing=missing.filled(state.missing),
        full=page.is_full(key, version, probability),
        collected=jnp.int32(0),
    )


def _assign(
    state: FreyaState, worker, cost_difference, compute_time: ComputeTime
) -> FreyaState:
    """`worker` starts its next job, for the current version."""
    kind = (~state.full).astype(jnp.int32)
    workers = cluster.assign(
        state.cluster, worker, compute_time, page.work(kind, cost_difference)
    )
    allowed = state.missing.components - jnp.where(state.full, state.collected, 0)
    rank = page.drawn(workers, worker, allowed)
    lacking = missing.entry(state.missing, rank, workers.updates)
    return state._replace(
        cluster=workers,
        kind=state.kind.at[worker].set(kind),
        sample=state.sample.at[worker].set(jnp.where(state.full, lacking, rank)),
    )


def _assign_all(
    state: FreyaState, cost_difference, compute_time: ComputeTime
) -> FreyaState:
    """All start anew for a version of which nothing has come yet."""
    kind = jnp.broadcast_to((~state.full).astype(jnp.int32), state.kind.shape)
    workers = cluster.assign_where(
        state.cluster,
        jnp.ones(kind.shape, bool),
        compute_time,
        page.work(kind[0], cost_difference),
    )

    def draw(worker):
        return page.drawn(workers, worker, state.missing.components)

    sample = jax.vmap(draw)(jnp.arange(kind.shape[0], dtype=jnp.int32))
    return state._replace(cluster=workers, kind=kind, sample=sample)
