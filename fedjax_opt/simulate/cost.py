"""The accounts of a run: seconds, worker-seconds, gradients and bits, on the host.

Everything is counted in 64 bits from the events and from the length of a message.
"""

from typing import Any

import jax
import numpy as np

from .. import keys
from ..compressors.payload import wire_bits
from ..types import Event, Mechanism
from .largest import largest
from .round_trip import announced


def dense_bits(params) -> int:
    """The length of a message that carries one number per parameter."""
    return sum(8 * x.size * x.dtype.itemsize for x in jax.tree.leaves(params))


def message_bits(
    mechanism: Mechanism | None, params, num_workers: int, estimate=None
) -> tuple[int, bool]:
    """The `wire` bits of what one worker sends once, known from shapes alone.

    A length that a coin or the data decide is the largest that it may be: of a message
    that is one of several the longest, not all of them, which are in its arrays; of one
    that may stay out, such as that of a worker that is not in the subset of a round,
    its length where it is sent. Where a length is computed in a way of which the
    largest cannot be told, such as from a number of entries, it is that of the arrays.

    Args:
      mechanism: who sends what; None for the gradient itself.
      params: of the model, or their shapes.
      num_workers: n.
      estimate: what a worker's estimator makes; like the parameters by default.

    Returns:
      The length, the largest where it varies; and whether it does.
    """
    if mechanism is None:
        return dense_bits(params), False

    def message(key, params, estimate):
        of_worker = keys.in_round(key, 0, num_workers)
        state = mechanism.init(params)
        told = announced(mechanism, state.server)
        return mechanism.worker(of_worker, estimate, state.worker, **told)[0]

    def length(key, sent):
        of_worker = keys.in_round(key, 0, num_workers)
        return mechanism.bits(keys.public(of_worker), sent, _shapes(params)).wire

    key, estimate = jax.random.key(0), params if estimate is None else estimate
    sent = jax.eval_shape(message, key, params, estimate)
    return _longest(length, key, sent, arrays=sent)


def opening_bits(mechanism: Mechanism, params, message: int) -> int:
    """The `wire` bits of a worker's first gradient and of its message of round 0.

    Args:
      message: the length of a message; that of round 0 is not sent where the mechanism
        has a silent start.
    """
    return dense_bits(params) + (0 if mechanism.silent_start else message)


def broadcast_bits(mechanism: Mechanism | None, params, num_workers: int) -> int:
    """The `wire` bits that the server sends to all after a round.

    Known from shapes alone, as `message_bits`. Where the largest cannot be told, the
    length of the model stands for it.
    """
    if mechanism is None or mechanism.bits_down is None:
        return dense_bits(params)
    bits_down = mechanism.bits_down

    def length(key, state):
        of_server = keys.in_round(key, keys.SERVER, num_workers)
        return bits_down(of_server, state, _shapes(params)).wire

    state = jax.eval_shape(lambda params: mechanism.init(params).server, params)
    return _longest(length, jax.random.key(0), state, arrays=params)[0]


def _longest(length, *unknown, arrays) -> tuple[int, bool]:
    """The largest length(*unknown), or that of arrays; and whether it varies."""
    found = []

    def number(*unknown):
        found.append(length(*unknown))
        return found[-1] if isinstance(found[-1], jax.Array) else 0

    bound = largest(number, *unknown)
    if not isinstance(found[0], jax.Array):
        return int(found[0]), False
    return (wire_bits(arrays) if bound is None else round(bound)), True


def _shapes(params):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), params)


def accounts(
    events: Event,
    rows: np.ndarray,
    times: np.ndarray,
    *,
    bits_up: int,
    bits_down: int,
    first_bits_up: int | None = None,
) -> dict[str, np.ndarray]:
    """The columns of a trace that depend on the events alone.

    Args:
      events: of one run.
      rows: [records], how many events have happened at each row of the trace.
      times: [records], the simulated time of each row, seconds.
      bits_up, bits_down: lengths of a worker's message and of the model.
      first_bits_up: of a worker's first message; `bits_up` by default.

    Returns:
      Cumulative columns. Every arrival sends its message, also one that is ignored;
      a job that is interrupted or given up sends nothing and counts no gradient, but
      its seconds were spent. The model goes down to a worker that starts at a point it
      does not hold; to several at once it is one broadcast, counted once. Everybody
      holds x⁰.
    """
    arrived = np.isfinite(events.time)
    updates = np.cumsum(events.step != 0)
    first = bits_up if first_bits_up is None else first_bits_up
    lengths = np.where(events.job == 0, np.int64(first), np.int64(bits_up))
    sent_up = np.where(arrived & (events.work > 0), lengths, 0)
    sent_down = arrived & (updates != events.version)
    return {
        "worker_seconds": _worker_seconds(events, times),
        "gradients_computed": _running(np.where(arrived, events.work, 0))[rows],
        "gradients_used": _running(np.where(events.accepted, events.work, 0))[rows],
        "bits_up": _running(sent_up)[rows],
        "bits_down": _running(sent_down.astype(np.int64))[rows] * bits_down,
    }


def _worker_seconds(events: Event, times: np.ndarray) -> np.ndarray:
    """Seconds in which workers had a job, summed over workers.

    A job includes its messages where there is a link; idle time does not count.
    """
    arrived = np.isfinite(events.time)
    ends, busy = events.time[arrived], events.busy[arrived]
    spent = _running(busy * np.diff(ends, prepend=0.0))
    return np.interp(times, np.concatenate([[0.0], ends]), spent)


def _running(values) -> Any:
    """[0, v₀, v₀ + v₁, ...]."""
    return np.concatenate([np.zeros(1, values.dtype), np.cumsum(values)])
