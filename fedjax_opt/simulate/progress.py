"""How far a clock has come, and how many events to ask it for."""

import math
from typing import NamedTuple

import numpy as np

from ..types import Event

# Events of a chunk, short or long: two programs, whatever the number of events.
SHORT_CHUNK, LONG_CHUNK = 1024, 32768


class Progress(NamedTuple):
    """How far the clock of one run has come.

    Attributes:
      events: so far.
      time: of the last one, seconds.
      steps: of the server.
      waiting: events since the last step.
      standing: events since time last moved.
    """

    events: int = 0
    time: float = 0.0
    steps: int = 0
    waiting: int = 0
    standing: int = 0


def after(progress: Progress, events: Event) -> Progress:
    """With a piece of events, in order of time, behind the others."""
    count = len(events.time)
    if not count:
        return progress
    steps = np.flatnonzero(events.step)
    moved = np.flatnonzero(events.time != np.append(progress.time, events.time[:-1]))
    return Progress(
        events=progress.events + count,
        time=events.time[-1],
        steps=progress.steps + len(steps),
        waiting=count - 1 - steps[-1] if len(steps) else progress.waiting + count,
        standing=count - 1 - moved[-1] if len(moved) else progress.standing + count,
    )


class Goal(NamedTuple):
    """How far a clock has to come; what is reached first ends it, None never is.

    Attributes:
      guess: of the number of events, before there are any.
      events, steps: so many.
      until: an event after this time, seconds.
    """

    guess: int
    events: int | None = None
    steps: int | None = None
    until: float | None = None


def missing(goal: Goal, progress: Progress) -> int:
    """About how many events are still needed; 0 if none, or if none can come."""
    if np.isinf(progress.time):
        return 0
    share = 0.0
    for wanted, done in ((goal.events, progress.events), (goal.steps, progress.steps)):
        if wanted is not None:
            if done >= wanted:
                return 0
            share = max(share, done / wanted)
    if goal.until is not None:
        if progress.time > goal.until:
            return 0
        share = max(share, progress.time / goal.until if goal.until else 1.0)
    if share == 0:
        return max(goal.guess, progress.events, 1)
    return max(math.ceil(progress.events * (1 / share - 1)), 1)


def chunk(expected: int) -> int:
    """The length of the next chunk, where it is static."""
    return LONG_CHUNK if expected > 8 * SHORT_CHUNK else SHORT_CHUNK


def check_time_advances(progress: Progress, num_workers: int) -> None:
    """Refuses clusters whose jobs take no time: no horizon would ever be reached."""
    stands = progress.standing > LONG_CHUNK + 4 * num_workers
    if stands and np.isfinite(progress.time):
        raise ValueError(
            f"simulated time stands still at {progress.time} s: some worker's "
            "jobs take 0 seconds; give it a positive duration, or num_events="
        )
