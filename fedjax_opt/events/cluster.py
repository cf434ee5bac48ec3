"""The virtual cluster that every schedule moves: n workers, each with one job.

Conventions: the next arrival is the earliest finish, ties go to the lowest index; a
worker without a job, or with one that never ends, has an infinite finish; once every
finish is infinite the clock stands at infinity and nothing is accepted any more.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .. import keys
from ..types import ComputeTime, Event

# Folded into the key of a job, whose own draw is its duration; large, so that it is
# none of the numbers that a law of durations may fold in, or `split` use.
UNIFORM = 2**31 - 1


class Cluster(NamedTuple):
    """The state of the clock.

    Attributes:
      key: of all durations.
      time: seconds, float64.
      finish: [n] when the running jobs end, seconds; inf if never.
      version: [n] server steps done when the running jobs started.
      job: [n] number of the running jobs, interrupted ones counted.
      updates: server steps so far.
    """

    key: Any
    time: Any
    finish: Any
    version: Any
    job: Any
    updates: Any


def idle(key, compute_time: ComputeTime) -> Cluster:
    """Nobody has a job yet; version 0, time 0."""
    (num_workers,) = jnp.shape(compute_time.lower_bound)
    zeros = jnp.zeros(num_workers, jnp.int32)
    return Cluster(
        key=key,
        time=jnp.zeros((), jnp.float64),
        finish=jnp.full(num_workers, jnp.inf, jnp.float64),
        version=zeros,
        job=zeros - 1,
        updates=jnp.zeros((), jnp.int32),
    )


def start(key, compute_time: ComputeTime, num_components=None) -> Cluster:
    """All workers start a job of one gradient at version 0, time 0."""
    del num_components
    everybody = jnp.ones(jnp.shape(compute_time.lower_bound), bool)
    return assign_where(idle(key, compute_time), everybody, compute_time)


def arrival(cluster: Cluster) -> Event:
    """The next arrival, as if it were used alone: accepted, weight 1, a full step."""
    # Two passes that vectorise, twice as fast as argmin on a CPU.
    workers = jnp.arange(cluster.finish.shape[0], dtype=jnp.int32)
    time = jnp.min(cluster.finish)
    worker = jnp.min(jnp.where(cluster.finish == time, workers, workers[-1]))
    version = cluster.version[worker]
    arrives = jnp.isfinite(time)
    return Event(
        time=time,
        worker=worker,
        job=cluster.job[worker],
        version=version,
        delay=cluster.updates - version,
        accepted=arrives,
        weight=arrives.astype(jnp.float64),
        step=arrives.astype(jnp.float64),
        work=jnp.int32(1),
        kind=jnp.int32(0),
        busy=jnp.sum(jnp.isfinite(cluster.finish), dtype=jnp.int32),
        sample=jnp.int32(-1),
    )


def advance(cluster: Cluster, event: Event) -> Cluster:
    """The cluster at the event, its step taken; the worker still has its old job."""
    return cluster._replace(
        time=event.time,
        updates=cluster.updates + (event.step != 0).astype(jnp.int32),
    )


def assign(
    cluster: Cluster, worker, compute_time: ComputeTime, work: Any = 1
) -> Cluster:
    """`worker` starts its next job, at the current version."""
    job = cluster.job[worker] + 1
    seconds = compute_time.sample(
        keys.of_job(cluster.key, worker, job), worker, job, cluster.time, work
    )
    return cluster._replace(
        finish=cluster.finish.at[worker].set(cluster.time + seconds),
        version=cluster.version.at[worker].set(cluster.updates),
        job=cluster.job.at[worker].set(job),
    )


def assign_where(
    cluster: Cluster, chosen, compute_time: ComputeTime, work: Any = 1
) -> Cluster:
    """The `chosen` [n] workers start their next jobs; running ones are interrupted."""
    job = cluster.job + chosen
    finish = cluster.time + _seconds_of_all(cluster, job, compute_time, work)
    return cluster._replace(
        finish=jnp.where(chosen, finish, cluster.finish),
        version=jnp.where(chosen, cluster.updates, cluster.version),
        job=job,
    )


def _seconds_of_all(cluster: Cluster, job, compute_time: ComputeTime, work):
    """[n], how long a job of each worker takes that starts now."""
    if compute_time.of_all is not None:
        return compute_time.of_all(job)

    def seconds(worker, job):
        key = keys.of_job(cluster.key, worker, job)
        return compute_time.sample(key, worker, job, cluster.time, work)

    workers = jnp.arange(job.shape[0], dtype=jnp.int32)
    return jax.vmap(seconds)(workers, job)


def restart(
    cluster: Cluster,
    worker,
    compute_time: ComputeTime,
    stop: bool,
    stepped,
    work: Any = 1,
) -> Cluster:
    """`worker` starts its next job; with `stop`, if the model has `stepped`, all do."""
    if not stop:
        return assign(cluster, worker, compute_time, work)
    everybody = jnp.broadcast_to(stepped, cluster.finish.shape)
    return interrupt(cluster, worker, everybody, compute_time, work)


def interrupt(
    cluster: Cluster, worker, others, compute_time: ComputeTime, work: Any = 1
) -> Cluster:
    """`worker` starts its next job; the `others` [n] stop theirs and start anew."""
    chosen = others | (jnp.arange(others.shape[0]) == worker)
    if compute_time.of_all is not None:
        return assign_where(cluster, chosen, compute_time, work)
    return jax.lax.cond(
        others.any(),
        lambda: assign_where(cluster, chosen, compute_time, work),
        lambda: assign(cluster, worker, compute_time, work),
    )


def rest(cluster: Cluster, worker) -> Cluster:
    """`worker` has no job until it is assigned one."""
    return cluster._replace(finish=cluster.finish.at[worker].set(jnp.inf))


def of(clock) -> Cluster:
    """The cluster in the state of a schedule's clock."""
    return clock if isinstance(clock, Cluster) else clock.cluster


def server_key(cluster: Cluster, index):
    """The key of the server's `index`-th draw: coins, permutations."""
    return keys.of_job(cluster.key, keys.SERVER_DRAWS, index)


def job_uniform(key, worker, job):
    """A number in [0, 1) of this job, independent of its duration.

    Args:
      key: of the cluster.
    """
    key = jax.random.fold_in(keys.of_job(key, worker, job), UNIFORM)
    return jax.random.uniform(key, dtype=jnp.float64)


def any_alive(alive):
    """`possible` of the schedules that one living worker keeps going."""
    return alive.any()


def all_alive(alive):
    """`possible` of the schedules that wait for every worker."""
    return alive.all()
