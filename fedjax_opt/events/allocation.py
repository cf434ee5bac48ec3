"""Rounds in which each worker has a number of tasks; the model steps when all are done.

Shared by the methods that differ in who gets how many: MindFlayer, ATA, Soviet.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from .. import keys
from ..static import bind
from ..types import ComputeTime, Schedule
from . import cluster


class Plan(NamedTuple):
    """One round.

    Attributes:
      tasks: [n] how many tasks each worker has; it does them one after the other.
      weight: [n] of each of the worker's gradients.
      limit: [n] seconds after which a task is given up; inf: never.
      work, kind: of every task, as in `Event`.
      first: [n] the component of the worker's first task, whose others follow it; -1
        where every task draws its own, uniformly. None where there are no components.
    """

    tasks: Any
    weight: Any
    limit: Any
    work: Any = 1
    kind: Any = 0
    first: Any = None


class History(NamedTuple):
    """What a plan may go by.

    Attributes:
      round: index of the round, from 0; the model's version.
      counts: [n] tasks that each worker has finished.
      seconds: [n] how long they took in all.
      components: m of a finite sum, else 0.
    """

    round: Any
    counts: Any
    seconds: Any
    components: Any


class AllocationState(NamedTuple):
    """State of the clock.

    Attributes:
      cluster: the workers; those that are done rest.
      plan: of this round.
      left: [n] tasks not yet finished.
      started: [n] when the running tasks started, seconds.
      counts, seconds, components: as in `History`.
    """

    cluster: cluster.Cluster
    plan: Plan
    left: Any
    started: Any
    counts: Any
    seconds: Any
    components: Any


def allocated(
    plan: Callable[..., Plan],
    possible: Callable[..., Any],
    *,
    replan: bool = True,
    components: str | None = None,
) -> Schedule:
    """Rounds by a plan.

    Args:
      plan: a Partial, (key of the round, history, compute_time) -> Plan.
      possible: as in `Schedule`.
      replan: make a plan for every round; otherwise the first serves for all.
      components: the method's name, if it needs a finite sum.
    """
    return Schedule(
        Partial(bind(_init, components), plan),
        Partial(bind(_next, replan), plan),
        Partial(possible),
    )


def need_components(user: str, num_components: int | None) -> int:
    """m, refused where the problem is no finite sum.

    Raises:
      ValueError: if there is none.
    """
    if num_components is None:
        raise ValueError(
            f"{user} needs the number of components of a finite sum: take a problem of "
            "rows that are not split between workers, or give trace(num_components=)"
        )
    return num_components


def _init(components, plan, key, compute_time, num_components):
    if components is not None:
        need_components(components, num_components)
    workers = cluster.idle(key, compute_time)
    nothing = jnp.zeros(workers.finish.shape)
    count = nothing.astype(jnp.int32)
    history = History(workers.updates, count, nothing, jnp.int32(num_components or 0))
    first = _plan(plan, workers, history, compute_time)
    return _begin(
        AllocationState(workers, first, count, nothing, *history[1:]), compute_time
    )


def _plan(plan, workers: cluster.Cluster, history: History, compute_time) -> Plan:
    made = plan(cluster.server_key(workers, history.round), history, compute_time)
    shape = workers.finish.shape

    def filled(value, dtype):
        return jnp.broadcast_to(jnp.asarray(value, dtype), shape)

    return Plan(
        tasks=filled(made.tasks, jnp.int32),
        weight=filled(made.weight, jnp.float64),
        limit=filled(made.limit, jnp.float64),
        work=jnp.int32(made.work),
        kind=jnp.int32(made.kind),
        first=None if made.first is None else filled(made.first, jnp.int32),
    )


def _begin(state: AllocationState, compute_time) -> AllocationState:
    """All workers with tasks start."""
    workers, plan = state.cluster, state.plan
    works = plan.tasks > 0
    workers = cluster.assign_where(
        workers, works, _capped(compute_time, plan), plan.work
    )
    return state._replace(
        cluster=workers,
        left=plan.tasks,
        started=jnp.where(works, workers.time, state.started),
    )


def _next(replan, plan, state: AllocationState, compute_time, feedback):
    event = cluster.arrival(state.cluster)
    i, arrives = event.worker, event.accepted
    key = keys.of_job(state.cluster.key, i, event.job)
    drawn = compute_time.sample(key, i, event.job, state.started[i], state.plan.work)
    success = arrives & (drawn <= state.plan.limit[i])
    left = state.left.at[i].add(-arrives.astype(jnp.int32))
    closes = arrives & (left.sum() == 0)
    event = event._replace(
        accepted=success,
        weight=jnp.where(success, state.plan.weight[i], 0.0),
        step=closes.astype(jnp.float64),
        work=jnp.where(success, state.plan.work, 0),
        kind=state.plan.kind,
        sample=_sample(state, i, event.job),
    )
    state = state._replace(
        cluster=cluster.advance(state.cluster, event),
        left=left,
        started=state.started.at[i].set(event.time),
        counts=state.counts.at[i].add(success.astype(jnp.int32)),
        seconds=state.seconds.at[i].add(jnp.where(success, drawn, 0.0)),
    )
    state = jax.lax.cond(
        closes,
        lambda: _new_round(replan, plan, state, i, compute_time),
        lambda: _go_on(state, i, compute_time),
    )
    return event, state


def _go_on(state: AllocationState, worker, compute_time) -> AllocationState:
    """The worker's next task, if it has one."""
    capped = _capped(compute_time, state.plan)
    workers = jax.lax.cond(
        state.left[worker] > 0,
        lambda: cluster.assign(state.cluster, worker, capped, state.plan.work),
        lambda: cluster.rest(state.cluster, worker),
    )
    return state._replace(cluster=workers)


def _new_round(replan, plan, state: AllocationState, worker, compute_time):
    state = state._replace(cluster=cluster.rest(state.cluster, worker))
    if replan:
        history = History(
            state.cluster.updates, state.counts, state.seconds, state.components
        )
        made = _plan(plan, state.cluster, history, compute_time)
        state = state._replace(plan=made)
    return _begin(state, compute_time)


def _sample(state: AllocationState, worker, job):
    """The component of the worker's running task."""
    if state.plan.first is None:
        return jnp.int32(-1)
    place = state.plan.tasks[worker] - state.left[worker]
    uniform = cluster.job_uniform(state.cluster.key, worker, job)
    drawn = jnp.floor(uniform * state.components).astype(jnp.int32)
    first = state.plan.first[worker]
    return jnp.where(first < 0, drawn, first + place)


def _capped(compute_time: ComputeTime, plan: Plan) -> ComputeTime:
    sample = Partial(_up_to, compute_time.sample, plan.limit)
    return dataclasses.replace(compute_time, sample=sample)


def _up_to(sample, limit, key, worker, job, now, work):
    return jnp.minimum(sample(key, worker, job, now, work), limit[worker])
