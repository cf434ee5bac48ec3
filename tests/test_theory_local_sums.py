"""SAGA, SARAH, L-SVRG on n workers: Lyapunov functions in exact expectation."""

import jax
import numpy as np
import pytest
from exact_quadratics import (
    KINDS,
    FiniteSums,
    sample_outcomes,
    scales,
    spread_square,
    square,
)

import fedjax_opt as fo
from fedjax_opt import theory

D = 2


def cases(kind, n, m, count=5):
    return [FiniteSums(seed, n, m, D, kind) for seed in range(count)]


def states(problem, count):
    """Points and tables of component gradients, `count` tables each, near and far."""
    random = np.random.default_rng(4)
    optimal = problem.part_grads(problem.minimum)
    for of_x, *of_tables in scales(1 + count):
        x = problem.minimum + of_x * random.normal(size=D)
        yield (
            x,
            *(optimal + s * random.normal(size=optimal.shape) for s in of_tables),
        )


# ---------------------------------------------------------------- SAGA, L-SVRG


def saga_parameters(problem, factor=1.0):
    """γ times a factor, w and the contraction, 1 if the factor is not."""
    n, m = problem.parts.shape[:2]
    gamma = factor * theory.saga_step_size(
        problem.smoothness, problem.part_smoothness_max, num_workers=n
    )
    weight, contraction = theory.saga_lyapunov(
        gamma,
        num_workers=n,
        num_components=m,
        strong_convexity=problem.strong_convexity,
    )
    return gamma, weight, contraction if factor == 1 else 1.0


def saga_growth(problem, factor=1.0):
    """The largest E Ψ⁺/Ψ, relative to the contraction."""
    gamma, weight, contraction = saga_parameters(problem, factor)
    m = problem.parts.shape[1]
    optimal = problem.part_grads(problem.minimum)
    worst = 0.0
    for x, table in states(problem, 1):
        grads = problem.part_grads(x)
        changes = sample_outcomes(grads) - sample_outcomes(table)
        g = (changes + table.mean(axis=1)).mean(axis=1)
        replaced = spread_square(grads - optimal) / m
        kept = (1 - 1 / m) * spread_square(table - optimal)
        after = square(x - gamma * g - problem.minimum).mean()
        before = square(x - problem.minimum) + weight * spread_square(table - optimal)
        worst = max(worst, (after + weight * (kept + replaced)) / before)
    return worst / contraction


def l_svrg_growth(problem, factor=1.0):
    """The same with ∇fᵢⱼ(w) for Tᵢⱼ, and a common coin of probability 1/m."""
    gamma, weight, contraction = saga_parameters(problem, factor)
    p = 1 / problem.parts.shape[1]
    optimal = problem.part_grads(problem.minimum)
    random = np.random.default_rng(5)
    worst = 0.0
    for of_x, of_w in scales(2):
        x = problem.minimum + of_x * random.normal(size=D)
        grads = problem.part_grads(x)
        table = problem.part_grads(problem.minimum + of_w * random.normal(size=D))
        changes = sample_outcomes(grads) - sample_outcomes(table)
        g = (changes + table.mean(axis=1)).mean(axis=1)
        spread = p * spread_square(grads - optimal)
        spread += (1 - p) * spread_square(table - optimal)
        after = square(x - gamma * g - problem.minimum).mean() + weight * spread
        before = square(x - problem.minimum) + weight * spread_square(table - optimal)
        worst = max(worst, after / before)
    return worst / contraction


@pytest.mark.parametrize("growth", [saga_growth, l_svrg_growth])
@pytest.mark.parametrize(("n", "m"), [(1, 4), (2, 3), (3, 3), (4, 2)])
@pytest.mark.parametrize("kind", KINDS)
def test_saga_contracts_in_exact_expectation(growth, n, m, kind):
    assert max(growth(problem) for problem in cases(kind, n, m)) <= 1 + 1e-12


@pytest.mark.parametrize("growth", [saga_growth, l_svrg_growth])
@pytest.mark.parametrize("n", [1, 3])
def test_with_four_times_the_step_saga_grows(growth, n):
    assert max(growth(problem, 4.0) for problem in cases("rank_one", n, 3)) > 1.2


def test_saga_by_hand():
    assert theory.saga_step_size(1.0, 3.0, num_workers=1) == pytest.approx(1 / 18)
    assert theory.saga_step_size(1.0, 3.0, num_workers=2) == pytest.approx(1 / 9)
    assert theory.saga_step_size(1.0, 3.0, num_workers=4) == pytest.approx(1 / 5)
    for mu, contraction in ((1.0, 7 / 8), (0.1, 0.95)):
        found = theory.saga_lyapunov(
            0.5, num_workers=2, num_components=4, strong_convexity=mu
        )
        assert found == pytest.approx((2.0, contraction))


