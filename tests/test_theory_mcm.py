"""MCM contracts its Lyapunov function in exact expectation on quadratics."""

import itertools

import jax
import numpy as np
import pytest
from exact_quadratics import KINDS, FiniteSums, scales, spread_square, square

from fedjax_opt import methods, problems, run, theory, timing
from fedjax_opt.compressors import rand_k

N = D = 2


def coins(omega, count):
    """Outcomes of coins that send v(1+ω) or 0: chances, and factors [·, count]."""
    faces = [(1 / (1 + omega), 1 + omega)]
    faces += [(1 - 1 / (1 + omega), 0.0)] if omega else []
    drawn = list(itertools.product(faces, repeat=count))
    chances = [np.prod([chance for chance, _ in row]) for row in drawn]
    return chances, np.array([[factor for _, factor in row] for row in drawn])


def rand_1(count):
    """The same for Rand-1, ω = d − 1: factors [·, count, d]."""
    drawn = np.array(list(itertools.product(range(D), repeat=count)))
    return [D**-count] * len(drawn), D * (drawn[..., None] == np.arange(D))


def outcomes(kind, omega, count):
    chances, factors = rand_1(count) if kind == "rand" else coins(omega, count)
    return list(zip(chances, factors.reshape(len(chances), count, -1), strict=True))


def excess(problem, kind, omega, model_omega, factor=1.0):
    """The largest (E Ψ⁺ − its bound)/Ψ; the bound is Ψ if the factor is not 1."""
    step, shift_step, memory_step = theory.mcm(
        problem.smoothness,
        problem.smoothness_max,
        omega,
        model_omega,
        num_workers=N,
    )
    gamma = factor * step
    of_memory, of_shifts, contraction = theory.mcm_lyapunov(
        gamma,
        problem.smoothness,
        omega,
        model_omega,
        num_workers=N,
        strong_convexity=problem.strong_convexity,
    )
    solution = problem.minimum
    wanted = problem.grads(solution)

    def potential(x, memory, shifts):
        of_x = square(x - solution) + of_memory * square(x - memory)
        return of_x + of_shifts * spread_square(shifts - wanted)

    random = np.random.default_rng(4)
    worst = -np.inf
    for of_x, of_y, of_h in scales(3):
        x = solution + of_x * random.normal(size=D)
        memory = x - of_y * random.normal(size=D) * (model_omega > 0)
        shifts = wanted + of_h * random.normal(size=(N, D)) * (omega > 0)
        after = 0.0
        for chance, down in outcomes(kind, model_omega, 1):
            sent = down[0] * (x - memory)
            missed = problem.grads(memory + sent) - shifts
            for of_up, up in outcomes(kind, omega, N):
                message = up * missed
                after += (
                    chance
                    * of_up
                    * potential(
                        x - gamma * (shifts + message).mean(axis=0),
                        memory + memory_step * sent,
                        shifts + shift_step * message,
                    )
                )
        before = potential(x, memory, shifts)
        if before == 0:
            continue
        bound = before if factor != 1 else contraction * before
        worst = max(worst, (after - bound) / before)
    return worst


CASES = [
    ("rand", D - 1, D - 1),
    ("coins", 3.0, 9.0),
    ("coins", 9.0, 0.5),
    ("coins", 0.0, 4.0),
    ("coins", 4.0, 0.0),
    ("coins", 0.0, 0.0),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_contracts_in_exact_expectation(kind, case):
    for seed in range(4):
        assert excess(FiniteSums(seed, N, 1, D, kind), *case) <= 1e-12


@pytest.mark.parametrize("case", CASES, ids=str)
def test_with_eight_times_the_step_it_grows(case):
    problems_ = [FiniteSums(seed, N, 1, D, "rank_one") for seed in range(3)]
    assert max(excess(problem, *case, factor=8.0) for problem in problems_) > 0.1


def test_by_hand():
    """ω = ω' = 1, n = 2: b = 1/2. L = 1, L_max = 2: A = 7, and √(16 (4 + 6))."""
    found = theory.mcm(1.0, 2.0, 1.0, 1.0, num_workers=2)
    assert found == pytest.approx((1 / (7 + 160**0.5), 1 / 2, 1 / 2))
    found = theory.mcm_lyapunov(
        0.25, 2.0, 1.0, 1.0, num_workers=2, strong_convexity=1.0
    )
    assert found == pytest.approx((8, 9 / 4, 7 / 8))
    # Without compression at the server b = 1 and only A remains.
    found = theory.mcm(1.0, 2.0, 1.0, 0.0, num_workers=2)
    assert found == pytest.approx((1 / 7, 1 / 2, 1))


def test_recipe_converges_with_the_prescribed_step_size():
    problem = FiniteSums(1, N, 1, D, "mixed")
    step_size, shift_step, memory_step = theory.mcm(
        problem.smoothness, problem.smoothness_max, D - 1, D - 1, num_workers=N
    )
    quadratics = problems.quadratics(problem.hessians, problem.slopes, x0=np.zeros(D))
    method = methods.mcm(
        step_size=step_size,
        compressor=rand_k(1),
        model_compressor=rand_k(1),
        shift_step=shift_step,
        memory_step=memory_step,
    )
    trace = run(
        method,
        quadratics,
        num_workers=N,
        compute_time=timing.fixed(np.ones(N)),
        key=jax.random.key(0),
        num_updates=600,
    )
    gaps = np.asarray(trace.loss) - quadratics.constants["f_star"]
    assert gaps[-1] <= 1e-9 * gaps[0]
