"""AsGrad: the server chooses who gets the next job. arXiv:2310.20452."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from .. import checks
from ..static import bind
from ..types import Schedule
from . import cluster

ASSIGNMENTS = ("pure", "random", "shuffled")


class AsGradState(NamedTuple):
    """State of the clock. At most n jobs are unfinished, so that n places suffice.

    Attributes:
      cluster: the workers and their running jobs.
      rests: [n] who has no job.
      waiting: [n] the workers of the jobs that nobody has begun, in order of
        assignment; n behind the last.
      versions: [n] the points of these jobs.
      delivered: [n] who has delivered since the last step, in order of arrival.
      collected: how many have.
      assigned: jobs assigned so far, the first n not counted.
      permutation: [n] of the current n assignments, if they are shuffled.
    """

    cluster: cluster.Cluster
    rests: Any
    waiting: Any
    versions: Any
    delivered: Any
    collected: Any
    assigned: Any
    permutation: Any


def asgrad(*, assignment: str = "shuffled", batch_size=1) -> Schedule:
    """Jobs go to workers of the server's choice, who queue them.

        on b results:   x^{k+1} = x^k − (γ/b) Σⱼ ∇f_{iⱼ}(x^{k−δⱼ}; ξⱼ),
                        then b jobs at x^{k+1} are assigned

    Everybody starts with a job at x⁰. A worker does its jobs in order of assignment,
    each at the point of its assignment.

    Args:
      assignment: to whom the jobs go. "pure": to the b that delivered, in order of
        arrival. "random": to uniformly drawn workers. "shuffled": along permutations
        of all workers, a new one after every n assignments.
      batch_size: b, 1, ..., n.

    Reference: Islamov, Safaryan, Alistarh (2024). arXiv:2310.20452.
    """
    if assignment not in ASSIGNMENTS:
        raise ValueError(
            f"asgrad: assignment must be {', '.join(ASSIGNMENTS[:-1])} or "
            f"{ASSIGNMENTS[-1]}, got {assignment!r}"
        )
    checks.counts("asgrad", batch_size=batch_size)
    return Schedule(
        Partial(_init),
        Partial(bind(_next, assignment), batch_size),
        Partial(bind(_possible, assignment), batch_size),
    )


def _possible(assignment, batch_size, alive):
    """Are b results ever together? Whoever never delivers collects jobs, if chosen."""
    enough = alive.sum() >= batch_size
    return enough if assignment == "pure" else enough & alive.all()


def _init(key, compute_time, num_components):
    del num_components
    workers = cluster.start(key, compute_time)
    zeros = jnp.zeros_like(workers.job)
    return AsGradState(
        cluster=workers,
        rests=jnp.zeros(zeros.shape, bool),
        waiting=zeros + zeros.size,
        versions=zeros,
        delivered=zeros,
        collected=jnp.int32(0),
        assigned=jnp.int32(0),
        permutation=zeros,
    )


def _next(assignment, batch_size, state: AsGradState, compute_time, feedback):
    event = cluster.arrival(state.cluster)
    i, arrives = event.worker, event.accepted
    collected = state.collected + arrives
    full = arrives & (collected >= batch_size)
    event = event._replace(
        weight=event.weight / batch_size, step=full.astype(jnp.float64)
    )
    workers = cluster.advance(state.cluster, event)
    state = state._replace(
        cluster=cluster.rest(workers, i),
        rests=state.rests.at[i].set(True),
        delivered=state.delivered.at[collected - 1].set(i),
        collected=collected,
    )
    state = jax.lax.cond(
        (state.waiting == i).any(), _begin, lambda *_: state, state, i, compute_time
    )
    state = jax.lax.cond(
        full,
        lambda: _assign_all(assignment, state, compute_time),
        lambda: state,
    )
    return event, state


def _begin(state: AsGradState, worker, compute_time) -> AsGradState:
    """The worker's first waiting job begins; those behind it move up."""
    places = jnp.arange(state.waiting.size)
    place = jnp.argmax(state.waiting == worker)
    version = state.versions[place]
    nobody = state.waiting.size
    waiting = jnp.append(state.waiting[1:], jnp.int32(nobody))
    return _run(
        state._replace(
            waiting=jnp.where(places < place, state.waiting, waiting),
            versions=jnp.where(
                places < place, state.versions, jnp.roll(state.versions, -1)
            ),
        ),
        worker,
        version,
        compute_time,
    )


def _run(state: AsGradState, worker, version, compute_time) -> AsGradState:
    """The worker, who rests, begins a job at the point of `version`."""
    workers = cluster.assign(state.cluster, worker, compute_time)
    workers = workers._replace(version=workers.version.at[worker].set(version))
    return state._replace(cluster=workers, rests=state.rests.at[worker].set(False))


def _assign_all(assignment, state: AsGradState, compute_time) -> AsGradState:
    """As many jobs as have been delivered, at the new point."""

    def one(index, state):
        state, worker = _choose(assignment, state, index)
        state = state._replace(assigned=state.assigned + 1)
        return jax.lax.cond(
            state.rests[worker],
            lambda: _run(state, worker, state.cluster.updates, compute_time),
            lambda: _queue(state, worker),
        )

    state = jax.lax.fori_loop(0, state.collected, one, state)
    return state._replace(collected=jnp.int32(0))


def _queue(state: AsGradState, worker) -> AsGradState:
    """The job waits behind all others."""
    place = jnp.sum(state.waiting < state.waiting.size)
    return state._replace(
        waiting=state.waiting.at[place].set(worker),
        versions=state.versions.at[place].set(state.cluster.updates),
    )


def _choose(assignment, state: AsGradState, index):
    """Who gets the next job, the `index`-th of this step."""
    workers, number = state.cluster, state.assigned
    num_workers = state.rests.size
    if assignment == "pure":
        return state, state.delivered[index]
    if assignment == "random":
        key = cluster.server_key(workers, number)
        uniform = jax.random.uniform(key, dtype=jnp.float64)
        return state, jnp.floor(uniform * num_workers).astype(jnp.int32)
    block, place = number // num_workers, number % num_workers
    permutation = jax.lax.cond(
        place == 0,
        lambda: jax.random.permutation(
            cluster.server_key(workers, block), jnp.arange(num_workers, dtype=jnp.int32)
        ),
        lambda: state.permutation,
    )
    return state._replace(permutation=permutation), permutation[place]
