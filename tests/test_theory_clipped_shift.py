"""DProx-clipped-SGD-shift with the step size of the theory on quadratics."""

import itertools

import jax
import numpy as np
import pytest
from exact_quadratics import KINDS, FiniteSums, square

from fedjax_opt import methods, problems, run, theory, timing

N = D = 4
WEIGHT = 0.7


def nothing(z, _):
    return z


def l1_prox(z, step):
    return np.sign(z) * np.maximum(np.abs(z) - WEIGHT * step, 0)


def box_prox(z, _):
    return np.clip(z, -0.3, 0.2)


PROXES = {
    "none": (nothing, 0.0),
    "l1": (l1_prox, WEIGHT * D**0.5),
    "box": (box_prox, 0.0),
}


def clipped(rows, threshold):
    norms = np.sqrt(square(rows))
    return rows * np.minimum(1, threshold / np.maximum(norms, 1e-300))[:, None]


def minimum(problem, name):
    x, step = np.zeros(D), 1 / problem.smoothness
    for _ in range(6000):
        x = PROXES[name][0](x - step * (problem.mean @ x - problem.slope), step)
    return x


def keeps_its_promise(problem, solution, name, share, shift_step, scale, factor=1.0):
    """Is the last clip before K, and does |x − x*| contract from there on?"""
    prox, lipschitz = PROXES[name]
    mu = problem.strong_convexity
    random = np.random.default_rng(2)
    x = prox(solution + scale * random.normal(size=D), 1.0)
    h = np.zeros((N, D))
    largest = np.sqrt(square(problem.grads(x))).max()
    threshold = share * largest
    gamma, rounds = theory.dprox_clipped_shift(
        problem.smoothness,
        problem.smoothness_max,
        threshold=threshold,
        shift_step=shift_step,
        gradient_norm=largest,
        lipschitz=lipschitz,
    )
    gamma = factor * gamma
    for k in range(rounds + 30):
        missed = problem.grads(x) - h
        if k >= rounds and square(missed).max() > threshold**2 * (1 + 1e-9):
            return False
        message = clipped(missed, threshold)
        new = prox(x - gamma * (h + message).mean(axis=0), gamma)
        h = h + shift_step * message
        before, after = square(x - solution), square(new - solution)
        if k >= rounds and after > (1 - gamma * mu) * before + 1e-18:
            return False
        x = new
    return True


SHARES = (0.1, 0.3, 2.0)


@pytest.mark.parametrize("name", PROXES)
@pytest.mark.parametrize("kind", KINDS)
def test_clips_end_in_time_and_then_it_is_proximal_gradient_descent(kind, name):
    for seed in range(3):
        problem = FiniteSums(seed, N, 1, D, kind)
        solution = minimum(problem, name)
        for case in itertools.product(SHARES, (0.3, 1.0), (0.1, 1.0, 30.0)):
            assert keeps_its_promise(problem, solution, name, *case)


@pytest.mark.parametrize("name", PROXES)
def test_with_a_hundred_times_the_step_it_breaks_its_promise(name):
    problem = FiniteSums(0, N, 1, D, "mixed")
    solution = minimum(problem, name)
    for share in (0.3, 0.7):
        kept = keeps_its_promise(problem, solution, name, share, 0.5, 1.0, 100.0)
        assert not kept


def test_by_hand():
    """τ = 2, ν = 1/2: ντ/2 = 1/2. G = 4: K = 4, 3 (2·5 + 4); G = 1: 3·2·1."""
    known = {"threshold": 2.0, "shift_step": 0.5}
    found = theory.dprox_clipped_shift(
        1.0, 3.0, gradient_norm=4.0, lipschitz=1.0, **known
    )
    assert found == pytest.approx((1 / 42, 4))
    found = theory.dprox_clipped_shift(1.0, 3.0, gradient_norm=1.0, **known)
    assert found == pytest.approx((1 / 6, 0))
    found = theory.dprox_clipped_shift(9.0, 3.0, gradient_norm=1.0, **known)
    assert found == pytest.approx((1 / 9, 0))


def test_recipe_converges_with_the_prescribed_step_size():
    problem = FiniteSums(1, N, 1, D, "mixed")
    norms = np.sqrt(square(problem.slopes))
    threshold = 0.5 * norms.max()
    gamma, rounds = theory.dprox_clipped_shift(
        problem.smoothness,
        problem.smoothness_max,
        threshold=threshold,
        shift_step=0.5,
        gradient_norm=norms.max(),
    )
    assert rounds > 0
    quadratics = problems.quadratics(problem.hessians, problem.slopes, x0=np.zeros(D))
    trace = run(
        methods.dprox_clipped_shift(
            step_size=gamma, threshold=threshold, shift_step=0.5
        ),
        quadratics,
        num_workers=N,
        compute_time=timing.fixed(np.ones(N)),
        key=jax.random.key(0),
        num_updates=3000,
    )
    gaps = np.asarray(trace.loss) - quadratics.constants["f_star"]
    assert gaps[-1] <= 1e-9 * gaps[0]
