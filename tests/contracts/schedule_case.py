"""The form of a schedule's case: facts, no logic."""

from collections.abc import Callable
from typing import Any, NamedTuple

from reference import clock


class Given(NamedTuple):
    """What a reference may use.

    Attributes:
      n: number of workers.
      num_events: rows wanted.
      means: per worker, seconds.
      durations: (worker, job, work) -> seconds.
      key: of the clock.
      num_components: m of a finite sum, or None.
      law: the compute times, for rules that need more of them.
    """

    n: int
    num_events: int
    means: list
    durations: Callable[..., float]
    key: Any
    num_components: int | None
    law: Any

    @property
    def loop(self):
        """The leading arguments of a reference that has iterates too."""

        def zero_gradient(worker, x, job, sample=-1):
            return 0.0

        def durations(worker, job, work, now):
            return self.durations(worker, job, work)

        return zero_gradient, durations, self.n, 0.0, 1.0


class Case(NamedTuple):
    """One schedule, for any number n of workers.

    Attributes:
      make: (n) -> Schedule.
      other: (n) -> a Schedule that differs in numbers only.
      reference: (given) -> rows.
      numbers: (n) -> what can be swept.
      late: uses gradients with delays of three and more.
      rejects: some gradients that arrive are not used.
      interrupts: some jobs never arrive.
      busy: (alive workers) -> how many of them compute; None if that varies.
      needs_all: a single dead worker makes steps impossible.
      num_components: (n) -> m of a finite sum, or None.
      sequential: with one worker every row is accepted, fresh, and the next job.
      skip_columns: columns that the reference does not say.
      closes: weights are known only up to the last step.
      draws: the clock draws random numbers, also where durations are fixed.
      gives_up: jobs that take too long are given up, so that nobody is waited for.
    """

    make: Callable[[int], Any]
    other: Callable[[int], Any]
    reference: Callable[[Given], list[clock.Row]]
    numbers: Callable[[int], list]
    late: bool = False
    rejects: bool = False
    interrupts: bool = False
    busy: Callable[[int], int] | None = lambda alive: alive
    needs_all: bool = False
    num_components: Callable[[int], int | None] = lambda n: None
    sequential: bool = True
    skip_columns: tuple[str, ...] = ()
    closes: bool = False
    draws: bool = False
    gives_up: bool = False
