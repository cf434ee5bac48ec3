"""Ringleader and IA²SGD: bounds, tables, reductions; costs, also of LMO methods."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trajectory import COMPUTE_TIME, PROBLEM, X0, N, full_gradient, measured

import fedjax_opt as fo
from fedjax_opt import estimators, events, geometry, methods
from fedjax_opt.simulate import numbers
from fedjax_opt.types import Problem

KEY = jax.random.key(5)
EXACT = PROBLEM._replace(draw=None)
SVD = geometry.spectral(kernel="svd")
agnostic = functools.partial(methods.ringmaster_lmo, parameter_agnostic=True)


def clock_of(schedule, compute_time=COMPUTE_TIME, num_workers=N, num_events=2000):
    return fo.simulate.trace(
        schedule,
        compute_time,
        num_workers=num_workers,
        key=KEY,
        num_events=num_events,
    )


# ------------------------------------------------- Ringleader: the clock

LAWS = {
    "fixed": lambda n: fo.timing.fixed(1 + np.sqrt(np.arange(n))),
    "equal": lambda n: fo.timing.fixed(np.ones(n)),
    "exponential": lambda n: fo.timing.exponential(np.geomspace(1, 9, n)),
    "half-normal": lambda n: fo.timing.half_normal(np.arange(1, n + 1), scale=1.0),
}


@pytest.mark.parametrize("law", LAWS)
def test_every_worker_steps_once_a_round_and_nothing_is_thrown_away(law):
    for n in (1, 2, 7):
        found = clock_of(events.ringleader(), LAWS[law](n), n)
        assert found.accepted.all() and (found.weight == 1).all()
        assert found.delay.max() <= 2 * n - 2
        # No job is interrupted.
        for i in range(n):
            jobs = found.job[found.worker == i]
            np.testing.assert_array_equal(jobs, np.arange(len(jobs)))
        steppers = found.worker[found.step != 0]
        rounds = steppers[: len(steppers) // n * n].reshape(-1, n)
        np.testing.assert_array_equal(
            np.sort(rounds, axis=1), np.broadcast_to(np.arange(n), rounds.shape)
        )


@pytest.mark.parametrize("n", [2, 3])
def test_the_bound_of_the_delays_is_attained(n):
    found = clock_of(events.ringleader(), LAWS["exponential"](n), n, 20_000)
    assert found.delay.max() == 2 * n - 2


def batches_by_hand(found, n):
    """For each first step of a round, whose gradients (rows) it is the mean of.

    A worker's part: all that it sent since its own step of the round before.
    """
    steps = np.flatnonzero(found.step)
    since = np.full(n, -1)
    batches = []
    for r in range(len(steps) // n):
        of_round = steps[r * n : (r + 1) * n]
        rows = np.arange(of_round[0] + 1)
        sent = [rows[(found.worker[rows] == i) & (rows > since[i])] for i in range(n)]
        batches.append((of_round[0], sent))
        since[found.worker[of_round]] = of_round
    return batches


@pytest.mark.parametrize("times", [[1, 1, 1, 1], [1, 2, 4, 8], [0.1, 1, 1, 1.3]])
def test_batches_are_as_large_and_rounds_as_short_as_the_paper_says(times):
    times = np.asarray(times, float)
    n = len(times)
    found = clock_of(events.ringleader(), fo.timing.fixed(times), n)
    for _, sent in batches_by_hand(found, n):
        harmonic = 1 / np.mean([1 / len(rows) for rows in sent])
        assert harmonic >= times.max() / (2 * times.mean())
    ends = found.time[found.step != 0][n - 1 :: n]
    assert np.diff(ends, prepend=0).max() <= 2 * times.max() * (1 + 1e-12)


# ------------------------------------------------- the tables


def estimates_of(accumulator, found, grads, n):
    """What an accumulator makes of gradients [rows, d], at every row."""

    @jax.jit
    def scanned(grads):
        def update(state, row):
            grad, worker, stepping = row
            out, state = accumulator.update(grad, worker, 1.0, stepping, state)
            return state, out

        start = accumulator.init(jnp.zeros_like(grads[0]), n)
        return jax.lax.scan(update, start, (grads, found.worker, found.step != 0))[1]

    return np.asarray(scanned(grads))


def test_first_update_of_a_round_is_a_malenia_step():
    """The mean of the workers' means, over what they have sent for this round."""
    found = clock_of(events.ringleader(), num_events=600)
    grads = np.random.default_rng(0).normal(size=(600, 3))
    estimates = estimates_of(estimators.ringleader(), found, grads, N)
    batches = batches_by_hand(found, N)
    assert len(batches) > 3
    assert max(len(rows) for _, sent in batches[1:] for rows in sent) > 3
    for row, sent in batches:
        expected = np.mean([grads[rows].mean(axis=0) for rows in sent], axis=0)
        np.testing.assert_allclose(estimates[row], expected, rtol=1e-11, atol=1e-14)


