"""Asynchronous SGD: every arrival is a step. arXiv:2206.07638."""

import numpy as np
from jax.tree_util import Partial

from ..types import Arrivals, Event, Schedule
from . import cluster, stream


def asgd() -> Schedule:
    """Vanilla asynchronous SGD: whoever arrives makes a step and starts anew.

        on arrival from i with delay δₖ:   x^{k+1} = x^k − γ ∇f(x^{k−δₖ}; ξ),
                                           i restarts at x^{k+1}

    n jobs are in flight at any time. Delays are not bounded, but only the models
    that running jobs started from are kept, at most n.

    Reference: Mishchenko, Bach, Even, Woodworth (2022). arXiv:2206.07638;
      Koloskova, Stich, Jaggi (2022). arXiv:2206.08307.
    """
    return Schedule(
        Partial(cluster.start),
        Partial(next_arrival),
        Partial(cluster.any_alive),
        events=Partial(every_arrival),
    )


def next_arrival(clock, compute_time, feedback):
    """One arrival, one step."""
    event = cluster.arrival(clock)
    clock = cluster.advance(clock, event)
    return event, cluster.assign(clock, event.worker, compute_time)


def every_arrival(arrivals: Arrivals) -> Event:
    """The same for all arrivals at once."""
    everywhere = np.ones(arrivals.time.shape, bool)
    return stream.events(arrivals, everywhere, everywhere)
