"""Asynchronous recipes: fixed points, stability, reductions, mistakes."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from small_cluster import (
    CLUSTER,
    EQUAL,
    EXACT,
    NOISY,
    TIMES,
    Counter,
    N,
    assert_same_run,
    clock,
    go,
)

import fedjax_opt as fo
from fedjax_opt.simulate import interleaved, numbers
from fedjax_opt.simulate.trace import _advance

ASSIGNMENTS = ("pure", "random", "shuffled")
m, INF = fo.methods, np.inf


# ------------------------------------------------- fixed points on different workers


def _x(data, x):
    return x[0]


SLOW_AND_FAST = fo.timing.fixed([1.0, 10.0])
# f₁ = ½x², f₂ = (3/2)(x − 1)²: f is least at 3/4, f₁ + f₂/10 at 3/13.
PAIR = fo.problems.quadratics([[[1.0]], [[3.0]]], [[0.0], [3.0]])._replace(
    metrics={"x": _x}
)


@pytest.mark.parametrize(
    ("method", "limit", "error"),
    [
        (m.asgd(step_size=1e-3), 3 / 13, 5e-4),
        (m.rescaled_asgd(step_size=1e-3), 0.75, 5e-4),
        (m.rescaled_asgd(step_size=1e-3, observed=True), 0.75, 5e-4),
        (m.asgrad(step_size=1e-3, assignment="pure"), 3 / 13, 5e-4),
        (m.asgrad(step_size=1e-3, assignment="shuffled"), 0.75, 5e-4),
        # Choosing at random is noise: 0.016 in an iterate, over 20 independent ones.
        (m.asgrad(step_size=1e-3, assignment="random"), 0.75, 0.015),
    ],
    ids=lambda value: getattr(value, "label", None),
)
def test_where_two_different_workers_lead(method, limit, error):
    trace = go(
        method, PAIR, num_workers=2, compute_time=SLOW_AND_FAST, num_updates=24000
    )
    x, seconds = trace.columns["x"][:-1], np.diff(trace.time)
    settled = slice(12000, None)
    average = np.average(x[settled], weights=seconds[settled])
    assert average == pytest.approx(limit, abs=error)
    assert round(3 / 13, 4) == 0.2308


def test_random_and_shuffled_assignments_have_all_workers_work_alike():
    law = fo.timing.exponential(TIMES)
    events = 20000
    shares = {
        assignment: np.bincount(
            clock(fo.events.asgrad(assignment=assignment), law, events).worker
        )
        for assignment in ("pure", "random", "shuffled")
    }
    assert shares["pure"].max() > 5 * shares["pure"].min()
    # Jobs that are assigned and not done make a difference of n.
    five_sigma = 5 * np.sqrt(events * (1 / N) * (1 - 1 / N))
    assert np.abs(shares["random"] - events / N).max() < five_sigma + N
    assert np.abs(shares["shuffled"] - events / N).max() <= N + 1


def test_a_worker_does_its_jobs_in_order_of_assignment():
    found = clock(fo.events.asgrad(assignment="random"))
    for worker in range(N):
        assert (np.diff(found.version[found.worker == worker]) > 0).all()
    assert found.busy.max() <= N and found.busy.min() < N


# ------------------------------------------------- delays


@pytest.mark.parametrize(
    ("delay", "limit"),
    [(0, 2.0), (1, 1.0), (2, 0.618034), (3, 0.445042), (10, 0.149460)],
)
def test_delayed_sgd_is_stable_up_to_the_known_step(delay, limit):
    assert limit == pytest.approx(2 * np.sin(np.pi / (4 * delay + 2)), abs=1e-6)
    curvature = 2.5
    line = fo.problems.quadratics([[[curvature]]], [[0.0]], x0=[1.0])
    line = line._replace(metrics={"x": _x})

    def amplitudes(factor):
        method = m.delayed_sgd(step_size=factor * limit / curvature, delay=delay)
        times = fo.timing.fixed([1.0])
        trace = go(method, line, num_workers=1, compute_time=times, num_updates=2500)
        x = np.abs(trace.columns["x"])
        return x[500:600].max(), x[-100:].max()

    early, late = amplitudes(0.98)
    assert late < early / 2
    early, late = amplitudes(1.02)
    assert late > 2 * early


def test_koloskova_drops_what_is_later_than_n():
    dropping = clock(fo.events.koloskova_asgd(late_step=0.0))
    np.testing.assert_array_equal(dropping.accepted, dropping.delay <= N)
    np.testing.assert_array_equal(dropping.step, 1)


def test_a_drop_counts_as_a_step_but_not_for_ringmaster():
    koloskova = clock(fo.events.koloskova_asgd(late_step=0.0))
    ringmaster = clock(fo.events.ringmaster(delay_threshold=N + 1))
    np.testing.assert_array_equal(koloskova.time, ringmaster.time)
    assert (koloskova.accepted != ringmaster.accepted).any()


def test_koloskova_steps_are_at_most_those_of_the_theorem():
    step_size, smoothness = 0.05, 0.9
    method = m.delay_adaptive_asgd(
        step_size=step_size, rule="koloskova", smoothness=smoothness
    )
    found = clock(method.schedule)
    bound = 1 / (4 * smoothness * np.maximum(found.delay, 1))
    expected = np.where(found.delay > N, np.minimum(step_size, bound), step_size)
    np.testing.assert_allclose(step_size * found.step, expected)
    assert found.step.min() < 1


# ------------------------------------------------- reductions


def reductions():
    step = {"step_size": 0.1}
    koloskova = functools.partial(m.delay_adaptive_asgd, rule="koloskova", **step)
    asgd, minibatch, hero = m.asgd(**step), m.minibatch_sgd(**step), m.hero_sgd(**step)
    late, fresh = (m.delayed_sgd(delay=delay, **step) for delay in (4, 0))
    yield m.rescaled_asgd(**step), asgd, EQUAL
    yield koloskova(), asgd, EQUAL
    yield koloskova(smoothness=1.0), asgd, EQUAL
    yield m.delayed_sgd(delay=N - 1, **step), asgd, EQUAL
    yield m.picky_sgd(radius=INF, **step), asgd, CLUSTER
    yield m.asgrad(assignment="pure", **step), asgd, CLUSTER
    yield m.naive_optimal_asgd(noise_ratio=1e6, **step), asgd, CLUSTER
    yield m.naive_optimal_asgd(noise_ratio=0.0, **step), hero, CLUSTER
    for assignment in ("pure", "shuffled"):
        waiting = m.asgrad(assignment=assignment, batch_size=N, **step)
        yield waiting, minibatch, CLUSTER
    for read in ("consistent", "inconsistent"):
        yield m.hogwild(max_delay=4, read=read, worst=True, **step), late, CLUSTER
        for q in (0.0, 0.5):
            now = m.hogwild(max_delay=0, read=read, overwrite_probability=q, **step)
            yield now, fresh, CLUSTER


@pytest.mark.parametrize(
    ("method", "other", "compute_time"),
    list(reductions()),
    ids=lambda value: getattr(value, "label", ""),
)
def test_bit_for_bit(method, other, compute_time):
    assert_same_run(
        go(method, compute_time=compute_time), go(other, compute_time=compute_time)
    )


def test_one_worker_makes_all_of_them_sgd():
    def sgd(step_size):
        x, out = NOISY.init, []
        for _ in range(13):
            out.append(float(EXACT.loss(EXACT.data, x)))
            x = x - step_size * jax.grad(lambda y: EXACT.loss(EXACT.data, y))(x)
        return out

    expected = sgd(0.3)
    for method in (
        m.delay_adaptive_asgd(step_size=0.3, rule="koloskova"),
        m.delay_adaptive_asgd(step_size=0.3, rule="koloskova", smoothness=1.0),
        m.naive_optimal_asgd(step_size=0.3, noise_ratio=5.0),
        m.rescaled_asgd(step_size=0.3),
        m.rescaled_asgd(step_size=0.3, observed=True),
        m.picky_sgd(step_size=0.3, radius=1e-9),
        m.delayed_sgd(step_size=0.3, delay=0),
        m.hogwild(step_size=0.3, max_delay=0, overwrite_probability=0.5),
        *(m.asgrad(step_size=0.3, assignment=a) for a in ASSIGNMENTS),
    ):
        one = fo.timing.fixed([1.3])
        trace = go(method, EXACT, num_workers=1, compute_time=one, num_updates=12)
        np.testing.assert_allclose(
            trace.loss, expected, rtol=1e-10, err_msg=method.label
        )


@pytest.mark.parametrize(
    ("noise_ratio", "workers"), [(0.0, 1), (8.0, 3), (100.0, 4), (1.0, 1), (1.1, 2)]
)
def test_how_many_workers_pay(noise_ratio, workers):
    """The golden table; at s = 1 one worker costs as much as two, and is taken."""
    found = clock(
        fo.events.naive_optimal_asgd(noise_ratio=noise_ratio),
        fo.timing.fixed([4.0, 1.0, 8.0, 2.0]),
    )
    np.testing.assert_array_equal(found.busy, workers)
    fastest = [1, 3, 0, 2][:workers]
    np.testing.assert_array_equal(np.unique(found.worker), np.sort(fastest))


# ------------------------------------------------- gradients, programs


@pytest.mark.parametrize(
    "method",
    [
        m.delay_adaptive_asgd(step_size=0.1, rule="koloskova"),
        m.rescaled_asgd(step_size=0.1),
        m.naive_optimal_asgd(step_size=0.1, noise_ratio=2.0),
        m.delayed_sgd(step_size=0.1, delay=3),
        m.hogwild(step_size=0.1, max_delay=3, overwrite_probability=0.1),
        m.asgrad(step_size=0.1, assignment="random"),
        m.asgrad(step_size=0.1, assignment="shuffled", batch_size=3),
    ],
    ids=lambda value: value.label,
)
def test_gradients_that_are_not_used_are_not_evaluated(method):
    counter = Counter()
    trace = go(method, counter.problem())
    jax.effects_barrier()
    assert counter.calls == trace.gradients_used[-1]
    dropped = trace.gradients_computed[-1] - counter.calls
    assert (dropped > 0) == (method.label == "delay_adaptive_asgd")


RECIPES = {
    "koloskova": (
        functools.partial(m.delay_adaptive_asgd, rule="koloskova"),
        {"smoothness": 1.0},
        {"smoothness": 2.0},
    ),
    "naive optimal": (
        m.naive_optimal_asgd,
        {"noise_ratio": 1.0},
        {"noise_ratio": 9.0},
    ),
    "rescaled": (m.rescaled_asgd, {}, {}),
    "observed": (functools.partial(m.rescaled_asgd, observed=True), {}, {}),
    "delayed": (m.delayed_sgd, {"delay": 2}, {"delay": 5}),
    "hogwild": (
        m.hogwild,
        {"max_delay": 2, "overwrite_probability": 0.0},
        {"max_delay": 5, "overwrite_probability": 0.5},
    ),
    "picky": (m.picky_sgd, {"radius": 0.2}, {"radius": INF}),
    "asgrad": (m.asgrad, {"batch_size": 2}, {"batch_size": 3}),
}


@pytest.mark.parametrize("name", RECIPES)
def test_other_numbers_need_no_other_program(name):
    make, first, second = RECIPES[name]
    programs = numbers.advance, _advance, interleaved._advance

    def once(step_size, parameters, factor, key):
        times = fo.timing.fixed(factor * TIMES)
        method = make(step_size=step_size, **parameters)
        return go(method, compute_time=times, key=jax.random.key(key), num_updates=20)

    one = once(0.1, first, 1.0, 0)
    sizes = [program._cache_size() for program in programs]
    other = once(0.2, second, 1.001, 1)
    assert [program._cache_size() for program in programs] == sizes
    assert not np.array_equal(one.loss, other.loss)
    assert_same_run(one, once(0.1, first, 1.0, 0))


# ------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fo.events.koloskova_asgd(late_step=-1.0), "at least 0 .* got -1.0"),
        (
            lambda: m.delay_adaptive_asgd(step_size=0.1, rule="fast"),
            "mishchenko or koloskova, got 'fast'",
        ),
        (
            lambda: m.delay_adaptive_asgd(step_size=0.1, smoothness=1.0),
            "leave it out",
        ),
        (
            lambda: m.delay_adaptive_asgd(
                step_size=0.1, rule="koloskova", smoothness=0.0
            ),
            "smoothness must be positive",
        ),
        (
            lambda: m.naive_optimal_asgd(step_size=0.1, noise_ratio=-1),
            "at least 0, got -1",
        ),
        (lambda: m.picky_sgd(step_size=0.1, radius=0.0), "radius must be positive"),
        (lambda: m.delayed_sgd(step_size=0.1, delay=-1), "0, 1, 2, ..., got -1"),
        (lambda: m.delayed_sgd(step_size=0.1, delay=INF), "0, 1, 2, ..., got inf"),
        (lambda: m.hogwild(step_size=0.1, max_delay=1.5), "max_delay .* got 1.5"),
        (
            lambda: m.hogwild(step_size=0.1, max_delay=1, read="dirty"),
            "consistent or inconsistent, got 'dirty'",
        ),
        (
            lambda: fo.transforms.overwrite(1.5),
            r"probability must lie in \[0, 1\], got 1.5",
        ),
        (
            lambda: m.asgrad(step_size=0.1, assignment="fair"),
            "pure, random or shuffled, got 'fair'",
        ),
        (
            lambda: m.asgrad(step_size=0.1, batch_size=0),
            "batch_size to be 1, 2, ..., got 0",
        ),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "method",
    [
        m.rescaled_asgd(step_size=0.1),
        m.naive_optimal_asgd(step_size=0.1, noise_ratio=1.0),
    ],
    ids=lambda value: value.label,
)
def test_rules_of_the_means_need_means(method):
    with pytest.raises(ValueError, match="mean"):
        go(method, compute_time=dataclasses.replace(CLUSTER, mean=None))


def test_observed_durations_need_no_means():
    unknown = dataclasses.replace(CLUSTER, mean=None)
    trace = go(m.rescaled_asgd(step_size=0.1, observed=True), compute_time=unknown)
    assert np.isfinite(trace.loss).all()


@pytest.mark.parametrize(
    ("method", "dead"),
    [
        (m.rescaled_asgd(step_size=0.1), [2]),
        (m.rescaled_asgd(step_size=0.1, observed=True), [2]),
        (m.asgrad(step_size=0.1), [2]),
        (m.asgrad(step_size=0.1, assignment="random"), [2]),
        (m.asgrad(step_size=0.1, assignment="pure", batch_size=4), [1, 2]),
        (m.asgrad(step_size=0.1, batch_size=N + 1), []),
    ],
    ids=lambda value: getattr(value, "label", str(value)),
)
def test_who_waits_for_the_dead_is_refused(method, dead):
    with pytest.raises(ValueError, match="can never make a step"):
        go(method, compute_time=fo.timing.dead(CLUSTER, np.array(dead, int)))


def test_pure_assignments_go_on_as_long_as_a_batch_is_alive():
    method = m.asgrad(step_size=0.1, assignment="pure", batch_size=3)
    trace = go(method, compute_time=fo.timing.dead(CLUSTER, [1, 2]), num_updates=5)
    np.testing.assert_array_equal(trace.gradients_used, 3 * np.arange(6))


# ------------------------------------------------- workers that die


@pytest.mark.parametrize(
    "make", [m.ringleader_asgd, functools.partial(m.malenia_sgd, batch_size=3)]
)
def test_a_run_that_waits_for_the_dying_is_given_up(make):
    dying = fo.timing.dies(fo.timing.fixed([1.0, 2.0, 3.0]), [np.inf, np.inf, 10.0])
    options = {"num_workers": 3, "compute_time": dying, "key": jax.random.key(0)}
    problem = fo.problems.tridiagonal(4)
    with pytest.raises(ValueError, match="not made a step in the last .* give until="):
        fo.run(make(step_size=0.1), problem, num_updates=100, **options)
    trace = fo.run(make(step_size=0.1), problem, until=100, **options)
    assert 3 <= trace.time[-1] <= 14