def test_the_very_first_update_is_that_of_malenia():
    ours, trace = measured(methods.ringleader_asgd(step_size=0.05), KEY, 1)
    theirs, other = measured(methods.malenia_sgd(step_size=0.05, batch_size=N), KEY, 1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-13)
    np.testing.assert_array_equal(trace.time, other.time)
    np.testing.assert_array_equal(trace.gradients_used, other.gradients_used)


@pytest.mark.parametrize(
    ("schedule", "accumulator"),
    [
        (events.ringleader(), estimators.ringleader()),
        (events.ia2sgd(), estimators.latest()),
    ],
    ids=["ringleader", "ia2sgd"],
)
def test_every_worker_has_the_same_part_in_every_update(schedule, accumulator):
    found = clock_of(schedule, num_events=600)
    assert np.bincount(found.worker)[0] > 10 * np.bincount(found.worker)[-1]
    estimates = estimates_of(accumulator, found, np.eye(N)[found.worker], N)
    np.testing.assert_allclose(estimates[found.step != 0], 1 / N, rtol=1e-12)


def test_latest_is_the_mean_of_the_latest():
    found = clock_of(events.ia2sgd(), num_events=200)
    grads = np.random.default_rng(0).normal(size=(200, 3))
    estimates, table = estimates_of(estimators.latest(), found, grads, N), {}
    for row in range(200):
        table[found.worker[row]] = grads[row]
        expected = sum(table.values()) / N
        np.testing.assert_allclose(estimates[row], expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("make", [estimators.latest, estimators.ringleader])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64])
def test_one_table_is_kept_in_the_dtype_of_the_parameters(make, dtype):
    n, params = 100, {"a": jnp.ones((5, 4), dtype), "b": jnp.ones(3, dtype)}
    accumulator, d = make(), 23
    state = accumulator.init(params, n)
    floats = [x for x in jax.tree.leaves(state) if x.dtype == dtype]
    assert sum(x.size for x in floats) <= (n + 2) * d
    assert sum(x.size for x in jax.tree.leaves(state)) <= (n + 2) * d + n + 1
    out, new_state = accumulator.update(params, 3, 1.0, jnp.asarray(True), state)
    for a, b in ((out, params), (new_state, state)):
        assert jax.tree.map(lambda x: (x.shape, x.dtype), a) == jax.tree.map(
            lambda x: (x.shape, x.dtype), b
        )
    assert make() is accumulator


@pytest.mark.parametrize("make", [estimators.latest, estimators.ringleader])
def test_no_event_copies_the_table(make):
    """The loop's compiled body has no copy of an array of the table's shape."""
    accumulator, n, d, rows = make(), 100, 1729, 2000

    def run(state, workers, stepping, grads):
        def body(e, carry):
            x, state = carry
            steps = stepping[e]
            out, state = accumulator.update(grads[e % 8], workers[e], 1.0, steps, state)
            return jax.lax.cond(steps, lambda: x - out, lambda: x), state

        return jax.lax.fori_loop(0, rows, body, (jnp.zeros(d), state))[0]

    grads = jnp.zeros((8, d))
    program = jax.jit(run).lower(
        accumulator.init(grads[0], n),
        jnp.zeros(rows, jnp.int32),
        jnp.zeros(rows, bool),
        grads,
    )
    text = program.compile().as_text()
    bodies = re.findall(r"^%?\S*region\S*.*?^}", text, re.MULTILINE | re.DOTALL)
    assert any(f"f64[{n},{d}]" in body for body in bodies)
    for body in bodies:
        assert not re.search(rf"= f64\[{n},{d}\]\S* copy\(", body)


# ------------------------------------------------- heterogeneous data

CURVATURES, CENTERS = np.array([1.0, 3.0]), np.array([0.0, 1.0])


def _parabola(data, x):
    a, c = data
    return jnp.mean(a * (x - c) ** 2) / 2


def _slope(data, x, worker, sample):
    a, c = data
    return a[worker] * (x - c[worker])


def _point(data, x):
    return x


TWO_PARABOLAS = Problem(
    data=(CURVATURES, CENTERS),
    init=jnp.zeros(()),
    loss=_parabola,
    draw=None,
    grad=_slope,
    num_workers=2,
    metrics={"x": _point},
    constants={},
)


def last_points(method, num_updates):
    trace = fo.run(
        method,
        TWO_PARABOLAS,
        num_workers=2,
        key=KEY,
        compute_time=fo.timing.fixed([1.0, 10.0]),
        num_updates=num_updates,
    )
    return trace.x[-1100:]  # a hundred cycles


