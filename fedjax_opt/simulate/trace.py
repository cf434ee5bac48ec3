"""The clock: runs a schedule on a cluster and yields its events.

The clock knows nothing of gradients. It is compiled on its own, in 64 bits, and its
events come back as NumPy arrays.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ..types import ComputeTime, Event, Schedule

# Rows of a chunk, short or long: two programs, whatever the number of events.
SHORT_CHUNK, LONG_CHUNK = 1024, 32768


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

    def enough(events):
        if until is None:
            return events.time.shape[1] >= num_events
        return (events.time[:, -1] > until).all()

    expected = num_events if until is None else arrivals_until(compute_time, until)
    schedules, compute_times = jax.tree.map(
        lambda x: np.asarray(x)[None], (schedule, compute_time)
    )
    events = clocks(
        schedules,
        compute_times,
        key[None],
        num_components,
        enough=enough,
        expected=expected,
    )
    events = jax.tree.map(lambda x: x[0], events)
    rows = slice(num_events) if until is None else events.time <= until
    return weighed(schedule, jax.tree.map(lambda x: x[rows], events))


def weighed(schedule: Schedule, events: Event) -> Event:
    """The events of one run with all their weights."""
    return events if schedule.weigh is None else schedule.weigh(events)


def clocks(
    schedules, compute_times, keys, num_components, *, enough, expected
) -> Event:
    """Runs a stack of clocks, in chunks, until `enough(events)`.

    Args:
      schedules, compute_times, keys: pytrees whose leaves have a leading axis S.
      num_components: m of a finite sum, or None.
      enough: called with the events so far, NumPy arrays [S, rows].
      expected: a guess of the number of rows.

    Returns:
      Events as NumPy arrays [S, rows].
    """
    with jax.enable_x64(True):
        state = _start(schedules, compute_times, keys, num_components)

    def advance(state, length):
        return _advance(schedules, compute_times, state, length)

    num_workers = compute_times.lower_bound.shape[-1]
    return chunks(state, advance, num_workers, enough=enough, expected=expected)


def chunks(state, advance, num_workers: int, *, enough, expected) -> Event:
    """Events as NumPy arrays [S, rows], from `advance(state, length)`, as `clocks`."""
    pieces, rows = [], 0
    with jax.enable_x64(True):
        while True:
            long = max(expected, rows) > 8 * SHORT_CHUNK
            length = LONG_CHUNK if long else SHORT_CHUNK
            state, piece = advance(state, length)
            pieces.append(jax.tree.map(np.asarray, piece))
            events = jax.tree.map(lambda *x: np.concatenate(x, axis=1), *pieces)
            rows += length
            if enough(events):
                return events
            if rows > expected:
                _check_time_advances(events.time, num_workers)


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


def _check_time_advances(time, num_workers):
    """Refuses clusters whose jobs take no time: no horizon would ever be reached."""
    standing = time.shape[1] - np.argmax(time == time[:, -1:], axis=1)
    stuck = np.isfinite(time[:, -1]) & (standing > LONG_CHUNK + 4 * num_workers)
    if stuck.any():
        raise ValueError(
            f"simulated time stands still at {time[stuck][0, -1]} s: some worker's "
            "jobs take 0 seconds; give it a positive duration, or num_events="
        )


@functools.partial(jax.jit, static_argnames="num_components")
def _start(schedules, compute_times, keys, num_components):
    def one(clock):
        schedule, compute_time, key = clock
        return schedule.init(key, compute_time, num_components)

    return jax.lax.map(one, (schedules, compute_times, keys))


@functools.partial(jax.jit, static_argnames="length")
def _advance(schedules, compute_times, states, length):
    def one(clock):
        schedule, compute_time, state = clock

        def arrival(state, _):
            event, state = schedule.next(state, compute_time, None)
            return state, event

        return jax.lax.scan(arrival, state, length=length)

    return jax.lax.map(one, (schedules, compute_times, states))
