"""How far a clock has come, and how many events to ask it for."""

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


def chunk(expected: int) -> int:
    """The length of the next chunk."""
    return LONG_CHUNK if expected > 8 * SHORT_CHUNK else SHORT_CHUNK


def check_time_advances(progress: Progress, num_workers: int) -> None:
    """Refuses clusters whose jobs take no time: no horizon would ever be reached."""
    stands = progress.standing > LONG_CHUNK + 4 * num_workers
    if stands and np.isfinite(progress.time):
        raise ValueError(
            f"simulated time stands still at {progress.time} s: some worker's "
            "jobs take 0 seconds; give it a positive duration, or num_events="
        )
