"""Recipes of EF21+, EF21-W, DCGD with shifts, 3PC and CBAG: mechanisms in runs."""

import functools
import math

import jax
import numpy as np
import pytest
from exact_quadratics import FiniteSums, rand_1_outcomes, square
from mechanism_draws import of_all, rand_k_draws, round_keys
from reference import compressed, trajectories, variance_reduced
from trajectory import SHAPE, UPDATES, X0, D, N, full_gradient, measured

from fedjax_opt import mechanisms, methods, problems, run, theory, timing
from fedjax_opt.compressors import rand_k, top_k
from fedjax_opt.mechanisms.coins import common_coin, own_coin
from fedjax_opt.static import stacked

KEY, STEP = jax.random.key(21), 0.05
WEIGHTS = (0.05, 0.1, 0.3, 0.15, 0.25, 0.15)
SHIFTS = np.random.default_rng(2).normal(size=(N, *SHAPE))
RULE = (N, X0, UPDATES, STEP)


def top(k):
    """Top-k of the reference, (worker, round, vector) -> vector."""
    return lambda worker, round_, vector: trajectories.top_k(vector.ravel(), k).reshape(
        vector.shape
    )


def three_pc(point_map, compress, **options):
    return compressed.three_pc(
        full_gradient,
        compress,
        *RULE,
        point_map=point_map,
        start="gradients",
        **options,
    )


def coins(draw, probability):
    """coin(worker, round) of a run."""
    drawn = of_all(lambda keys: draw(keys, probability), round_keys(KEY))
    return lambda worker, round_: drawn[round_, worker]


# name -> (recipe without its step size, () -> iterates of the reference)
GOLDEN = {
    "ef21_plus": (
        functools.partial(methods.ef21_plus, compressor=top_k(2)),
        lambda: compressed.ef21_plus(full_gradient, top(2), *RULE, start="compressed"),
    ),
    "ef21_weighted": (
        functools.partial(methods.ef21_weighted, compressor=top_k(2), weights=WEIGHTS),
        lambda: compressed.ef21_weighted(
            full_gradient, top(2), *RULE, weights=WEIGHTS, start="compressed"
        ),
    ),
    "dcgd_shift": (
        functools.partial(methods.dcgd_shift, compressor=rand_k(2), shifts=SHIFTS),
        lambda: variance_reduced.shifted(
            full_gradient, rand_k_draws(2, round_keys(KEY), SHAPE), *RULE, shifts=SHIFTS
        ),
    ),
    "three_pc_v1_gd": (
        functools.partial(methods.three_pc_v1_gd, compressor=top_k(2)),
        lambda: three_pc("v1", top(2)),
    ),
    "three_pc_v2_gd": (
        functools.partial(
            methods.three_pc_v2_gd, unbiased_compressor=rand_k(2), compressor=top_k(2)
        ),
        lambda: three_pc(
            "v2",
            top(2),
            compress_first=rand_k_draws(2, round_keys(KEY), SHAPE, part=0),
        ),
    ),
    "three_pc_v3_gd": (
        functools.partial(
            methods.three_pc_v3_gd,
            inner=mechanisms.v1_map(top_k(1)),
            compressor=top_k(2),
        ),
        lambda: three_pc(
            "v3", top(2), inner=lambda i, t, h, y, x: y + top(1)(i, t, x - y)
        ),
    ),
    "three_pc_v4_gd": (
        functools.partial(
            methods.three_pc_v4_gd, inner_compressor=top_k(1), compressor=top_k(2)
        ),
        lambda: three_pc("v4", top(2), compress_first=top(1)),
    ),
    "three_pc_v5_gd": (
        functools.partial(methods.three_pc_v5_gd, compressor=top_k(2), probability=0.4),
        lambda: three_pc("v5", top(2), coin=coins(common_coin, 0.4)),
    ),
    "cbag_gd": (
        functools.partial(methods.cbag_gd, compressor=top_k(2), probability=0.5),
        lambda: compressed.cbag(
            full_gradient,
            top(2),
            *RULE,
            coin=coins(own_coin, 0.5),
            start="gradients",
        ),
    ),
}


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)


@functools.cache
def iterates(name):
    return measured(GOLDEN[name][0](step_size=STEP), KEY)[0]


@pytest.mark.parametrize("name", GOLDEN)
def test_trajectory(name):
    make, reference = GOLDEN[name]
    assert make(step_size=STEP).label == name
    close(iterates(name), reference())


# ---------------------------------------------------------------- reductions


def test_equal_weights_are_ef21():
    own = methods.ef21_weighted(step_size=STEP, compressor=top_k(2))
    parent = methods.ef21_gd(step_size=STEP, compressor=top_k(2))
    close(measured(own, KEY)[0], measured(parent, KEY)[0])


