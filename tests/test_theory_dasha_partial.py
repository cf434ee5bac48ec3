"""DASHA-PP and DASHA-SYNC-MVR: Lyapunov functions, in exact expectation."""

import itertools

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
from fedjax_opt.theory import DashaPPWeights

N = M = D = 2
OMEGA = D - 1
A = 1 / (2 * OMEGA + 1)
Q = 0.3  # DASHA-PP-PAGE
METHODS = ("dasha_pp", "dasha_pp_page", "dasha_pp_mvr")


def momentum_of(name, p):
    """b of each method; below the largest for MVR."""
    return p / (2 - p) * (0.4 if name == "dasha_pp_mvr" else 1.0)


def parameters(name, problem, p):
    known = (problem.smoothness, problem.smoothness_mean_square)
    options: dict = {"num_workers": N, "probability": p}
    if name != "dasha_pp":
        known = (*known, problem.sample_smoothness)
    if name == "dasha_pp_page":
        options["refresh_probability"] = Q
    if name == "dasha_pp_mvr":
        options["momentum"] = 1 - momentum_of(name, p)
    gamma, tracking = getattr(theory, name)(*known, OMEGA, **options)
    assert tracking == pytest.approx(A)
    return gamma


def weights_of(name, gamma, p):
    return theory.dasha_pp_lyapunov(
        gamma,
        OMEGA,
        num_workers=N,
        probability=p,
        refresh_probability=Q if name == "dasha_pp_page" else 1.0,
        momentum=1 - momentum_of(name, p),
    )


def potential(weights: DashaPPWeights, problem, x, h, g):
    """Ψ − f* of states hᵢ and gᵢ, [..., n, d]."""
    behind, wrong = g - h, h - problem.grads(x)
    return (
        problem.gap(x)
        + weights.mean * square(behind.mean(axis=-2))
        + weights.each * square(behind).mean(axis=-1)
        + weights.local_mean * square(wrong.mean(axis=-2))
        + weights.local_each * square(wrong).mean(axis=-1)
    )


def changes_of(name, problem, x, new, h, b):
    """The outcomes kᵢ [n, d] and their probabilities; and σ²."""
    moved = problem.grads(new) - problem.grads(x)
    full = moved - b * (h - problem.grads(x))
    if name == "dasha_pp":
        return [(1.0, full)], 0.0
    old, fresh = (sample_outcomes(problem.part_grads(z)) for z in (x, new))
    if name == "dasha_pp_page":
        share = (1 - Q) / len(old)
        return [(Q, full), *((share, k) for k in fresh - old)], 0.0
    noise = problem.part_grads(x) - problem.grads(x)[:, None]
    drawn = fresh - old - b * (h - old)
    return [(1 / len(old), k) for k in drawn], spread_square(noise)


def mean_after(weights, problem, new, h, g, changes, p):
    """E Ψ⁺ over the changes, who comes, and Rand-1."""
    total = 0.0
    for chance, k in changes:
        for present in itertools.product((0.0, 1.0), repeat=N):
            here = np.array(present)[:, None]
            odds = np.prod(np.where(here, p, 1 - p))
            sent = here * rand_1_outcomes(k / p - A * (g - h))
            after = potential(weights, problem, new, h + here * k / p, g + sent)
            total += chance * odds * after.mean()
    return total


def states(problem):
    """x, hᵢ and gᵢ, near and far."""
    random = np.random.default_rng(7)
    for of_x, of_h, of_g in scales(3):
        x = problem.minimum + of_x * random.normal(size=D)
        h = problem.grads(x) + of_h * random.normal(size=(N, D))
        yield x, h, h + of_g * random.normal(size=(N, D))


