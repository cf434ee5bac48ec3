"""Methods for finite sums: reductions, times, what is counted, mistakes."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts.cases_finite_sum import Draws
from finite_sums import (
    CLUSTER,
    DIM,
    FREYA,
    MATRICES,
    PROBLEM,
    RANDOM,
    RECIPES,
    SOVIET,
    SPLIT,
    STEP_SIZE,
    TIMES,
    VECTORS,
    M,
    N,
    batches,
    component_gradient,
    events_of,
    finite_sum_of,
    go,
    gradient_descent,
    iterates,
)
from reference import finite_sum

import fedjax_opt as fo
from fedjax_opt.simulate import numbers
from fedjax_opt.simulate.trace import _advance

# ------------------------------------------------- finite sums as problems


def logistic():
    rng = np.random.default_rng(0)
    return fo.problems.logistic_regression(
        rng.normal(size=(M, DIM)), np.arange(M) % 2, l2=0.1, nonconvex=0.1
    )


@pytest.mark.parametrize("make", [finite_sum_of, logistic])
def test_the_components_add_up_to_the_problem(make):
    problem = make()
    x = jnp.asarray([0.3, -1.2, 0.7])
    assert problem.num_components == M

    def component(j):
        return problem.grad(problem.data, x, 0, problem.component(problem.data, j))

    mean = jax.vmap(component)(jnp.arange(M)).mean(axis=0)
    full = jax.grad(problem.loss, argnums=1)(problem.data, x)
    np.testing.assert_allclose(mean, full, rtol=1e-12)
    np.testing.assert_allclose(problem.grad(problem.data, x, 0, None), full, rtol=1e-12)


# ------------------------------------------------- the full gradient


@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize("n", [1, 3, 40])
def test_a_full_gradient_has_every_component_once(n, stop):
    found = events_of(
        fo.events.freya(probability=1.0, stop=stop),
        n=n,
        compute_time=fo.timing.exponential(np.sqrt(np.arange(1, n + 1))),
    )
    collected = batches(found)
    assert len(collected) > 10
    for kind, rows in collected:
        assert kind == 0
        np.testing.assert_array_equal(np.sort(found.sample[rows]), np.arange(M))
    repeated = (found.delay == 0) & ~found.accepted
    assert repeated.any() == (n > 1)


@pytest.mark.parametrize("compute_time", [CLUSTER, RANDOM, fo.timing.fixed([1.0] * N)])
@pytest.mark.parametrize("stop", [False, True])
def test_a_full_gradient_is_the_exact_mean(compute_time, stop):
    x = iterates(FREYA(stop=stop), num_updates=1, compute_time=compute_time)
    exact = MATRICES.mean(axis=0) @ x[0] - VECTORS.mean(axis=0)
    np.testing.assert_allclose((x[0] - x[1]) / STEP_SIZE, exact, rtol=1e-12)


# ------------------------------------------------- reductions


@pytest.mark.parametrize(
    "method",
    [
        FREYA(probability=1.0),
        FREYA(probability=1.0, stop=True),
        SOVIET(probability=1.0),
        RECIPES["soviet_gd"],
        RECIPES["hero_gd"],
    ],
    ids=lambda method: method.label,
)
def test_with_full_gradients_only_it_is_gradient_descent(method):
    np.testing.assert_allclose(iterates(method), gradient_descent(), rtol=1e-12)


@pytest.mark.parametrize("name", RECIPES)
def test_one_component_gives_gradient_descent(name):
    x = iterates(RECIPES[name], finite_sum_of(1))
    np.testing.assert_allclose(x, gradient_descent(1), rtol=1e-10)


def serial_batches(draws, num_updates, *, batch_size, probability):
    """PAGE on one worker: which components its jobs, one after the other, bring."""
    coin, job, drawn = draws.coin(probability), 0, []
    for k in range(num_updates):
        if k == 0 or coin(k):
            drawn.append("full")
            job += M
        else:
            jobs = range(job, job + batch_size)
            drawn.append([int(draws.uniform(0, j) * M) for j in jobs])
            job += batch_size
    return drawn


@pytest.mark.parametrize("make", [FREYA, functools.partial(FREYA, stop=True), SOVIET])
def test_one_worker_gives_serial_page(make):
    sizes = {"batch_size": 5, "probability": 0.2}
    draws = Draws(jax.random.split(jax.random.key(3))[0], 1)
    drawn = serial_batches(draws, 40, **sizes)
    assert 3 < drawn.count("full") < 20
    expected = finite_sum.page(
        component_gradient, np.ones(DIM), STEP_SIZE, drawn, 40, num_components=M
    )
    one_worker = {"num_workers": 1, "compute_time": fo.timing.exponential([1.0])}
    x = iterates(make(**sizes), key=3, num_updates=40, **one_worker)
    np.testing.assert_allclose(x, expected, rtol=1e-10)


def test_freya_sgd_collects_like_rennala():
    rennala = fo.events.rennala(batch_size=4)
    plain = events_of(rennala, m=None)
    ours = events_of(fo.events.with_components(rennala))
    for name in set(plain._fields) - {"sample"}:
        np.testing.assert_array_equal(getattr(plain, name), getattr(ours, name))
    assert ours.sample.min() == 0 and ours.sample.max() == M - 1


@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize("probability", [0.3, 1.0])
def test_a_dead_worker_changes_nothing(probability, stop):
    schedule = fo.events.freya(probability=probability, stop=stop)
    without = events_of(schedule, n=4, compute_time=fo.timing.exponential(TIMES[:4]))
    dead = events_of(schedule, compute_time=fo.timing.dead(RANDOM, [4]))
    for name in without._fields:
        np.testing.assert_array_equal(getattr(without, name), getattr(dead, name))


@pytest.mark.parametrize("name", ["freya_sgd", "hero_gd"])
def test_a_dead_worker_changes_no_iterate(name):
    dead = iterates(RECIPES[name], compute_time=fo.timing.dead(CLUSTER, [4]))
    four = {"num_workers": 4, "compute_time": fo.timing.fixed(TIMES[:4])}
    np.testing.assert_array_equal(dead, iterates(RECIPES[name], **four))


# ------------------------------------------------- times


def step_times(schedule, m=100, num_events=5000):
    found = events_of(
        schedule, num_events, n=4, m=m, compute_time=fo.timing.fixed([1.0, 2, 4, 8])
    )
    steps = found.step != 0
    return found.time[steps], found.kind[steps]


@pytest.mark.parametrize(
    ("cost", "seconds"),
    [(1, 6.0), (2, 12.0)],  # ⌊t⌋ + ⌊t/2⌋ + ⌊t/4⌋ + ⌊t/8⌋ >= 10 first at t = 6
)
def test_ten_differences_take_freya_six_seconds(cost, seconds):
    schedule = fo.events.freya(probability=1e-9, cost_difference=cost, stop=True)
    times, kinds = step_times(schedule)
    assert not kinds[0] and kinds[1:].all()
    np.testing.assert_array_equal(np.diff(times), seconds)
    assert seconds <= cost * 7.428571  # min (√m + j)/H_j


@pytest.mark.parametrize("stop", [False, True])
def test_a_full_gradient_takes_freya_little_longer_than_its_arrivals(stop):
    times, _ = step_times(fo.events.freya(probability=1.0, stop=stop))
    taken = np.diff(times, prepend=0.0)
    assert times[0] >= 54  # when a hundred gradients have arrived for the first time
    assert times[0] <= 54 + 8 + 4
    assert taken.mean() <= 1.1 * 55.46667  # min (m + j)/H_j


def test_soviet_rounds_wait_for_the_slowest():
    np.testing.assert_array_equal(
        step_times(fo.events.soviet_gd())[0][:5], 200 * np.arange(1, 6)
    )
    for cost in (1, 2):
        schedule = fo.events.soviet_page(cost_difference=cost)
        times, kinds = step_times(schedule)
        taken = np.where(kinds == 1, 2 * 8 * cost, 25 * 8)  # 3, 3, 2 and 2 of ten
        np.testing.assert_array_equal(times, np.cumsum(taken))
        assert 0 < kinds.mean() < 1


def test_the_hero_takes_m_gradients_a_step():
    times, _ = step_times(fo.events.hero_gd(), num_events=20)
    np.testing.assert_array_equal(times, 100 * np.arange(1, 21))


# ------------------------------------------------- accounts, programs


class Counter:
    """A finite sum that counts the gradients that are really evaluated."""

    def __init__(self):
        self.components = []

    def problem(self):
        def grad(data, params, worker, sample):
            index = jnp.int32(-1) if sample is None else sample[0]
            jax.debug.callback(self.count, index)
            return PROBLEM.grad(data, params, worker, sample)

        return PROBLEM._replace(grad=grad)

    def count(self, index):
        self.components.append(int(index))


def page_costs(batch_size):
    """Gradients in 15 updates: m in each full one, two for each difference else."""
    coin = Draws(jax.random.split(jax.random.key(2))[0], N).coin(0.3)
    full = 1 + sum(coin(k) for k in range(1, 15))
    assert 1 < full < 15
    return full * M + (15 - full) * 2 * batch_size


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (FREYA(batch_size=3, probability=0.3), lambda: page_costs(3)),
        (FREYA(batch_size=37, probability=0.3, stop=True), lambda: page_costs(37)),
        (SOVIET(batch_size=3, probability=0.3), lambda: page_costs(3)),
        (RECIPES["soviet_gd"], lambda: 15 * M),
        (RECIPES["freya_sgd"], lambda: 15 * 4),
    ],
    ids=lambda value: getattr(value, "label", ""),
)
def test_gradients_that_are_not_used_are_not_evaluated(method, expected):
    counter = Counter()
    key = jax.random.key(2)
    trace = go(method, counter.problem(), key=key, num_updates=15)
    jax.effects_barrier()
    assert len(counter.components) == trace.gradients_used[-1] == expected()


def test_the_hero_evaluates_full_gradients_only():
    counter = Counter()
    trace = go(
        RECIPES["hero_gd"], counter.problem(), key=jax.random.key(0), num_updates=15
    )
    jax.effects_barrier()
    assert counter.components == [-1] * 15
    np.testing.assert_array_equal(trace.gradients_used, M * np.arange(16))


NUMBERS = {
    "freya_page": (
        FREYA(batch_size=2, probability=0.5),
        FREYA(batch_size=3, probability=0.9, cost_difference=1),
    ),
    "freya_sgd": (
        RECIPES["freya_sgd"],
        fo.methods.freya_sgd(step_size=0.1, batch_size=5),
    ),
    "hero_gd": (RECIPES["hero_gd"], fo.methods.hero_gd(step_size=0.1)),
    "soviet_gd": (RECIPES["soviet_gd"], fo.methods.soviet_gd(step_size=0.1)),
    "soviet_page": (
        SOVIET(batch_size=2, probability=0.5),
        SOVIET(batch_size=3, probability=0.9, cost_difference=1),
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_other_numbers_need_no_other_program(name):
    method, other = NUMBERS[name]
    first = go(method, PROBLEM, key=jax.random.key(0), num_updates=12)
    programs = numbers.advance._cache_size(), _advance._cache_size()
    second = go(other, PROBLEM, key=jax.random.key(1), num_updates=12)
    assert (numbers.advance._cache_size(), _advance._cache_size()) == programs
    assert not np.array_equal(first.loss, second.loss)


# ------------------------------------------------- mistakes


@pytest.mark.parametrize("name", RECIPES)
def test_a_problem_that_is_no_finite_sum_is_refused(name):
    with pytest.raises(ValueError, match=f"{name.split(',')[0]} needs a finite sum"):
        fo.run(
            RECIPES[name], SPLIT, num_workers=4, key=jax.random.key(0), num_updates=2
        )


@pytest.mark.parametrize(
    ("schedule", "user"),
    [
        (fo.events.freya(), "freya"),
        (fo.events.hero_gd(), "hero_gd"),
        (fo.events.soviet_gd(), "soviet_gd"),
        (fo.events.soviet_page(), "soviet_page"),
        (fo.events.with_components(fo.events.asgd()), "with_components"),
    ],
)
def test_a_trace_without_components_is_refused(schedule, user):
    message = rf"^{user} needs the number of components .* trace\(num_components=\)"
    with pytest.raises(ValueError, match=message):
        events_of(schedule, 10, m=None)


@pytest.mark.parametrize("make", [FREYA, SOVIET])
@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"batch_size": 0}, "batch_size to be 1, 2, ..., got 0"),
        ({"batch_size": 2.5}, "batch_size to be 1, 2, ..., got 2.5"),
        ({"probability": 0.0}, r"probability must lie in \(0, 1\], got 0.0"),
        ({"probability": 1.1}, r"probability must lie in \(0, 1\], got 1.1"),
        ({"cost_difference": 3}, "cost_difference to be 1 or 2 gradients, got 3"),
    ],
)
def test_mistakes_are_named(make, numbers, message):
    with pytest.raises(ValueError, match=message):
        make(**numbers)


@pytest.mark.parametrize("name", ["soviet_gd", "soviet_page"])
def test_soviet_methods_need_everybody(name):
    with pytest.raises(ValueError, match=f"{name} can never make a step: 1 of 5"):
        iterates(RECIPES[name], compute_time=fo.timing.dead(CLUSTER, [2]))


def test_the_hero_needs_means():
    with pytest.raises(ValueError, match="have no mean"):
        iterates(
            RECIPES["hero_gd"], compute_time=dataclasses.replace(CLUSTER, mean=None)
        )
