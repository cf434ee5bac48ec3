"""EF21-HB and EF21-PAGE decrease their Lyapunov functions on quadratics."""

import numpy as np
import pytest
from exact_quadratics import (
    KINDS,
    FiniteSums,
    sample_outcomes,
    scales,
    spread_square,
    square,
    top_1,
)

from fedjax_opt import theory

# ---------------------------------------------------------------- EF21-HB


def ef21_hb_excess(problem, momentum, compressed, factor=1.0):
    """The largest (Ψ⁺ − its bound)/Ψ along paths; the bound is Ψ if factor is not 1."""
    n, d = problem.slopes.shape
    known = (problem.smoothness, problem.smoothness_mean_square)
    options = {"alpha": 1 / d if compressed else 1.0, "momentum": momentum}
    gamma = factor * theory.ef21_hb_step_size(*known, **options)
    weights = theory.ef21_hb_lyapunov(gamma, *known, **options)
    long = gamma / (1 - momentum)
    random = np.random.default_rng(8)
    worst = -np.inf

    def potential(x, v, g):
        z = x - long * momentum * v
        error = spread_square(g - problem.grads(x))
        return problem.gap(z) + weights.each * error + weights.momentum * square(v), z

    for of_g, of_v in [(0, 0), (1, 0), (0, 1), (10, 10), (0.1, 30)]:
        x = problem.minimum + random.normal(size=d)
        g = problem.grads(x) + of_g * compressed * random.normal(size=(n, d))
        v = of_v * random.normal(size=d)
        for _ in range(60):
            before, z = potential(x, v, g)
            if before < 1e-14:  # the rest is rounding
                break
            bound = before
            if factor == 1:
                bound -= long / 2 * square(problem.grads(z).mean(axis=0))
            v = momentum * v + g.mean(axis=0)
            x = x - gamma * v
            missed = problem.grads(x) - g
            g = g + (top_1(missed) if compressed else missed)
            worst = max(worst, (potential(x, v, g)[0] - bound) / before)
    return worst


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("momentum", [0.0, 0.4, 0.9])
@pytest.mark.parametrize("kind", KINDS)
def test_ef21_hb_decreases_its_lyapunov_function(kind, momentum, compressed):
    for seed in range(3):
        problem = FiniteSums(seed, 4, 1, 4, kind)
        assert ef21_hb_excess(problem, momentum, compressed) <= 1e-12


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_with_eight_times_the_step_ef21_hb_grows(momentum):
    problems = [FiniteSums(seed, 4, 1, 4, "mixed") for seed in range(3)]
    assert max(ef21_hb_excess(p, momentum, True, 8.0) for p in problems) > 0.1


def test_ef21_hb_by_hand():
    """α = 7/16: θ = 1/4, ξ = 3; L = 1, L̂ = 2, η = 1/2: s = 7, δ = 2γ."""
    options = {"alpha": 7 / 16, "momentum": 0.5}
    assert theory.ef21_hb_step_size(1.0, 2.0, **options) == pytest.approx(1 / 16)
    found = theory.ef21_hb_lyapunov(0.5, 1.0, 2.0, **options)
    assert found == pytest.approx((7 / 3, 7))
    options["momentum"] = 0.0
    found = theory.ef21_hb_step_size(1.0, 2.0, **options)
    assert found == pytest.approx(theory.ef21_step_size(1.0, 2.0, alpha=7 / 16))
    assert theory.ef21_hb_lyapunov(0.5, 1.0, 2.0, **options) == pytest.approx((1, 0))
    options = {"alpha": 1.0, "momentum": 0.5}
    assert theory.ef21_hb_lyapunov(0.5, 1.0, 2.0, **options).each == 0


# ---------------------------------------------------------------- EF21-PAGE

N = M = D = 2


def ef21_page_excess(problem, p, factor=1.0):
    """The largest (E Ψ⁺ − its bound)/Ψ; the bound is Ψ if the factor is not 1."""
    alpha = 1 / D
    gamma = factor * theory.ef21_page_step_size(
        problem.smoothness,
        problem.smoothness_mean_square,
        problem.sample_smoothness,
        alpha=alpha,
        num_workers=N,
        probability=p,
    )
    weights = theory.ef21_page_lyapunov(gamma, alpha=alpha, probability=p)
    random = np.random.default_rng(5)
    worst = -np.inf

    def potential(x, v, g):
        wrong = v - problem.grads(x)
        of_messages = weights.each * spread_square(g - v)
        of_mean = weights.local_mean * square(wrong.mean(axis=0))
        return (
            problem.gap(x)
            + of_messages
            + of_mean
            + weights.local_each * spread_square(wrong)
        )

    for of_x, of_v, of_g in scales(3):
        x = problem.minimum + of_x * random.normal(size=D)
        v = problem.grads(x) + of_v * random.normal(size=(N, D))
        g = v + of_g * random.normal(size=(N, D))
        new = x - gamma * g.mean(axis=0)
        moves = sample_outcomes(problem.part_grads(new) - problem.part_grads(x))
        after = 0.0
        for chance, fresh in (
            (p, problem.grads(new)),
            *(((1 - p) / len(moves), v + move) for move in moves),
        ):
            after += chance * potential(new, fresh, g + top_1(fresh - g))
        before = potential(x, v, g)
        gain = gamma / 2 * square(problem.grads(x).mean(axis=0))
        worst = max(worst, (after - before + (gain if factor == 1 else 0)) / before)
    return worst


@pytest.mark.parametrize("p", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_ef21_page_decreases_in_exact_expectation(kind, p):
    for seed in range(4):
        assert ef21_page_excess(FiniteSums(seed, N, M, D, kind), p) <= 1e-12


def test_with_four_times_the_step_ef21_page_grows():
    assert ef21_page_excess(FiniteSums(0, N, M, D, "mixed"), 0.3, 4.0) > 0.2


def test_ef21_page_by_hand():
    """α = 7/16: ξ = 3; p = 1/2, n = 2, B = 4, L_σ = 4: (6 + 6)·9 and 2·2."""
    found = theory.ef21_page_step_size(
        1.0, 2.0, 4.0, alpha=7 / 16, num_workers=2, probability=0.5, batch_size=4
    )
    assert found == pytest.approx(1 / (1 + (2 * (9 * 12 + 2)) ** 0.5))
    found = theory.ef21_page_lyapunov(0.5, alpha=7 / 16, probability=0.25)
    assert found == pytest.approx((2, 2, 9))
