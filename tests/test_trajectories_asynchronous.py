"""50 updates of the asynchronous recipes against independent NumPy loops, in float64.

What the clock and the numbers draw is drawn again from the documented keys, and handed
to the references.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import asynchronous, clock
from trajectory import (
    DURATIONS,
    SHAPE,
    UPDATES,
    X0,
    N,
    durations4,
    measured,
    noisy_gradient,
)

from fedjax_opt import keys, methods
from fedjax_opt.simulate.replay import READS, STEPS

STEP_SIZE = 0.05
MEANS = DURATIONS.mean(axis=1)
CLOCK_KEY, NUMBER_KEY = jax.random.split(jax.random.key(11))
HORIZON = 500  # more events than 50 updates take


def expected(loop, **parameters):
    """The reference's run of 50 updates."""
    gradient = noisy_gradient(NUMBER_KEY)
    return loop(
        gradient,
        durations4,
        N,
        X0,
        STEP_SIZE,
        num_events=HORIZON,
        num_updates=UPDATES,
        **parameters,
    )


def found(recipe, **parameters):
    """The iterates and the trace of the recipe's run, on the same key."""
    return measured(recipe(step_size=STEP_SIZE, **parameters), jax.random.key(11))


def assert_equal(iterates, trace, result):
    """The iterates, and when and of what they were made."""
    np.testing.assert_allclose(iterates, result.iterates, rtol=1e-10, atol=1e-13)
    steps = [k for k, row in enumerate(result.rows) if row.step]
    times = [result.rows[k].time for k in steps]
    np.testing.assert_allclose(trace.time, [0, *times], rtol=1e-12)
    used = np.cumsum([row.accepted for row in result.rows])[steps]
    np.testing.assert_array_equal(trace.gradients_used, [0, *used])
    np.testing.assert_array_equal(trace.gradients_computed, [0, *(1 + np.array(steps))])


# ------------------------------------------------- what is drawn


def hogwild_ages(max_delay, read):
    """ages(worker, job, k), by the keys of the clock or of the numbers."""

    @jax.jit
    def one_age(worker, job, oldest):
        key = jax.random.fold_in(keys.of_job(CLOCK_KEY, worker, job), 2**31 - 1)
        return jnp.floor(jax.random.uniform(key) * (oldest + 1)).astype(int)

    @jax.jit
    def age_of_each(worker, job, oldest):
        key = jax.random.fold_in(keys.of_job(NUMBER_KEY, worker, job), READS)
        of_leaf = jax.random.fold_in(key, 0)
        return jax.random.randint(of_leaf, SHAPE, 0, oldest + 1, jnp.int32)

    age = {"consistent": one_age, "inconsistent": age_of_each}[read]
    return lambda worker, job, k: np.asarray(age(worker, job, min(max_delay, k)))


def hogwild_overwrites(probability):
    """overwrites(worker, job)."""

    @jax.jit
    def mask(worker, job):
        key = jax.random.fold_in(keys.of_job(NUMBER_KEY, worker, job), STEPS)
        return jax.random.bernoulli(jax.random.fold_in(key, 0), probability, SHAPE)

    return mask


@jax.jit
def random_workers():
    def worker(t):
        uniform = jax.random.uniform(keys.of_job(CLOCK_KEY, keys.SERVER_DRAWS, t))
        return jnp.floor(uniform * N).astype(int)

    return jax.vmap(worker)(jnp.arange(HORIZON))


@jax.jit
def permutations():
    def permutation(block):
        return jax.random.permutation(
            keys.of_job(CLOCK_KEY, keys.SERVER_DRAWS, block), N
        )

    return jax.vmap(permutation)(jnp.arange(HORIZON))


# ------------------------------------------------- trajectories


PLAIN = {
    "koloskova, dropping": (
        functools.partial(methods.delay_adaptive_asgd, rule="koloskova"),
        asynchronous.koloskova_asgd,
        {},
        {"late_step": 0.0},
    ),
    "koloskova, shortening": (
        functools.partial(methods.delay_adaptive_asgd, rule="koloskova"),
        asynchronous.koloskova_asgd,
        {"smoothness": 0.7},
        {"late_step": 1 / (4 * 0.7 * STEP_SIZE)},
    ),
    "naive optimal": (
        methods.naive_optimal_asgd,
        asynchronous.naive_optimal_asgd,
        {"noise_ratio": 4.0},
        {"noise_ratio": 4.0, "means": MEANS},
    ),
    "rescaled": (
        methods.rescaled_asgd,
        asynchronous.rescaled_asgd,
        {},
        {"means": MEANS},
    ),
    "rescaled, observed": (
        functools.partial(methods.rescaled_asgd, observed=True),
        asynchronous.rescaled_asgd_observed,
        {},
        {},
    ),
    "delayed": (
        methods.delayed_sgd,
        asynchronous.delayed_sgd,
        {"delay": 4},
        {"delay": 4},
    ),
    "picky": (
        methods.picky_sgd,
        asynchronous.picky_sgd,
        {"radius": 0.15},
        {"radius": 0.15},
    ),
}


@pytest.mark.parametrize("name", PLAIN)
def test_trajectory(name):
    recipe, loop, ours, theirs = PLAIN[name]
    assert_equal(*found(recipe, **ours), expected(loop, **theirs))


@pytest.mark.parametrize("batch_size", [1, 4, N])
@pytest.mark.parametrize("assignment", ["pure", "random", "shuffled"])
def test_asgrad(assignment, batch_size):
    result = expected(
        asynchronous.asgrad,
        assignment=assignment,
        batch=batch_size,
        choose=random_workers().tolist().__getitem__,
        permutation=permutations().tolist().__getitem__,
    )
    run = found(methods.asgrad, assignment=assignment, batch_size=batch_size)
    assert_equal(*run, result)


@pytest.mark.parametrize("probability", [0.0, 0.3])
@pytest.mark.parametrize("read", ["consistent", "inconsistent"])
def test_hogwild(read, probability):
    result = expected(
        asynchronous.hogwild,
        max_delay=5,
        read=read,
        ages=hogwild_ages(5, read),
        overwrites=hogwild_overwrites(probability),
    )
    iterates, trace = found(
        methods.hogwild, max_delay=5, read=read, overwrite_probability=probability
    )
    assert_equal(iterates, trace, result)


# ------------------------------------------------- what the cases show


def test_the_cases_have_late_dropped_shortened_and_waiting_gradients():
    def rows(name):
        _, loop, _, parameters = PLAIN[name]
        return expected(loop, **parameters).rows

    def delays(rows):
        return [row.delay for row in rows if row.accepted]

    for name in PLAIN:
        assert max(delays(rows(name))) >= 3, name
    for name in ("koloskova, dropping", "picky"):
        accepted = [row.accepted for row in rows(name)]
        assert 5 <= len(accepted) - sum(accepted) <= 0.8 * len(accepted), name
    shortened = [row.step for row in rows("koloskova, shortening")]
    assert sum(0.3 < step < 0.999 for step in shortened) >= 3
    assert len({row.worker for row in rows("naive optimal")}) == 3
    waits = clock.asgd(lambda *job: DURATIONS[job[0], job[1]], N, 60)
    random = expected(
        asynchronous.asgrad,
        assignment="random",
        batch=1,
        choose=random_workers().tolist().__getitem__,
    ).rows
    assert max(row.delay for row in random) >= 3
    assert [row.time for row in random[:50]] != [row.time for row in waits[:50]]