def test_the_first_gradients_are_the_shifts_where_none_are_given():
    first = np.stack([full_gradient(i, X0) for i in range(N)])
    assert np.abs(first - SHIFTS).min() > 0
    own = methods.dcgd_shift(step_size=STEP, compressor=rand_k(2))
    expected = variance_reduced.shifted(
        full_gradient, rand_k_draws(2, round_keys(KEY), SHAPE), *RULE, shifts=first
    )
    close(measured(own, KEY)[0], expected)


def test_an_unbiased_v5_is_marina():
    options = {"step_size": STEP, "compressor": rand_k(2), "probability": 0.4}
    own = measured(methods.three_pc_v5_gd(**options), KEY)[0]
    close(own, measured(methods.marina_gd(**options), KEY)[0])


def test_numbers_of_a_recipe_make_no_new_program():
    """Weights, shifts and probabilities are leaves: the structures agree."""
    for name, numbers in {
        "ef21_weighted": [{"weights": w} for w in (WEIGHTS, range(1, N + 1))],
        "dcgd_shift": [{"shifts": h} for h in (SHIFTS, 2 * SHIFTS)],
        "three_pc_v5_gd": [{"probability": p} for p in (0.4, 0.7)],
        "cbag_gd": [{"probability": p} for p in (0.4, 0.7)],
    }.items():
        made = [GOLDEN[name][0](step_size=STEP, **options) for options in numbers]
        both = jax.tree.leaves(stacked(made))
        assert [len(leaf) for leaf in both] == [2] * len(both)
        assert any(np.any(leaf[0] != leaf[1]) for leaf in both)


# ---------------------------------------------------------------- theory


def quadratics(n=4, d=8):
    """Convex quadratics, as different as they come."""
    random = np.random.default_rng(0)
    eigenvalues = random.uniform(0.1, 10, (n, d)) * np.arange(1, n + 1)[:, None]
    bases = np.linalg.qr(random.normal(size=(n, d, d)))[0]
    matrices = np.einsum("nij,nj,nkj->nik", bases, eigenvalues, bases)
    return problems.quadratics(
        (matrices + matrices.transpose(0, 2, 1)) / 2, random.normal(size=(n, d))
    )


PROBLEM = quadratics()
KNOWN = PROBLEM.constants
BOTH = KNOWN["smoothness"], KNOWN["smoothness_mean_square"]
CONVEX = {"strong_convexity": KNOWN["strong_convexity"]}
ALPHA, OMEGA = 1 / 4, 3.0  # of Top-2 and Rand-2 among 8


def three_point(constants):
    return theory.three_point_step_size(*BOTH, constants=constants, **CONVEX)


WEIGHTED = theory.ef21_weighted(BOTH[0], KNOWN["smoothness_each"], alpha=ALPHA)
OF_THEORY = {
    "ef21_plus": theory.ef21_step_size(*BOTH, alpha=ALPHA, **CONVEX),
    "ef21_weighted": WEIGHTED.step_size,
    "three_pc_v1_gd": three_point(theory.three_point_v1(ALPHA)),
    "three_pc_v2_gd": three_point(theory.three_point_v2(ALPHA, OMEGA)),
    "three_pc_v3_gd": three_point(
        theory.three_point_v3(ALPHA, theory.three_point_v1(1 / 8))
    ),
    "three_pc_v4_gd": three_point(theory.three_point_v4(ALPHA, 1 / 8)),
    "three_pc_v5_gd": three_point(theory.three_point_v5(ALPHA, 0.4)),
    "cbag_gd": three_point(theory.three_point_cbag(ALPHA, 0.5)),
}


def gaps(method, num_updates=6000):
    """f(x⁰) − f* and f(x^K) − f*."""
    trace = run(
        method,
        PROBLEM,
        num_workers=4,
        compute_time=timing.fixed(np.ones(4)),
        key=KEY,
        num_updates=num_updates,
        record_every=num_updates,
    )
    return np.asarray(trace.loss) - KNOWN["f_star"]


@pytest.mark.parametrize("name", OF_THEORY)
def test_it_finds_the_minimiser_with_the_prescribed_step_size(name):
    options = {"weights": WEIGHTED.weights} if name == "ef21_weighted" else {}
    found = gaps(GOLDEN[name][0](step_size=OF_THEORY[name], **options))
    assert abs(found[-1]) <= 1e-9 * found[0]


