"""EF21-BC, EC-SGD-DIANA and EC-LSVRG-DIANA with the step sizes of the theory."""

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
    top_1,
)

from fedjax_opt import methods, problems, run, theory, timing
from fedjax_opt.compressors import rand_k, top_k

# ---------------------------------------------------------------- EF21-BC


def exact(rows):
    return rows


def ef21_bc_excess(problem, up, down, factor=1.0, rounds=40):
    """The largest (Ψ⁺ − its bound)/Ψ along paths; the bound is Ψ if factor is not 1."""
    n, d = problem.slopes.shape
    alphas = {
        "alpha": 1 / d if up is top_1 else 1.0,
        "server_alpha": 1 / d if down is top_1 else 1.0,
    }
    gamma = factor * theory.ef21_bc_step_size(
        problem.smoothness, problem.smoothness_mean_square, **alphas
    )
    of_server, of_each = theory.ef21_bc_lyapunov(gamma, **alphas)
    random = np.random.default_rng(3)
    worst = -np.inf

    def potential(x, each, g):
        error = of_server * square(g - each.mean(axis=0))
        return problem.gap(x) + error + of_each * spread_square(each - problem.grads(x))

    for of_each_start, of_g in [(0, 0), (1, 0.1), (0.1, 1), (10, 10), (10, 0)]:
        x = problem.minimum + random.normal(size=d)
        each = problem.grads(x) + of_each_start * random.normal(size=(n, d))
        each = problem.grads(x) if up is exact else each
        g = each.mean(axis=0) + of_g * random.normal(size=d)
        g = each.mean(axis=0) if down is exact else g
        for _ in range(rounds):
            before = potential(x, each, g)
            if before < 1e-14:  # the rest is rounding
                break
            bound = before
            if factor == 1:
                bound -= gamma / 2 * square(problem.grads(x).mean(axis=0))
            x = x - gamma * g
            each = each + up(problem.grads(x) - each)
            g = g + down(each.mean(axis=0) - g)
            worst = max(worst, (potential(x, each, g) - bound) / before)
    return worst


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("up", "down"), [(top_1, top_1), (exact, top_1), (top_1, exact)]
)
def test_ef21_bc_decreases_its_lyapunov_function(up, down, kind, seed):
    assert ef21_bc_excess(FiniteSums(seed, 4, 1, 4, kind), up, down) <= 1e-12


def test_with_eight_times_the_step_ef21_bc_grows():
    problems_ = [FiniteSums(seed, 4, 1, 4, "mixed") for seed in range(4)]
    assert max(ef21_bc_excess(p, top_1, top_1, 8.0) for p in problems_) > 0.1


def test_ef21_bc_by_hand():
    """α = α' = 7/16: ξ = 3, θ = 1/4, (1 + √(1−α))² = 49/16; η = 3·√(2·10·49/16)."""
    alphas = {"alpha": 7 / 16, "server_alpha": 7 / 16}
    eta = 3 * 61.25**0.5
    found = theory.ef21_bc_step_size(1.0, 2.0, **alphas)
    assert found == pytest.approx(1 / (1 + 2 * (3 + eta)))
    weights = theory.ef21_bc_lyapunov(0.5, **alphas)
    expected = ((3 + eta) / eta, (3 + eta) * (1 / 3 + eta / 10))
    assert weights == pytest.approx(expected)
    # Exact at the server it is EF21, γ/(2θ) as there.
    alphas["server_alpha"] = 1.0
    found = theory.ef21_bc_step_size(1.0, 2.0, **alphas)
    assert found == pytest.approx(theory.ef21_step_size(1.0, 2.0, alpha=7 / 16))
    assert theory.ef21_bc_lyapunov(0.5, **alphas) == pytest.approx((0, 1))
    alphas = {"alpha": 1.0, "server_alpha": 7 / 16}
    found = theory.ef21_bc_step_size(1.0, 2.0, **alphas)
    assert found == pytest.approx(1 / (1 + 2 * 3 * 2**0.5))
    assert theory.ef21_bc_lyapunov(0.5, **alphas) == pytest.approx((1, 0))


# ---------------------------------------------------------------- EC-DIANA

N = M = D = 2
OMEGA, ALPHA, P = D - 1, 1 / D, 1 / M
SHIFT_STEP = 1 / (1 + OMEGA)


def ec_parameters(problem, sampled, factor=1.0):
    """γ times a factor, and the function; its contraction is 1 if the factor is not."""
    if sampled:
        gamma = factor * theory.ec_lsvrg_diana_step_size(
            problem.smoothness,
            problem.part_smoothness_max,
            alpha=ALPHA,
            num_workers=len(problem.parts),
        )
    else:
        gamma = factor * theory.ec_diana_step_size(
            problem.smoothness, problem.smoothness_max, alpha=ALPHA
        )
    found = theory.ec_diana_lyapunov(
        gamma,
        problem.smoothness,
        alpha=ALPHA,
        shift_step=SHIFT_STEP,
        strong_convexity=problem.strong_convexity,
        num_workers=len(problem.parts),
        probability=P if sampled else None,
    )
    return gamma, found if factor == 1 else found._replace(contraction=1.0)


