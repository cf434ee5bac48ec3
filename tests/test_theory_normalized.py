"""‖EF21‖ and ‖EF21-SGDM‖ keep their bounds: on paths, and averaged over all coins."""

import itertools

import numpy as np
import pytest
from exact_quadratics import KINDS, FiniteSums, scales, square, top_1

from fedjax_opt import theory


class Line:
    """f(x) = x²/2 on a single entry and worker."""

    hessians, slopes = np.ones((1, 1, 1)), np.zeros((1, 1))
    minimum, smoothness = np.zeros(1), 1.0

    def grads(self, x):
        return x[..., None, :]

    def gap(self, x):
        return x @ x / 2


def known(problem):
    each = np.linalg.eigvalsh(problem.hessians)[:, -1]
    return problem.smoothness, each.mean()


def paths(problem, x, gamma, momentum, compressed, noises):
    """The mean over paths and rounds of |∇f(xᵏ)|; noises are [paths, T, n, d]."""
    x = np.broadcast_to(x, (len(noises), x.size))
    v, g, norms = None, 0.0, []
    for k in range(noises.shape[1]):
        grads = x[:, None, None, :] @ problem.hessians.swapaxes(-1, -2)
        grads = grads[:, :, 0] - problem.slopes
        norms.append(np.sqrt(square(grads.mean(axis=1))))
        fresh = grads + noises[:, k]
        v = fresh if v is None else momentum * v + (1 - momentum) * fresh
        g = g + (top_1(v - g) if compressed else v - g)
        mean = g.mean(axis=1)
        length = np.sqrt(square(mean))[:, None]
        x = x - gamma * np.where(length > 0, mean / np.maximum(length, 1e-300), 0)
    return np.mean(norms)


def ratio(problem, x, count, compressed, momentum=0.0, noises=None, factor=1.0):
    """The mean norm over its bound, which is that of the prescribed step."""
    n, d = problem.slopes.shape
    shared = {
        "alpha": 1 / d if compressed else 1.0,
        "initial_gap": problem.gap(x),
        "momentum": momentum,
    }
    gamma = theory.norm_ef21_step_size(count, *known(problem), **shared)
    noises = np.zeros((1, count, n, d)) if noises is None else noises
    bound = theory.norm_ef21_bound(
        count,
        *known(problem),
        step_size=gamma,
        gradient_norm=np.sqrt(square(problem.grads(x))).mean(),
        noise=np.sqrt(square(noises)).max(),
        num_workers=n,
        **shared,
    )
    return paths(problem, x, factor * gamma, momentum, compressed, noises) / bound


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_bound_without_noise(kind, compressed, momentum):
    random = np.random.default_rng(1)
    for seed in range(3):
        problem = FiniteSums(seed, 4, 1, 3, kind)
        for scale in (0.01, 1.0, 30.0):
            x = problem.minimum + scale * random.normal(size=3)
            for count in (1, 10, 200):
                assert ratio(problem, x, count, compressed, momentum) <= 1 + 1e-12


def states(problem):
    """Random x and g, and steps that go up, as errors do that Top-1 shrinks least."""
    random = np.random.default_rng(7)
    for of_x, of_g in scales(2):
        x = problem.minimum + of_x * random.normal(size=3)
        yield x, problem.grads(x) + of_g * random.normal(size=(4, 3))
    for scale in (0.1, 10.0):
        x = problem.minimum + np.linalg.solve(problem.mean, scale * np.ones(3))
        yield x, problem.grads(x) - 1.01 * scale


