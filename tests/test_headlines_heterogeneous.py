"""Headlines at a reduced size: functions that differ, by worker or in a finite sum.

Tuned and compared as in test_headlines.py.
"""

import functools
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from headlines import best, final, late, seconds_to, square_roots, steps, tuned

import fedjax_opt as fo
from fedjax_opt.problems.quadratic import second_difference, spectrum

m, timing = fo.methods, fo.timing
DATA = os.environ.get("FEDJAX_OPT_DATA")


def malenia(**options):
    return functools.partial(m.malenia_sgd, **options)


def rennala(**options):
    return functools.partial(m.rennala_sgd, **options)


# ------------------------------------------------- one worker of twenty is fast

N = 20
ONE_FAST = np.array([0.05] + [1.0] * (N - 1))
METHODS = {
    "malenia": (malenia(batch_size=N), steps(1, -3)),
    "ringleader": (m.ringleader_asgd, steps(-2, -6)),
    "rescaled": (m.rescaled_asgd, steps(-3, -7)),
    "rennala": (rennala(batch_size=5), steps(1, -5)),
    "asgd": (m.asgd, steps(0, -8)),
}
UNBIASED = ("malenia", "ringleader", "rescaled")


@functools.cache
def quadratics(interpolated):
    return fo.problems.heterogeneous_quadratics(
        N,
        20,
        noise_scale=1.0,
        strong_convexity=0.05,
        seed=1,
        interpolated=interpolated,
        noise_level=0.02,
    )


@functools.cache
def sweep_of(name, interpolated):
    """Tuned for |x − x*|² after 150 s."""
    make, grid = METHODS[name]
    return tuned(
        make,
        quadratics(interpolated),
        timing.fixed(ONE_FAST),
        grid={"step_size": grid},
        metric="distance_sq",
        until=150.0,
        keep_params=True,
    )


def test_only_methods_for_heterogeneous_data_find_the_minimiser():
    """|x − x*|², 25 at the start, becomes 1e-3 or less, with the others 0.06 or more.

    Measured: Malenia 0.0011, Ringleader 0.0010, Rescaled 0.0006; Rennala 0.25, ASGD
    0.06, although tuned.
    """
    error = {name: best(sweep_of(name, False)) for name in METHODS}
    for biased in ("rennala", "asgd"):
        for name in UNBIASED:
            assert error[name] < 0.1 * error[biased]


def test_asynchronous_sgd_stalls_where_fast_workers_want_it():
    """At the minimiser of Σᵢ fᵢ/τᵢ, 0.5 from x* (squared); measured: within 0.01."""
    problem = quadratics(False)
    weights = fo.theory.asgd_objective_weights(ONE_FAST)
    identity, zero = jnp.eye(20), jnp.zeros(20)
    slope = [problem.grad(problem.data, zero, i, None) for i in range(N)]
    matrix = [
        jnp.stack([problem.grad(problem.data, e, i, None) - slope[i] for e in identity])
        for i in range(N)
    ]
    biased = np.linalg.solve(
        np.tensordot(weights, np.array(matrix), 1), -weights @ np.array(slope)
    )
    sweep = sweep_of("asgd", False)
    small = list(sweep.grid["step_size"]).index(2.0**-6)
    params = np.array(sweep.params)[small].mean(axis=0)
    from_biased = np.sum((params - biased) ** 2)
    from_true = np.sum((params - np.array(problem.constants["x_star"])) ** 2)
    assert from_biased < 0.1 * from_true


def test_rennala_wins_where_one_point_minimises_all():
    """Interpolation. Measured: 0.0002 against 0.0011 of Malenia, who waits for all."""
    rennala, malenia = (best(sweep_of(name, True)) for name in ("rennala", "malenia"))
    assert rennala < 0.5 * malenia