def ec_states(problem, sampled):
    """x, eᵢ, hᵢ and w, near and far; the errors in units of the gradient."""
    random = np.random.default_rng(9)
    optimal = problem.grads(problem.minimum)
    for of_x, of_error, of_shift, *of_w in scales(4 if sampled else 3):
        yield (
            problem.minimum + of_x * random.normal(size=D),
            10 * of_error * random.normal(size=(N, D)),
            optimal + of_shift * random.normal(size=(N, D)),
            problem.minimum + sum(of_w) * random.normal(size=D),
        )


def ec_growth(problem, sampled, factor=1.0):
    """The largest E Ψ⁺/Ψ over states, relative to the contraction."""
    gamma, psi = ec_parameters(problem, sampled, factor)
    optimal, parts = problem.grads(problem.minimum), problem.part_grads
    best = parts(problem.minimum)
    worst = 0.0

    def potential(x, errors, shifts):
        virtual = x - gamma * errors.mean(axis=-2) - problem.minimum
        of_errors = psi.error_weight * square(errors).mean(axis=-1)
        of_shifts = psi.shift_weight * square(shifts - optimal).mean(axis=-1)
        return square(virtual) + of_errors + of_shifts

    for x, errors, shifts, w in ec_states(problem, sampled):
        estimates, components, later = problem.grads(x)[None], 0.0, 0.0
        if sampled:
            changes = sample_outcomes(parts(x)) - sample_outcomes(parts(w))
            estimates = changes + problem.grads(w)
            components = spread_square(parts(w) - best)
            later = P * spread_square(parts(x) - best) + (1 - P) * components
        after = psi.component_weight * later
        for estimate in estimates:
            corrected = errors + estimate - shifts + shifts.mean(axis=0)
            sent = top_1(corrected)
            moved = shifts + SHIFT_STEP * rand_1_outcomes(estimate - shifts)
            new = x - gamma * sent.mean(axis=0)
            values = potential(new, corrected - sent, moved)
            after += values.mean() / len(estimates)
        before = potential(x, errors, shifts) + psi.component_weight * components
        worst = max(worst, after / before)
    return worst / psi.contraction


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_ec_diana_contracts_in_exact_expectation(kind, sampled):
    for seed in range(4):
        assert ec_growth(FiniteSums(seed, N, M, D, kind), sampled) <= 1 + 1e-12


@pytest.mark.parametrize("sampled", [False, True])
def test_with_eight_times_the_step_ec_diana_grows(sampled):
    assert ec_growth(FiniteSums(0, N, M, D, "rank_one"), sampled, 8.0) > 1.5


def test_ec_diana_by_hand():
    """α = 7/16: ξ = 3, θ = 1/4, β = 9/4; L = 2, L_max = 4 or 5."""
    found = theory.ec_diana_step_size(2.0, 4.0, alpha=7 / 16)
    assert found == pytest.approx(1 / (4 + 18 * 4))
    found = theory.ec_lsvrg_diana_step_size(2.0, 5.0, alpha=7 / 16, num_workers=4)
    assert found == pytest.approx(1 / (4 + 15 + 18 * 10))
    known = {"alpha": 7 / 16, "shift_step": 0.5, "strong_convexity": 0.2}
    found = theory.ec_diana_lyapunov(0.5, 2.0, **known)
    assert found == pytest.approx((6, 108, 0, 0.95))
    found = theory.ec_diana_lyapunov(0.5, 2.0, **known, num_workers=4, probability=0.05)
    assert found == pytest.approx((6, 108, 20 * (0.25 + 270), 0.975))


# ---------------------------------------------------------------- the recipes


@pytest.mark.parametrize("name", ["ef21_bc", "ec_diana"])
def test_recipes_converge_with_the_prescribed_step_size(name):
    problem = FiniteSums(1, 4, 1, D, "mixed")
    if name == "ef21_bc":
        gamma = theory.ef21_bc_step_size(
            problem.smoothness,
            problem.smoothness_mean_square,
            alpha=ALPHA,
            server_alpha=ALPHA,
        )
        method = methods.ef21_bc(
            step_size=gamma, compressor=top_k(1), server_compressor=top_k(1)
        )
    else:
        gamma, _ = ec_parameters(problem, sampled=False)
        method = methods.ec_diana(
            step_size=gamma,
            compressor=top_k(1),
            shift_compressor=rand_k(1),
            shift_step=SHIFT_STEP,
        )
    quadratics = problems.quadratics(problem.hessians, problem.slopes)
    trace = run(
        method,
        quadratics,
        num_workers=4,
        compute_time=timing.fixed(np.ones(4)),
        key=jax.random.key(0),
        num_updates=2000,
    )
    gaps = np.asarray(trace.loss) - quadratics.constants["f_star"]
    assert gaps[-1] <= 1e-9 * gaps[0]
