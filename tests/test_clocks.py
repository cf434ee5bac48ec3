"""The quick ways to run a clock give the events of the plain one, all of them."""

import dataclasses
import importlib

import jax
import numpy as np
import pytest

import fedjax_opt as fo
from fedjax_opt import events, timing

arrivals = importlib.import_module("fedjax_opt.simulate.arrivals")
pruned = importlib.import_module("fedjax_opt.simulate.pruned")

NEVER_REST = {
    "asgd": events.asgd(),
    "delay_adaptive": events.delay_adaptive_asgd(),
    "koloskova": events.koloskova_asgd(late_step=3.0),
    "koloskova, drops": events.koloskova_asgd(late_step=0.0),
    "rennala": events.rennala(batch_size=6),
    "rennala, first batch": events.rennala(batch_size=3, first_batch_size=7),
    "ringmaster": events.ringmaster(delay_threshold=6),
    "ringmaster, R = 2.5": events.ringmaster(delay_threshold=2.5),
    "ringmaster, R = 1100": events.ringmaster(delay_threshold=1100),
    "ringmaster, R = inf": events.ringmaster(delay_threshold=np.inf),
}

INTERRUPTED = {
    "ringmaster": events.ringmaster(delay_threshold=6, stop=True),
    "ringmaster, R = 40": events.ringmaster(delay_threshold=40, stop=True),
    "ringmaster, R = inf": events.ringmaster(delay_threshold=np.inf, stop=True),
    "rennala": events.rennala(batch_size=6, stop=True),
    "rennala, S = 50": events.rennala(batch_size=50, stop=True),
    "rennala, first batch": events.rennala(
        batch_size=6, first_batch_size=40, stop=True
    ),
}


def speeds(n):
    """√i, in an order of their own."""
    return np.random.default_rng(n).permutation(np.sqrt(np.arange(1.0, n + 1)))


