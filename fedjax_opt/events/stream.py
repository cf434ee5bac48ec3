"""All events at once, for schedules whose workers never rest and are never stopped.

Their arrivals do not depend on what the server makes of them, so a schedule has only
to say which are used and which make a step. On the host, in NumPy.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ..types import Arrivals, Event

# Arrivals decided on in one call, few or many: two programs, whatever their number.
SHORT, LONG = 1024, 32768


def events(arrivals: Arrivals, accepted, steps, weight=1.0) -> Event:
    """The events of arrivals of which some are used and some make a step.

    Args:
      accepted, steps: [events], bools.
      weight: of the accepted ones.
    """
    updates = np.cumsum(steps, dtype=np.int32)
    at_start = np.where(arrivals.started >= 0, updates[arrivals.started], 0)
    version = at_start.astype(np.int32)
    same = functools.partial(np.full, arrivals.time.shape)
    return Event(
        time=arrivals.time,
        worker=arrivals.worker,
        job=arrivals.job,
        version=version,
        delay=updates - steps - version,
        accepted=accepted,
        weight=np.where(accepted, weight, 0.0),
        step=steps.astype(np.float64),
        work=same(np.int32(1)),
        kind=same(np.int32(0)),
        busy=arrivals.busy,
        sample=same(np.int32(-1)),
    )


def decide(rule: Callable[..., Any], numbers, state, columns):
    """Runs a rule over arrivals, one after the other, with a small state.

    Args:
      rule: (numbers, state, entries of the columns) -> (state, decisions); a function
        of a module.
      numbers: pytree, for every arrival the same.
      state: pytree, before the first.
      columns: pytree of arrays [events].

    Returns:
      The decisions, pytree of arrays [events].
    """
    (count,) = {len(c) for c in jax.tree.leaves(columns)}
    length = SHORT if count <= SHORT else LONG
    spare = -count % length if count else length
    padded = jax.tree.map(lambda c: np.pad(c, (0, spare)), columns)
    pieces = []
    for start in range(0, count + spare, length):
        piece = _slice(padded, start, start + length)
        state, decisions = _decide(rule, numbers, state, piece)
        pieces.append(jax.tree.map(np.asarray, decisions))
    return _slice(jax.tree.map(lambda *c: np.concatenate(c), *pieces), 0, count)


def _slice(columns, start: int, stop: int):
    return jax.tree.map(lambda c: c[start:stop], columns)


@functools.partial(jax.jit, static_argnames="rule")
def _decide(rule, numbers, state, columns):
    return jax.lax.scan(functools.partial(rule, numbers), state, columns)
