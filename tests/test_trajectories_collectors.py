"""50 updates of the methods that collect batches against independent NumPy loops."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from reference import collectors, trajectories
from trajectory import (
    COMPUTE_TIME,
    DURATIONS,
    JOBS,
    PROBLEM,
    UPDATES,
    X0,
    N,
    durations,
    durations4,
    full_gradient,
    measured,
    noisy_gradient,
)

from fedjax_opt import keys, methods

KEY = jax.random.key(11)
CLOCK_KEY, NUMBER_KEY = jax.random.split(KEY)
STEP = 0.05
LEAST = DURATIONS.min(axis=1)
EXTRA = 0.25 * LEAST  # about three trials in ten succeed
TRIALS = np.array([9, 7, 5, 3, 2, 1])


def _share(table, seconds):
    return jnp.mean(table <= seconds[:, None], axis=1, dtype=float)


# The same cluster, which tells its distribution.
TOLD = dataclasses.replace(
    COMPUTE_TIME, lower_bound=LEAST, cdf=Partial(_share, jnp.asarray(DURATIONS))
)


def assert_follows(method, reference, compute_time=COMPUTE_TIME):
    """The 50 updates of a reference, whose options are bound."""
    iterates, trace = measured(method, KEY, compute_time=compute_time)
    expected = reference(
        noisy_gradient(NUMBER_KEY),
        durations4,
        N,
        X0,
        STEP,
        num_events=10**6,
        num_updates=UPDATES,
    )
    np.testing.assert_allclose(iterates, expected.iterates, rtol=1e-10, atol=1e-13)
    ends = [row.time for row in expected.rows if row.step]
    np.testing.assert_allclose(trace.time[1:], ends, rtol=1e-12)
    assert max(row.job for row in expected.rows) < JOBS
    return expected.rows


@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize("batch_size", [1, N, 20])
def test_malenia(batch_size, stop):
    options = {"batch_size": batch_size, "stop": stop}
    rows = assert_follows(
        methods.malenia_sgd(step_size=STEP, **options),
        functools.partial(collectors.malenia_sgd, **options),
    )
    rejected = [row.delay for row in rows if not row.accepted]
    assert max(rejected, default=0) == 0 if stop else max(rejected) >= 1


@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize("batch_size", [1, 7, 37])
def test_accelerated_rennala(batch_size, stop):
    options = {"batch_size": batch_size, "stop": stop}
    assert_follows(
        methods.accelerated_rennala_sgd(step_size=STEP, **options),
        functools.partial(collectors.accelerated_rennala_sgd, **options),
    )


@pytest.mark.parametrize("correction", [0.025, 0.6])
@pytest.mark.parametrize(
    ("batch_size", "first", "stop"), [(5, 20, False), (18, 4, True), (1, 1, False)]
)
def test_inexact_rennala_mvr(batch_size, first, stop, correction):
    options = {
        "correction": correction,
        "batch_size": batch_size,
        "first_batch_size": first,
        "momentum": 0.7,
        "stop": stop,
    }
    assert_follows(
        methods.rennala_mvr(step_size=STEP, inexact=True, **options),
        functools.partial(collectors.rennala_mvr_inexact, **options),
    )


@pytest.mark.parametrize("batch_size", [1, 8.5, 20])
@pytest.mark.parametrize("extra_time", [None, 1.0, EXTRA])
def test_mindflayer(batch_size, extra_time):
    if extra_time is None:  # half of the jobs are not longer
        limits = np.sort(DURATIONS, axis=1)[:, JOBS // 2 - 1]
    else:
        limits = LEAST + extra_time
    p = np.mean(DURATIONS <= limits[:, None], axis=1)
    trials, _ = collectors.mindflayer_trials(limits, p, batch_size)
    assert sum(trials) > batch_size
    rows = assert_follows(
        methods.mindflayer_sgd(
            step_size=STEP, batch_size=batch_size, extra_time=extra_time
        ),
        functools.partial(
            collectors.mindflayer_sgd,
            trials=trials,
            limits=limits,
            expected=float(p @ trials),
        ),
        TOLD,
    )
    certain = p[np.array(trials) > 0] == 1
    assert all(row.accepted for row in rows) == certain.all()


@pytest.mark.parametrize(
    ("trials", "extra_time"), [(TRIALS, EXTRA), (4, 2.0), (TRIALS, np.inf)]
)
def test_vecna(trials, extra_time):
    limits = LEAST + extra_time
    p = np.mean(DURATIONS <= limits[:, None], axis=1)
    assert_follows(
        methods.vecna_sgd(step_size=STEP, trials=trials, extra_time=extra_time),
        functools.partial(
            collectors.vecna_sgd,
            trials=np.broadcast_to(trials, N).tolist(),
            limits=limits,
            probabilities=p,
        ),
        TOLD,
    )


def permutation(round_):
    """The server's draw of a round, by its documented key."""
    drawn = jax.random.permutation(keys.of_job(CLOCK_KEY, keys.SERVER_DRAWS, round_), N)
    return drawn.tolist()


@pytest.mark.parametrize(
    ("batch_size", "alpha", "bound", "of_slowest"),
    [
        (4, 2.0, "empirical", 1),  # some workers are new for a while
        (13, 2.0, "empirical", 3),  # explores all the time
        (13, 0.02, "empirical", 1),
        (13, 0.02, "theory", 0),
    ],
)
def test_ata(batch_size, alpha, bound, of_slowest):
    allocations = []

    def allocate(round_, counts, sums):
        tasks = collectors.ata_allocation(
            round_,
            counts,
            sums,
            batch_size=batch_size,
            alpha=alpha,
            empirical=bound == "empirical",
            permutation=permutation,
        )
        allocations.append(tasks)
        return tasks

    assert_follows(
        methods.ata(step_size=STEP, batch_size=batch_size, alpha=alpha, bound=bound),
        functools.partial(collectors.allocated_sgd, allocate=allocate),
    )
    assert max(tasks[-1] for tasks in allocations[-20:]) == of_slowest


def test_ofta():
    tasks = collectors.optimal_allocation(DURATIONS.mean(axis=1), 13)
    assert tasks[0] > tasks[1] > tasks[2] > tasks[-1] == 0
    assert_follows(
        methods.ofta(step_size=STEP, batch_size=13),
        functools.partial(collectors.allocated_sgd, allocate=lambda *known: tasks),
    )


@pytest.mark.parametrize("batch_size", [4, 13])
def test_uta(batch_size):
    def allocate(round_, counts, sums):
        return collectors.uniform_allocation(round_, N, batch_size, permutation)

    assert_follows(
        methods.uta(step_size=STEP, batch_size=batch_size),
        functools.partial(collectors.allocated_sgd, allocate=allocate),
    )


def test_gta():
    iterates, _ = measured(methods.gta(step_size=STEP, batch_size=13), KEY)
    expected = trajectories.rennala_sgd(
        noisy_gradient(NUMBER_KEY),
        durations,
        N,
        X0,
        UPDATES,
        STEP,
        batch_size=13,
        stop=True,
    )
    np.testing.assert_allclose(iterates, expected, rtol=1e-10, atol=1e-13)


def test_malenia_without_noise_is_gradient_descent_on_the_mean():
    x, expected = X0, [X0]
    for _ in range(20):
        x = x - STEP * sum(full_gradient(i, x) for i in range(N)) / N
        expected.append(x)
    method = methods.malenia_sgd(step_size=STEP, batch_size=20)
    iterates, _ = measured(method, KEY, 20, problem=PROBLEM._replace(draw=None))
    np.testing.assert_allclose(iterates, expected, rtol=1e-10, atol=1e-13)
