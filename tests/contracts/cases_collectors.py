"""Schedules that collect batches: facts, no logic."""

import functools

import jax
import numpy as np
from contracts.schedule_case import Case
from reference import collectors

from fedjax_opt import events, keys


def extra(n):
    """Seconds; one worker alone never gives up."""
    return 1.5 if n > 1 else 10.0


def batch_size(n):
    return 2 + n // 3


def large(n):
    return 2 * n + 3


# ------------------------------------------------- rounds of trials


def success(given):
    """Limits, and the probabilities to keep them."""
    limits = np.asarray(given.law.lower_bound) + extra(given.n)
    return limits.tolist(), np.asarray(given.law.cdf(limits)).tolist()


def mindflayer(given, size):
    limits, p = success(given)
    trials, _ = collectors.mindflayer_trials(limits, p, size(given.n))
    expected = float(np.dot(p, trials))
    return collectors.mindflayer_sgd(
        *given.loop,
        num_events=given.num_events,
        trials=trials,
        limits=limits,
        expected=expected,
    ).rows


def vecna(given, trials):
    limits, p = success(given)
    return collectors.vecna_sgd(
        *given.loop,
        num_events=given.num_events,
        trials=[trials] * given.n,
        limits=limits,
        probabilities=p,
    ).rows


# ------------------------------------------------- rounds of tasks


def permutation(given):
    """Who comes first in a round: drawn by the server."""

    @jax.jit
    def drawn(round_):
        key = keys.of_job(given.key, keys.SERVER_DRAWS, round_)
        return jax.random.permutation(key, given.n)

    return lambda round_: drawn(round_).tolist()


def allocated(given, allocate):
    return collectors.allocated_sgd(
        *given.loop, num_events=given.num_events, allocate=allocate
    ).rows


def ata(given, size, alpha, empirical):
    allocate = functools.partial(
        collectors.ata_allocation,
        batch_size=size(given.n),
        alpha=alpha,
        empirical=empirical,
        permutation=permutation(given),
    )
    return allocated(given, allocate)


def optimal(given):
    fixed = collectors.optimal_allocation(given.means, batch_size(given.n))
    return allocated(given, lambda round_, counts, sums: fixed)


def uniform(given, size):
    drawn = permutation(given)

    def allocate(round_, counts, sums):
        return collectors.uniform_allocation(round_, given.n, size(given.n), drawn)

    return allocated(given, allocate)


# ------------------------------------------------- asynchronous batches


def malenia(given, size, stop):
    return collectors.malenia_sgd(
        *given.loop, num_events=given.num_events, batch_size=size(given.n), stop=stop
    ).rows


# The numbers of a plan are leaves twice, for the first round and for the later ones.
ROUNDS = {"busy": None}
TRIALS = {"busy": None, "rejects": True, "gives_up": True}
CASES = {
    **{
        f"malenia, S = {name}{', stop' if stop else ''}": Case(
            lambda n, size=size, stop=stop: events.malenia(
                batch_size=size(n), stop=stop
            ),
            lambda n, size=size, stop=stop: events.malenia(
                batch_size=1 + size(n), stop=stop
            ),
            functools.partial(malenia, size=size, stop=stop),
            lambda n, size=size: [size(n)],
            rejects=not stop,
            interrupts=stop,
            needs_all=True,
            closes=True,
        )
        for name, size in (("n", lambda n: n), ("2n + 3", large))
        for stop in (False, True)
    },
    "mindflayer": Case(
        lambda n: events.mindflayer(batch_size=batch_size(n), extra_time=extra(n)),
        lambda n: events.mindflayer(batch_size=4.5, extra_time=1.0),
        functools.partial(mindflayer, size=batch_size),
        lambda n: 2 * [batch_size(n), extra(n)],
        **TRIALS,
    ),
    "mindflayer, many trials": Case(
        lambda n: events.mindflayer(batch_size=10 * large(n), extra_time=extra(n)),
        lambda n: events.mindflayer(batch_size=5.0, extra_time=1.0),
        functools.partial(mindflayer, size=lambda n: 10 * large(n)),
        lambda n: 2 * [10 * large(n), extra(n)],
        **TRIALS,
    ),
    "vecna": Case(
        lambda n: events.vecna(trials=3, extra_time=extra(n)),
        lambda n: events.vecna(trials=4, extra_time=1.0),
        functools.partial(vecna, trials=3),
        lambda n: 2 * [3, extra(n)],
        needs_all=True,
        **TRIALS,
    ),
    "ata": Case(
        lambda n: events.ata(batch_size=batch_size(n)),
        lambda n: events.ata(batch_size=1 + batch_size(n), alpha=1.0),
        functools.partial(ata, size=batch_size, alpha=2.0, empirical=True),
        lambda n: 2 * [batch_size(n), 2.0],
        needs_all=True,
        draws=True,
        **ROUNDS,
    ),
    "ata, narrow": Case(
        lambda n: events.ata(batch_size=large(n), alpha=1e-3),
        lambda n: events.ata(batch_size=1 + large(n)),
        functools.partial(ata, size=large, alpha=1e-3, empirical=True),
        lambda n: 2 * [large(n), 1e-3],
        needs_all=True,
        draws=True,
        **ROUNDS,
    ),
    "ata, theory": Case(
        lambda n: events.ata(batch_size=large(n), alpha=0.02, bound="theory"),
        lambda n: events.ata(batch_size=1 + large(n), alpha=0.1, bound="theory"),
        functools.partial(ata, size=large, alpha=0.02, empirical=False),
        lambda n: 2 * [large(n), 0.02],
        needs_all=True,
        draws=True,
        **ROUNDS,
    ),
    "optimal allocation": Case(
        lambda n: events.optimal_allocation(batch_size=batch_size(n)),
        lambda n: events.optimal_allocation(batch_size=1 + batch_size(n)),
        optimal,
        lambda n: 2 * [batch_size(n)],
        **ROUNDS,
    ),
    **{
        f"uniform allocation, B = {name}": Case(
            lambda n, size=size: events.uniform_allocation(batch_size=size(n)),
            lambda n, size=size: events.uniform_allocation(batch_size=1 + size(n)),
            functools.partial(uniform, size=size),
            lambda n, size=size: 2 * [size(n)],
            needs_all=True,
            draws=True,
            **ROUNDS,
        )
        for name, size in (("2 + n/3", batch_size), ("2n + 3", large))
    },
}