LAWS = {
    "fixed": lambda n: timing.fixed(speeds(n)),
    "ties": lambda n: timing.fixed(np.ceil(speeds(n))),
    "half-normal": lambda n: timing.half_normal(speeds(n), scale=speeds(n)),
    "no bound": lambda n: timing.exponential(speeds(n)),
    "some dead": lambda n: timing.dead(timing.fixed(speeds(n)), np.arange(n // 3)),
    "with a link": lambda n: timing.with_link(
        timing.half_normal(speeds(n), scale=speeds(n)),
        timing.linear(up_latency=1.0),
        bits_up=1,
        bits_down=1,
    ),
}


def both(schedule, law, n, **horizon):
    """The events as they come, and those of the plain clock."""
    return [
        fo.simulate.trace(
            schedule,
            dataclasses.replace(law, steady=steady),
            num_workers=n,
            key=jax.random.key(3),
            **horizon,
        )
        for steady in (True, False)
    ]


def assert_same(found, expected):
    for name, ours, plain in zip(found._fields, found, expected, strict=True):
        np.testing.assert_array_equal(ours, plain, err_msg=name)
        assert ours.dtype == plain.dtype, name


@pytest.mark.parametrize("law", ["ties", "half-normal", "some dead"])
@pytest.mark.parametrize("name", NEVER_REST)
def test_without_a_queue(name, law):
    for n, count in ((1, 50), (100, 3000)):
        assert_same(*both(NEVER_REST[name], LAWS[law](n), n, num_events=count))


@pytest.mark.parametrize("law", ["ties", "half-normal", "some dead"])
@pytest.mark.parametrize("name", INTERRUPTED)
def test_of_few_workers(name, law):
    assert_same(*both(INTERRUPTED[name], LAWS[law](200), 200, num_events=1500))


@pytest.mark.parametrize("law", ["fixed", "no bound", "with a link"])
def test_whatever_the_law(law):
    for schedule in (events.asgd(), INTERRUPTED["ringmaster"]):
        assert_same(*both(schedule, LAWS[law](200), 200, num_events=1500))


@pytest.mark.parametrize("ways", [NEVER_REST, INTERRUPTED])
def test_up_to_a_time(ways):
    schedule = ways["ringmaster"]
    found, expected = both(schedule, LAWS["half-normal"](150), 150, until=20.0)
    assert_same(found, expected)
    assert 0 < found.time[-1] <= 20


def test_an_arrival_at_the_horizon_counts():
    found, expected = both(events.asgd(), timing.fixed([1.0, 2.0]), 2, until=4.0)
    assert_same(found, expected)
    np.testing.assert_array_equal(found.time, [1, 2, 2, 3, 4, 4])


def test_many_windows_of_time(monkeypatch):
    monkeypatch.setattr(arrivals, "SHORT_CHUNK", 10)
    calls = []

    def advance(*args):
        calls.append(args)
        return real(*args)

    real = arrivals.advance
    monkeypatch.setattr(arrivals, "advance", advance)
    law = LAWS["half-normal"](40)
    # So few updates are expected of these: most arrivals are dropped.
    method = fo.methods.ringmaster_asgd(step_size=0.1, delay_threshold=3)
    trace = fo.run(
        method,
        fo.problems.tridiagonal(5),
        num_workers=40,
        key=jax.random.key(0),
        compute_time=law,
        num_updates=200,
    )
    assert len(calls) > 2
    plain = fo.run(
        method,
        fo.problems.tridiagonal(5),
        num_workers=40,
        key=jax.random.key(0),
        compute_time=dataclasses.replace(law, steady=False),
        num_updates=200,
    )
    np.testing.assert_array_equal(trace.time, plain.time)


def test_one_worker_may_be_a_thousand_times_faster():
    law = timing.exponential([0.001, 1.0, 1.0])
    assert_same(*both(events.asgd(), law, 3, num_events=5000))


@pytest.mark.parametrize(
    ("threshold", "counts"), [(6, {32}), (600, {32, 1000}), (np.inf, {32, 1000})]
)
def test_as_few_workers_as_play_a_part(monkeypatch, threshold, counts):
    seen = set()

    def clock(schedule, draw, num_workers, left):
        seen.add(num_workers)
        return real(schedule, draw, num_workers, left)

    real = pruned._clock
    monkeypatch.setattr(pruned, "_clock", clock)
    schedule = events.ringmaster(delay_threshold=threshold, stop=True)
    law = timing.half_normal(speeds(1000), scale=speeds(1000))
    assert_same(*both(schedule, law, 1000, num_events=2000))
    assert seen == counts


def test_a_worker_that_is_just_in_time_is_looked_at():
    """128 workers need 1 to 1.5 s, one 1.9 s, when it completes the batch."""
    times = np.append(np.linspace(1.0, 1.5, 128), 1.9)
    schedule = events.rennala(batch_size=129, stop=True)
    found, expected = both(schedule, timing.fixed(times), 129, num_events=1000)
    assert_same(found, expected)
    assert (found.worker == 128).any()


def test_tables_that_were_too_short_are_drawn_again(monkeypatch):
    monkeypatch.setattr(pruned, "GUESS", 1e-3)
    schedule, law = INTERRUPTED["rennala"], LAWS["half-normal"](200)
    assert_same(*both(schedule, law, 200, num_events=1500))


@pytest.mark.parametrize(
    "law",
    [
        timing.infinite_bernoulli([1.0, 2.0, 3.0], probability=0.9),
        timing.log_cauchy([1.0, 2.0, 3.0], scale=1.0),
        timing.outages([1.0, 2.0], [[(3.0, 5.0)], []]),
        timing.dies(timing.fixed([1.0, 2.0]), [10.0, np.inf]),
    ],
)
def test_laws_of_which_too_little_is_known_take_the_plain_way(law):
    assert not arrivals.predictable(law)


def test_what_wraps_a_schedule_does_not_promise_its_quick_way():
    wrapped = (
        events.fastest(events.asgd(), 2),
        events.with_components(events.rennala(batch_size=2, stop=True)),
        events.rennala(batch_size=2, stop=True, pairs=True),
    )
    for schedule in wrapped:
        assert schedule.events is None
        assert schedule.longest is None
