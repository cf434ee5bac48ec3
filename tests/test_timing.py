"""Laws of compute times, dead workers, links."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest

from fedjax_opt import events, keys, timing
from fedjax_opt.simulate import trace

INF = float("inf")
DRAWS = 20000
STANDARD_ERRORS = 4.5  # a fair law fails once in 150 000 keys


@jax.jit
def draws(law, worker, work, key):
    """Durations of the first jobs of one worker."""

    def one(job):
        return law.sample(keys.of_job(key, worker, job), worker, job, 0.0, work)

    return jax.vmap(one)(np.arange(DRAWS))


@jax.jit
def sample(law, key, worker, job, now, work):
    return law.sample(key, worker, job, now, work)


# ------------------------------------------------- means and lower bounds
# For the second worker: its law, mean, standard deviation, median, smallest value.


@pytest.mark.parametrize(
    ("law", "mean", "deviation", "median", "smallest"),
    [
        (
            timing.half_normal([1.0, 2.0, INF], scale=[1.0, 3.0, 1.0]),
            2 + 3 * 0.7978845608028654,  # √(2/π)
            3 * 0.6028102749890869,  # √(1 − 2/π)
            2 + 3 * 0.6744897501960817,
            2.0,
        ),
        (
            timing.exponential([1.0, 3.0, INF], base=[0.0, 2.0, 0.0]),
            5.0,
            3.0,
            2 + 3 * 0.6931471805599453,
            2.0,
        ),
        (
            timing.lognormal([1.0, 3.0, INF], sigma=[1.0, 0.5, 1.0]),
            3 * 1.1331484530668263,  # exp(1/8)
            3 * 1.1331484530668263 * 0.5329404500842055,  # √(exp(1/4) − 1)
            3.0,
            0.0,
        ),
    ],
)
def test_draws_have_the_stated_mean_and_bound(law, mean, deviation, median, smallest):
    key = jax.random.key(0)
    seconds = draws(law, 1, 1, key)
    np.testing.assert_allclose(law.mean[1], mean, rtol=1e-12)
    assert law.lower_bound[1] == smallest
    margin = STANDARD_ERRORS / np.sqrt(DRAWS)
    assert abs(seconds.mean() - mean) < margin * deviation
    assert abs((seconds < median).mean() - 0.5) < margin * 0.5
    assert seconds.min() > smallest
    if smallest:
        assert seconds.min() < smallest + 0.01  # the bound is tight
    np.testing.assert_allclose(draws(law, 1, 3, key), 3 * seconds, rtol=1e-12)
    # The third worker never delivers, and its law says so.
    assert law.mean[2] == law.lower_bound[2] == INF
    assert np.isinf(draws(law, 2, 1, key)).all()


def test_fixed_times_do_not_vary():
    law = timing.fixed([1.0, 2.5, INF])
    np.testing.assert_array_equal(draws(law, 1, 1, jax.random.key(0)), 2.5)
    np.testing.assert_array_equal(draws(law, 1, 3, jax.random.key(0)), 7.5)
    np.testing.assert_array_equal(draws(law, 2, 2, jax.random.key(0)), INF)
    np.testing.assert_array_equal(law.mean, [1, 2.5, INF])
    np.testing.assert_array_equal(law.lower_bound, [1, 2.5, INF])


@pytest.mark.parametrize(
    "law",
    [
        timing.half_normal([1.0, 2.0], scale=[INF, 1.0]),
        timing.exponential([INF, 2.0], base=1.0),
    ],
)
def test_an_infinite_scale_is_a_dead_worker(law):
    assert law.mean[0] == law.lower_bound[0] == INF
    assert np.isfinite(law.lower_bound[1])
    assert np.isinf(draws(law, 0, 1, jax.random.key(0))).all()


@pytest.mark.parametrize(
    ("law", "value"),
    [
        (timing.half_normal([1.0, 2.0], scale=0.0), 2.0),
        (timing.exponential([0.0, 0.0], base=2.0), 2.0),
        (timing.lognormal([1.0, 2.0], sigma=0.0), 2.0),
    ],
)
def test_without_spread_the_laws_are_fixed(law, value):
    np.testing.assert_array_equal(draws(law, 1, 1, jax.random.key(0)), value)
    assert law.mean[1] == value


# ------------------------------------------------- draws belong to (worker, job)


def test_only_the_key_and_the_worker_decide():
    law, key = timing.half_normal([1.0, 1.0], scale=2.0), jax.random.key(3)
    one = sample(law, key, 0, 0, 0.0, 1)
    assert sample(law, key, 0, 7, 100.0, 1) == one
    assert sample(law, key, 1, 0, 0.0, 1) == one  # equal workers, equal keys
    assert sample(law, jax.random.key(4), 0, 0, 0.0, 1) != one


def test_jobs_of_all_workers_draw_differently():
    law, key = timing.half_normal([1.0] * 5, scale=2.0), jax.random.key(3)
    seconds = [
        float(sample(law, keys.of_job(key, worker, job), worker, job, 0.0, 1))
        for worker, job in itertools.product(range(5), range(5))
    ]
    assert len(set(seconds)) == 25


def times_of_worker_0(schedule, law):
    found = trace(
        schedule,
        law,
        num_workers=len(law.mean),
        key=jax.random.key(0),
        num_events=200,
    )
    return found.time[found.worker == 0][:20]


def test_the_others_do_not_change_the_draws_of_a_worker():
    few = timing.half_normal([1.0, 2.0], scale=1.0)
    many = timing.half_normal([1.0, 2.0, 0.5, INF], scale=[1.0, 3.0, 1.0, 1.0])
    expected = times_of_worker_0(events.asgd(), few)
    assert len(expected) == 20
    for schedule, law in [
        (events.asgd(), many),
        (events.fastest(events.asgd(), 1), few),
        (events.asgd(), timing.dead(few, 1)),
    ]:
        np.testing.assert_array_equal(times_of_worker_0(schedule, law), expected)
    # They are sums of the draws of its jobs.
    key = jax.random.key(0)
    seconds = [sample(few, keys.of_job(key, 0, j), 0, j, 0.0, 1) for j in range(20)]
    np.testing.assert_allclose(expected, np.cumsum(seconds), rtol=1e-12)


# ------------------------------------------------- dead workers


def test_dead_workers_never_deliver():
    law = timing.half_normal([1.0, 2.0, 3.0], scale=1.0)
    deadly = timing.dead(law, [0, 2])
    key = jax.random.key(0)
    np.testing.assert_array_equal(draws(deadly, 1, 1, key), draws(law, 1, 1, key))
    for worker in (0, 2):
        assert np.isinf(draws(deadly, worker, 1, key)).all()
    np.testing.assert_array_equal(deadly.lower_bound, [INF, 2, INF])
    np.testing.assert_array_equal(deadly.mean, [INF, law.mean[1], INF])


def test_dead_takes_one_index_or_none_and_unknown_means():
    law = timing.fixed([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(timing.dead(law, 1).lower_bound, [1, INF, 3])
    np.testing.assert_array_equal(timing.dead(law, []).lower_bound, [1, 2, 3])
    assert timing.dead(dataclasses.replace(law, mean=None), 1).mean is None


# ------------------------------------------------- links


def test_a_link_adds_latency_and_size_over_bandwidth():
    link = timing.linear(
        up_latency=0.5,
        up_bandwidth=[100.0, 200.0, INF],
        down_latency=[1.0, 2.0, 3.0],
        down_bandwidth=400.0,
    )
    assert [link.up(i, 1000) for i in range(3)] == [10.5, 5.5, 0.5]
    assert [link.down(i, 1000) for i in range(3)] == [3.5, 4.5, 5.5]
    law = timing.fixed([1.0, 2.0, INF])
    linked = timing.with_link(law, link, bits_up=1000, bits_down=400)
    # down: 2, 3, 4 seconds; up: 10.5, 5.5, 0.5. A job of four gradients sends once.
    key = jax.random.key(0)
    assert [sample(linked, key, i, 0, 0.0, 4) for i in range(3)] == [16.5, 16.5, INF]
    np.testing.assert_array_equal(linked.mean, [13.5, 10.5, INF])
    np.testing.assert_array_equal(linked.lower_bound, [13.5, 10.5, INF])


def test_the_first_message_may_have_another_length():
    link = timing.linear(up_bandwidth=[100.0, 200.0], down_latency=1.0)
    lengths = {"bits_up": 1000, "bits_down": 1}
    longer = timing.with_link(TWO, link, **lengths, first_bits_up=4000)
    shorter = timing.with_link(TWO, link, **lengths, first_bits_up=200)
    key = jax.random.key(0)
    for law, first in ((longer, [42.0, 23.0]), (shorter, [4.0, 4.0])):
        found = [
            [sample(law, key, i, job, 0.0, 1) for i in (0, 1)] for job in (0, 1, 2)
        ]
        np.testing.assert_array_equal(found, [first, [12.0, 8.0], [12.0, 8.0]])
        np.testing.assert_array_equal(law.mean, [12.0, 8.0])
        least = np.minimum(first, [12.0, 8.0])
        np.testing.assert_array_equal(law.lower_bound, least)


def test_a_link_by_default_takes_no_time():
    law = timing.half_normal([1.0, 2.0], scale=1.0)
    free = timing.with_link(law, timing.linear(), bits_up=1e9, bits_down=1e9)
    key = jax.random.key(0)
    np.testing.assert_array_equal(draws(free, 1, 1, key), draws(law, 1, 1, key))
    np.testing.assert_array_equal(free.mean, law.mean)
    np.testing.assert_array_equal(free.lower_bound, law.lower_bound)


def test_a_link_leaves_unknown_means_unknown():
    law = dataclasses.replace(timing.fixed([1.0, 2.0]), mean=None)
    linked = timing.with_link(law, timing.linear(), bits_up=1, bits_down=1)
    assert linked.mean is None


def test_events_include_the_messages():
    link = timing.linear(up_latency=[0.25, 1.0], down_latency=0.25)
    law = timing.with_link(timing.fixed([1.0, 1.0]), link, bits_up=0, bits_down=0)
    found = trace(
        events.asgd(), law, num_workers=2, key=jax.random.key(0), num_events=5
    )
    np.testing.assert_array_equal(found.time, [1.5, 2.25, 3, 4.5, 4.5])
    np.testing.assert_array_equal(found.worker, [0, 1, 0, 0, 1])


# ------------------------------------------------- pytrees and refusals

TWO = timing.fixed([1.0, 2.0])


def linked(link):
    return timing.with_link(TWO, link, bits_up=1, bits_down=1)


@pytest.mark.parametrize(
    "make",
    [
        timing.fixed,
        lambda seconds: timing.half_normal(seconds, scale=1.0),
        lambda seconds: timing.exponential(seconds),
        lambda seconds: timing.lognormal(seconds, sigma=1.0),
        lambda seconds: timing.dead(timing.fixed(seconds), 1),
        lambda seconds: timing.linear(up_latency=seconds),
        lambda seconds: linked(timing.linear(up_latency=seconds)),
    ],
)
def test_other_numbers_have_the_same_structure(make):
    first, second = make([1.0, 2.0]), make([3.0, 4.0])
    assert jax.tree.structure(first) == jax.tree.structure(second)
    for leaf in jax.tree.leaves(first):
        assert isinstance(leaf, np.ndarray)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: timing.fixed([1, -2]), "times must not be negative .* entry 1 is -2"),
        (lambda: timing.fixed([float("nan")]), "entry 0 is nan; use inf"),
        (lambda: timing.fixed(3.0), "times must be a list"),
        (lambda: timing.fixed([]), "times must be a list"),
        (lambda: timing.fixed([[1.0, 2.0]]), "times must be a list"),
        (lambda: timing.half_normal(1.0, scale=[1.0, 1.0]), "base must be a list"),
        (
            lambda: timing.half_normal([1, 2], scale=[1, 2, 3]),
            "scale has 3 entries for 2 workers",
        ),
        (lambda: timing.half_normal([1, 2], scale=-1), "scale must not be negative"),
        (
            lambda: timing.exponential([1, 2], base=[1]),
            "base has 1 entries for 2 workers",
        ),
        (lambda: timing.exponential([1, -1]), "scale must not be negative"),
        (
            lambda: timing.lognormal([1, 2], sigma=[1, float("nan")]),
            "sigma must not be negative or NaN, but entry 1 is nan",
        ),
        (lambda: timing.lognormal([1, -2], sigma=1), "median must not be negative"),
        (lambda: timing.dead(TWO, 2), r"indices in 0\.\.1, got \[2\]"),
        (lambda: timing.dead(TWO, [0, -1]), r"indices in 0\.\.1, got \[ 0 -1\]"),
        (lambda: timing.linear(up_bandwidth=0), "up_bandwidth must be positive"),
        (
            lambda: timing.linear(down_bandwidth=[1.0, -1.0]),
            "down_bandwidth must be positive",
        ),
        (lambda: timing.linear(up_bandwidth=float("nan")), "up_bandwidth must be pos"),
        (lambda: timing.linear(up_latency=-1), "up_latency must be zero or positive"),
        (
            lambda: timing.linear(down_latency=[0, float("nan")]),
            "down_latency must be zero or positive",
        ),
        (
            lambda: linked(timing.linear(up_latency=[1, 2, 3])),
            "the link describes 3 workers, the cluster 2",
        ),
        (
            lambda: linked(timing.linear(down_bandwidth=[1])),
            "the link describes 1 workers, the cluster 2",
        ),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
