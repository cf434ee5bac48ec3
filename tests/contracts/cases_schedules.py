"""Schedules, and what the plain-Python event loops say of them: facts, no logic."""

from functools import partial

from contracts.schedule_case import Case
from reference import clock

from fedjax_opt import events

INF = float("inf")


def loop(reference, **options):
    return lambda given: reference(
        given.durations, given.n, given.num_events, **options
    )


def batch_size(n):
    return 2 + n // 3


def rennala(n, factor=1, **options):
    return events.rennala(batch_size=factor * batch_size(n), **options)


def rennala_reference(given, **options):
    return loop(clock.rennala, batch_size=batch_size(given.n), **options)(given)


def long_start(n, factor=1, **options):
    """Rennala of pairs, whose first batch is twice as large."""
    return rennala(n, factor, first_batch_size=2 * batch_size(n), pairs=True, **options)


def long_start_reference(given, **options):
    options |= {"first_batch_size": 2 * batch_size(given.n), "work": 2}
    return rennala_reference(given, **options)


def threshold(n):
    return 4.0 + n // 2


def ringmaster(limit, **options):
    return lambda n: events.ringmaster(delay_threshold=limit(n), **options)


def ringmaster_reference(limit, **options):
    return lambda given: loop(
        clock.ringmaster, delay_threshold=limit(given.n), **options
    )(given)


def fastest_reference(given):
    return clock.hero(given.durations, given.means, given.n, given.num_events)


def two_fastest(given):
    """Asynchronous SGD in which all but two never finish."""
    slow = sorted(range(given.n), key=lambda i: (given.means[i], i))[2:]

    def durations(worker, job, work):
        return INF if worker in slow else given.durations(worker, job, work)

    return clock.asgd(durations, given.n, given.num_events)


CASES = {
    "synchronous": Case(
        lambda n: events.synchronous(),
        lambda n: events.synchronous(),
        loop(clock.synchronous),
        lambda n: [],
        busy=None,
        needs_all=True,
    ),
    "asgd": Case(
        lambda n: events.asgd(),
        lambda n: events.asgd(),
        loop(clock.asgd),
        lambda n: [],
        late=True,
    ),
    "delay-adaptive asgd": Case(
        lambda n: events.delay_adaptive_asgd(),
        lambda n: events.delay_adaptive_asgd(),
        loop(clock.delay_adaptive_asgd),
        lambda n: [],
        late=True,
    ),
    "fastest worker": Case(
        lambda n: events.fastest(events.asgd(), 1),
        lambda n: events.fastest(events.asgd(), 2),
        fastest_reference,
        lambda n: [1],
        busy=lambda alive: 1,
    ),
    "two fastest workers": Case(
        lambda n: events.fastest(events.asgd(), 2),
        lambda n: events.fastest(events.asgd(), 1),
        two_fastest,
        lambda n: [2],
        busy=lambda alive: min(alive, 2),
    ),
    "rennala": Case(
        rennala,
        partial(rennala, factor=2),
        partial(rennala_reference, stop=False),
        lambda n: [batch_size(n)] * 2,
        rejects=True,
    ),
    "rennala, stop": Case(
        partial(rennala, stop=True),
        partial(rennala, factor=2, stop=True),
        partial(rennala_reference, stop=True),
        lambda n: [batch_size(n)] * 2,
        interrupts=True,
    ),
    "rennala of pairs": Case(
        long_start,
        partial(long_start, factor=2),
        partial(long_start_reference, stop=False),
        lambda n: [batch_size(n), 2 * batch_size(n)],
        rejects=True,
    ),
    "rennala of pairs, stop": Case(
        partial(long_start, stop=True),
        partial(long_start, factor=2, stop=True),
        partial(long_start_reference, stop=True),
        lambda n: [batch_size(n), 2 * batch_size(n)],
        interrupts=True,
    ),
    "ringmaster": Case(
        ringmaster(threshold),
        ringmaster(lambda n: 2.0),
        ringmaster_reference(threshold, stop=False),
        lambda n: [threshold(n)],
        late=True,
        rejects=True,
    ),
    "ringmaster, stop": Case(
        ringmaster(threshold, stop=True),
        ringmaster(lambda n: 2.0, stop=True),
        ringmaster_reference(threshold, stop=True),
        lambda n: [threshold(n)],
        late=True,
        interrupts=True,
    ),
    "ringmaster, R = 1": Case(
        ringmaster(lambda n: 1.0),
        ringmaster(lambda n: 2.0),
        ringmaster_reference(lambda n: 1, stop=False),
        lambda n: [1.0],
        rejects=True,
    ),
    "ringmaster, R = 1, stop": Case(
        ringmaster(lambda n: 1.0, stop=True),
        ringmaster(lambda n: 2.0, stop=True),
        ringmaster_reference(lambda n: 1, stop=True),
        lambda n: [1.0],
        interrupts=True,
    ),
    "ringmaster, R = inf": Case(
        ringmaster(lambda n: INF),
        ringmaster(lambda n: 2.0),
        ringmaster_reference(lambda n: INF, stop=False),
        lambda n: [INF],
        late=True,
    ),
    "ringmaster, R = inf, stop": Case(
        ringmaster(lambda n: INF, stop=True),
        ringmaster(lambda n: 2.0, stop=True),
        ringmaster_reference(lambda n: INF, stop=True),
        lambda n: [INF],
        late=True,
    ),
}
