"""Press-Clip21, and Clip21, with the step size of the theory on quadratics."""

import jax
import numpy as np
import pytest
from exact_quadratics import KINDS, FiniteSums, spread_square, square, top_1

from fedjax_opt import methods, problems, run, theory, timing
from fedjax_opt.compressors import top_k

N = D = 4


def clipped(rows, threshold):
    norms = np.sqrt(square(rows))
    return rows * np.minimum(1, threshold / np.maximum(norms, 1e-300))[:, None]


def parameters(problem, alpha, threshold, x, g):
    return theory.press_clip21(
        problem.smoothness,
        problem.smoothness_mean_square,
        problem.smoothness_max,
        alpha=alpha,
        threshold=threshold,
        residual=np.sqrt(square(problem.grads(x) - g)).max(),
        initial_gap=problem.gap(x),
    )


def keeps_its_promise(problem, compressed, share, scale, factor=1.0):
    """Is the last clip before K, and the function of EF21 decreasing from there on?"""
    alpha = 1 / D if compressed else 1.0
    random = np.random.default_rng(2)
    x = problem.minimum + scale * random.normal(size=D)
    g = np.zeros((N, D))
    threshold = share * np.sqrt(square(problem.grads(x))).max()
    gamma, rounds = parameters(problem, alpha, threshold, x, g)
    gamma = factor * gamma
    weight, _ = theory.ef21_lyapunov(gamma, alpha)
    before = np.inf
    for k in range(rounds + 60):
        missed = problem.grads(x) - g
        if k >= rounds and square(missed).max() > threshold**2 * (1 + 1e-9):
            return False
        message = clipped(missed, threshold)
        g = g + (top_1(message) if compressed else message)
        after = problem.gap(x) + weight * spread_square(g - problem.grads(x))
        if after > before * (1 + 1e-12):
            return False
        slope = square(problem.grads(x).mean(axis=0))
        gain = gamma / 2 * slope if factor == 1 else 0.0
        before = after - gain if k >= rounds else np.inf
        x = x - gamma * g.mean(axis=0)
    return True


SHARES = (0.02, 0.1, 0.5, 2.0)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_clips_end_in_time_and_then_it_is_ef21(kind, compressed, scale):
    for seed in range(3):
        problem = FiniteSums(seed, N, 1, D, kind)
        for share in SHARES:
            assert keeps_its_promise(problem, compressed, share, scale)


@pytest.mark.parametrize("compressed", [False, True])
def test_with_a_hundred_times_the_step_it_breaks_its_promise(compressed):
    problems_ = [FiniteSums(seed, N, 1, D, "mixed") for seed in range(3)]
    kept = [
        keeps_its_promise(problem, compressed, share, 1.0, 100.0)
        for problem in problems_
        for share in SHARES
    ]
    assert not all(kept)


def test_by_hand():
    """α = 7/16: θ = 1/4, ξ = 3. R = 2, τ = 1: K = 8, √(8 + 8·4 + 4) + 2."""
    known = {"alpha": 7 / 16, "residual": 2.0, "threshold": 1.0}
    found = theory.press_clip21(1.0, 1.0, 3.0, initial_gap=4.0, **known)
    assert found == pytest.approx((1 / (24 * (2 + 44**0.5)), 8))
    # With a threshold that clips nothing it is EF21.
    known["threshold"] = 1e6
    found = theory.press_clip21(1.0, 1.0, 0.01, initial_gap=4.0, **known)
    assert found == pytest.approx((1 / 4, 0))
    # α = 1 is Clip21: K = 2 and √(8 + 2·4 + 1) + 2.
    known = {"alpha": 1.0, "residual": 2.0, "threshold": 1.0}
    found = theory.press_clip21(1.0, 1.0, 3.0, initial_gap=4.0, **known)
    assert found == pytest.approx((1 / (6 * (2 + 17**0.5)), 2))


def test_recipe_converges_with_the_prescribed_step_size():
    problem = FiniteSums(1, N, 1, D, "mixed")
    start, g = np.zeros(D), np.zeros((N, D))
    threshold = 0.5 * np.sqrt(square(problem.grads(start))).max()
    gamma, rounds = parameters(problem, 1 / D, threshold, start, g)
    assert rounds > 0
    quadratics = problems.quadratics(problem.hessians, problem.slopes, x0=start)
    trace = run(
        methods.press_clip21_gd(
            step_size=gamma, compressor=top_k(1), threshold=threshold
        ),
        quadratics,
        num_workers=N,
        compute_time=timing.fixed(np.ones(N)),
        key=jax.random.key(0),
        num_updates=6000,
    )
    gaps = np.asarray(trace.loss) - quadratics.constants["f_star"]
    assert gaps[-1] <= 1e-9 * gaps[0]
