"""The clock: runs a schedule on a cluster and yields its events.

The clock knows nothing of gradients. It is compiled on its own, in 64 bits, and its
events come back as NumPy arrays.
"""

import functools
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ..static import stacked
from ..types import ComputeTime, Event, Schedule
from . import arrivals, pruned
from .progress import (
    LONG_CHUNK,
    Goal,
    Progress,
    after,
    check_time_advances,
    chunk,
    missing,
)


def trace(
    schedule: Schedule,
    compute_time: ComputeTime,
    *,
    num_workers: int,
    key,
    num_events: int | None = None,
    until: float | None = None,
    num_components: int | None = None,
) -> Event:
    """The events of a schedule on a cluster.

    Args:
      schedule: of `fo.events`.
      compute_time: of `fo.timing`, for `num_workers` workers.
      num_workers: n.
      key: `jax.random.key(...)`; durations are drawn from it.
      num_events: exactly so many rows; when nobody can arrive any more the rest have
        time inf and are not accepted.
      until: all events up to this time, inclusive, in simulated seconds.
      num_components: m, for the schedules of finite sums.

    Returns:
      An `Event` of NumPy arrays, one row per arrival at the server in order of time,
      ignored ones included, interrupted jobs not. A job that its worker gave up has a
      row too, with work 0.

    Raises:
      ValueError: if the schedule looks at numbers: `fo.run` has them.
    """
    if (num_events is None) == (until is None):
        raise ValueError("trace needs either num_events= or until=")
    if num_events is not None and num_events < 0:
        raise ValueError(f"num_events must not be negative, got {num_events}")
    if until is not None and not until < np.inf:
        raise ValueError(f"until must be finite, got {until}; or give num_events=")
    check_outermost("trace", schedule, compute_time, key)
    check_key(key)
    check_workers(compute_time, num_workers)
    if schedule.feedback is not None:
        raise ValueError(
            "this schedule looks at the model before it accepts a gradient, so it has "
            "no clock of its own: use fo.run"
        )

    guess = num_events
    if guess is None:
        guess = arrivals_until(compute_time, cast(float, until))
    goal = Goal(guess, events=num_events, until=until)

    def left(progress: Progress):
        if until is not None:
            check_time_advances(progress, num_workers)
        return missing(goal, progress)

    (events,) = clocks(
        [schedule], compute_time, key[None], num_components, left=left, until=until
    )
    if num_events is not None:
        events = _exactly(events, num_events)
    else:
        events = jax.tree.map(lambda x: x[events.time <= until], events)
    return weighed(schedule, events)


def weighed(schedule: Schedule, events: Event) -> Event:
    """The events of one run with all their weights."""
    return events if schedule.weigh is None else schedule.weigh(events)


def clocks(
    schedules: list[Schedule],
    compute_time: ComputeTime,
    keys,
    num_components: int | None,
    *,
    left: Callable[[Progress], int],
    until: float | None = None,
) -> list[Event]:
    """Runs clocks that differ in numbers only, on one cluster.

    Each runs until it has come far enough, or until nobody can arrive any more, or a
    little longer.

    Args:
      schedules: S of them.
      keys: [S], one for each clock.
      num_components: m of a finite sum, or None.
      left: about how many events are still needed after some progress; 0 if none.
      until: no event after this time is needed; None where that is not known.

    Returns:
      The events of each, NumPy arrays.
    """
    stack, first = stacked(schedules), schedules[0]
    beforehand = arrivals.predictable(compute_time)
    if beforehand and first.events is not None:
        of_run = functools.partial(arrivals.clock, until=until)
    elif beforehand and first.longest is not None:
        of_run = pruned.clock
    else:
        with jax.enable_x64(True):
            state = _start(stack, compute_time, keys, num_components)

        def advance(state, length):
            return _advance(stack, compute_time, state, length)

        return chunks(state, advance, left)
    return [
        of_run(schedule, compute_time, key, left)
        for schedule, key in zip(schedules, keys, strict=True)
    ]


def chunks(state, advance, left: Callable[[Progress], int]) -> list[Event]:
    """Runs a stack of clocks chunk by chunk, all until every one has come far enough.

    Args:
      state: of the stack.
      advance: (state, length) -> (state, events [S, length]).
      left: as in `clocks`.
    """
    pieces, progress, more = [], [], left(Progress())
    with jax.enable_x64(True):
        while more or not pieces:
            done = progress[0].events if progress else 0
            state, events = advance(state, chunk(max(more, done)))
            pieces.append(jax.tree.map(np.asarray, events))
            runs = _runs(pieces[-1])
            progress = list(map(after, progress or [Progress()] * len(runs), runs))
            more = max(map(left, progress))
    return _runs(jax.tree.map(lambda *x: np.concatenate(x, axis=1), *pieces))


def _runs(events: Event) -> list[Event]:
    """The events of each run, from arrays [S, events]."""
    return [Event(*columns) for columns in zip(*events, strict=True)]


def _exactly(events: Event, count: int) -> Event:
    """So many rows; when nobody can arrive any more, the rest are at time inf."""
    missing = max(count - len(events.time), 0)
    nothing = Event(*(np.zeros((), x.dtype) for x in events))._replace(
        time=np.inf, sample=-1
    )
    return jax.tree.map(
        lambda x, fill: np.append(x[:count], np.full(missing, fill, x.dtype)),
        events,
        nothing,
    )


def arrivals_until(compute_time: ComputeTime, until: float) -> int:
    """About how many jobs end by `until` when everybody is always busy."""
    if compute_time.mean is None:
        return LONG_CHUNK
    rate = np.sum(1 / np.maximum(compute_time.mean, 1e-12))
    return int(min(1.1 * rate * until, LONG_CHUNK)) + 1


def check_outermost(caller: str, *values: Any) -> None:
    """Refuses to run inside somebody's jit, where times would silently be rounded."""
    leaves = [jnp.zeros(()), *jax.tree.leaves(values)]
    if any(isinstance(leaf, Tracer) for leaf in leaves):
        raise ValueError(
            f"{caller} is an outermost call: it compiles its own programs, with a "
            "64-bit clock; call it outside jit, vmap and grad"
        )


def check_key(key: Any) -> None:
    """Refuses keys that are not typed."""
    typed = isinstance(key, jax.Array) and jnp.issubdtype(
        key.dtype, jax.dtypes.prng_key
    )
    if not typed:
        raise ValueError(f"key must be a typed key, jax.random.key(0), not {key!r}")


def check_workers(compute_time: ComputeTime, num_workers: int) -> None:
    """Refuses a cluster of another size."""
    described = np.shape(compute_time.lower_bound)[-1]
    if described != num_workers:
        raise ValueError(
            f"num_workers is {num_workers}, but compute_time describes {described} "
            "workers; make them equal"
        )


@functools.partial(jax.jit, static_argnames="num_components")
def _start(schedules, compute_time, keys, num_components):
    def one(clock):
        schedule, key = clock
        return schedule.init(key, compute_time, num_components)

    return jax.lax.map(one, (schedules, keys))


@functools.partial(jax.jit, static_argnames="length")
def _advance(schedules, compute_time, states, length):
    def one(clock):
        schedule, state = clock

        def arrival(state, _):
            event, state = schedule.next(state, compute_time, None)
            return state, event

        return jax.lax.scan(arrival, state, length=length)

    return jax.lax.map(one, (schedules, states))
