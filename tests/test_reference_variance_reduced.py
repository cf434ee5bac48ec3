"""The loops of reference/variance_reduced.py and variational.py against arithmetic.

The first table is computed by hand. Then come reductions, the rounds that each draw
belongs to, limits, and the specification's numbers for the random quadratics and for
the problem on which EF21-SGD fails, which were computed elsewhere.
"""

import numpy as np
import pytest
from reference import compressed, trajectories, variational
from reference import variance_reduced as reduced

# By hand: f = x²/2 from x⁰ = 8 with step 1/2, one worker, C(u) = u/2.


def identity(worker, round_, vector):
    return vector


def identity_down(round_, vector):
    return vector


def zero(worker, round_, vector):
    return np.zeros_like(vector)


def half(worker, round_, vector):
    return vector / 2


def quarter(worker, round_, vector):
    return vector / 4


def half_down(round_, vector):
    return vector / 2


def slope(worker, x, round_):
    return x


def double(worker, x, round_):
    return 2 * x


def drifting(worker, x, round_):
    return x + round_


def affine(worker, x, round_):
    """Two workers, f₀ = x²/2 and f₁ = (x − 4)²/2."""
    return x - 4 * worker


def zero_or_double(worker, component, x):
    """Two components with the mean x."""
    return 2 * component * x


def once_or_thrice(worker, component, x):
    return (1 + 2 * component) * x


def never(*draw):
    return False


def always(*draw):
    return True


def at_round_one(*draw):
    return draw[-1] == 1


def at_round_two(*draw):
    return draw[-1] == 2


PICKS = [[1], [0], [1], [0, 1]]
ORDER = [[[1, 0], [0, 1]]]


def picked(worker, round_):
    return PICKS[round_]


def hand(method, *functions, workers=1, **options):
    return lambda: method(*functions, workers, 8.0, 4, 0.5, **options)