def test_tables_find_the_minimiser_where_plain_asgd_does_not():
    """f = ¼ x² + ¾ (x − 1)², but the first worker is ten times as fast: 3/13, not ¾."""
    biased = last_points(methods.asgd(step_size=1e-3), 16_000)
    assert biased.mean() == pytest.approx(3 / 13, abs=2e-3)
    for make in (methods.ringleader_asgd, methods.ia2sgd):
        found = last_points(make(step_size=0.02), 3000)
        np.testing.assert_allclose(found, 0.75, rtol=1e-10)


def test_equal_times_start_with_a_gradient_step():
    for make in (methods.ringleader_asgd, methods.ia2sgd):
        iterates, trace = measured(
            make(step_size=0.05),
            KEY,
            1,
            EXACT,
            compute_time=fo.timing.fixed(np.ones(N)),
        )
        grad = np.mean([full_gradient(i, X0) for i in range(N)], axis=0)
        np.testing.assert_allclose(iterates[1], X0 - 0.05 * grad, rtol=1e-12)
        assert trace.time[1] == (1 if make is methods.ringleader_asgd else 2)


# ------------------------------------------------- one worker alone


def alone(method, problem=PROBLEM):
    return measured(
        method,
        KEY,
        12,
        problem._replace(num_workers=1),
        num_workers=1,
        compute_time=fo.timing.fixed([1.0]),
    )


def test_alone_the_tables_are_sgd():
    sgd, plain = alone(methods.asgd(step_size=0.1))
    ringleader, trace = alone(methods.ringleader_asgd(step_size=0.1))
    np.testing.assert_allclose(ringleader, sgd, rtol=1e-13)
    np.testing.assert_array_equal(trace.time, plain.time)
    exact, _ = alone(methods.asgd(step_size=0.1), EXACT)
    ia2sgd, later = alone(methods.ia2sgd(step_size=0.1), EXACT)
    np.testing.assert_allclose(ia2sgd, exact, rtol=1e-13)
    np.testing.assert_array_equal(later.time[1:], plain.time[1:] + 1)


# ------------------------------------------------- costs, programs, the dead


@pytest.mark.parametrize(
    ("method", "unused"),
    [
        (methods.ringleader_asgd(step_size=0.1), False),
        (methods.ia2sgd(step_size=0.1), False),
        (agnostic(step_size=0.1, geometry=SVD), True),
        (methods.rennala_lmo(step_size=0.1, batch_size=5, geometry=SVD), True),
        (methods.delay_adaptive_lmo(step_size=0.1, geometry=SVD), False),
    ],
    ids=lambda value: getattr(value, "label", ""),
)
def test_gradients_that_are_thrown_away_are_not_computed(method, unused):
    calls = []

    def grad(data, params, worker, sample):
        jax.debug.callback(calls.append, worker)
        return PROBLEM.grad(data, params, worker, sample)

    trace = fo.run(
        method,
        PROBLEM._replace(grad=grad),
        num_workers=N,
        key=KEY,
        compute_time=COMPUTE_TIME,
        num_updates=20,
    )
    jax.effects_barrier()
    assert len(calls) == trace.gradients_used[-1] >= 20
    assert (trace.gradients_computed[-1] > len(calls)) == unused


@pytest.mark.parametrize(
    "make",
    [
        methods.ringleader_asgd,
        functools.partial(agnostic, geometry=SVD),
        functools.partial(methods.delay_adaptive_lmo, geometry=SVD),
    ],
    ids=["ringleader_asgd", "parameter-agnostic", "delay_adaptive_lmo"],
)
def test_a_sweep_is_its_runs_and_one_program(make):
    grid = {"step_size": [0.02, 0.05, 0.03]}
    options = {"num_workers": N, "compute_time": COMPUTE_TIME, "num_updates": 30}
    metric = functools.partial(_last, "loss")
    swept = fo.sweep(make, PROBLEM, grid=grid, seeds=[5], metric=metric, **options)
    runs = [
        fo.run(make(step_size=eta), PROBLEM, key=jax.random.key(5), **options)
        for eta in grid["step_size"]
    ]
    programs = numbers.advance._cache_size()
    fo.run(make(step_size=0.01), PROBLEM, key=jax.random.key(6), **options)
    assert numbers.advance._cache_size() == programs
    for found, trace in zip(swept.columns["loss"], runs, strict=True):
        np.testing.assert_allclose(found[0], trace.loss, rtol=1e-10)


def _last(name, columns):
    """Best in the middle of the grid, so that the sweep has nothing to warn of."""
    return np.array([[1.0], [0.0], [1.0]]) + 0 * columns[name][..., -1]


@pytest.mark.parametrize("make", [methods.ringleader_asgd, methods.ia2sgd])
def test_tables_need_everybody(make):
    with pytest.raises(ValueError, match=r"can never make a step: 1 of 6"):
        fo.run(
            make(step_size=0.1),
            PROBLEM,
            num_workers=N,
            key=KEY,
            compute_time=fo.timing.fixed([1.0] * (N - 1) + [np.inf]),
            num_updates=3,
        )
