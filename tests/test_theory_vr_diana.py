"""VR-DIANA and Rand-DIANA contract their functions, in exact expectation."""

import jax
import numpy as np
import pytest
from exact_quadratics import (
    KINDS,
    FiniteSums,
    rand_1_outcomes,
    sample_outcomes,
    scales,
    spread_square,
    square,
)

from fedjax_opt import methods, problems, run, theory, timing
from fedjax_opt.compressors import rand_k

D = M = 2
OMEGA = D - 1


def mean_after(x, shifts, estimates, gamma, shift_step, weight, problem):
    """E |x⁺ − x*|² + u (1/n) Σᵢ |hᵢ⁺ − ∇fᵢ(x*)|² over samples and Rand-1."""
    total = 0.0
    for estimate in estimates:
        sent = rand_1_outcomes(estimate - shifts)
        away = x - gamma * (shifts + sent).mean(axis=1) - problem.minimum
        moved = shifts + shift_step * sent - problem.grads(problem.minimum)
        total += square(away).mean() + weight * spread_square(moved)
    return total / len(estimates)


def growth(problem, p, factor=1.0):
    """The largest E Ψ⁺/Ψ over states, relative to the contraction if factor is 1."""
    n = len(problem.parts)
    gamma, shift_step = theory.vr_diana(
        problem.smoothness, problem.part_smoothness_max, OMEGA, num_workers=n
    )
    gamma = factor * gamma
    u, v, contraction = theory.vr_diana_lyapunov(
        gamma,
        OMEGA,
        num_workers=n,
        probability=p,
        strong_convexity=problem.strong_convexity,
    )
    random = np.random.default_rng(0)
    optimal, parts = problem.grads(problem.minimum), problem.part_grads
    best = parts(problem.minimum)
    worst = 0.0
    for of_x, of_w, of_shift in scales(3):
        x = problem.minimum + of_x * random.normal(size=D)
        w = problem.minimum + of_w * random.normal(size=D)
        shifts = optimal + of_shift * random.normal(size=(n, D))
        changes = sample_outcomes(parts(x)) - sample_outcomes(parts(w))
        estimates = changes + problem.grads(w)
        at_x, at_w = spread_square(parts(x) - best), spread_square(parts(w) - best)
        after = mean_after(x, shifts, estimates, gamma, shift_step, u, problem)
        after += v * (p * at_x + (1 - p) * at_w)
        before = square(x - problem.minimum) + v * at_w
        before += u * spread_square(shifts - optimal)
        worst = max(worst, after / before)
    return worst / contraction if factor == 1 else worst


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_vr_diana_contracts_in_exact_expectation(n, kind):
    for seed in range(3):
        problem = FiniteSums(seed, n, M, D, kind)
        for p in (1 / M, 0.1, 1.0):
            assert growth(problem, p) <= 1 + 1e-12


def test_with_eight_times_the_step_it_grows():
    problem = FiniteSums(0, 2, M, D, "rank_one")
    assert growth(problem, 1 / M, 8.0) > 1.5


def test_by_hand():
    """n = 4, L = 2, L_max = 3, ω = 1: 1 + 36·3/4 = 28."""
    found = theory.vr_diana(2.0, 3.0, 1.0, num_workers=4)
    assert found == pytest.approx((1 / 28, 1 / 2))
    plain = theory.vr_diana(2.0, 3.0, 0.0, num_workers=4)
    assert plain.step_size == theory.saga_step_size(2.0, 3.0, num_workers=4)
    known = {"num_workers": 4, "probability": 0.5}
    for mu, contraction in ((0.1, 0.95), (1.0, 0.75)):
        found = theory.vr_diana_lyapunov(0.5, 1.0, strong_convexity=mu, **known)
        assert found == pytest.approx((0.5, 3.0, contraction))


# ---------------------------------------------------------------- Rand-DIANA


def rand_growth(problem, p, factor=1.0):
    """The largest E Ψ⁺/Ψ of Rand-DIANA, relative to the contraction if factor is 1."""
    n = len(problem.hessians)
    gamma = factor * theory.rand_diana_step_size(
        problem.smoothness, problem.smoothness_max, OMEGA, num_workers=n
    )
    weight, contraction = theory.rand_diana_lyapunov(
        gamma,
        OMEGA,
        num_workers=n,
        probability=p,
        strong_convexity=problem.strong_convexity,
    )
    random = np.random.default_rng(0)
    optimal = problem.grads(problem.minimum)
    worst = 0.0
    for of_x, of_shift in scales(2):
        x = problem.minimum + of_x * random.normal(size=D)
        shifts = optimal + of_shift * random.normal(size=(n, D))
        grads = problem.grads(x)
        g = (shifts + rand_1_outcomes(grads - shifts)).mean(axis=1)
        kept = (1 - p) * spread_square(shifts - optimal)
        later = kept + p * spread_square(grads - optimal)
        after = square(x - gamma * g - problem.minimum).mean() + weight * later
        before = square(x - problem.minimum) + weight * spread_square(shifts - optimal)
        worst = max(worst, after / before)
    return worst / contraction if factor == 1 else worst


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_rand_diana_contracts_in_exact_expectation(n, kind):
    for seed in range(8):
        for p in (0.1, 1 / (1 + OMEGA), 1.0):
            assert rand_growth(FiniteSums(seed, n, 1, D, kind), p) <= 1 + 1e-12


def test_with_four_times_the_step_rand_diana_grows():
    assert rand_growth(FiniteSums(0, 2, 1, D, "rank_one"), 0.5, 4.0) > 1.5


def test_rand_diana_by_hand():
    """L = 2, L_max = 3, ω = 1, n = 9: 2 + 2."""
    assert theory.rand_diana_step_size(2.0, 3.0, 1.0, num_workers=9) == 1 / 4
    for mu, contraction in ((0.1, 0.95), (1.0, 0.75)):
        found = theory.rand_diana_lyapunov(
            0.5, 3.0, num_workers=4, probability=0.5, strong_convexity=mu
        )
        assert found == pytest.approx((1.5, contraction))


# ---------------------------------------------------------------- a recipe


def test_recipe_converges_with_the_prescribed_step_size():
    problem = FiniteSums(0, 4, 3, D, "mixed")

    def loss(x, batch):
        return jax.vmap(lambda a, b: x @ a @ x / 2 - b @ x)(*batch).mean()

    rows = (problem.parts.reshape(-1, D, D), problem.part_slopes.reshape(-1, D))
    gamma, shift_step = theory.vr_diana(
        problem.smoothness, problem.part_smoothness_max, OMEGA, num_workers=4
    )
    trace = run(
        methods.vr_diana(
            step_size=gamma,
            compressor=rand_k(1),
            probability=1 / 3,
            shift_step=shift_step,
        ),
        problems.from_loss(loss, rows, 4, init=np.full(D, 5.0), samples_per_gradient=1),
        num_workers=4,
        compute_time=timing.fixed(np.ones(4)),
        key=jax.random.key(1),
        num_updates=1500,
    )
    gaps = np.asarray(trace.loss) + problem.slope @ problem.minimum / 2
    assert gaps[-1] <= 1e-9 * gaps[0]