def excess(name, problem, p, factor=1.0):
    """The largest (E Ψ⁺ − its bound)/Ψ; the bound is Ψ if the factor is not 1."""
    gamma = factor * parameters(name, problem, p)
    b = momentum_of(name, p)
    weights = weights_of(name, gamma, p)
    worst = -np.inf
    for x, h, g in states(problem):
        new = x - gamma * g.mean(axis=0)
        changes, variance = changes_of(name, problem, x, new, h, b)
        after = mean_after(weights, problem, new, h, g, changes, p)
        before = potential(weights, problem, x, h, g)
        of_message = 2 * OMEGA * (weights.mean / N + weights.each)
        of_local = weights.local_mean / N + weights.local_each
        bound = before + 2 * b**2 * variance / p * (of_message + of_local)
        if factor == 1:
            bound -= gamma / 2 * square(problem.grads(x).mean(axis=0))
        worst = max(worst, (after - bound) / before)
    return worst


@pytest.mark.parametrize("p", [1.0, 0.25])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METHODS)
def test_dasha_pp_decreases_in_exact_expectation(name, kind, p):
    for seed in range(2):
        assert excess(name, FiniteSums(seed, N, M, D, kind), p) <= 1e-12


@pytest.mark.parametrize("name", METHODS)
def test_with_four_times_the_step_it_grows(name):
    assert excess(name, FiniteSums(0, N, M, D, "mixed"), 0.6, 4.0) > 0.2


# ---------------------------------------------------------------- DASHA-SYNC-MVR


def sync_excess(problem, p, factor=1.0):
    gamma, tracking = theory.dasha_sync_mvr(
        problem.smoothness,
        problem.smoothness_mean_square,
        problem.sample_smoothness,
        OMEGA,
        num_workers=N,
        probability=p,
    )
    gamma = factor * gamma
    weights = theory.dasha_sync_mvr_lyapunov(gamma, OMEGA, num_workers=N, probability=p)
    worst = -np.inf
    for x, h, g in states(problem):
        new = x - gamma * g.mean(axis=0)
        changes = sample_outcomes(problem.part_grads(new) - problem.part_grads(x))
        after = p * problem.gap(new)
        for k in changes:
            sent = rand_1_outcomes(k - tracking * (g - h))
            value = potential(weights, problem, new, h + k, g + sent).mean()
            after += (1 - p) / len(changes) * value
        before = potential(weights, problem, x, h, g)
        gain = gamma / 2 * square(problem.grads(x).mean(axis=0))
        worst = max(worst, (after - before + (gain if factor == 1 else 0)) / before)
    return worst


