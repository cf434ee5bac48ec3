"""Clip21-SGD2M with the step size of the theory on quadratics, full gradients."""

import itertools

import jax
import numpy as np
import pytest
from exact_quadratics import KINDS, FiniteSums, scales, square

from fedjax_opt import methods, problems, run, theory, timing

N = D = 4


def clipped(rows, threshold):
    norms = np.sqrt(square(rows))
    return rows * np.minimum(1, threshold / np.maximum(norms, 1e-300))[:, None]


def potential(problem, x, v, g, weights):
    """f − f* and the weighted errors, v and g being means over workers."""
    slope = problem.grads(x).mean(axis=0)
    errors = weights.momentum * square(v - slope) + weights.estimate * square(g - v)
    return problem.gap(x) + errors


def parameters(problem, x, threshold, momentum, estimate_step):
    return theory.clip21_sgd2m(
        problem.smoothness,
        problem.smoothness_max,
        threshold=threshold,
        momentum=momentum,
        estimate_step=estimate_step,
        gradient_norm=np.sqrt(square(problem.grads(x))).max(),
        initial_gap=problem.gap(x),
    )


def keeps_its_promise(problem, momentum, estimate_step, share, scale, factor=1.0):
    """Is the last clip before K, and is Ψ decreasing from there on?"""
    x = problem.minimum + scale * np.random.default_rng(2).normal(size=D)
    threshold = share * np.sqrt(square(problem.grads(x))).max()
    gamma, rounds = parameters(problem, x, threshold, momentum, estimate_step)
    gamma = factor * gamma
    options = {"momentum": momentum, "estimate_step": estimate_step}
    weights = theory.clip21_sgd2m_lyapunov(gamma, **options)
    v = g = np.zeros((N, D))
    bound = np.inf
    for k in range(rounds + 40):
        v = momentum * v + (1 - momentum) * problem.grads(x)
        missed = v - g
        if k >= rounds and square(missed).max() > threshold**2 * (1 + 1e-9):
            return False
        g = g + estimate_step * clipped(missed, threshold)
        after = potential(problem, x, v.mean(axis=0), g.mean(axis=0), weights)
        if after > bound * (1 + 1e-12):
            return False
        gain = gamma / 2 * square(problem.grads(x).mean(axis=0))
        bound = after - (gain if factor == 1 else 0) if k >= rounds else np.inf
        x = x - gamma * g.mean(axis=0)
    return True


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("kind", KINDS)
def test_clips_end_in_time_and_then_it_decreases_its_function(kind, momentum):
    for seed in range(2):
        problem = FiniteSums(seed, N, 1, D, kind)
        for case in itertools.product((0.3, 1.0), (0.2, 0.7, 100.0), (0.1, 1.0, 30.0)):
            assert keeps_its_promise(problem, momentum, *case)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_with_three_hundred_times_the_step_it_breaks_its_promise(momentum):
    problem = FiniteSums(0, N, 1, D, "mixed")
    for share in (0.2, 0.7):
        assert not keeps_its_promise(problem, momentum, 0.5, share, 1.0, 300.0)


def free_excess(problem, momentum, estimate_step, factor=1.0):
    """The largest (Ψ⁺ − its bound)/Ψ where nothing is clipped."""
    options = {"momentum": momentum, "estimate_step": estimate_step}
    gamma = factor * theory.clip21_sgd2m_step_size(problem.smoothness, **options)
    weights = theory.clip21_sgd2m_lyapunov(gamma, **options)
    random = np.random.default_rng(3)
    worst = -np.inf
    for of_x, of_v, of_g in scales(3):
        x = problem.minimum + of_x * random.normal(size=D)
        v = problem.grads(x).mean(axis=0) + of_v * (momentum > 0) * random.normal(
            size=D
        )
        g = v + of_g * (estimate_step < 1) * random.normal(size=D)
        before = potential(problem, x, v, g, weights)
        if before == 0:
            continue
        gain = gamma / 2 * square(problem.grads(x).mean(axis=0))
        x = x - gamma * g
        v = momentum * v + (1 - momentum) * problem.grads(x).mean(axis=0)
        g = g + estimate_step * (v - g)
        after = potential(problem, x, v, g, weights)
        worst = max(worst, (after - before + (gain if factor == 1 else 0)) / before)
    return worst


@pytest.mark.parametrize("estimate_step", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("kind", KINDS)
def test_decrease_where_nothing_is_clipped(kind, momentum, estimate_step):
    for seed in range(5):
        problem = FiniteSums(seed, N, 1, D, kind)
        assert free_excess(problem, momentum, estimate_step) <= 1e-12


@pytest.mark.parametrize("case", [(0.0, 1.0), (0.5, 0.5), (0.9, 1.0)], ids=str)
def test_with_eight_times_the_step_it_grows_where_nothing_is_clipped(case):
    found = [free_excess(FiniteSums(s, N, 1, D, "mixed"), *case, 8.0) for s in range(3)]
    assert max(found) > 0.1


def test_by_hand():
    """β = b = 1/2, L = 1/3, L_max = 1: γ₀ = 1, a = 3. τ = 8, G = 4: K = 2."""
    options = {"momentum": 0.5, "estimate_step": 0.5}
    assert theory.clip21_sgd2m_step_size(1 / 3, **options) == pytest.approx(1)
    assert theory.clip21_sgd2m_lyapunov(0.5, **options) == pytest.approx((3 / 2, 1))
    found = theory.clip21_sgd2m(
        1 / 3, 1.0, threshold=8.0, gradient_norm=4.0, initial_gap=157 / 6, **options
    )
    # δ = 1, M = 6, γ₁ = 1/6, P = 3, Q = 4, S = √((2/3)(157/6 + 167/6)) + 7.
    assert found == pytest.approx((1 / 13, 2))
    # Where b = 1 and β = 0 nothing but L matters until something is clipped.
    options = {"momentum": 0.0, "estimate_step": 1.0}
    found = theory.clip21_sgd2m(
        2.0, 2.0, threshold=100.0, gradient_norm=4.0, initial_gap=4.0, **options
    )
    assert found == pytest.approx((1 / 2, 0))


def test_recipe_converges_with_the_prescribed_step_size():
    problem = FiniteSums(1, N, 1, D, "mixed")
    options = {"momentum": 0.3, "estimate_step": 0.9}
    threshold = 0.7 * np.sqrt(square(problem.slopes)).max()
    start = np.zeros(D)
    gamma, rounds = parameters(problem, start, threshold, *options.values())
    assert rounds > 0
    quadratics = problems.quadratics(problem.hessians, problem.slopes, x0=start)
    trace = run(
        methods.clip21_sgd2m(step_size=gamma, threshold=threshold, **options),
        quadratics,
        num_workers=N,
        compute_time=timing.fixed(np.ones(N)),
        key=jax.random.key(0),
        num_updates=3000,
    )
    gaps = np.asarray(trace.loss) - quadratics.constants["f_star"]
    assert gaps[-1] <= 1e-9 * gaps[0]