def one_step_excess(problem, gamma, weight, step_term):
    """The largest (Ψ⁺ − Ψ)/γ + |∇f(x)| − γM, for Ψ = f + w (1/n) Σᵢ |gᵢ − ∇fᵢ(x)|."""
    worst = -np.inf

    def potential(x, g):
        return problem.gap(x) + weight * np.sqrt(square(g - problem.grads(x))).mean()

    for x, g in states(problem):
        mean = g.mean(axis=0)
        new = x - gamma * mean / np.sqrt(square(mean))
        after = potential(new, g + top_1(problem.grads(new) - g))
        gain = np.sqrt(square(problem.grads(x).mean(axis=0)))
        worst = max(worst, (after - potential(x, g)) / gamma + gain - step_term)
    return worst


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_keeps_the_inequality_behind_the_bound(kind):
    """γM is the bound of infinitely many updates, and w = 2γ/(1 − √(1−α))."""
    for seed, gamma in itertools.product(range(6), (1e-3, 0.1, 3.0)):
        problem = FiniteSums(seed, 4, 1, 3, kind)
        step_term = theory.norm_ef21_bound(
            10**15,
            *known(problem),
            alpha=1 / 3,
            step_size=gamma,
            initial_gap=0.0,
            gradient_norm=0.0,
        )
        weight = 2 * gamma / (1 - (2 / 3) ** 0.5)
        assert one_step_excess(problem, gamma, weight, step_term) <= 1e-9
        if gamma == 1e-3:
            assert one_step_excess(problem, gamma, 0.9 * weight, step_term) > 0


def coins(sigma, count, n, d):
    """All noises ±σ along one direction per worker, [2^(Tn), T, n, d]."""
    signs = np.array(list(itertools.product((-1, 1), repeat=count * n)))
    directions = np.random.default_rng(0).normal(size=(n, d))
    directions /= np.sqrt(square(directions))[:, None]
    return sigma * signs.reshape(-1, count, n, 1) * directions


@pytest.mark.parametrize("momentum", [0.0, 0.7])
@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_bound_in_exact_expectation(kind, compressed, momentum):
    for n, count in ((1, 10), (2, 5)):
        problem = FiniteSums(2, n, 1, 2, kind)
        for sigma, scale in ((0.3, 1.0), (10.0, 0.1), (3.0, 0.01)):
            x = problem.minimum + scale * np.ones(2)
            noises = coins(sigma, count, n, 2)
            assert ratio(problem, x, count, compressed, momentum, noises) <= 1


def test_step_that_jumps_over_the_minimum_attains_the_bound():
    """From γ/2 on x²/2 the norm stays γ/2; the bound is γ/(8T) more."""
    bound = theory.norm_ef21_bound(
        10**6,
        1.0,
        1.0,
        alpha=1.0,
        step_size=0.5,
        initial_gap=1 / 32,
        gradient_norm=0.25,
    )
    found = paths(Line(), np.array([0.25]), 0.5, 0.0, False, np.zeros((1, 50, 1, 1)))
    assert found == pytest.approx(0.25)
    assert found <= bound <= 0.25 * (1 + 1e-6)


def test_with_eight_times_the_step_the_bound_fails():
    """T = 16 from 1: γ = 1/4 has the bound 1/4, 8γ jumps between 1 and −1."""
    assert ratio(Line(), np.ones(1), 16, False) <= 1
    assert ratio(Line(), np.ones(1), 16, False, factor=8.0) == pytest.approx(4)


def test_noise_needs_its_term():
    """From the minimum, with γ = σ/2: a random walk until gradients reach σ."""
    options = {"alpha": 1.0, "step_size": 0.5, "initial_gap": 0.0, "gradient_norm": 0.0}
    found = paths(Line(), np.zeros(1), 0.5, 0.0, False, coins(1.0, 12, 1, 1))
    assert found > 1.2 * theory.norm_ef21_bound(12, 1.0, 1.0, **options)
    assert found <= theory.norm_ef21_bound(12, 1.0, 1.0, noise=1.0, **options)


def test_by_hand():
    """α = 7/16: ξ = 3. L = 2, L̄ = 3, β = 1/2: M = 1 + 4 + 18."""
    found = theory.norm_ef21_step_size(
        4, 2.0, 3.0, alpha=7 / 16, initial_gap=23.0, momentum=0.5
    )
    assert found == pytest.approx(1 / 2)
    found = theory.norm_ef21_bound(
        4,
        2.0,
        3.0,
        alpha=7 / 16,
        step_size=0.5,
        initial_gap=23.0,
        gradient_norm=2.0,
        momentum=0.8,
        noise=3.0,
        num_workers=9,
    )
    # M = 1 + 16 + 18, s = 1/3: 23/2 + 35/2 + 3 + 2 (5/4 + 1/3) + 18 (1/2 + 4/15)
    assert found == pytest.approx(32 + 19 / 6 + 69 / 5)