@pytest.mark.parametrize("p", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_dasha_sync_mvr_decreases_in_exact_expectation(kind, p):
    for seed in range(4):
        assert sync_excess(FiniteSums(seed, N, M, D, kind), p) <= 1e-12


def test_with_four_times_the_step_dasha_sync_mvr_grows():
    assert sync_excess(FiniteSums(0, N, M, D, "mixed"), 0.4, 4.0) > 0.2


# ---------------------------------------------------------------- by hand


def test_full_participation_is_dasha():
    known = {"num_workers": 3}
    whole = {**known, "probability": 1.0}
    plain = theory.dasha(2.0, 3.0, 1.5, **known)
    assert theory.dasha_pp(2.0, 3.0, 1.5, **whole) == pytest.approx(plain)
    paged = theory.dasha_pp_page(2.0, 3.0, 5.0, 1.5, refresh_probability=1.0, **whole)
    assert paged == pytest.approx(plain)
    page = {"probability": 0.4, "refresh_probability": 1.0}
    partial = theory.dasha_pp(2.0, 3.0, 1.5, num_workers=3, probability=0.4)
    paged = theory.dasha_pp_page(2.0, 3.0, 5.0, 1.5, **known, **page)
    assert paged == pytest.approx(partial)
    quiet = theory.dasha_pp_mvr(
        2.0, 3.0, 0.0, 1.5, num_workers=3, probability=0.4, momentum=0.75
    )
    assert quiet == pytest.approx(partial)


def test_step_sizes_by_hand():
    """ω = 1, so W = 3 and a = 1/3; n = 2, p = 1/2, b = 1/3."""
    found = theory.dasha_pp(1.0, 2.0, 1.0, num_workers=2, probability=0.5)
    # (5/2)/(3/2) · (48 + 3)/(1/2) = 170
    assert found == pytest.approx((1 / (1 + 2 * 170**0.5), 1 / 3))
    # K = 1.5·4 + 0.5·6, R = 1.5·0.5·4 + 0.5·6 with L_σ² = 12, B = 2.
    found = theory.dasha_pp_page(
        1.0,
        2.0,
        12**0.5,
        1.0,
        num_workers=2,
        probability=0.5,
        refresh_probability=0.5,
        batch_size=2,
    )
    root = 24 * 9 / 0.5 + (12 / 0.5) * (5 + 16)
    assert found.step_size == pytest.approx(1 / (1 + root**0.5))
    # K = 8 + 12, R = 4 + 12; b = 1/4: 4 + 2 + 24.
    found = theory.dasha_pp_mvr(
        1.0,
        2.0,
        12**0.5,
        1.0,
        num_workers=2,
        probability=0.5,
        momentum=0.75,
        batch_size=2,
    )
    root = 24 * 20 / 0.5 + 32 * (4 + 2 + 24)
    assert found.step_size == pytest.approx(1 / (1 + root**0.5))
    # c = 1/2 + 1/6 = 2/3: 4·(4 + 6)/(4/3) + 6/1.
    found = theory.dasha_sync_mvr(
        1.0, 2.0, 12**0.5, 1.0, num_workers=2, probability=0.5, batch_size=2
    )
    assert found == pytest.approx((1 / 7, 1 / 3))
    whole = theory.dasha_sync_mvr(4.0, 5.0, 9.0, 1.0, num_workers=2, probability=1.0)
    assert whole.step_size == 1 / 4


def test_weights_by_hand():
    """γ = 1/2, ω = 1, n = 2, p = 1/2, q = 1/4, b = 1/3: u = 3, u' = 5/4, v = 6."""
    found = theory.dasha_pp_lyapunov(
        0.5, 1.0, num_workers=2, probability=0.5, refresh_probability=0.25
    )
    assert found == pytest.approx((3, 5 / 4, 6, 2 / 3 * (11 + 3)))
    # c = 2/3: u = 3/4, u' = (1/2)(2/9)(3/4)/(4/3), v = 1.
    found = theory.dasha_sync_mvr_lyapunov(0.5, 1.0, num_workers=2, probability=0.5)
    assert found == pytest.approx((3 / 4, 1 / 16, 1, 0))


def test_too_little_momentum_is_refused():
    with pytest.raises(ValueError, match="momentum must be at least"):
        theory.dasha_pp_mvr(
            1.0, 1.0, 1.0, 1.0, num_workers=2, probability=0.5, momentum=0.6
        )


# ---------------------------------------------------------------- the recipes


@pytest.mark.parametrize("name", ["dasha_pp", "dasha_sync_mvr"])
def test_recipes_converge_with_the_prescribed_step_size(name):
    """Without samples: DASHA-SYNC-MVR has L_σ = 0."""
    problem = FiniteSums(1, 4, 1, D, "mixed")
    known = (problem.smoothness, problem.smoothness_mean_square)
    options = {"num_workers": 4, "probability": 0.5}
    noise = () if name == "dasha_pp" else (0.0,)
    gamma, _ = getattr(theory, name)(*known, *noise, OMEGA, **options)
    quadratics = problems.quadratics(problem.hessians, problem.slopes)
    trace = run(
        getattr(methods, name)(step_size=gamma, compressor=rand_k(1), probability=0.5),
        quadratics,
        num_workers=4,
        compute_time=timing.fixed(np.ones(4)),
        key=jax.random.key(0),
        num_updates=2000,
    )
    gaps = np.asarray(trace.loss) - quadratics.constants["f_star"]
    assert gaps[-1] <= 1e-9 * gaps[0]
