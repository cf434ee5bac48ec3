"""Step sizes of GDCI and VR-GDCI, in exact expectation on quadratics."""

import jax
import numpy as np
import pytest
from exact_quadratics import (
    KINDS,
    FiniteSums,
    rand_1_outcomes,
    scales,
    spread_square,
    square,
)

from fedjax_opt import problems, run, theory, timing
from fedjax_opt.compressors import rand_k
from fedjax_opt.methods.gdci import gdci
from fedjax_opt.methods.vr_gdci import vr_gdci

N = D = 3
OMEGA = D - 1


def problems_of(kind, count=8):
    return [FiniteSums(seed, N, 1, D, kind) for seed in range(count)]


def parameters(prescribe, problem, factor=1.0):
    """γ, and η times a factor."""
    step_size, mixing = prescribe(
        problem.smoothness,
        problem.smoothness_max,
        OMEGA,
        num_workers=N,
        strong_convexity=problem.strong_convexity,
    )
    return step_size, factor * mixing


def gdci_growth(problem, factor=1.0):
    """The largest E|x⁺ − x*|² over (1−η)|x − x*|² + η²(2ω/n)(1/n)Σ|Tᵢ(x*)|²."""
    step_size, mixing = parameters(theory.gdci, problem, factor)
    random = np.random.default_rng(0)
    at_minimum = problem.minimum - step_size * problem.grads(problem.minimum)
    noise = mixing**2 * 2 * OMEGA / N * spread_square(at_minimum)
    worst = 0.0
    for scale in (0.0, 1e-3, 1.0, 1e3, 1e6):
        x = problem.minimum + scale * random.normal(size=D)
        messages = rand_1_outcomes(x - step_size * problem.grads(x))
        after = (1 - mixing) * x + mixing * messages.mean(axis=1)
        away = square(x - problem.minimum)
        bound = away * (1 - mixing if factor == 1 else 1) + noise
        worst = max(worst, square(after - problem.minimum).mean() / bound)
    return worst


def vr_gdci_growth(problem, factor=1.0):
    """The largest E Ψ⁺/Ψ over states, relative to the contraction if factor is 1."""
    step_size, mixing = parameters(theory.vr_gdci, problem, factor)
    weight, contraction = theory.vr_gdci_lyapunov(
        min(mixing, 1.0), OMEGA, num_workers=N
    )
    if factor != 1:
        contraction = 1.0
    random = np.random.default_rng(1)
    target = problem.minimum - step_size * problem.grads(problem.minimum)
    worst = 0.0
    for of_x, of_shift in scales(2):
        x = problem.minimum + of_x * random.normal(size=D)
        shifts = target + of_shift * random.normal(size=(N, D))
        sent = rand_1_outcomes(x - step_size * problem.grads(x) - shifts)
        after = (1 - mixing) * x + mixing * (shifts + sent).mean(axis=1)
        moved = shifts + sent / (1 + OMEGA)
        psi = square(x - problem.minimum) + weight * spread_square(shifts - target)
        psi_after = square(after - problem.minimum).mean()
        psi_after += weight * spread_square(moved - target)
        worst = max(worst, psi_after / psi / contraction)
    return worst


@pytest.mark.parametrize("growth", [gdci_growth, vr_gdci_growth])
@pytest.mark.parametrize("kind", KINDS)
def test_compressed_iterates_contract_in_exact_expectation(growth, kind):
    assert max(growth(problem) for problem in problems_of(kind)) <= 1 + 1e-12


@pytest.mark.parametrize("growth", [gdci_growth, vr_gdci_growth])
def test_with_four_times_the_share_they_grow(growth):
    assert max(growth(problem, 4.0) for problem in problems_of("mixed")) > 1.2


def test_by_hand():
    """L = 4, L_max = 6, μ = 2, ω = 3: at n = 3 the inverses are 2 + 2·2 and 2 + 6·2."""
    known = {"num_workers": 3, "strong_convexity": 2.0}
    assert theory.gdci(4.0, 6.0, 3.0, **known) == pytest.approx((1 / 2, 1 / 6))
    assert theory.vr_gdci(4.0, 6.0, 3.0, **known) == pytest.approx((1 / 2, 1 / 14))
    # Without compression ηγ = 1/L.
    for prescribe in (theory.gdci, theory.vr_gdci):
        assert np.prod(prescribe(4.0, 6.0, 0.0, **known)) == pytest.approx(1 / 4)
    for mixing, contraction in ((1 / 4, 7 / 8), (1 / 14, 13 / 14)):
        found = theory.vr_gdci_lyapunov(mixing, 3.0, num_workers=3)
        assert found == pytest.approx((16 * mixing**2, contraction))


@pytest.mark.parametrize("prescribe", [theory.gdci, theory.vr_gdci])
def test_impossible_constants_are_refused(prescribe):
    with pytest.raises(ValueError, match="strong_convexity must be at most"):
        prescribe(1.0, 2.0, 1.0, num_workers=2, strong_convexity=1.5)


def gaps_of(method, problem):
    """f(xᵏ) − f* over 2000 rounds, from far away."""
    quadratics = problems.quadratics(
        problem.hessians, problem.slopes, x0=np.full(D, 50.0)
    )
    trace = run(
        method,
        quadratics,
        num_workers=N,
        compute_time=timing.fixed(np.ones(N)),
        key=jax.random.key(0),
        num_updates=2000,
    )
    return np.asarray(trace.loss) - quadratics.constants["f_star"]


def test_gdci_ends_in_its_neighbourhood():
    """f − f* <= (L/2) |x − x*|²; of 1000 rounds the mean, so that the draws average."""
    problem = FiniteSums(3, N, 1, D, "mixed")
    step_size, mixing = parameters(theory.gdci, problem)
    gaps = gaps_of(
        gdci(step_size=step_size, compressor=rand_k(1), mixing=mixing), problem
    )
    target = problem.minimum - step_size * problem.grads(problem.minimum)
    radius = mixing * 2 * OMEGA / N * spread_square(target)
    assert gaps[1000:].mean() <= problem.smoothness / 2 * radius < 0.1 * gaps[0]
    assert gaps[1000:].mean() > 1e-6 * gaps[0]


def test_vr_gdci_converges_with_the_prescribed_parameters():
    problem = FiniteSums(3, N, 1, D, "mixed")
    step_size, mixing = parameters(theory.vr_gdci, problem)
    gaps = gaps_of(
        vr_gdci(step_size=step_size, compressor=rand_k(1), mixing=mixing), problem
    )
    assert gaps[-1] <= 1e-9 * gaps[0]