# ---------------------------------------------------------------- SARAH


def sarah_growth(problem, period, convex, factor=1.0):
    """The largest E Ψ⁺ relative to what it may be, over all rounds of a period."""
    n = len(problem.parts)
    known = {"strong_convexity": problem.strong_convexity} if convex else {}
    gamma = factor * theory.sarah_step_size(
        problem.smoothness,
        problem.sample_smoothness,
        period=period,
        num_workers=n,
        **known,
    )
    random = np.random.default_rng(6)
    worst = 0.0
    for left in range(1, period + 1):
        weight, contraction = theory.sarah_lyapunov(gamma, rounds_left=left, **known)
        next_weight, _ = theory.sarah_lyapunov(gamma, rounds_left=left - 1, **known)
        for of_x, of_v in scales(2):
            if left == period:
                of_x, of_v = of_x or 1.0, 0.0
            x = problem.minimum + of_x * random.normal(size=D)
            grads = problem.grads(x)
            v = grads + of_v * random.normal(size=(n, D))
            new = x - gamma * v.mean(axis=0)
            moves = problem.part_grads(new) - problem.part_grads(x)
            errors = (v + sample_outcomes(moves) - problem.grads(new)).mean(axis=1)
            after = problem.gap(new) + next_weight * square(errors).mean()
            psi = problem.gap(x) + weight * square((v - grads).mean(axis=0))
            gain = 0.0 if convex else gamma / 2 * square(grads.mean(axis=0))
            allowed = contraction * psi - gain if factor == 1 else psi
            worst = max(worst, after - allowed * (1 + 1e-12) - 1e-12 * psi) / psi
    return worst


@pytest.mark.parametrize("convex", [False, True])
@pytest.mark.parametrize("period", [1, 2, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_sarah_decreases_in_exact_expectation(kind, period, convex):
    growths = [sarah_growth(p, period, convex) for p in cases(kind, 2, 3, 4)]
    assert max(growths) <= 0


@pytest.mark.parametrize("period", [2, 6])
def test_with_four_times_the_step_sarah_grows(period):
    growths = [sarah_growth(p, period, False, 4.0) for p in cases("mixed", 2, 3, 4)]
    assert max(growths) > 1


def test_sarah_by_hand():
    """T = 3, n = 2, B = 4, L_σ = 2: D = 1."""
    known = {"period": 3, "num_workers": 2, "batch_size": 4}
    assert theory.sarah_step_size(1.0, 2.0, **known) == pytest.approx(1 / 2)
    for mu, inverse in ((0.1, 1 + 2**0.5), (2.0, 8.0)):
        found = theory.sarah_step_size(1.0, 2.0, strong_convexity=mu, **known)
        assert found == pytest.approx(1 / inverse)
    full = theory.sarah_step_size(4.0, 2.0, period=1, num_workers=2, strong_convexity=1)
    assert full == 1 / 4
    assert theory.sarah_lyapunov(0.5, rounds_left=3) == (0.75, 1.0)
    found = theory.sarah_lyapunov(0.5, rounds_left=2, strong_convexity=1.0)
    assert found == pytest.approx((0.25 * (2 + 4), 0.5))


# ---------------------------------------------------------------- the recipes


def rows_of(problem):
    """The same components as a problem whose data are split between the workers."""
    n, m = problem.parts.shape[:2]

    def loss(x, batch):
        parts, slopes = batch
        each = jax.vmap(lambda a, b: x @ a @ x / 2 - b @ x)(parts, slopes)
        return each.mean()

    data = (problem.parts.reshape(-1, D, D), problem.part_slopes.reshape(-1, D))
    return fo.problems.from_loss(
        loss, data, n, init=np.full(D, 5.0), samples_per_gradient=1
    )


@pytest.mark.parametrize("name", ["saga", "sarah"])
def test_recipes_converge_with_the_prescribed_step_size(name):
    problem = FiniteSums(0, 4, 3, D, "mixed")
    if name == "saga":
        gamma, *_ = saga_parameters(problem)
        method = fo.methods.saga(step_size=gamma)
    else:
        gamma = theory.sarah_step_size(
            problem.smoothness,
            problem.sample_smoothness,
            period=6,
            num_workers=4,
            strong_convexity=problem.strong_convexity,
        )
        method = fo.methods.sarah(step_size=gamma, period=6)
    trace = fo.run(
        method,
        rows_of(problem),
        num_workers=4,
        compute_time=fo.timing.fixed(np.ones(4)),
        key=jax.random.key(1),
        num_updates=500,
    )
    gaps = np.asarray(trace.loss) + problem.slope @ problem.minimum / 2
    assert gaps[-1] <= 1e-9 * gaps[0]