def test_ringleader_is_faster_than_malenia():
    """Seconds to |∇f|² = 0.001: 770, against 1020 of Malenia (measured).

    Malenia ignores late gradients here, as in the paper; if it interrupts them it needs
    630 s. IA²SGD, in the paper's networks the slowest of the three, is the fastest on
    these quadratics, 550 s: of that nothing is asserted.
    """
    n = 30
    times = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    problem = fo.problems.heterogeneous_quadratics(
        n, 30, noise_scale=1.0, strong_convexity=0.01, seed=1, noise_level=0.01
    )
    ringleader, malenia_ = (
        best(
            tuned(
                make,
                problem,
                timing.half_normal(times, scale=np.sqrt(times)),
                grid={"step_size": grid},
                metric=seconds_to(1e-3),
                until=2000.0,
                num_rows=401,
            )
        )
        for make, grid in (
            (m.ringleader_asgd, 2.0 ** np.arange(-6.5, -3, 0.5)),
            (malenia(batch_size=n), 2.0 ** np.arange(-2, 1.5, 0.5)),
        )
    )
    assert ringleader < 0.9 * malenia_


# ------------------------------------------------- who computes next


@functools.cache
def by_label():
    """Logistic regression with a nonconvex penalty, x⁰ = 1, rows sorted by label."""
    rng = np.random.default_rng(0)
    features, direction = rng.normal(size=(600, 20)), rng.normal(size=20)
    labels = np.sign(features @ direction + 0.3 * rng.normal(size=600))
    features = features + 0.8 * labels[:, None] * rng.normal(size=20)
    return assignment_problem(features, labels)


def assignment_problem(features, labels):
    problem = fo.problems.logistic_regression(
        features,
        labels,
        split=fo.problems.split.by_label(labels, 10),
        nonconvex=0.1,
    )
    return problem._replace(init=jnp.ones_like(problem.init))


def assigned(problem, grid):
    """|∇f|² on average over updates 251 to 500, for each way to assign jobs."""
    return {
        assignment: best(
            tuned(
                functools.partial(m.asgrad, assignment=assignment),
                problem,
                timing.fixed(np.arange(1.0, 11.0)),
                grid={"step_size": grid},
                metric=late("grad_norm_sq"),
                num_updates=500,
            )
        )
        for assignment in ("pure", "random", "shuffled")
    }


def test_shuffled_assignments_beat_random_ones_and_those_pure_ones():
    """Measured: 1.7e-5, 7e-5 and 3.2e-4."""
    found = assigned(by_label(), steps(-1, -6))
    assert found["shuffled"] < 0.5 * found["random"]
    assert found["random"] < 0.5 * found["pure"]


# ------------------------------------------------- finite sums

COMPONENTS, DIM, CONVEXITY = 100, 30, 0.01


@functools.cache
def tridiagonal_sum():
    """f = (1/m) Σⱼ fⱼ,  fⱼ(x) = sⱼ (½xᵀTx − ¼(1 − zⱼ) x₁) + ½c|x|².

    T = ¼ tridiag(−1, 2, −1), sⱼ = 1 + N(0, 1), zⱼ ~ N(0, 1), and c such that f is
    strongly convex, while single fⱼ are not: heterogeneous quadratics as a finite sum.
    """
    scale, slope = np.random.default_rng(0).normal(size=(2, COMPONENTS))
    scale = scale + 1
    slope = -scale * (1 - slope) / 4
    shift = CONVEXITY - scale.mean() * spectrum(DIM)[0]
    ones = np.ones(DIM - 1)
    matrix = 0.25 * (2 * np.eye(DIM) - np.diag(ones, 1) - np.diag(ones, -1))
    matrix = scale.mean() * matrix + shift * np.eye(DIM)
    right = np.eye(DIM)[0] * slope.mean()
    return fo.problems.from_loss(
        _quadratic,
        (scale, slope),
        init=np.eye(DIM)[0] * np.sqrt(DIM),
        samples_per_gradient=1,
        numbers=shift,
        constants={"f_star": -0.5 * right @ np.linalg.solve(matrix, right)},
    )


def _quadratic(x, batch, shift):
    scale, slope = batch
    curvature = 0.5 * jnp.mean(scale) * (x @ second_difference(x))
    return curvature - jnp.mean(slope) * x[0] + 0.5 * shift * x @ x


@functools.cache
def finite(name, n):
    """The tuned sweep on n workers that need √i seconds, in a random order."""
    make, grid = {
        "freya": (m.freya_page, steps(2, -2)),
        "soviet": (m.soviet_page, steps(2, -2)),
        "hero": (m.hero_gd, steps(2, -2)),
        "rennala": (functools.partial(m.freya_sgd, batch_size=10), steps(1, -4)),
        "asgd": (m.asgd, steps(-5, -9)),
    }[name]
    return tuned(
        make,
        tridiagonal_sum(),
        timing.fixed(np.random.default_rng(3).permutation(square_roots(n))),
        grid={"step_size": grid},
        until=2000.0,
    )