# a ≠ b: with a = b the messages of DASHA-PP do not depend on h.
PARTIAL = {
    "momentum": 0.25,
    "estimator_momentum": 0.5,
    "probability": 0.5,
    "start": "gradients",
}
BY_HAND = {
    # h⁰ = g⁰ = 8. k = 4 − 8: h = 8 − 8 = 0, m = (1/2)(−4)/(1/2): g = 4.
    # k = −2 − (0 − 4)/2 = 0: h = 0, m = 0 − (4 − 0)/4: g = 3.
    # k = −1.5 − (0 − 2)/2 = −0.5: m = −0.5 − (3 − 0)/4: g = 1.75.
    "dasha_pp": (
        hand(reduced.dasha_pp, slope, half, participates=always, **PARTIAL),
        [4, 2, 0.5, -0.375],
    ),
    # Worker 0 in rounds 1 and 3, worker 1 in round 2; g = (8, 4), (5, 4), (5, 1/4),
    # (3.3125, 1/4) and h = (8, 4), (2, 4), (2, −3.5).
    "dasha_pp of two workers": (
        hand(
            reduced.dasha_pp,
            affine,
            half,
            workers=2,
            participates=lambda worker, round_: (worker + round_) % 2 == 1,
            **PARTIAL,
        ),
        [5, 2.75, 1.4375, 0.546875],
    ),
    # Coin 0: k = 8 − 16, h = −8, g = 0. Coin 1: k = 0 − (−8 − 4)/2 = 6, h = 4,
    # m = 6 − (0 + 8)/4 = 4. Coin 0: k = 4 − 8, g = h = 4: m = −4.
    "dasha_pp_page": (
        hand(
            reduced.dasha_pp_page,
            double,
            slope,
            half,
            participates=always,
            coin=at_round_two,
            **PARTIAL,
        ),
        [4, 4, 2, 2],
    ),
    # k = 5 − 9 − (8 − 9)/2 = −3.5: h = 1, g = 4.5. k = 3.75 − 6 − (1 − 6)/2 = 0.25:
    # m = 0.25 − (4.5 − 1)/4.
    "dasha_pp_mvr": (
        hand(reduced.dasha_pp_mvr, drifting, half, participates=always, **PARTIAL),
        [4, 1.75, -0.1875],
    ),
    # h = 4, g = 6; g = h = 1; h = 0.5, g = 1 − 0.25.
    "dasha_sync_mvr": (
        hand(
            reduced.dasha_sync_mvr,
            drifting,
            slope,
            half,
            momentum=0.5,
            coin=at_round_two,
            start="gradients",
        ),
        [4, 1, 0.5, 0.125],
    ),
    # Squared errors against ζ(x − y)²: 9, 4 ≤ 8; 14.1, 6.25, 0 ≤ 4.5;
    # 0.141, 0.0625 ≤ 0.125; 0.22, 0.098, 0 ≤ 0.07.
    "adacgd": (
        hand(
            reduced.adacgd,
            slope,
            [quarter, half, identity],
            zeta=0.5,
            start="gradients",
        ),
        [4, 1, 0.5, 0.125],
    ),
    "adacgd, equality and the first": (
        hand(
            reduced.adacgd,
            slope,
            [quarter, half, identity],
            zeta=9 / 16,
            start="gradients",
        ),
        [4, 0.5, 0.25],
    ),
    "adacgd, none good enough": (
        hand(reduced.adacgd, slope, [quarter, half], zeta=0.5, start="gradients"),
        [4, 1, -0.75],
    ),
    "press_clip21": (
        hand(reduced.press_clip21, slope, half, threshold=3),
        [7.25, 5.75, 3.5625],
    ),
    "shifted": (hand(reduced.shifted, slope, half, shifts=[2.0]), [5.5, 3.625]),
    # Each worker: ∇fᵢ(x*) + (1/4 + (1/2)(3/4)) (x − 2), so that x − 2 shrinks by 11/16.
    "star": (
        hand(
            reduced.star,
            affine,
            half,
            quarter,
            workers=2,
            optimal_gradients=[2.0, -2.0],
        ),
        [6.125, 4.8359375],
    ),
    # w = 8, 8, 4: g = 16 − 16 + 8, 0 − 0 + 8, 0 − 8 + 4, (0 + (4 − 8))/2 + 4.
    "l_svrg": (
        hand(reduced.l_svrg, zero_or_double, 2, picks=picked, coin=at_round_one),
        [4, 0, 2, 1],
    ),
    # T₁ = 0, 16, 16, −8: g = 16, 0 + 8, −8 − 16 + 8, (0 + 8 + 8)/2 − 4.
    "saga": (
        hand(reduced.saga, zero_or_double, 2, picks=picked, table=[[0.0, 0.0]]),
        [0, -4, 4, 2],
    ),
    # g = 8, 8 + (8 − 16)/2, 4 + (4 − 8), 2.
    "sarah": (
        hand(
            reduced.sarah,
            zero_or_double,
            2,
            picks=lambda worker, round_: {1: [0, 1], 2: [1]}[round_],
            period=3,
        ),
        [4, 2, 2, 1],
    ),
    # g = 8, 8, 7 − 12 + 6 with w = 8, 8, 6; h = 0, 2, 3.5; h + q = 4, 5, 2.25.
    "vr_diana_lsvrg": (
        hand(
            reduced.vr_diana_lsvrg,
            zero_or_double,
            half,
            2,
            shift_step=0.5,
            picks=picked,
            coin=at_round_one,
        ),
        [6, 3.5, 2.375],
    ),
    "q_rr": (
        hand(reduced.q_rr, once_or_thrice, half, 2, order=ORDER),
        [2, 1.5, 1.125, 0.28125],
    ),
    # h + q = 12, 1, 0.5 + 0.5, 6 − 1.5.
    "diana_rr": (
        hand(reduced.diana_rr, once_or_thrice, half, 2, shift_step=0.5, order=ORDER),
        [2, 1.5, 1, -1.25],
    ),
    # z = 1, −5/4, 1/2; s = 8, −5, 3/4, rounded to multiples of 4: 8, −4, 0.
    "one_byte": (
        hand(
            reduced.one_byte,
            slope,
            lambda worker, round_, scalar: 4 * np.round(scalar / 4),
            direction=lambda worker, round_: [1, -1.25, 0.5, 0.5][round_],
        ),
        [4, 1.5, 1.5],
    ),
    # z½ = 4, 2.25, 1.484375; z½ − w = −4, −5.75, −1.484375, an eighth of it is added.
    "masha1": (
        hand(
            variational.masha1,
            lambda worker, z: z,
            half,
            half_down,
            mixing=0.5,
            coin=at_round_one,
        ),
        [4.5, 2.96875, 1.669921875],
    ),
    # p = −2, −2.875 − 1, −0.8671875 − 1.9375; half of it is sent, and joins −0.5,
    # −1.21875 at the server.
    "masha2": (
        hand(
            variational.masha2,
            lambda worker, z: z,
            half,
            half_down,
            mixing=0.5,
            coin=at_round_one,
        ),
        [4.5, 3.46875, 3.044921875],
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_first_steps_by_hand(name):
    run, expected = BY_HAND[name]
    np.testing.assert_allclose(run()[1 : len(expected) + 1], expected, rtol=1e-14)


def test_power_sgd_by_hand():
    iterates = reduced.power_sgd(
        slope, 1, [[2.0, 0], [0, 4]], 2, 0.5, factor=[[0.6], [0.8]]
    )
    # P = (6/5, 16/5), M̂ = P (3/5, 4/5); then M = x¹ + e = [[2.92, −1.44],
    # [−2.88, 4.16]] is projected on (3, 8)/√73.
    first = np.array([[1.64, -0.48], [-0.96, 2.72]])
    second = first - np.array([[-42.84, 86.88], [-114.24, 231.68]]) / 146
    np.testing.assert_allclose(iterates[1:], [first, second], rtol=1e-13)


def test_orthonormal_columns():
    actual = reduced.orthonormal(np.array([[3.0, 0, 6, 1], [4, 0, 8, 0], [0, 0, 0, 2]]))
    # (1, 0, 2) − (3/5)(3/5, 4/5, 0) = (16, −12, 50)/25, of length √2900/25.
    last = np.array([16, -12, 50]) / np.sqrt(2900)
    expected = np.stack([[0.6, 0.8, 0], np.zeros(3), np.zeros(3), last], axis=1)
    np.testing.assert_allclose(actual, expected, atol=1e-15)


# Reductions, on heterogeneous finite sums of quadratics with 5 terms per worker.

WORKERS, DIM, TERMS, UPDATES, STEP = 4, 6, 5, 30, 0.03
RNG = np.random.default_rng(8)
ROOTS = RNG.standard_normal((WORKERS, TERMS, DIM, DIM))
HESSIANS = ROOTS @ ROOTS.swapaxes(-1, -2) / DIM + 0.2 * np.eye(DIM)
LINEAR = RNG.standard_normal((WORKERS, TERMS, DIM))
X0 = RNG.standard_normal(DIM)
SAMPLES = RNG.integers(TERMS, size=(WORKERS, UPDATES, 2))
COINS = RNG.random((WORKERS, UPDATES)) < 0.4
ORDERS = np.argsort(RNG.random((WORKERS, UPDATES, DIM)))
PERMUTATIONS = np.argsort(RNG.random((WORKERS, UPDATES, TERMS)))
TABLE = RNG.standard_normal((WORKERS, TERMS, DIM))
COMMON = (WORKERS, X0, UPDATES, STEP)


def component(worker, j, x):
    return HESSIANS[worker, j] @ x - LINEAR[worker, j]


def exact(worker, x, round_):
    return HESSIANS[worker].mean(0) @ x - LINEAR[worker].mean(0)


def sampled(worker, x, round_):
    return sum(component(worker, j, x) for j in SAMPLES[worker, round_]) / 2


def picks(worker, round_):
    return SAMPLES[worker, round_]


def all_components(worker, round_):
    return reversed(range(TERMS))


def local_coin(worker, round_):
    return COINS[worker, round_]


def common_coin(round_):
    return COINS[0, round_]


def rand_2(worker, round_, vector):
    kept = ORDERS[worker, round_, :2]
    result = np.zeros_like(vector)
    result[kept] = DIM / 2 * vector[kept]
    return result


def top_2(worker, round_, vector):
    return trajectories.top_k(vector, 2)


def same(actual, expected):
    assert np.all(np.isfinite(expected)) and len(expected) == UPDATES + 1
    scale = np.max(np.abs(expected))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-13 * scale)


def gradient_descent(gradient=exact):
    return trajectories.dcgd(gradient, identity, *COMMON)


STARTS = ["gradients", "compressed", "zero"]
EVERYBODY = {"probability": 1, "participates": always}


@pytest.mark.parametrize("start", STARTS)
def test_dasha_pp_of_everybody_is_dasha(start):
    options = {"momentum": 0.2, "start": start}
    full = {**options, **EVERYBODY, "estimator_momentum": 0}
    same(
        reduced.dasha_pp(exact, rand_2, *COMMON, **full),
        compressed.dasha(exact, rand_2, *COMMON, **options),
    )
    same(
        reduced.dasha_pp_page(sampled, exact, rand_2, *COMMON, coin=local_coin, **full),
        compressed.dasha_page(
            sampled, exact, rand_2, *COMMON, coin=local_coin, **options
        ),
    )
    for estimator_momentum in (0, 0.3, 1):
        options["estimator_momentum"] = estimator_momentum
        same(
            reduced.dasha_pp_mvr(sampled, rand_2, *COMMON, **EVERYBODY, **options),
            compressed.dasha_mvr(sampled, rand_2, *COMMON, **options),
        )


HALF_OF_THEM = {
    "momentum": 0.1,
    "estimator_momentum": 2 / 3,
    "probability": 0.5,
    "participates": local_coin,
    "start": "gradients",
}


def test_dasha_pp_of_nobody_keeps_its_estimate():
    options = {**HALF_OF_THEM, "participates": never}
    g = sum(exact(i, X0, 0) for i in range(WORKERS)) / WORKERS
    frozen = X0 - STEP * np.arange(UPDATES + 1)[:, None] * g
    same(reduced.dasha_pp(exact, rand_2, *COMMON, **options), frozen)
    same(
        reduced.dasha_pp_page(sampled, exact, rand_2, *COMMON, coin=always, **options),
        frozen,
    )


def test_dasha_pp_page_whose_coin_always_comes_is_dasha_pp():
    same(
        reduced.dasha_pp_page(
            sampled, exact, rand_2, *COMMON, coin=always, **HALF_OF_THEM
        ),
        reduced.dasha_pp(exact, rand_2, *COMMON, **HALF_OF_THEM),
    )
    # With b = 0 the coin only says which gradient the difference is of.
    no_pull = {**HALF_OF_THEM, "estimator_momentum": 1}
    same(
        reduced.dasha_pp_page(
            exact, exact, rand_2, *COMMON, coin=local_coin, **no_pull
        ),
        reduced.dasha_pp(exact, rand_2, *COMMON, **no_pull),
    )


def test_dasha_sync_mvr_reductions():
    options = {"momentum": 0.2, "start": "gradients"}
    same(
        reduced.dasha_sync_mvr(sampled, exact, rand_2, *COMMON, coin=always, **options),
        gradient_descent(),
    )
    same(
        reduced.dasha_sync_mvr(
            sampled, sampled, rand_2, *COMMON, coin=never, **options
        ),
        compressed.dasha_mvr(sampled, rand_2, *COMMON, estimator_momentum=1, **options),
    )
    # Without compression, a = 1, it is PAGE on every worker with a common coin.
    same(
        reduced.dasha_sync_mvr(
            sampled,
            exact,
            identity,
            *COMMON,
            momentum=1,
            coin=common_coin,
            start="gradients",
        ),
        compressed.vr_marina(sampled, exact, identity, *COMMON, coin=common_coin),
    )


def test_vr_marina_of_one_worker_without_compression_is_page():
    batches = [
        range(TERMS) if t == 0 or common_coin(t) else list(SAMPLES[0, t])
        for t in range(UPDATES)
    ]
    same(
        compressed.vr_marina(
            sampled, exact, identity, 1, X0, UPDATES, STEP, coin=common_coin
        ),
        page(batches),
    )


def page(batches):
    """g = (1/m) Σⱼ ∇fⱼ(xᵗ) over a full batch, else g + mean of differences."""
    iterates, g = [X0], None
    for batch in batches:
        x = iterates[-1]
        if len(batch) == TERMS:
            g = sum(component(0, j, x) for j in batch) / TERMS
        else:
            g = g + sum(HESSIANS[0, j] for j in batch) / 2 @ (x - iterates[-2])
        iterates.append(x - STEP * g)
    return np.stack(iterates)


@pytest.mark.parametrize("b", [0, 0.3, 1])
def test_dasha_mvr_without_compression_is_mvr(b):
    iterates, v = [X0], [sampled(i, X0, 0) for i in range(WORKERS)]
    for t in range(UPDATES):
        x = iterates[-1]
        if t > 0:
            v = [
                sampled(i, x, t) + (1 - b) * (v[i] - sampled(i, iterates[-2], t))
                for i in range(WORKERS)
            ]
        iterates.append(x - STEP * sum(v) / WORKERS)
    options = {"momentum": 1, "estimator_momentum": 1 - b, "start": "gradients"}
    same(
        compressed.dasha_mvr(sampled, identity, *COMMON, **options),
        np.stack(iterates),
    )
    same(
        reduced.dasha_pp_mvr(sampled, identity, *COMMON, **EVERYBODY, **options),
        np.stack(iterates),
    )


@pytest.mark.parametrize("start", ["gradients", "zero"])
def test_adacgd_reductions(start):
    def run(*ladder, zeta):
        return reduced.adacgd(exact, ladder, *COMMON, zeta=zeta, start=start)

    lag = compressed.lag(exact, *COMMON, zeta=5.0, start=start)
    same(run(zero, identity, zeta=5.0), lag)
    clag = compressed.clag(exact, top_2, *COMMON, zeta=5.0, start=start)
    same(run(zero, top_2, zeta=5.0), clag)
    assert np.max(np.abs(lag - clag)) > 1e-4
    ef21 = compressed.cbag(exact, top_2, *COMMON, coin=always, start=start)
    same(run(top_2, zeta=5.0), ef21)
    same(run(zero, top_2, identity, zeta=0), run(identity, zeta=0))


def test_adacgd_with_zeta_zero_is_gradient_descent():
    same(
        reduced.adacgd(exact, [top_2, identity], *COMMON, zeta=0, start="gradients"),
        gradient_descent(),
    )


def test_press_clip21_reductions():
    same(
        reduced.press_clip21(exact, identity, *COMMON, threshold=0.3),
        compressed.clip21(exact, *COMMON, threshold=0.3),
    )
    same(
        reduced.press_clip21(exact, top_2, *COMMON, threshold=np.inf),
        trajectories.ef21(exact, top_2, *COMMON, start="compressed"),
    )


def optimum():
    mean = HESSIANS.mean((0, 1))
    return np.linalg.solve(mean, LINEAR.mean((0, 1))), np.linalg.eigvalsh(mean)


def at_optimum():
    return [exact(i, optimum()[0], 0) for i in range(WORKERS)]


def test_given_shifts_reductions():
    same(
        reduced.shifted(exact, rand_2, *COMMON, shifts=np.zeros((WORKERS, DIM))),
        trajectories.dcgd(exact, rand_2, *COMMON),
    )
    same(
        reduced.shifted(exact, identity, *COMMON, shifts=TABLE[:, 0]),
        gradient_descent(),
    )
    optimal = at_optimum()
    same(
        reduced.star(exact, rand_2, zero, *COMMON, optimal_gradients=optimal),
        reduced.shifted(exact, rand_2, *COMMON, shifts=optimal),
    )
    same(
        reduced.star(exact, rand_2, identity, *COMMON, optimal_gradients=optimal),
        gradient_descent(),
    )
    # hᵢ + Q(∇fᵢ − hᵢ) around ∇fᵢ(x*) is the induced compressor C + Q(· − C).
    induced = lambda i, t, v: top_2(i, t, v) + rand_2(i, t, v - top_2(i, t, v))
    same(
        reduced.star(exact, rand_2, top_2, *COMMON, optimal_gradients=optimal),
        reduced.shifted(exact, induced, *COMMON, shifts=optimal),
    )


FINITE = (TERMS, *COMMON)
ESTIMATORS = {
    "l_svrg": lambda p: reduced.l_svrg(component, *FINITE, picks=p, coin=common_coin),
    "saga": lambda p: reduced.saga(component, *FINITE, picks=p, table=TABLE),
    "sarah": lambda p: reduced.sarah(component, *FINITE, picks=p, period=7),
    "vr_diana_lsvrg": lambda p: reduced.vr_diana_lsvrg(
        component, identity, *FINITE, shift_step=0.3, picks=p, coin=common_coin
    ),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimator_of_all_components_is_exact(name):
    same(ESTIMATORS[name](all_components), gradient_descent())
    assert np.max(np.abs(ESTIMATORS[name](picks) - gradient_descent())) > 1e-3


def test_estimators_of_one_component_are_exact():
    only = lambda worker, j, x: exact(worker, x, 0)
    one = (1, *COMMON)
    first = lambda worker, round_: [0]
    same(reduced.l_svrg(only, *one, picks=first, coin=always), gradient_descent())
    same(reduced.saga(only, *one, picks=first, table=TABLE[:, :1]), gradient_descent())
    same(reduced.sarah(only, *one, picks=first, period=100), gradient_descent())


def test_sarah_reductions():
    same(reduced.sarah(component, *FINITE, picks=picks, period=1), gradient_descent())
    same(
        reduced.sarah(component, *FINITE, picks=picks, period=7),
        compressed.vr_marina(
            sampled, exact, identity, *COMMON, coin=lambda round_: round_ % 7 == 0
        ),
    )


def test_l_svrg_whose_coin_always_comes_refers_to_the_point_before():
    iterates = [X0, X0 - STEP * sum(exact(i, X0, 0) for i in range(WORKERS)) / WORKERS]
    for t in range(1, UPDATES):
        w, x = iterates[-2:]
        g = [
            exact(i, w, t) + HESSIANS[i, SAMPLES[i, t]].mean(0) @ (x - w)
            for i in range(WORKERS)
        ]
        iterates.append(x - STEP * sum(g) / WORKERS)
    same(
        reduced.l_svrg(component, *FINITE, picks=picks, coin=always),
        np.stack(iterates),
    )


def test_saga_keeps_the_last_gradient_of_every_component():
    # One component per round and a table that starts at the gradients at x⁰.
    one = lambda worker, round_: SAMPLES[worker, round_, :1]
    table = [[component(i, j, X0) for j in range(TERMS)] for i in range(WORKERS)]
    iterates = reduced.saga(component, *FINITE, picks=one, table=table)
    last = np.zeros((WORKERS, TERMS), dtype=int)
    for t in range(UPDATES):
        mean = np.zeros(DIM)
        for i in range(WORKERS):
            j = SAMPLES[i, t, 0]
            old = [component(i, k, iterates[last[i, k]]) for k in range(TERMS)]
            mean += (component(i, j, iterates[t]) - old[j] + sum(old) / TERMS) / WORKERS
            last[i, j] = t
        np.testing.assert_allclose(
            iterates[t + 1], iterates[t] - STEP * mean, rtol=0, atol=1e-13
        )


@pytest.mark.parametrize("method", ["l_svrg", "saga"])
def test_estimator_is_unbiased(method):
    # Round 2 over all components of one worker, after two given rounds.
    def run(last):
        p = lambda worker, round_: [[0], [3], [last]][round_]
        common = (component, TERMS, 1, X0, 3, 0.1)
        if method == "saga":
            return reduced.saga(*common, picks=p, table=TABLE)
        return reduced.l_svrg(*common, picks=p, coin=at_round_one)

    runs = np.stack([run(j) for j in range(TERMS)])
    before = runs[0, 2]
    expected = before - 0.1 * exact(0, before, 2)
    np.testing.assert_allclose(runs[:, 3].mean(0), expected, rtol=1e-12)
    assert np.std(runs[:, 3], axis=0).min() > 1e-4


def test_vr_diana_reductions():
    def run(compress, p, shift_step):
        return reduced.vr_diana_lsvrg(
            component,
            compress,
            *FINITE,
            shift_step=shift_step,
            picks=p,
            coin=common_coin,
        )

    same(run(identity, picks, 0.3), ESTIMATORS["l_svrg"](picks))
    same(
        run(rand_2, all_components, 1 / 3),
        trajectories.diana(exact, rand_2, *COMMON, shift_step=1 / 3),
    )
    same(run(rand_2, all_components, 0), trajectories.dcgd(exact, rand_2, *COMMON))


def reshuffled(worker, x, round_):
    epoch, position = divmod(round_, TERMS)
    return component(worker, PERMUTATIONS[worker, epoch, position], x)


def test_reshuffling_reductions():
    def q_rr(compress):
        return reduced.q_rr(component, compress, *FINITE, order=PERMUTATIONS)

    def diana_rr(compress, shift_step):
        return reduced.diana_rr(
            component, compress, *FINITE, shift_step=shift_step, order=PERMUTATIONS
        )

    same(q_rr(rand_2), trajectories.dcgd(reshuffled, rand_2, *COMMON))
    same(q_rr(identity), gradient_descent(reshuffled))
    same(diana_rr(identity, 0.3), gradient_descent(reshuffled))
    same(diana_rr(rand_2, 0), q_rr(rand_2))
    only = lambda worker, j, x: exact(worker, x, 0)
    order = np.zeros((WORKERS, UPDATES, 1), dtype=int)
    same(
        reduced.diana_rr(only, rand_2, 1, *COMMON, shift_step=1 / 3, order=order),
        trajectories.diana(exact, rand_2, *COMMON, shift_step=1 / 3),
    )


# PowerSGD.

MATRIX_RNG = np.random.default_rng(11)
LOW_RANK = MATRIX_RNG.standard_normal((5, 2)) @ MATRIX_RNG.standard_normal((2, 4))
FACTOR = reduced.orthonormal(MATRIX_RNG.standard_normal((4, 2)))


def test_power_sgd_of_equal_low_rank_matrices_is_exact_after_two_steps():
    # The second gradient is such that gradient plus error is the matrix again.
    def gradient(worker, x, round_):
        return LOW_RANK if round_ == 0 else -x / 0.5

    iterates = reduced.power_sgd(gradient, 3, np.zeros((5, 4)), 2, 0.5, factor=FACTOR)
    first, second = -np.diff(iterates, axis=0) / 0.5
    assert np.max(np.abs(first - LOW_RANK)) > 0.1
    np.testing.assert_allclose(second, LOW_RANK, atol=1e-13)


def test_power_sgd_catches_up_with_a_constant_gradient_every_second_step():
    iterates = reduced.power_sgd(
        lambda worker, x, round_: worker * LOW_RANK,
        3,
        np.zeros((5, 4)),
        8,
        0.5,
        factor=FACTOR,
    )
    expected = -0.5 * np.arange(9)[:, None, None] * LOW_RANK
    np.testing.assert_allclose(iterates[::2], expected[::2], atol=1e-12)
    assert np.max(np.abs(iterates[1::2] - expected[1::2])) > 0.1


def test_sum_of_power_sgd_estimates_tracks_the_sum_of_gradients():
    matrices = MATRIX_RNG.standard_normal((3, 400, 5, 4)) + LOW_RANK
    iterates = reduced.power_sgd(
        lambda worker, x, round_: matrices[worker, round_],
        3,
        np.zeros((5, 4)),
        400,
        1.0,
        factor=FACTOR,
    )
    sums = np.cumsum(matrices.mean(0), axis=0)
    errors = np.linalg.norm(sums + iterates[1:], axis=(1, 2))
    assert errors[-1] < 0.02 * np.linalg.norm(sums[-1])
    assert errors[200:].max() < 2 * errors[:200].max()  # no drift


def test_power_sgd_of_full_rank_is_gradient_descent():
    matrices = MATRIX_RNG.standard_normal((WORKERS, 4, 4))
    gradient = lambda worker, x, round_: matrices[worker] @ x / 4 + x
    x0 = MATRIX_RNG.standard_normal((4, 4))
    factor = reduced.orthonormal(MATRIX_RNG.standard_normal((4, 4)))
    same(
        reduced.power_sgd(gradient, WORKERS, x0, UPDATES, STEP, factor=factor),
        trajectories.dcgd(gradient, identity, WORKERS, x0, UPDATES, STEP),
    )


def test_power_sgd_stays_where_all_gradients_are_zero():
    x0 = np.ones((5, 4))
    iterates = reduced.power_sgd(
        lambda worker, x, round_: np.zeros((5, 4)), 2, x0, 3, 0.5, factor=FACTOR
    )
    np.testing.assert_array_equal(iterates, np.broadcast_to(x0, (4, 5, 4)))


def test_one_byte_along_scaled_units_is_a_gradient_step_on_average():
    def step(j):
        return reduced.one_byte(
            exact,
            identity,
            WORKERS,
            X0,
            1,
            STEP,
            direction=lambda worker, round_: np.sqrt(DIM) * np.eye(DIM)[j],
        )[1]

    mean = sum(step(j) for j in range(DIM)) / DIM
    np.testing.assert_allclose(mean, gradient_descent()[1], rtol=1e-12)


# The clock: round t uses the draws t.

LATER, ALL = set(range(1, UPDATES)), set(range(UPDATES))
ODD, EVEN = {t for t in LATER if t % 2 == 1}, {t for t in LATER if t % 2 == 0}
DRAWS = {
    "gradient": (sampled, 2),
    "full_gradient": (exact, 2),
    "compress": (rand_2, 1),
    "compress_shift": (rand_2, 1),
    "coin": (lambda worker, round_: round_ % 2 == 1, 1),
    "common_coin": (lambda round_: round_ % 2 == 1, 0),
    "participates": (always, 1),
    "picks": (picks, 1),
    "direction": (lambda worker, round_: X0, 1),
}
GIVEN = {"momentum": 0.2, "start": "gradients"}
CLOCKS = {
    "dasha_pp": (
        lambda f: reduced.dasha_pp(
            f["gradient"],
            f["compress"],
            *COMMON,
            estimator_momentum=0.5,
            probability=0.5,
            participates=f["participates"],
            **GIVEN,
        ),
        {"gradient": ALL, "compress": LATER, "participates": LATER},
    ),
    "dasha_pp_page": (
        lambda f: reduced.dasha_pp_page(
            f["gradient"],
            f["full_gradient"],
            f["compress"],
            *COMMON,
            estimator_momentum=0.5,
            probability=0.5,
            participates=f["participates"],
            coin=f["coin"],
            **GIVEN,
        ),
        {
            "gradient": EVEN,
            "full_gradient": ODD | {0},
            "compress": LATER,
            "participates": LATER,
            "coin": LATER,
        },
    ),
    "dasha_sync_mvr": (
        lambda f: reduced.dasha_sync_mvr(
            f["gradient"],
            f["full_gradient"],
            f["compress"],
            *COMMON,
            coin=f["common_coin"],
            **GIVEN,
        ),
        {
            "gradient": EVEN,
            "full_gradient": ODD | {0},
            "compress": EVEN,
            "common_coin": LATER,
        },
    ),
    "adacgd": (
        lambda f: reduced.adacgd(
            f["gradient"], [f["compress"]], *COMMON, zeta=1, start="gradients"
        ),
        {"gradient": ALL, "compress": LATER},
    ),
    "press_clip21": (
        lambda f: reduced.press_clip21(
            f["gradient"], f["compress"], *COMMON, threshold=1
        ),
        {"gradient": ALL, "compress": ALL},
    ),
    "shifted": (
        lambda f: reduced.shifted(
            f["gradient"], f["compress"], *COMMON, shifts=TABLE[:, 0]
        ),
        {"gradient": ALL, "compress": ALL},
    ),
    "star": (
        lambda f: reduced.star(
            f["gradient"],
            f["compress"],
            f["compress_shift"],
            *COMMON,
            optimal_gradients=TABLE[:, 0],
        ),
        {"gradient": ALL, "compress": ALL, "compress_shift": ALL},
    ),
    "l_svrg": (
        lambda f: reduced.l_svrg(
            component, *FINITE, picks=f["picks"], coin=f["common_coin"]
        ),
        {"picks": ALL, "common_coin": ALL},
    ),
    "saga": (
        lambda f: reduced.saga(component, *FINITE, picks=f["picks"], table=TABLE),
        {"picks": ALL},
    ),
    "sarah": (
        lambda f: reduced.sarah(component, *FINITE, picks=f["picks"], period=2),
        {"picks": ODD},
    ),
    "vr_diana_lsvrg": (
        lambda f: reduced.vr_diana_lsvrg(
            component,
            f["compress"],
            *FINITE,
            shift_step=0.3,
            picks=f["picks"],
            coin=f["common_coin"],
        ),
        {"compress": ALL, "picks": ALL, "common_coin": ALL},
    ),
    "diana_rr": (
        lambda f: reduced.diana_rr(
            component, f["compress"], *FINITE, shift_step=0.3, order=PERMUTATIONS
        ),
        {"compress": ALL},
    ),
    "one_byte": (
        lambda f: reduced.one_byte(
            f["gradient"], identity, *COMMON, direction=f["direction"]
        ),
        {"gradient": ALL, "direction": ALL},
    ),
}


@pytest.mark.parametrize("name", CLOCKS)
def test_round_uses_its_own_draws(name):
    run, expected = CLOCKS[name]
    rounds = {draw: set() for draw in DRAWS}
    points = []

    def watch(draw):
        function, position = DRAWS[draw]

        def watched(*args):
            rounds[draw].add(args[position])
            if draw.endswith("gradient"):
                points.append((args[2], args[1]))
            return function(*args)

        return watched

    iterates = run({draw: watch(draw) for draw in DRAWS})
    assert {draw: used for draw, used in rounds.items() if used} == expected
    for t, x in points:
        assert any(np.array_equal(x, iterates[s]) for s in {t, max(t - 1, 0)})


# Limits.

ROUNDS = 4000


def long_draws(seed):
    rng = np.random.default_rng(seed)
    kept = rng.integers(DIM, size=(WORKERS, ROUNDS))
    components = rng.integers(TERMS, size=(WORKERS, ROUNDS))
    coins = rng.random((WORKERS, ROUNDS)) < 0.5

    def rand_1(worker, round_, vector):
        result = np.zeros_like(vector)
        j = kept[worker, round_]
        result[j] = DIM * vector[j]
        return result

    return {
        "rand_1": rand_1,
        "picks": lambda worker, round_: [components[worker, round_]],
        "coin": lambda worker, round_: coins[worker, round_],
        "rare": lambda round_: round_ % TERMS == 0,
        "order": np.argsort(rng.random((WORKERS, ROUNDS // TERMS, TERMS))),
    }


LONG = (WORKERS, X0, ROUNDS)
# ω = 5: a = p/(2ω + 1), b = p/(2 − p), p = 1/2.
DASHA_PP = {
    "momentum": 0.5 / 11,
    "estimator_momentum": 2 / 3,
    "probability": 0.5,
    "start": "gradients",
}
LIMITS = {
    "dasha_pp": lambda d: reduced.dasha_pp(
        exact, d["rand_1"], *LONG, 0.02, participates=d["coin"], **DASHA_PP
    ),
    "dasha_pp_page": lambda d: reduced.dasha_pp_page(
        lambda worker, x, t: component(worker, d["picks"](worker, t)[0], x),
        exact,
        d["rand_1"],
        *LONG,
        0.01,
        participates=d["coin"],
        coin=lambda worker, round_: (round_ + worker) % TERMS == 0,
        **DASHA_PP,
    ),
    "dasha_sync_mvr": lambda d: reduced.dasha_sync_mvr(
        lambda worker, x, t: component(worker, d["picks"](worker, t)[0], x),
        exact,
        d["rand_1"],
        *LONG,
        0.02,
        momentum=1 / 11,
        coin=d["rare"],
        start="gradients",
    ),
    "adacgd": lambda d: reduced.adacgd(
        exact, [zero, top_2, identity], *LONG, 0.05, zeta=10, start="zero"
    ),
    "press_clip21": lambda d: reduced.press_clip21(
        exact, top_2, *LONG, 0.02, threshold=0.2
    ),
    "star": lambda d: reduced.star(
        exact, d["rand_1"], top_2, *LONG, 0.02, optimal_gradients=at_optimum()
    ),
    "l_svrg": lambda d: reduced.l_svrg(
        component, TERMS, *LONG, 0.03, picks=d["picks"], coin=d["rare"]
    ),
    "saga": lambda d: reduced.saga(
        component, TERMS, *LONG, 0.03, picks=d["picks"], table=TABLE
    ),
    "sarah": lambda d: reduced.sarah(
        component, TERMS, *LONG, 0.03, picks=d["picks"], period=TERMS
    ),
    "vr_diana_lsvrg": lambda d: reduced.vr_diana_lsvrg(
        component,
        d["rand_1"],
        TERMS,
        *LONG,
        0.02,
        shift_step=1 / 6,
        picks=d["picks"],
        coin=d["rare"],
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limit_is_the_optimum(name):
    iterates = LIMITS[name](long_draws(3))
    assert np.linalg.norm(iterates[-1] - optimum()[0]) < 1e-8


def test_shifts_per_component_remove_the_noise_of_compression_only():
    d = long_draws(3)
    common = (component, d["rand_1"], TERMS, *LONG, 0.01)
    plain = reduced.q_rr(*common, order=d["order"])
    diana = reduced.diana_rr(*common, shift_step=1 / 6, order=d["order"])
    x_star = optimum()[0]
    tail = lambda iterates: np.mean(np.sum((iterates[-500:] - x_star) ** 2, axis=1))
    assert tail(diana) < tail(plain) / 20
    assert tail(diana) > 1e-8  # that of reshuffling stays


# Loopless SVRG wants max Lⱼ, not L: f₁ = (m L/2) x², the other components 0, L = 1.

SPIKES = 100


def spike(worker, j, x):
    return SPIKES * x if j == 0 else 0 * x


def spike_run(step_size, seed, rounds):
    # l_svrg with w for the mean of the 100 gradients at w, which is faster.
    rng = np.random.default_rng(seed)
    drawn = rng.integers(SPIKES, size=rounds)
    coins = rng.random(rounds) < 1 / SPIKES
    x = w = 1.0
    for t in range(rounds):
        g = spike(0, drawn[t], x) - spike(0, drawn[t], w) + w
        w, x = (x if coins[t] else w), x - step_size * g
    return x


@pytest.mark.parametrize("seed", range(4))
def test_l_svrg_needs_the_largest_smoothness_of_a_component(seed):
    assert abs(spike_run(1 / 6, seed, 1500)) > 1e6
    assert abs(spike_run(1 / (6 * SPIKES), seed, 15000)) < 1e-6


def test_loop_for_the_spikes_is_l_svrg():
    rng = np.random.default_rng(0)
    drawn, coins = rng.integers(SPIKES, size=300), rng.random(300) < 1 / SPIKES
    iterates = reduced.l_svrg(
        spike,
        SPIKES,
        1,
        1.0,
        300,
        1 / 6,
        picks=lambda worker, round_: [drawn[round_]],
        coin=lambda round_: coins[round_],
    )
    np.testing.assert_allclose(iterates[-1], spike_run(1 / 6, 0, 300), rtol=1e-9)


def test_l_svrg_contracts_its_lyapunov_function():
    # One worker; V = ‖x − x*‖² + (4γ²/(p m)) Σⱼ ‖∇fⱼ(w) − ∇fⱼ(x*)‖², p = 1/m.
    p = 1 / TERMS
    largest = np.linalg.eigvalsh(HESSIANS[0]).max()
    mean = HESSIANS[0].mean(0)
    x_star = np.linalg.solve(mean, LINEAR[0].mean(0))
    step_size = 1 / (6 * largest)
    rate = max(1 - step_size * np.linalg.eigvalsh(mean)[0], 1 - p / 2)

    def lyapunov(x, w):
        spread = np.sum((HESSIANS[0] @ (w - x_star)) ** 2)
        return np.sum((x - x_star) ** 2) + 4 * step_size**2 / (p * TERMS) * spread

    rng = np.random.default_rng(1)
    for _ in range(50):
        w = x_star + 10 ** rng.uniform(-1, 1) * rng.standard_normal(DIM)
        first = rng.integers(TERMS)
        after = []
        for j in range(TERMS):
            p_j = lambda worker, round_, pair=(first, j): [pair[round_]]
            run = reduced.l_svrg(
                component, TERMS, 1, w, 2, step_size, picks=p_j, coin=never
            )
            x = run[1]
            after.append(p * lyapunov(run[2], x) + (1 - p) * lyapunov(run[2], w))
        assert np.mean(after) <= rate * lyapunov(x, w) * (1 + 1e-12)


# Saddle points: min over u, max over v of uᵀ Aᵢ v + (λ/2)(‖u‖² − ‖v‖²).

DEVICES = 3
COUPLINGS = np.eye(4) + 0.1 * np.random.default_rng(2).standard_normal((DEVICES, 4, 4))
Z0 = np.random.default_rng(3).standard_normal(8)


def saddle(strength):
    def operator(worker, z):
        u, v = z[:4], z[4:]
        a = COUPLINGS[worker]
        return np.concatenate([a @ v + strength * u, -a.T @ u + strength * v])

    return operator


def masha_draws(mixing, rounds):
    rng = np.random.default_rng(4)
    kept = np.argsort(rng.random((DEVICES + 1, rounds, 8)))[..., :2]
    coins = rng.random(rounds) < 1 - mixing

    def rand_2_of_8(worker, round_, vector):
        result = np.zeros(8)
        result[kept[worker, round_]] = 4 * vector[kept[worker, round_]]
        return result

    return (
        rand_2_of_8,
        lambda round_, vector: rand_2_of_8(DEVICES, round_, vector),
        lambda round_: coins[round_],
    )


def masha_step(mixing, strength):
    # ω = 3 on both ways: γ = min{√(1−τ)/(2 C), (1−τ)/(2 μ)}.
    squares = [np.linalg.norm(a, 2) ** 2 + strength**2 for a in COUPLINGS]
    c = np.sqrt(sum(4 / DEVICES**2 * (4 * s + 2 * np.mean(squares)) for s in squares))
    step_size = np.sqrt(1 - mixing) / (2 * c)
    return min(step_size, (1 - mixing) / (2 * strength)) if strength else step_size


@pytest.mark.parametrize("mixing", [0.5, 0.75])
@pytest.mark.parametrize("strength", [0, 0.3])
def test_masha_converges_on_the_saddle(strength, mixing):
    rounds = 4000 if strength else 10000
    up, down, coin = masha_draws(mixing, rounds)
    step_size = masha_step(mixing, strength)
    iterates = variational.masha1(
        saddle(strength),
        up,
        down,
        DEVICES,
        Z0,
        rounds,
        step_size,
        mixing=mixing,
        coin=coin,
    )
    assert np.linalg.norm(iterates[-1]) < 1e-6
    iterates = variational.masha2(
        saddle(strength),
        lambda worker, round_, vector: trajectories.top_k(vector, 4),
        lambda round_, vector: trajectories.top_k(vector, 4),
        DEVICES,
        Z0,
        rounds,
        step_size / 4,
        mixing=mixing,
        coin=coin,
    )
    # A quarter of the step leaves e^(−γ²k) at strength 0: a factor, not zero.
    limit = 1e-3 if strength else 0.4 * np.linalg.norm(Z0)
    assert np.linalg.norm(iterates[-1]) < limit


@pytest.mark.parametrize("compressed_messages", [False, True])
def test_simultaneous_descent_ascent_diverges_on_the_bilinear_saddle(
    compressed_messages,
):
    step_size = masha_step(0.5, 0)
    gradient = lambda worker, z, round_: saddle(0)(worker, z)
    up = masha_draws(0.5, 2000)[0] if compressed_messages else identity
    iterates = trajectories.dcgd(gradient, up, DEVICES, Z0, 2000, step_size)
    assert np.linalg.norm(iterates[-1]) > 100 * np.linalg.norm(Z0)
    if not compressed_messages:  # ‖z − γF(z)‖² = ‖z‖² + γ² ‖F(z)‖²
        assert np.all(np.diff(np.linalg.norm(iterates, axis=1)) > 0)


@pytest.mark.parametrize("method", [variational.masha1, variational.masha2])
def test_masha_without_compression(method):
    operator, step_size = saddle(0.1), 0.2
    mean = lambda z: sum(operator(i, z) for i in range(DEVICES)) / DEVICES

    def run(mixing, coin):
        return method(
            operator,
            identity,
            identity_down,
            DEVICES,
            Z0,
            UPDATES,
            step_size,
            mixing=mixing,
            coin=coin,
        )

    z, extragradient = Z0, [Z0]
    for _ in range(UPDATES):
        z = z - step_size * mean(z - step_size * mean(z))
        extragradient.append(z)
    same(run(0, always), np.stack(extragradient))
    same(run(0.75, always), np.stack(extragradient))
    # The loopless method: z½ = τ z + (1−τ) w − γ F(w), z ← z½ − γ (F(z½) − F(w)).
    z, w, loopless = Z0, Z0, [Z0]
    for k in range(UPDATES):
        middle = 0.75 * z + 0.25 * w - step_size * mean(w)
        z = 0.75 * z + 0.25 * w - step_size * mean(middle)
        w = z if common_coin(k) else w
        loopless.append(z)
    same(run(0.75, common_coin), np.stack(loopless))


# Numbers of the specification's problems, computed elsewhere.


def beznosikov(worker, x, round_):
    a = np.full(3, 2.0)
    a[worker] = -3
    return 2 * (a @ x) * a + x / 2


@pytest.mark.parametrize("step_size", [1e-3, 0.05, 1.0])
def test_dcgd_with_top_1_diverges_for_every_step(step_size):
    top_1 = lambda worker, round_, vector: trajectories.top_k(vector, 1)
    iterates = trajectories.dcgd(beznosikov, top_1, 3, np.ones(3), 5, step_size)
    powers = (1 + 11 * step_size / 6) ** np.arange(6)
    np.testing.assert_allclose(iterates, np.outer(powers, np.ones(3)), rtol=1e-10)


def test_constants_of_the_problem_where_dcgd_diverges():
    rows = np.full((3, 3), 2.0) - 5 * np.eye(3)
    hessians = 2 * rows[:, :, None] * rows[:, None, :] + np.eye(3) / 2
    np.testing.assert_allclose(np.linalg.eigvalsh(hessians)[:, -1], 34.5, rtol=1e-12)
    eigenvalues = np.linalg.eigvalsh(hessians.mean(0))
    np.testing.assert_allclose(eigenvalues[-1], 17.1667, rtol=1e-5)
    np.testing.assert_allclose(eigenvalues[0], 1.16667, rtol=1e-5)
    np.testing.assert_allclose(
        1 / (eigenvalues[-1] + 34.5 * ((1 + np.sqrt(2 / 3)) * 3 - 1)),
        5.85912e-3,
        rtol=1e-5,
    )


def noisy_runs(step_size, momenta, compress, runs):
    """Time averages of E‖x‖² of EF21-SGDM, one per momentum, all runs side by side."""
    rounds = round(60 / step_size)
    points = np.sqrt(0.3) * np.array([[2.0, 0], [0, 1], [-2, -1]])
    total = runs * len(momenta)
    draws = np.random.default_rng(5).integers(3, size=(rounds, total), dtype=np.int8)
    iterates = compressed.ef21_sgdm(
        lambda worker, x, round_: x + points[draws[round_]],
        compress,
        1,
        np.tile([0, -0.01], (total, 1)),
        rounds,
        step_size,
        momentum=np.repeat(momenta, runs)[:, None],
        start="compressed",
    )
    squares = np.sum(iterates[rounds // 2 :] ** 2, axis=2)
    return squares.reshape(-1, len(momenta), runs).mean((0, 2))


def top_1_of_2(worker, round_, v):
    first = np.abs(v[:, 0]) >= np.abs(v[:, 1])
    return v * np.stack([first, ~first], axis=1)


def test_ef21_sgd_flattens_at_the_smallest_step_of_the_table():
    # η = 1, √γ, γ; the steps 0.1 and 0.01 are in test_reference_compressed.py.
    averages = noisy_runs(1e-3, [0, 1 - 1e-3**0.5, 1 - 1e-3], top_1_of_2, 48)
    np.testing.assert_allclose(averages, [0.00556, 0.000541, 0.000502], rtol=0.08)


@pytest.mark.parametrize("step_size", [0.1, 0.01])
def test_sgd_on_the_same_problem_has_its_stationary_variance(step_size):
    average = noisy_runs(step_size, [0], identity, 256)
    np.testing.assert_allclose(average, step_size / (2 - step_size), rtol=0.04)


# n = 20 random positive definite quadratics of dimension 12.


def quadratics():
    rng = np.random.default_rng(1)
    matrices, vectors = [], []
    for _ in range(20):
        m = rng.standard_normal((12, 12))
        matrices.append(m @ m.T / 12 + 0.1 * np.eye(12))
        vectors.append(rng.standard_normal(12))
    return np.stack(matrices), np.stack(vectors)


MATRICES, VECTORS = quadratics()
MEAN = MATRICES.mean(0)
X_STAR = np.linalg.solve(MEAN, VECTORS.mean(0))
L = np.linalg.eigvalsh(MEAN)[-1]
L_I = np.linalg.eigvalsh(MATRICES)[:, -1]
L_HAT = np.sqrt(np.mean(L_I**2))


def quadratic(worker, x, round_):
    return MATRICES[worker] @ x - VECTORS[worker]


def gap(x):
    return 0.5 * (x - X_STAR) @ MEAN @ (x - X_STAR)


def test_constants_of_the_random_quadratics():
    variance = np.mean(MATRICES @ MATRICES, axis=0) - MEAN @ MEAN
    np.testing.assert_allclose(
        [
            np.mean(L_I),
            np.linalg.eigvalsh(MEAN)[0],
            np.sqrt(np.linalg.eigvalsh(variance)[-1]),
            gap(np.zeros(12)),
        ],
        [3.4168, 0.7132, 1.3543, 0.4766],
        rtol=0,
        atol=6e-5,
    )


def test_ef21_with_top_3_on_the_random_quadratics():
    alpha = 1 / 4
    ratio = (1 + np.sqrt(1 - alpha)) / alpha - 1
    step_size = 1 / (L + L_HAT * ratio)
    np.testing.assert_allclose(step_size, 0.041811, rtol=2e-5)
    np.testing.assert_allclose(
        1 / (L + np.sqrt(2) * L_HAT * ratio), 0.030127, rtol=2e-5
    )
    iterates = trajectories.ef21(
        quadratic,
        lambda worker, round_, vector: trajectories.top_k(vector, 3),
        20,
        np.zeros(12),
        1000,
        step_size,
        start="exact",
    )
    np.testing.assert_allclose(gap(iterates[500]), 2.6e-15, rtol=0.03)
    assert gap(iterates[1000]) < 1e-15


def test_diana_on_the_random_quadratics():
    kept = np.random.default_rng(4).integers(12, size=(20, 500))

    def rand_1(worker, round_, vector):
        result = np.zeros_like(vector)
        j = kept[worker, round_]
        result[j] = 12 * vector[j]
        return result

    step_size = 1 / (L_I.max() * (1 + 6 * 11 / 20))
    np.testing.assert_allclose(step_size, 0.051330, rtol=1e-5)
    iterates = trajectories.diana(
        quadratic, rand_1, 20, np.zeros(12), 500, step_size, shift_step=1 / 12
    )
    assert gap(iterates[500]) < 3e-15