def test_dcgd_with_shifts_at_the_optimum_finds_the_minimiser():
    """DCGD-STAR; the first gradients as shifts only lead to a neighbourhood."""
    gamma = theory.dcgd_step_size(
        KNOWN["smoothness"], KNOWN["smoothness_max"], omega=OMEGA, num_workers=4
    )
    optimal = jax.vmap(lambda i: PROBLEM.grad(PROBLEM.data, KNOWN["x_star"], i, None))(
        np.arange(4)
    )
    star = methods.dcgd_shift(step_size=gamma, compressor=rand_k(2), shifts=optimal)
    plain = methods.dcgd_shift(step_size=gamma, compressor=rand_k(2))
    exact, near = gaps(star), gaps(plain)
    assert abs(exact[-1]) <= 1e-9 * exact[0]
    assert 1e-7 * near[0] < near[-1] < near[0]


@pytest.mark.parametrize("seed", range(4))
def test_the_step_size_of_dcgd_holds_for_all_shifts(seed):
    """E|x⁺ − x*|² <= (1 − γμ)|x − x*|² + 2γ² (ω/n) (1/n) Σᵢ |hᵢ − ∇fᵢ(x*)|², Rand-1."""
    q = FiniteSums(seed, n=3, m=1, d=3, kind="mixed")
    omega, n = 2, 3
    gamma = theory.dcgd_step_size(
        q.smoothness, q.smoothness_max, omega=omega, num_workers=n
    )
    random = np.random.default_rng(seed)
    ratios = []
    for _ in range(200):
        x = q.minimum + random.normal(size=3) * 10 ** random.uniform(-2, 1)
        away = random.normal(size=(n, 3)) * 10 ** random.uniform(-2, 1)
        h = q.grads(q.minimum) + away
        sent = rand_1_outcomes(q.grads(x) - h)  # [27, 3, 3]
        after = x - gamma * (h + sent).mean(axis=1)
        mean = square(after - q.minimum).mean()
        bound = (1 - gamma * q.strong_convexity) * square(x - q.minimum)
        bound += 2 * gamma**2 * omega / n * square(away).mean()
        ratios.append(mean / bound)
    assert max(ratios) <= 1 + 1e-12
    assert max(ratios) > 0.5  # it is not empty


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: methods.ef21_plus(step_size=1, compressor=rand_k(2)), "contractive"),
        (
            lambda: methods.ef21_weighted(
                step_size=1, compressor=top_k(2), weights=[1.0, 0.0]
            ),
            "each weight must be positive",
        ),
        (
            lambda: methods.ef21_weighted(
                step_size=1, compressor=rand_k(2), weights=[1.0, 2.0]
            ),
            "contractive",
        ),
        (lambda: methods.dcgd_shift(step_size=1, compressor=top_k(2)), "unbiased"),
        (
            lambda: methods.dcgd_shift(
                step_size=1, compressor=top_k(2), shifts=np.zeros((2, 8))
            ),
            "unbiased",
        ),
        (
            lambda: methods.three_pc_v1_gd(step_size=1, compressor=rand_k(2)),
            "contractive",
        ),
        (
            lambda: methods.three_pc_v2_gd(
                step_size=1, unbiased_compressor=top_k(2), compressor=top_k(2)
            ),
            "unbiased",
        ),
        (
            lambda: methods.three_pc_v3_gd(
                step_size=1, inner=mechanisms.lag_map(trigger=1.0), compressor=rand_k(2)
            ),
            "contractive",
        ),
        (
            lambda: methods.three_pc_v4_gd(
                step_size=1, inner_compressor=rand_k(2), compressor=top_k(2)
            ),
            "contractive",
        ),
        (
            lambda: methods.three_pc_v5_gd(
                step_size=1, compressor=top_k(2), probability=0.0
            ),
            "probability",
        ),
        (
            lambda: methods.cbag_gd(step_size=1, compressor=rand_k(2), probability=0.5),
            "contractive",
        ),
        (
            lambda: methods.cbag_gd(step_size=1, compressor=top_k(2), probability=1.5),
            "probability",
        ),
    ],
)
def test_refusals_at_construction(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_as_many_weights_as_workers():
    method = methods.ef21_weighted(
        step_size=STEP, compressor=top_k(2), weights=(1.0, 2.0)
    )
    with pytest.raises(ValueError, match="one weight for each of 6"):
        measured(method, KEY)


def test_bits_of_a_round():
    """Top-2 of 6 float64 with indices of a byte: 2 · (64 + 8); v1 sends all 6."""
    sent = 2 * (64 + 8)
    for name, expected in {
        "ef21_plus": sent + 8,
        "ef21_weighted": sent,
        "three_pc_v1_gd": D * 64,
        "three_pc_v4_gd": sent + 64 + 8,
    }.items():
        _, trace = measured(GOLDEN[name][0](step_size=STEP), KEY, num_updates=3)
        bits = np.diff(np.asarray(trace.bits_up, float))
        assert bits[-1] == N * expected, name
        assert math.isclose(trace.bits_up[0], 0)