def test_freya_page_is_more_accurate_and_less_noisy():
    """f − f* over the last fifth, and its deviation there, at n = 100.

    Measured: 5e-5 ± 1.5e-5; Rennala 9e-4 ± 6e-4, ASGD 5e-4 ± 1.7e-4.
    """
    f_star = tridiagonal_sum().constants["f_star"]
    error, noise = {}, {}
    for name in ("freya", "rennala", "asgd"):
        tail = finite(name, 100).best_columns["loss"][:, -40:] - f_star
        error[name], noise[name] = tail.mean(), tail.std(axis=1).mean()
    for name in ("rennala", "asgd"):
        assert error["freya"] < 0.3 * error[name]
        assert noise["freya"] < 0.3 * noise[name]


def test_equal_shares_suffer_from_stragglers_as_workers_are_added():
    """Soviet over Freya in seconds to f − f* = 0.003: 0.9 at n = 10, 2.3 at n = 100."""
    f_star = tridiagonal_sum().constants["f_star"]
    seconds = seconds_to(3e-3, "loss", f_star)
    lead = {}
    for n in (10, 100):
        soviet, freya = (
            seconds(finite(name, n).columns).mean(-1).min()
            for name in ("soviet", "freya")
        )
        lead[n] = soviet / freya
    assert 0.7 < lead[10] < 1.4 and lead[100] > 1.5 * lead[10]


def test_the_hero_alone_is_the_slowest():
    """f − f* = 0.019 in the end, 0.0013 of the next slowest, Rennala (measured)."""
    f_star = tridiagonal_sum().constants["f_star"]
    names = ("freya", "soviet", "rennala", "asgd")
    hero, *others = (final(finite(n, 100), "loss", f_star) for n in ("hero", *names))
    assert hero > 2 * max(others)


# ------------------------------------------------- real data


@functools.cache
def a9a():
    return fo.problems.datasets.load(Path(str(DATA)) / "a9a.svm.gz")


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="FEDJAX_OPT_DATA names no folder")
def test_assignments_on_a9a():
    """Measured: |∇f|² = 0.016 shuffled, 0.042 random, 0.15 pure."""
    found = assigned(assignment_problem(a9a().features, a9a().labels), steps(0, -6))
    assert found["shuffled"] < 0.6 * found["random"]
    assert found["random"] < 0.5 * found["pure"]


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="FEDJAX_OPT_DATA names no folder")
def test_only_methods_for_heterogeneous_data_find_the_minimiser_on_a9a():
    """Rows sorted by label, worker i needs i seconds: f − f* over the last 750 s.

    Measured: Malenia 0.0017, Ringleader 0.0014, Rescaled 0.0025; Rennala 0.12, ASGD
    0.034.
    """
    n = 10
    problem = fo.problems.logistic_regression(
        a9a().features,
        a9a().labels,
        split=fo.problems.split.by_label(a9a().labels, n, remainder="drop"),
        l2=0.01,
        samples_per_gradient=32,
    )
    loss = jax.jit(jax.value_and_grad(lambda x: problem.loss(problem.data, x)))
    f_star = scipy.optimize.minimize(loss, problem.init, jac=True).fun
    error = {
        name: best(
            tuned(
                make,
                problem,
                timing.fixed(np.arange(1.0, n + 1)),
                grid={"step_size": grid},
                metric=late("loss", f_star),
                num_rows=16,
                until=1500.0,
            )
        )
        for name, make, grid in (
            ("malenia", malenia(batch_size=n), steps(2, -3)),
            ("ringleader", m.ringleader_asgd, steps(-1, -5)),
            ("rescaled", m.rescaled_asgd, steps(-3, -7)),
            ("rennala", rennala(batch_size=50), steps(3, -3)),
            ("asgd", m.asgd, steps(-1, -5)),
        )
    }
    for biased in ("rennala", "asgd"):
        for name in UNBIASED:
            assert error[name] < 0.2 * error[biased]
