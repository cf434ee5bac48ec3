"""50 updates of the methods for finite sums against independent loops, in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts.cases_finite_sum import Draws
from reference import finite_sum
from trajectory import (
    COMPUTE_TIME,
    COORDINATES,
    DURATIONS,
    SHAPE,
    UPDATES,
    X0,
    D,
    N,
    durations4,
    measured,
)

from fedjax_opt import events, methods, simulate
from fedjax_opt.types import Problem

M = 14  # no multiple of the number of workers


def _make_data():
    rng = np.random.default_rng(17)
    factors = rng.normal(size=(M, D, D))
    matrices = factors @ factors.transpose(0, 2, 1) / D + 0.3 * np.eye(D)
    return matrices, rng.normal(size=(M, D))


MATRICES, VECTORS = _make_data()


def _loss(data, x):
    x = x.ravel()
    return jnp.mean(jax.vmap(lambda a, b: x @ a @ x / 2 - b @ x)(*data))


def _grad(data, x, worker, sample):
    if sample is None:
        return jax.grad(_loss, argnums=1)(data, x)
    matrices, vectors = data
    return (matrices[sample] @ x.ravel() - vectors[sample]).reshape(SHAPE)


PROBLEM = Problem(
    data=(jnp.asarray(MATRICES), jnp.asarray(VECTORS)),
    init=jnp.asarray(X0),
    loss=_loss,
    draw=None,
    grad=_grad,
    num_workers=None,
    metrics=COORDINATES,
    constants={},
    num_components=M,
    component=lambda data, j: j,
)


def gradient(worker, x, job, sample):
    return (MATRICES[sample] @ x.ravel() - VECTORS[sample]).reshape(SHAPE)


def both(make, reference, **options):
    """A recipe and its reference with the same options."""
    return functools.partial(make, **options), functools.partial(reference, **options)


def page(make, reference, sizes, **options):
    """The same for PAGE, whose reference is handed a coin instead of a probability."""
    sizes = {"cost_difference": 2} | sizes
    ours = functools.partial(make, **sizes, **options)
    coin = sizes["probability"]
    theirs = {name: value for name, value in sizes.items() if name != "probability"}
    return ours, functools.partial(reference, coin=coin, **theirs, **options)


FREYA = functools.partial(page, methods.freya_page, finite_sum.freya_page)
SOVIET = functools.partial(page, methods.soviet_page, finite_sum.soviet_page)
FEW = {"batch_size": 3, "probability": 0.3, "cost_difference": 1}
MANY = {"batch_size": 21, "probability": 0.15}  # in batched calls with a remainder

CASES = {
    **{
        f"freya_page, S={sizes['batch_size']}, {mode}": FREYA(
            sizes, stop=mode == "stop"
        )
        for sizes in (FEW, MANY)
        for mode in ("ignore", "stop")
    },
    "freya_page, default sizes": (
        methods.freya_page,
        functools.partial(
            finite_sum.freya_page,
            batch_size=4,
            coin=1 / np.sqrt(M),
            cost_difference=2,
            stop=False,
        ),
    ),
    **{
        f"freya_sgd, S={size}, {mode}": both(
            methods.freya_sgd,
            finite_sum.freya_sgd,
            batch_size=size,
            stop=mode == "stop",
        )
        for size, mode in ((5, "ignore"), (21, "stop"))
    },
    "hero_gd": (
        methods.hero_gd,
        functools.partial(finite_sum.hero_gd, means=DURATIONS.mean(axis=1)),
    ),
    "soviet_gd": both(methods.soviet_gd, finite_sum.soviet_gd),
    "soviet_page, S=3": SOVIET(FEW),
    "soviet_page, S=21": SOVIET(MANY),
    "soviet_page, default sizes": (
        methods.soviet_page,
        functools.partial(
            finite_sum.soviet_page, batch_size=4, coin=4 / 18, cost_difference=2
        ),
    ),
}
NO_DRAWS = (finite_sum.hero_gd, finite_sum.soviet_gd)


@pytest.mark.parametrize("name", CASES)
def test_trajectory(name):
    make, reference = CASES[name]
    key = jax.random.key(11)
    draws = Draws(jax.random.split(key)[0], N)
    options = dict(reference.keywords)
    if reference.func not in NO_DRAWS:
        options["uniform"] = draws.uniform
    if "coin" in options:
        options["coin"] = draws.coin(options["coin"])
    step_size = 0.1
    iterates, trace = measured(make(step_size=step_size), key, problem=PROBLEM)
    expected = reference.func(
        gradient,
        durations4,
        N,
        X0,
        step_size,
        num_events=10**6,
        num_updates=UPDATES,
        num_components=M,
        **options,
    )
    assert len(expected.iterates) == UPDATES + 1
    np.testing.assert_allclose(iterates, expected.iterates, rtol=1e-10, atol=1e-13)
    steps = [row for row in expected.rows if row.step]
    np.testing.assert_allclose(trace.time[1:], [row.time for row in steps], rtol=1e-12)
    computed = sum(row.work for row in expected.rows)
    assert trace.gradients_computed[-1] == computed
    used = sum(row.work for row in expected.rows if row.accepted)
    assert trace.gradients_used[-1] == used


def test_the_cases_have_late_repeated_and_restarted_jobs():
    def trace(schedule):
        found = simulate.trace(
            schedule,
            COMPUTE_TIME,
            num_workers=N,
            key=jax.random.split(jax.random.key(11))[0],
            num_events=500,
            num_components=M,
        )
        return found, (found.delay == 0) & ~found.accepted

    ignore, repeated = trace(events.freya(**FEW))
    assert ((ignore.delay >= 3) & ~ignore.accepted).any()
    assert repeated.any() and (ignore.kind[repeated] == 0).all()
    stop, repeated = trace(events.freya(**FEW, stop=True))
    assert not stop.delay.any() and repeated.any()
    assert any((np.diff(stop.job[stop.worker == i]) > 1).any() for i in range(N))
    for found in (ignore, stop):
        kinds = found.kind[found.step != 0]
        assert (kinds[1:] == 0).sum() >= 3 and (kinds == 1).sum() >= 3
