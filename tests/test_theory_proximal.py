"""EF21-Prox, with the step sizes of EF21, decreases f + R as EF21 decreases f."""

import numpy as np
import pytest
from exact_quadratics import KINDS, FiniteSums, spread_square, square, top_1

from fedjax_opt import theory

N, D = 4, 3


def l1_prox(z, step):
    return np.sign(z) * np.maximum(np.abs(z) - 0.7 * step, 0)


def l1(x):
    return 0.7 * np.abs(x).sum()


def box_prox(z, _):
    return np.clip(z, -0.3, 0.2)


def box(x):
    return 0.0  # no iterate leaves the box


TERMS = {"l1": (l1, l1_prox), "box": (box, box_prox)}


def bent(kind, seed, by):
    """A problem whose Hessians are less by `by` times the identity."""
    problem = FiniteSums(seed, N, 1, D, kind)
    problem.hessians = problem.hessians - by * np.eye(D)
    problem.mean = problem.hessians.mean(0)
    each = np.abs(np.linalg.eigvalsh(problem.hessians)).max(axis=1)
    problem.smoothness_mean_square = np.sqrt(np.mean(each**2))
    problem.smoothness = np.abs(np.linalg.eigvalsh(problem.mean)).max()
    return problem


def objective(problem, term, x):
    return x @ problem.mean @ x / 2 - problem.slope @ x + term(x)


def least(problem, term, prox):
    x, step = np.zeros(D), 1 / problem.smoothness
    for _ in range(4000):
        x = prox(x - step * problem.grads(x).mean(axis=0), step)
    return objective(problem, term, x)


def excess(problem, name, gamma, alpha, mu=None, long=False):
    """The largest (Ψ⁺ − its bound)/Ψ along paths; the bound is Ψ of long steps."""
    term, prox = TERMS[name]
    weight, contraction = theory.ef21_lyapunov(gamma, alpha, strong_convexity=mu)
    floor = least(problem, term, prox) if mu else 0.0
    random = np.random.default_rng(3)
    worst = -np.inf

    def potential(x, g):
        error = spread_square(g - problem.grads(x))
        return objective(problem, term, x) - floor + weight * error

    for of_x, of_g in [(0.1, 0), (1, 1), (1, 0.1), (0.1, 30), (20, 20)]:
        x = prox(of_x * random.normal(size=D), 1.0)
        g = problem.grads(x) + of_g * (alpha < 1) * random.normal(size=(N, D))
        for _ in range(40):
            before = potential(x, g)
            bound = contraction * before
            if mu is None:
                exact = prox(x - gamma * problem.grads(x).mean(axis=0), gamma)
                bound -= square(x - exact) / (2 * gamma)
            x = prox(x - gamma * g.mean(axis=0), gamma)
            missed = problem.grads(x) - g
            g = g + (top_1(missed) if alpha < 1 else missed)
            scale = abs(before) + spread_square(g) + 1
            worst = max(worst, (potential(x, g) - (before if long else bound)) / scale)
    return worst


@pytest.mark.parametrize("alpha", [1 / D, 1.0])
@pytest.mark.parametrize(("name", "by"), [("l1", 0.0), ("box", 0.0), ("box", 4.0)])
@pytest.mark.parametrize("kind", KINDS)
def test_decrease_where_f_may_be_nonconvex(kind, name, by, alpha):
    for seed in range(3):
        problem = bent(kind, seed, by)
        known = (problem.smoothness, problem.smoothness_mean_square)
        gamma = theory.ef21_step_size(*known, alpha=alpha)
        assert excess(problem, name, gamma, alpha) <= 1e-12


@pytest.mark.parametrize("alpha", [1 / D, 1.0])
@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("kind", KINDS)
def test_contraction_where_f_is_strongly_convex(kind, name, alpha):
    for seed in range(3):
        problem = FiniteSums(seed, N, 1, D, kind)
        mu = problem.strong_convexity
        known = (problem.smoothness, problem.smoothness_mean_square)
        gamma = theory.ef21_step_size(*known, alpha=alpha, strong_convexity=mu)
        assert excess(problem, name, gamma, alpha, mu) <= 1e-12


@pytest.mark.parametrize("name", TERMS)
def test_with_eight_times_the_step_it_grows(name):
    found = []
    for seed in range(3):
        problem = FiniteSums(seed, N, 1, D, "mixed")
        known = (problem.smoothness, problem.smoothness_mean_square)
        gamma = 8 * theory.ef21_step_size(*known, alpha=1 / D)
        found.append(excess(problem, name, gamma, 1 / D, long=True))
    assert max(found) > 0.01
