"""The loops of reference/compressed.py against arithmetic, tables and each other.

The first table is computed by hand for compressors that multiply by a number. Numbers
of published counterexamples and of the random quadratics were computed elsewhere.
"""

import numpy as np
import pytest
from reference import compressed, trajectories

# By hand: f = x²/2 from x⁰ = 8 with step 1/2, one worker, C(u) = u/2.


def identity(worker, round_, vector):
    return vector


def identity_down(round_, vector):
    return vector


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


def never(*draw):
    return False


def always(*draw):
    return True


def at_round_two(*draw):
    return draw[-1] == 2


def hand(method, *functions, **options):
    return lambda: method(*functions, 1, 8.0, 3, 0.5, **options)


BY_HAND = {
    "ec_diana": (
        hand(compressed.ec_diana, slope, half, half, shift_step=0.5),
        [6, 3.5],
    ),
    "rand_diana": (hand(compressed.rand_diana, slope, half, coin=always), [6, 2.5]),
    "frecon": (
        hand(
            compressed.frecon,
            slope,
            half,
            half,
            momentum=0.5,
            shift_step=0.5,
            participates=always,
            start="gradients",
        ),
        [4, 2, 0.75],
    ),
    "gdci": (
        hand(compressed.gdci, slope, half, mixing=0.5, shift_step=0.5),
        [5, 3.375],
    ),
    "ef21_plus": (
        lambda: compressed.ef21_plus(slope, half, 1, 8.0, 4, 0.5, start="compressed"),
        [6, 3.5, 1.375, 1.03125],
    ),
    "ef21_plus with a map per round": (
        hand(
            compressed.ef21_plus,
            slope,
            lambda worker, round_, vector: vector * (1.5 - round_),
            start="compressed",
        ),
        [2, 1.5],
    ),
    "ef21_sgdm": (
        hand(compressed.ef21_sgdm, slope, half, momentum=0.5, start="compressed"),
        [6, 3.25],
    ),
    "ef21_sgd2m": (
        hand(compressed.ef21_sgd2m, slope, half, momentum=0.5, start="compressed"),
        [6, 3.125],
    ),
    "ef21_hb": (
        hand(compressed.ef21_hb, slope, half, momentum=0.5, start="compressed"),
        [6, 2.5, -1.125],
    ),
    "ef21_prox": (
        hand(
            compressed.ef21_prox,
            slope,
            half,
            prox=lambda x, step: x / (1 + step),
            start="compressed",
        ),
        [4, 4 / 3],
    ),
    "ef21_bc": (
        hand(compressed.ef21_bc, slope, half, half_down, start="compressed"),
        [7, 5.125],
    ),
    "ef21_pp": (
        hand(
            compressed.ef21_pp,
            slope,
            half,
            participates=lambda worker, round_: round_ == 1,
            start="compressed",
        ),
        [8, 6, 4],
    ),
    "v1": (
        hand(compressed.three_pc, slope, half, point_map="v1", start="gradients"),
        [4, 1, -0.25],
    ),
    "v2": (
        hand(
            compressed.three_pc,
            slope,
            half,
            point_map="v2",
            compress_first=quarter,
            start="gradients",
        ),
        [4, 1.25, -0.265625],
    ),
    "v4": (
        hand(
            compressed.three_pc,
            slope,
            half,
            point_map="v4",
            compress_first=quarter,
            start="gradients",
        ),
        [4, 1.25, -0.171875],
    ),
    "v5": (
        hand(
            compressed.three_pc,
            slope,
            half,
            point_map="v5",
            coin=at_round_two,
            start="gradients",
        ),
        [4, 1, 0.5],
    ),
    "lag": (hand(compressed.lag, slope, zeta=1, start="gradients"), [4, 0, 0]),
    "clag": (hand(compressed.clag, slope, half, zeta=1, start="gradients"), [4, 0, -2]),
    "v1 from zero": (
        hand(compressed.three_pc, slope, half, point_map="v1", start="zero"),
        [8, 4],
    ),
    "lag from zero": (hand(compressed.lag, slope, zeta=1, start="zero"), [8, 4, 0]),
    "clag from zero": (
        hand(compressed.clag, slope, half, zeta=1, start="zero"),
        [8, 6, 4],
    ),
    "cbag": (
        hand(compressed.cbag, slope, half, coin=at_round_two, start="zero"),
        [8, 8, 6],
    ),
    "marina": (hand(compressed.marina, slope, half, coin=never), [4, 1, -1.25]),
    "vr_marina": (
        hand(
            compressed.vr_marina,
            lambda worker, x, round_: 2 * x + round_,
            slope,
            half,
            coin=at_round_two,
        ),
        [4, 2, 1],
    ),
    "dasha": (
        hand(compressed.dasha, slope, half, momentum=0.5, start="gradients"),
        [4, 1, -1],
    ),
    "dasha from zero": (
        hand(compressed.dasha, slope, half, momentum=0.5, start="zero"),
        [8, 7],
    ),
    "dasha_page": (
        hand(
            compressed.dasha_page,
            double,
            slope,
            half,
            momentum=0.5,
            coin=at_round_two,
            start="gradients",
        ),
        [4, 2, 0],
    ),
    "dasha_mvr": (
        hand(
            compressed.dasha_mvr,
            lambda worker, x, round_: x + round_,
            half,
            momentum=0.5,
            estimator_momentum=0.5,
            start="gradients",
        ),
        [4, 0.875],
    ),
    "ef21_p": (hand(compressed.ef21_p, slope, half_down), [4, 1, -0.75]),
    "mcm": (
        hand(
            compressed.mcm,
            slope,
            identity,
            half_down,
            memory_step=0.5,
            memory=0.0,
            shift_step=0,
        ),
        [6, 4, 2.25],
    ),
    "clip21": (hand(compressed.clip21, slope, threshold=3), [6.5, 3.5, 1.75]),
    "clip21_sgd2m": (
        hand(
            compressed.clip21_sgd2m, slope, threshold=1, momentum=0.5, estimate_step=0.5
        ),
        [7.75, 7.25],
    ),
    "clip21_sgd2m with noise": (
        hand(
            compressed.clip21_sgd2m,
            slope,
            threshold=1,
            momentum=0.5,
            estimate_step=0.5,
            noise=lambda worker, round_: 2.0,
        ),
        [7.25, 5.75],
    ),
    "norm_ef21": (hand(compressed.norm_ef21, slope, half), [7.5, 7, 6.5]),
    "alpha_norm_ec": (
        hand(compressed.alpha_norm_ec, slope, alpha=1, estimate_step=0.5, start="zero"),
        [7.5, 7, 6.5],
    ),
    # ĝ⁰ = (8/9 − 1)/2 < 0, but g⁰ = 4/9.
    "alpha_norm_ec with noise": (
        hand(
            compressed.alpha_norm_ec,
            slope,
            alpha=1,
            estimate_step=0.5,
            start="zero",
            noise=lambda worker, round_: -1.0 if round_ == 0 else 0.0,
        ),
        [8.5, 8, 7.5],
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_first_steps_by_hand(name):
    run, expected = BY_HAND[name]
    np.testing.assert_allclose(run()[1 : len(expected) + 1], expected, rtol=1e-14)


def affine(worker, x, round_):
    """Two workers, f₀ = x²/2 and f₁ = (x − 4)²/2."""
    return x - 4 * worker


def test_ec_diana_of_two_workers_by_hand():
    iterates = compressed.ec_diana(affine, half, half, 2, 8.0, 3, 0.5, shift_step=0.5)
    np.testing.assert_allclose(iterates, [8, 6.5, 4.625, 3.03125], rtol=1e-14)


def test_cofig_by_hand():
    iterates = compressed.cofig(
        affine,
        half,
        2,
        8.0,
        2,
        0.5,
        shift_step=0.5,
        participates=lambda worker, round_: worker == 0,
        refreshes=lambda worker, round_: worker == 1,
    )
    np.testing.assert_allclose(iterates, [8, 6, 4.25], rtol=1e-14)


def test_pp_marina_compresses_each_draw_of_a_client_anew():
    iterates = compressed.pp_marina(
        affine,
        lambda worker, round_, vector, repeat: vector / 2 if repeat == 0 else 0.0,
        2,
        8.0,
        2,
        0.5,
        coin=never,
        clients=lambda round_: [0, 0],
    )
    np.testing.assert_allclose(iterates, [8, 5, 2.375], rtol=1e-14)


def test_ef21_weighted_by_hand():
    iterates = compressed.ef21_weighted(
        lambda worker, x, round_: (1 + 2 * worker) * x,
        half,
        2,
        8.0,
        2,
        0.5,
        weights=[0.25, 0.75],
        start="compressed",
    )
    np.testing.assert_allclose(iterates, [8, 4, 0], atol=1e-14)


# Reductions, on heterogeneous finite sums of quadratics with 5 terms per worker.

WORKERS, DIM, TERMS, UPDATES, STEP = 4, 6, 5, 30, 0.03
RNG = np.random.default_rng(7)
ROOTS = RNG.standard_normal((WORKERS, TERMS, DIM, DIM))
HESSIANS = ROOTS @ ROOTS.swapaxes(-1, -2) / DIM + 0.2 * np.eye(DIM)
LINEAR = RNG.standard_normal((WORKERS, TERMS, DIM))
X0 = RNG.standard_normal(DIM)
SAMPLES = RNG.integers(TERMS, size=(WORKERS, UPDATES))
COINS = RNG.random((WORKERS, UPDATES)) < 0.4
ORDERS = np.argsort(RNG.random((WORKERS, UPDATES, DIM)))
SHARED_ORDERS = np.argsort(RNG.random((UPDATES, DIM)))
COMMON = (WORKERS, X0, UPDATES, STEP)


def exact(worker, x, round_):
    return HESSIANS[worker].mean(0) @ x - LINEAR[worker].mean(0)


def sampled(worker, x, round_):
    j = SAMPLES[worker, round_]
    return HESSIANS[worker, j] @ x - LINEAR[worker, j]


def homogeneous(worker, x, round_):
    return exact(0, x, round_)


def local_coin(worker, round_):
    return COINS[worker, round_]


def common_coin(round_):
    return COINS[0, round_]


def rand_2(worker, round_, vector):
    kept = ORDERS[worker, round_, :2]
    result = np.zeros_like(vector)
    result[kept] = DIM / 2 * vector[kept]
    return result


def rand_2_down(round_, vector):
    kept = SHARED_ORDERS[round_, :2]
    result = np.zeros_like(vector)
    result[kept] = DIM / 2 * vector[kept]
    return result


def top_2(worker, round_, vector):
    return trajectories.top_k(vector, 2)


def top_1(worker, round_, vector):
    return trajectories.top_k(vector, 1)


def top_2_down(round_, vector):
    return trajectories.top_k(vector, 2)


def same(actual, expected):
    assert np.all(np.isfinite(expected)) and len(expected) == UPDATES + 1
    scale = np.max(np.abs(expected))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-13 * scale)


def gradient_descent(gradient=exact, workers=WORKERS, step_size=STEP):
    return trajectories.dcgd(gradient, identity, workers, X0, UPDATES, step_size)


WEIGHTS = [0.1, 0.2, 0.3, 0.4]
CLIENTS = range(WORKERS)
GRADIENT_DESCENT = {
    "ef_bv": lambda: compressed.ef_bv(
        exact, identity, *COMMON, shift_step=0.3, estimate_step=1, start="zero"
    ),
    "ec_diana": lambda: compressed.ec_diana(
        exact, identity, identity, *COMMON, shift_step=0.3
    ),
    "rand_diana": lambda: compressed.rand_diana(
        exact, identity, *COMMON, coin=local_coin
    ),
    "cofig": lambda: compressed.cofig(
        exact,
        identity,
        *COMMON,
        shift_step=0.3,
        participates=always,
        refreshes=always,
    ),
    "frecon": lambda: compressed.frecon(
        exact,
        identity,
        identity,
        *COMMON,
        momentum=0.3,
        shift_step=0.4,
        participates=always,
        start="gradients",
    ),
    "vr_gdci": lambda: compressed.gdci(
        exact, identity, *COMMON, mixing=1, shift_step=0.3
    ),
    "ef21_plus": lambda: compressed.ef21_plus(
        exact, identity, *COMMON, start="compressed"
    ),
    "ef21_weighted": lambda: compressed.ef21_weighted(
        exact, identity, *COMMON, weights=WEIGHTS, start="compressed"
    ),
    "ef21_sgdm": lambda: compressed.ef21_sgdm(
        exact, identity, *COMMON, momentum=0, start="compressed"
    ),
    "ef21_sgd2m": lambda: compressed.ef21_sgd2m(
        exact, identity, *COMMON, momentum=0, start="compressed"
    ),
    "ef21_bc": lambda: compressed.ef21_bc(
        exact, identity, identity_down, *COMMON, start="compressed"
    ),
    "v1": lambda: compressed.three_pc(
        exact, identity, *COMMON, point_map="v1", start="gradients"
    ),
    "v2": lambda: compressed.three_pc(
        exact,
        identity,
        *COMMON,
        point_map="v2",
        compress_first=rand_2,
        start="gradients",
    ),
    "v4": lambda: compressed.three_pc(
        exact,
        identity,
        *COMMON,
        point_map="v4",
        compress_first=top_2,
        start="gradients",
    ),
    "v5, p = 1": lambda: compressed.three_pc(
        exact, top_2, *COMMON, point_map="v5", coin=always, start="gradients"
    ),
    "v5, C = id": lambda: compressed.three_pc(
        exact, identity, *COMMON, point_map="v5", coin=local_coin, start="gradients"
    ),
    "lag, zeta = 0": lambda: compressed.lag(exact, *COMMON, zeta=0, start="gradients"),
    "clag": lambda: compressed.clag(
        exact, identity, *COMMON, zeta=0, start="compressed"
    ),
    "cbag": lambda: compressed.cbag(
        exact, identity, *COMMON, coin=always, start="compressed"
    ),
    "marina, p = 1": lambda: compressed.marina(exact, rand_2, *COMMON, coin=always),
    "marina, Q = id": lambda: compressed.marina(
        exact, identity, *COMMON, coin=common_coin
    ),
    "vr_marina, all indices": lambda: compressed.vr_marina(
        exact, exact, identity, *COMMON, coin=common_coin
    ),
    "pp_marina": lambda: compressed.pp_marina(
        exact,
        lambda worker, round_, vector, repeat: vector,
        *COMMON,
        coin=common_coin,
        clients=lambda round_: CLIENTS,
    ),
    "dasha": lambda: compressed.dasha(
        exact, identity, *COMMON, momentum=1, start="gradients"
    ),
    "ef21_p": lambda: compressed.ef21_p(exact, identity_down, *COMMON),
    "ef21_p_diana": lambda: compressed.ef21_p_diana(
        exact, identity, identity_down, *COMMON, shift_step=0.3
    ),
    "mcm": lambda: compressed.mcm(
        exact,
        identity,
        identity_down,
        *COMMON,
        memory_step=0.3,
        memory=np.zeros(DIM),
        shift_step=0.4,
    ),
    "clip21": lambda: compressed.clip21(exact, *COMMON, threshold=np.inf),
    "clip21_sgd2m": lambda: compressed.clip21_sgd2m(
        exact, *COMMON, threshold=np.inf, momentum=0, estimate_step=1
    ),
}


@pytest.mark.parametrize("name", GRADIENT_DESCENT)
def test_without_compression_is_gradient_descent(name):
    same(GRADIENT_DESCENT[name](), gradient_descent())


def test_gdci_without_compression_has_the_step_eta_gamma():
    iterates = compressed.gdci(exact, identity, *COMMON, mixing=0.4, shift_step=0)
    same(iterates, gradient_descent(step_size=0.4 * STEP))


EF21 = {
    "ef_bv": lambda start: compressed.ef_bv(
        exact,
        top_2,
        *COMMON,
        shift_step=1,
        estimate_step=1,
        start={"exact": "gradients", "compressed": "zero"}[start],
    ),
    "weighted": lambda start: compressed.ef21_weighted(
        exact,
        top_2,
        *COMMON,
        weights=[1 / WORKERS] * WORKERS,
        start=NAMES[start],
    ),
    "sgdm": lambda start: compressed.ef21_sgdm(
        exact, top_2, *COMMON, momentum=0, start=NAMES[start]
    ),
    "sgd2m": lambda start: compressed.ef21_sgd2m(
        exact, top_2, *COMMON, momentum=0, start=NAMES[start]
    ),
    "hb": lambda start: compressed.ef21_hb(
        exact, top_2, *COMMON, momentum=0, start=NAMES[start]
    ),
    "prox": lambda start: compressed.ef21_prox(
        exact, top_2, *COMMON, prox=lambda x, step: x, start=NAMES[start]
    ),
    "bc": lambda start: compressed.ef21_bc(
        exact, top_2, identity_down, *COMMON, start=NAMES[start]
    ),
    "pp": lambda start: compressed.ef21_pp(
        exact, top_2, *COMMON, participates=always, start=NAMES[start]
    ),
    "clag": lambda start: compressed.clag(
        exact, top_2, *COMMON, zeta=0, start=NAMES[start]
    ),
    "cbag": lambda start: compressed.cbag(
        exact, top_2, *COMMON, coin=always, start=NAMES[start]
    ),
}
NAMES = {"exact": "gradients", "compressed": "compressed"}


@pytest.mark.parametrize("start", NAMES)
@pytest.mark.parametrize("name", EF21)
def test_is_ef21(name, start):
    same(EF21[name](start), trajectories.ef21(exact, top_2, *COMMON, start=start))


def test_momentum_free_sgdm_is_ef21_sgd():
    same(
        compressed.ef21_sgdm(sampled, top_2, *COMMON, momentum=0, start="compressed"),
        trajectories.ef21(sampled, top_2, *COMMON, start="compressed"),
    )


def test_plus_is_ef21_when_its_alternative_is_never_closer():
    # g + c is exact from the start if the gradients have two entries, and stays so.
    def sparse(worker, x, round_):
        return np.concatenate([exact(worker, x, round_)[:2], np.zeros(DIM - 2)])

    same(
        compressed.ef21_plus(sparse, top_2, *COMMON, start="gradients"),
        gradient_descent(sparse),
    )


def test_plus_differs_from_ef21():
    plus = compressed.ef21_plus(
        exact, top_1, WORKERS, X0, UPDATES, 0.3, start="compressed"
    )
    ef21 = trajectories.ef21(
        exact, top_1, WORKERS, X0, UPDATES, 0.3, start="compressed"
    )
    assert np.max(np.abs(plus - ef21)) > 1e-3


def test_ef_bv_with_a_prox_is_ef21_prox():
    def shrink(vector, step_size):
        return np.sign(vector) * np.maximum(np.abs(vector) - 0.5 * step_size, 0)

    same(
        compressed.ef_bv(
            exact,
            top_2,
            *COMMON,
            shift_step=1,
            estimate_step=1,
            start="zero",
            prox=shrink,
        ),
        compressed.ef21_prox(exact, top_2, *COMMON, prox=shrink, start="compressed"),
    )


def diana(gradient=exact):
    return trajectories.diana(gradient, rand_2, *COMMON, shift_step=1 / 3)


DIANA = {
    "ef_bv": lambda: compressed.ef_bv(
        exact, rand_2, *COMMON, shift_step=1 / 3, estimate_step=1, start="zero"
    ),
    "cofig": lambda: compressed.cofig(
        exact,
        rand_2,
        *COMMON,
        shift_step=1 / 3,
        participates=always,
        refreshes=always,
    ),
    "ef21_p_diana": lambda: compressed.ef21_p_diana(
        exact, rand_2, identity_down, *COMMON, shift_step=1 / 3
    ),
    "mcm": lambda: compressed.mcm(
        exact,
        rand_2,
        identity_down,
        *COMMON,
        memory_step=0.2,
        memory=X0,
        shift_step=1 / 3,
    ),
    "ec_diana with an exact C": lambda: compressed.ec_diana(
        exact, identity, rand_2, *COMMON, shift_step=1 / 3
    ),
}


@pytest.mark.parametrize("name", ["ef_bv", "cofig", "ef21_p_diana", "mcm"])
def test_is_diana(name):
    same(DIANA[name](), diana())


def test_ec_diana_with_an_exact_memory_is_gradient_descent():
    same(DIANA["ec_diana with an exact C"](), gradient_descent())


def dcgd(gradient=exact):
    return trajectories.dcgd(gradient, rand_2, *COMMON)


def test_without_shifts_is_dcgd():
    same(compressed.rand_diana(exact, rand_2, *COMMON, coin=never), dcgd())
    same(
        compressed.ef21_p_diana(exact, rand_2, identity_down, *COMMON, shift_step=0),
        dcgd(),
    )
    same(
        compressed.ef_bv(
            exact, rand_2, *COMMON, shift_step=0, estimate_step=1, start="zero"
        ),
        dcgd(),
    )


def test_ec_diana_without_shift_is_ef14():
    same(
        compressed.ec_diana(sampled, top_2, rand_2, *COMMON, shift_step=0),
        trajectories.ef14(sampled, top_2, *COMMON),
    )


def test_the_shared_model_of_ef21_p_is_the_iterate_of_ef14():
    points = []

    def recorded(worker, w, round_):
        points.append(w)
        return exact(0, w, round_)

    compressed.ef21_p(recorded, top_2_down, 1, X0, UPDATES + 1, STEP)
    same(np.stack(points), trajectories.ef14(exact, top_2, 1, X0, UPDATES, STEP))


def test_ef21_p_of_many_workers_is_ef21_p_of_their_mean():
    def mean(worker, w, round_):
        return sum(exact(i, w, round_) for i in range(WORKERS)) / WORKERS

    same(
        compressed.ef21_p(exact, top_2_down, *COMMON),
        compressed.ef21_p(mean, top_2_down, 1, X0, UPDATES, STEP),
    )


def test_ef21_p_diana_with_an_exact_uplink_is_ef21_p():
    same(
        compressed.ef21_p_diana(exact, identity, top_2_down, *COMMON, shift_step=0.3),
        compressed.ef21_p(exact, top_2_down, *COMMON),
    )


def test_lag_is_clag_without_compression():
    lag = compressed.lag(exact, *COMMON, zeta=5.0, start="gradients")
    clag = compressed.clag(exact, identity, *COMMON, zeta=5.0, start="gradients")
    same(clag, lag)
    assert np.max(np.abs(lag - gradient_descent())) > 1e-4


def test_cbag_with_local_coins_is_ef21_pp():
    same(
        compressed.cbag(exact, top_2, *COMMON, coin=local_coin, start="gradients"),
        compressed.ef21_pp(
            exact, top_2, *COMMON, participates=local_coin, start="gradients"
        ),
    )


def test_v5_with_an_unbiased_map_and_a_common_coin_is_marina():
    same(
        compressed.three_pc(
            exact,
            rand_2,
            *COMMON,
            point_map="v5",
            coin=lambda worker, round_: common_coin(round_),
            start="gradients",
        ),
        compressed.marina(exact, rand_2, *COMMON, coin=common_coin),
    )


def test_v3_around_ef21_is_v4():
    options = {"start": "compressed"}
    same(
        compressed.three_pc(
            exact,
            top_2,
            *COMMON,
            point_map="v3",
            inner=lambda i, t, h, y, x: h + top_1(i, t, x - h),
            **options,
        ),
        compressed.three_pc(
            exact, top_2, *COMMON, point_map="v4", compress_first=top_1, **options
        ),
    )


def test_vr_marina_reductions():
    same(
        compressed.vr_marina(exact, exact, rand_2, *COMMON, coin=common_coin),
        compressed.marina(exact, rand_2, *COMMON, coin=common_coin),
    )
    # Without compression it is PAGE on every worker, which is also DASHA-PAGE, a = 1.
    same(
        compressed.vr_marina(sampled, exact, identity, *COMMON, coin=common_coin),
        compressed.dasha_page(
            sampled,
            exact,
            identity,
            *COMMON,
            momentum=1,
            coin=lambda worker, round_: common_coin(round_),
            start="gradients",
        ),
    )


def test_pp_marina_with_every_client_once_is_marina():
    same(
        compressed.pp_marina(
            exact,
            lambda worker, round_, vector, repeat: rand_2(worker, round_, vector),
            *COMMON,
            coin=common_coin,
            clients=lambda round_: reversed(CLIENTS),
        ),
        compressed.marina(exact, rand_2, *COMMON, coin=common_coin),
    )


def test_marina_with_permuted_blocks_on_identical_workers_is_gradient_descent():
    workers = 3

    def perm_k(worker, round_, vector):
        kept = SHARED_ORDERS[round_, 2 * worker : 2 * worker + 2]
        result = np.zeros_like(vector)
        result[kept] = workers * vector[kept]
        return result

    iterates = compressed.marina(
        homogeneous, perm_k, workers, X0, UPDATES, STEP, coin=common_coin
    )
    same(iterates, gradient_descent(homogeneous, workers))


def dasha(gradient=exact, compress=rand_2):
    return compressed.dasha(
        gradient, compress, *COMMON, momentum=0.2, start="gradients"
    )


def test_dasha_page_with_full_gradients_is_dasha():
    options = {"momentum": 0.2, "start": "gradients"}
    for coin, gradient in ((always, sampled), (local_coin, exact)):
        same(
            compressed.dasha_page(
                gradient, exact, rand_2, *COMMON, coin=coin, **options
            ),
            dasha(),
        )


def test_dasha_mvr_without_noise_is_dasha():
    for b in (0.0, 0.3, 1.0):
        iterates = compressed.dasha_mvr(
            exact,
            rand_2,
            *COMMON,
            momentum=0.2,
            estimator_momentum=1 - b,
            start="gradients",
        )
        same(iterates, dasha())


def test_dasha_mvr_without_compression():
    def run(estimator_momentum):
        return compressed.dasha_mvr(
            sampled,
            identity,
            *COMMON,
            momentum=1,
            estimator_momentum=estimator_momentum,
            start="gradients",
        )

    same(run(0), gradient_descent(sampled))
    # b = 0 only adds differences, as VR-MARINA whose coin never comes.
    same(run(1), compressed.vr_marina(sampled, sampled, identity, *COMMON, coin=never))


def test_dasha_from_different_starts_differ():
    starts = {
        start: compressed.dasha(exact, rand_2, *COMMON, momentum=0.2, start=start)
        for start in ("gradients", "compressed", "zero")
    }
    np.testing.assert_array_equal(starts["zero"][1], X0)
    first = gradient_descent()[1]
    np.testing.assert_allclose(starts["gradients"][1], first, rtol=1e-13)
    np.testing.assert_allclose(starts["compressed"][1], dcgd()[1], rtol=1e-13)


def test_momentum_methods_without_compression_are_averaged_gradients():
    iterates, v = [X0], None
    for t in range(UPDATES):
        g = sum(sampled(i, iterates[-1], t) for i in range(WORKERS)) / WORKERS
        v = g if v is None else 0.7 * v + 0.3 * g
        iterates.append(iterates[-1] - STEP * v)
    same(
        compressed.ef21_sgdm(
            sampled, identity, *COMMON, momentum=0.7, start="compressed"
        ),
        np.stack(iterates),
    )


def test_clip21_sgd2m_reductions():
    same(
        compressed.clip21_sgd2m(
            exact, *COMMON, threshold=0.2, momentum=0, estimate_step=1
        ),
        compressed.clip21(exact, *COMMON, threshold=0.2),
    )
    same(
        compressed.clip21_sgd2m(
            sampled, *COMMON, threshold=np.inf, momentum=0, estimate_step=1
        ),
        gradient_descent(sampled),
    )
    iterates, v = [X0], np.zeros(DIM)
    for t in range(UPDATES):
        g = sum(sampled(i, iterates[-1], t) for i in range(WORKERS)) / WORKERS
        v = 0.6 * v + 0.4 * g
        iterates.append(iterates[-1] - STEP * v)
    same(
        compressed.clip21_sgd2m(
            sampled, *COMMON, threshold=np.inf, momentum=0.6, estimate_step=1
        ),
        np.stack(iterates),
    )


def test_normalized_ef21_reductions():
    same(
        compressed.norm_ef21_sgdm(exact, top_2, *COMMON, momentum=0),
        compressed.norm_ef21(exact, top_2, *COMMON),
    )
    iterates = [X0]
    for t in range(UPDATES):
        g = sum(exact(i, iterates[-1], t) for i in range(WORKERS)) / WORKERS
        iterates.append(iterates[-1] - STEP * g / np.linalg.norm(g))
    same(compressed.norm_ef21(exact, identity, *COMMON), np.stack(iterates))
    iterates, v = [X0], None
    for t in range(UPDATES):
        g = sum(sampled(i, iterates[-1], t) for i in range(WORKERS)) / WORKERS
        v = g if v is None else 0.7 * v + 0.3 * g
        iterates.append(iterates[-1] - STEP * v / np.linalg.norm(v))
    same(
        compressed.norm_ef21_sgdm(sampled, identity, *COMMON, momentum=0.7),
        np.stack(iterates),
    )


@pytest.mark.parametrize("start", ["zero", "gradients"])
def test_normalization_of_small_vectors_is_a_multiple(start):
    # Norm_α(u) → u/α, so that β = cα smooths the gradients exponentially.
    actual = compressed.alpha_norm_ec(
        exact, *COMMON, alpha=1e8, estimate_step=0.25e8, start=start
    )
    gradient = lambda x: sum(exact(i, x, 0) for i in range(WORKERS)) / WORKERS
    iterates, g = [X0], {"zero": 0, "gradients": gradient(X0)}[start]
    for _ in range(UPDATES):
        g = 0.75 * g + 0.25 * gradient(iterates[-1])
        iterates.append(iterates[-1] - STEP * g / np.linalg.norm(g))
    np.testing.assert_allclose(actual, np.stack(iterates), rtol=1e-5, atol=1e-5)


# The clock: round t uses the draws t, at xᵗ and, for differences, at xᵗ⁻¹.

LATER, ALL = set(range(1, UPDATES)), set(range(UPDATES))
ODD, EVEN = {t for t in LATER if t % 2 == 1}, {t for t in LATER if t % 2 == 0}
DRAWS = {
    "gradient": (sampled, 2),
    "full_gradient": (exact, 2),
    "compress": (rand_2, 1),
    "compress_shift": (rand_2, 1),
    "compress_down": (rand_2_down, 0),
    "repeated": (lambda worker, round_, vector, repeat: vector / 2, 1),
    "clients": (lambda round_: CLIENTS, 0),
    "coin": (lambda worker, round_: round_ % 2 == 1, 1),
    "common_coin": (lambda round_: round_ % 2 == 1, 0),
    "participates": (always, 1),
    "refreshes": (always, 1),
    "noise": (lambda worker, round_: 0.0, 1),
}
GIVEN = {"start": "gradients"}
CLOCKS = {
    "ef_bv": (
        lambda f: compressed.ef_bv(
            f["gradient"],
            f["compress"],
            *COMMON,
            shift_step=0.3,
            estimate_step=1,
            start="zero",
        ),
        {"gradient": ALL, "compress": ALL},
    ),
    "ec_diana": (
        lambda f: compressed.ec_diana(
            f["gradient"], f["compress"], f["compress_shift"], *COMMON, shift_step=0.3
        ),
        {"gradient": ALL, "compress": ALL, "compress_shift": ALL},
    ),
    "rand_diana": (
        lambda f: compressed.rand_diana(
            f["gradient"], f["compress"], *COMMON, coin=f["coin"]
        ),
        {"gradient": ALL, "compress": ALL, "coin": ALL},
    ),
    "cofig": (
        lambda f: compressed.cofig(
            f["gradient"],
            f["compress"],
            *COMMON,
            shift_step=0.3,
            participates=f["participates"],
            refreshes=f["refreshes"],
        ),
        {"gradient": ALL, "compress": ALL, "participates": ALL, "refreshes": ALL},
    ),
    "frecon": (
        lambda f: compressed.frecon(
            f["gradient"],
            f["compress"],
            f["compress_shift"],
            *COMMON,
            momentum=0.1,
            shift_step=0.3,
            participates=f["participates"],
            **GIVEN,
        ),
        {
            "gradient": ALL,
            "compress": LATER,
            "compress_shift": LATER,
            "participates": LATER,
        },
    ),
    "gdci": (
        lambda f: compressed.gdci(
            f["gradient"], f["compress"], *COMMON, mixing=0.2, shift_step=0.3
        ),
        {"gradient": ALL, "compress": ALL},
    ),
    "ef21_plus": (
        lambda f: compressed.ef21_plus(f["gradient"], f["compress"], *COMMON, **GIVEN),
        {"gradient": ALL, "compress": ALL},
    ),
    "ef21_weighted": (
        lambda f: compressed.ef21_weighted(
            f["gradient"], f["compress"], *COMMON, weights=WEIGHTS, **GIVEN
        ),
        {"gradient": ALL, "compress": ALL},
    ),
    "ef21_sgdm": (
        lambda f: compressed.ef21_sgdm(
            f["gradient"], f["compress"], *COMMON, momentum=0.5, **GIVEN
        ),
        {"gradient": ALL, "compress": ALL},
    ),
    "ef21_sgd2m": (
        lambda f: compressed.ef21_sgd2m(
            f["gradient"], f["compress"], *COMMON, momentum=0.5, **GIVEN
        ),
        {"gradient": ALL, "compress": ALL},
    ),
    "ef21_hb": (
        lambda f: compressed.ef21_hb(
            f["gradient"], f["compress"], *COMMON, momentum=0.5, **GIVEN
        ),
        {"gradient": ALL, "compress": ALL},
    ),
    "ef21_prox": (
        lambda f: compressed.ef21_prox(
            f["gradient"], f["compress"], *COMMON, prox=lambda x, step: x, **GIVEN
        ),
        {"gradient": ALL, "compress": ALL},
    ),
    "ef21_bc": (
        lambda f: compressed.ef21_bc(
            f["gradient"], f["compress"], f["compress_down"], *COMMON, **GIVEN
        ),
        {"gradient": ALL, "compress": ALL, "compress_down": ALL},
    ),
    "ef21_pp": (
        lambda f: compressed.ef21_pp(
            f["gradient"],
            f["compress"],
            *COMMON,
            participates=f["participates"],
            **GIVEN,
        ),
        {"gradient": ALL, "compress": ALL, "participates": ALL},
    ),
    "three_pc": (
        lambda f: compressed.three_pc(
            f["gradient"],
            f["compress"],
            *COMMON,
            point_map="v2",
            compress_first=f["compress_shift"],
            **GIVEN,
        ),
        {"gradient": ALL, "compress": LATER, "compress_shift": LATER},
    ),
    "v5": (
        lambda f: compressed.three_pc(
            f["gradient"],
            f["compress"],
            *COMMON,
            point_map="v5",
            coin=f["coin"],
            **GIVEN,
        ),
        {"gradient": ALL, "compress": EVEN, "coin": LATER},
    ),
    "lag": (
        lambda f: compressed.lag(f["gradient"], *COMMON, zeta=0, **GIVEN),
        {"gradient": ALL},
    ),
    "clag": (
        lambda f: compressed.clag(
            f["gradient"], f["compress"], *COMMON, zeta=0, **GIVEN
        ),
        {"gradient": ALL, "compress": LATER},
    ),
    "cbag": (
        lambda f: compressed.cbag(
            f["gradient"], f["compress"], *COMMON, coin=f["coin"], **GIVEN
        ),
        {"gradient": ODD | {0}, "compress": ODD, "coin": LATER},
    ),
    "marina": (
        lambda f: compressed.marina(
            f["gradient"], f["compress"], *COMMON, coin=f["common_coin"]
        ),
        {"gradient": ALL, "compress": EVEN, "common_coin": LATER},
    ),
    "vr_marina": (
        lambda f: compressed.vr_marina(
            f["gradient"],
            f["full_gradient"],
            f["compress"],
            *COMMON,
            coin=f["common_coin"],
        ),
        {
            "gradient": EVEN,
            "full_gradient": ODD | {0},
            "compress": EVEN,
            "common_coin": LATER,
        },
    ),
    "pp_marina": (
        lambda f: compressed.pp_marina(
            f["gradient"],
            f["repeated"],
            *COMMON,
            coin=f["common_coin"],
            clients=f["clients"],
        ),
        {"gradient": ALL, "repeated": EVEN, "common_coin": LATER, "clients": EVEN},
    ),
    "dasha": (
        lambda f: compressed.dasha(
            f["gradient"], f["compress"], *COMMON, momentum=0.2, **GIVEN
        ),
        {"gradient": ALL, "compress": LATER},
    ),
    "dasha_page": (
        lambda f: compressed.dasha_page(
            f["gradient"],
            f["full_gradient"],
            f["compress"],
            *COMMON,
            momentum=0.2,
            coin=f["coin"],
            **GIVEN,
        ),
        {
            "gradient": EVEN,
            "full_gradient": ODD | {0},
            "compress": LATER,
            "coin": LATER,
        },
    ),
    "dasha_mvr": (
        lambda f: compressed.dasha_mvr(
            f["gradient"],
            f["compress"],
            *COMMON,
            momentum=0.2,
            estimator_momentum=0.5,
            **GIVEN,
        ),
        {"gradient": ALL, "compress": LATER},
    ),
    "clip21": (
        lambda f: compressed.clip21(f["gradient"], *COMMON, threshold=1),
        {"gradient": ALL},
    ),
    "clip21_sgd2m": (
        lambda f: compressed.clip21_sgd2m(
            f["gradient"],
            *COMMON,
            threshold=1,
            momentum=0.5,
            estimate_step=0.5,
            noise=f["noise"],
        ),
        {"gradient": ALL, "noise": ALL},
    ),
    "norm_ef21": (
        lambda f: compressed.norm_ef21(f["gradient"], f["compress"], *COMMON),
        {"gradient": ALL, "compress": ALL},
    ),
    "norm_ef21_sgdm": (
        lambda f: compressed.norm_ef21_sgdm(
            f["gradient"], f["compress"], *COMMON, momentum=0.5
        ),
        {"gradient": ALL, "compress": ALL},
    ),
    "alpha_norm_ec": (
        lambda f: compressed.alpha_norm_ec(
            f["gradient"],
            *COMMON,
            alpha=1,
            estimate_step=0.5,
            noise=f["noise"],
            **GIVEN,
        ),
        {"gradient": ALL, "noise": ALL},
    ),
    "ef21_p": (
        lambda f: compressed.ef21_p(f["gradient"], f["compress_down"], *COMMON),
        {"gradient": ALL, "compress_down": ALL},
    ),
    "ef21_p_diana": (
        lambda f: compressed.ef21_p_diana(
            f["gradient"], f["compress"], f["compress_down"], *COMMON, shift_step=0.3
        ),
        {"gradient": ALL, "compress": ALL, "compress_down": ALL},
    ),
    "mcm": (
        lambda f: compressed.mcm(
            f["gradient"],
            f["compress"],
            f["compress_down"],
            *COMMON,
            memory_step=0.3,
            memory=X0,
            shift_step=0,
        ),
        {"gradient": ALL, "compress": ALL, "compress_down": ALL},
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
    if name not in ("ef21_p", "ef21_p_diana", "mcm"):  # gradients at x
        for t, x in points:
            assert any(np.array_equal(x, iterates[s]) for s in {t, max(t - 1, 0)})


# Invariants and limits.


def optimum():
    mean = HESSIANS.mean((0, 1))
    return np.linalg.solve(mean, LINEAR.mean((0, 1))), np.linalg.eigvalsh(mean)


@pytest.mark.parametrize("name", ["norm_ef21", "norm_ef21_sgdm", "alpha_norm_ec"])
def test_normalized_steps_have_the_length_of_the_step_size(name):
    run = {
        "norm_ef21": lambda: compressed.norm_ef21(exact, top_1, *COMMON),
        "norm_ef21_sgdm": lambda: compressed.norm_ef21_sgdm(
            sampled, top_1, *COMMON, momentum=0.5
        ),
        "alpha_norm_ec": lambda: compressed.alpha_norm_ec(
            exact, *COMMON, alpha=0.5, estimate_step=0.2, start="gradients"
        ),
    }[name]
    lengths = np.linalg.norm(np.diff(run(), axis=0), axis=1)
    np.testing.assert_allclose(lengths, STEP, rtol=1e-12)


def test_clip21_becomes_gradient_descent_after_finitely_many_rounds():
    iterates = compressed.clip21(exact, WORKERS, X0, 200, STEP, threshold=0.3)

    def is_step(k):
        g = sum(exact(i, iterates[k], k) for i in range(WORKERS)) / WORKERS
        return np.allclose(iterates[k + 1], iterates[k] - STEP * g, rtol=0, atol=1e-13)

    exact_steps = [is_step(k) for k in range(200)]
    first = exact_steps.index(True)
    assert 1 < first < 100 and all(exact_steps[first:])


def test_alpha_norm_ec_bound():
    x_star, eigenvalues = optimum()
    hessians = HESSIANS.mean(1)
    smoothness = eigenvalues[-1]
    worst = max(np.linalg.eigvalsh(a)[-1] for a in hessians)
    alpha, beta, rounds = 1.0, 0.5, 2000
    radius = max(np.linalg.norm(exact(i, X0, 0)) for i in range(WORKERS))
    step_size = beta * radius / ((alpha + radius) * worst)
    iterates = compressed.alpha_norm_ec(
        exact,
        WORKERS,
        X0,
        rounds,
        step_size,
        alpha=alpha,
        estimate_step=beta,
        start="zero",
    )
    mean = hessians.mean(0)
    gap = 0.5 * (X0 - x_star) @ mean @ (X0 - x_star)
    smallest = np.min(np.linalg.norm((iterates - x_star) @ mean, axis=1))
    bound = gap / (step_size * rounds) + 2 * radius + smoothness * step_size / 2
    assert smallest <= bound


def long_rand_1(seed, rounds, workers=WORKERS, dim=DIM):
    kept = np.random.default_rng(seed).integers(dim, size=(workers, rounds))

    def compress(worker, round_, vector):
        result = np.zeros_like(vector)
        j = kept[worker, round_]
        result[j] = dim * vector[j]
        return result

    return compress


ROUNDS = 4000
LIMITS = {
    "rand_diana": lambda q: compressed.rand_diana(
        exact,
        q,
        WORKERS,
        X0,
        ROUNDS,
        0.02,
        coin=lambda worker, round_: (3 * round_ + worker) % 7 == 0,
    ),
    "vr_gdci": lambda q: compressed.gdci(
        exact, q, WORKERS, X0, ROUNDS, 0.2, mixing=0.1, shift_step=1 / 6
    ),
    "ec_diana": lambda q: compressed.ec_diana(
        exact, top_2, q, WORKERS, X0, ROUNDS, 0.02, shift_step=1 / 6
    ),
    "ef21_p_diana": lambda q: compressed.ef21_p_diana(
        exact, q, top_2_down, WORKERS, X0, ROUNDS, 0.02, shift_step=1 / 6
    ),
    "cofig": lambda q: compressed.cofig(
        exact,
        q,
        WORKERS,
        X0,
        ROUNDS,
        0.01,
        shift_step=1 / 6,
        participates=lambda worker, round_: (worker + round_) % 2 == 0,
        refreshes=lambda worker, round_: (worker + round_ // 2) % 2 == 0,
    ),
    "ef21_weighted": lambda q: compressed.ef21_weighted(
        exact, top_2, WORKERS, X0, ROUNDS, 0.03, weights=WEIGHTS, start="compressed"
    ),
    "ef21_plus": lambda q: compressed.ef21_plus(
        exact, top_1, WORKERS, X0, ROUNDS, 0.03, start="compressed"
    ),
    "ef21_bc": lambda q: compressed.ef21_bc(
        exact, top_2, top_2_down, WORKERS, X0, ROUNDS, 0.02, start="compressed"
    ),
    "v2": lambda q: compressed.three_pc(
        exact,
        top_2,
        WORKERS,
        X0,
        ROUNDS,
        0.02,
        point_map="v2",
        compress_first=q,
        start="zero",
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limit_is_the_optimum(name):
    iterates = LIMITS[name](long_rand_1(3, ROUNDS))
    assert np.linalg.norm(iterates[-1] - optimum()[0]) < 1e-8


@pytest.mark.parametrize("name", ["dcgd", "gdci", "ef14"])
def test_limit_without_shifts_is_not(name):
    q = long_rand_1(3, 2000)
    iterates = {
        "dcgd": lambda: trajectories.dcgd(exact, q, WORKERS, X0, 2000, 0.02),
        "gdci": lambda: compressed.gdci(
            exact, q, WORKERS, X0, 2000, 0.2, mixing=0.1, shift_step=0
        ),
        "ef14": lambda: trajectories.ef14(exact, top_2, WORKERS, X0, 2000, 0.02),
    }[name]()
    assert np.linalg.norm(iterates[-1] - optimum()[0]) > 1e-4


# The three-point inequality E‖C_{h,y}(x) − x‖² ≤ (1−A) ‖h − y‖² + B ‖x − y‖², with the
# expectation over Rand-1 taken exactly; Top-2 and Top-1 of 6 have α = 1/3 and 1/6.


def point_errors(name, h, y, x):
    top2 = lambda v: trajectories.top_k(v, 2)
    top1 = lambda v: trajectories.top_k(v, 1)
    units = np.eye(DIM)
    results = {
        "v1": lambda: [compressed.point_v1(h, y, x, top2)],
        "v2": lambda: [
            compressed.point_v2(h, y, x, top2, lambda v, e=e: DIM * e * v)
            for e in units
        ],
        "v3": lambda: [
            compressed.point_v3(h, y, x, top2, lambda h, y, x: y + top1(x - y))
        ],
        "v4": lambda: [compressed.point_v4(h, y, x, top2, top1)],
        "v5": lambda: [
            compressed.point_v5(h, y, x, top2, coin)
            for coin in (True, False, False, False)
        ],
    }[name]()
    return np.mean([np.sum((result - x) ** 2) for result in results])


def ef21_constants(alpha):
    theta = 1 - np.sqrt(1 - alpha)
    return theta, (1 - alpha) / theta


# Of v3 around v1 with Top-1: (A₁, B₁) = (1, 5/6). The coin of v5 has p = 1/4.
CONSTANTS = {
    "v1": (1, 2 / 3),
    "v2": (1 / 3, 2 / 3 * 5),
    "v3": (1, 2 / 3 * 5 / 6),
    "v4": ef21_constants(1 - 2 / 3 * 5 / 6),
    "v5": (1 - np.sqrt(3 / 4), 3 / 4 * 2 / 3 / (1 - np.sqrt(3 / 4))),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_three_point_inequality(name):
    a, b = CONSTANTS[name]
    rng = np.random.default_rng(0)
    for _ in range(300):
        h, y, x = 10 ** rng.uniform(-2, 1, (3, 1)) * rng.standard_normal((3, DIM))
        y, h = x + y, x + y + h
        bound = (1 - a) * np.sum((h - y) ** 2) + b * np.sum((x - y) ** 2)
        assert point_errors(name, h, y, x) <= bound * (1 + 1e-12)


# Numbers of the specification's problems, computed elsewhere.


def beznosikov(worker, x, round_):
    a = np.full(3, 2.0)
    a[worker] = -3
    return 2 * (a @ x) * a + x / 2


def test_dcgd_with_top_1_diverges_by_its_formula():
    step_size = 5.85912e-3
    iterates = trajectories.dcgd(beznosikov, top_1, 3, np.ones(3), 5, step_size)
    powers = (1 + 11 * step_size / 6) ** np.arange(6)
    np.testing.assert_allclose(iterates, np.outer(powers, np.ones(3)), rtol=1e-13)
    np.testing.assert_allclose(iterates[5], 1.05487, rtol=1e-5)


@pytest.mark.parametrize(
    ("start", "squared_norms"),
    [
        ("gradients", {0: 4.0833, 10: 3.557, 100: 1.026, 500: 4.09e-3, 2000: 4.1e-12}),
        ("zero", {0: 4.0833, 10: 3.757, 100: 1.081, 500: 4.31e-3, 2000: 4.4e-12}),
    ],
)
def test_ef21_on_the_problem_where_dcgd_diverges(start, squared_norms):
    # L = 17.1667, L̂ = 34.5, ξ(1/3) = 4.44949: γ = 1/(L + L̂ ξ).
    iterates = compressed.ef_bv(
        beznosikov,
        top_1,
        3,
        np.ones(3),
        2000,
        5.85912e-3,
        shift_step=1,
        estimate_step=1,
        start=start,
    )
    for k, expected in squared_norms.items():
        g = sum(beznosikov(i, iterates[k], k) for i in range(3)) / 3
        np.testing.assert_allclose(g @ g, expected, rtol=1.3e-2)


@pytest.mark.parametrize(
    ("step_size", "momentum", "expected"),
    [
        (1e-1, 0, 0.0840),
        (1e-1, 1 - 1e-1**0.5, 0.0539),
        (1e-1, 1 - 1e-1, 0.0494),
        (1e-2, 0, 0.0116),
        (1e-2, 1 - 1e-2**0.5, 0.00538),
        (1e-2, 1 - 1e-2, 0.00496),
    ],
)
def test_ef21_sgd_does_not_improve_with_the_step_and_momentum_does(
    step_size, momentum, expected
):
    # f = ‖x‖²/2, Top-1, noise uniform on three points of variance 1; one run per row.
    runs, rounds = 256, round(60 / step_size)
    points = np.sqrt(0.3) * np.array([[2.0, 0], [0, 1], [-2, -1]])
    draws = np.random.default_rng(5).integers(3, size=(rounds, runs), dtype=np.int8)

    def gradient(worker, x, round_):
        return x + points[draws[round_]]

    def top_1_of_2(worker, round_, v):
        first = np.abs(v[:, 0]) >= np.abs(v[:, 1])
        return v * np.stack([first, ~first], axis=1)

    x0 = np.tile([0, -0.01], (runs, 1))
    iterates = compressed.ef21_sgdm(
        gradient,
        top_1_of_2,
        1,
        x0,
        rounds,
        step_size,
        momentum=momentum,
        start="compressed",
    )
    mean = np.mean(np.sum(iterates[rounds // 2 :] ** 2, axis=2))
    np.testing.assert_allclose(mean, expected, rtol=0.06)


def three_targets(worker, x, round_):
    return x - np.array([-1.0, -1, 5])[worker]


def test_clipped_and_normalized_descent_are_biased_and_clip21_is_not():
    start = np.array([3.0])
    clipped = trajectories.dcgd(
        three_targets, lambda i, t, v: compressed.clip(v, 1), 3, start, 2000, 0.1
    )
    np.testing.assert_allclose(clipped[-1], -0.5, rtol=1e-12)
    smoothed = trajectories.dcgd(
        three_targets, lambda i, t, v: compressed.normalized(v, 1), 3, start, 4000, 0.1
    )
    np.testing.assert_allclose(smoothed[-1], -0.2749, atol=5e-5)
    unbiased = compressed.clip21(three_targets, 3, start, 1000, 0.1, threshold=1)
    np.testing.assert_allclose(unbiased[-1], 1, rtol=1e-13)


def test_alpha_norm_ec_stays_within_two_steps_of_the_optimum():
    step_size = 1 / np.sqrt(20000)
    iterates = compressed.alpha_norm_ec(
        three_targets,
        3,
        np.array([3.0]),
        20000,
        step_size,
        alpha=1,
        estimate_step=0.5,
        start="zero",
    )
    np.testing.assert_allclose(iterates[-1], 0.99182, atol=5e-6)


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
L = np.linalg.eigvalsh(MATRICES.mean(0))[-1]
L_MAX = np.linalg.eigvalsh(MATRICES).max()
L_HAT = np.sqrt(np.mean(np.linalg.eigvalsh(MATRICES)[:, -1] ** 2))


def quadratic(worker, x, round_):
    return MATRICES[worker] @ x - VECTORS[worker]


def test_constants_of_the_random_quadratics():
    np.testing.assert_allclose(
        [L, L_HAT, L_MAX], [1.5226, 3.4645, 4.5307], rtol=0, atol=6e-5
    )


def ef_bv_on_quadratics(compress):
    omega, omega_av = 11, 11 / 20
    shift_step, estimate_step = 1 / (1 + omega), 1 / (1 + omega_av)
    r = (1 - shift_step) ** 2 + shift_step**2 * omega
    r_av = (1 - estimate_step) ** 2 + estimate_step**2 * omega_av
    s = np.sqrt((1 + r) / (2 * r)) - 1
    step_size = 1 / (L + L_HAT * np.sqrt(r_av / r) / s)
    return step_size, compressed.ef_bv(
        quadratic,
        compress,
        20,
        np.zeros(12),
        2000,
        step_size,
        shift_step=shift_step,
        estimate_step=estimate_step,
        start="zero",
    )


def ef21_on_quadratics(compress):
    del compress
    alpha = 1 / 12
    step_size = 1 / (L + L_HAT * ((1 + np.sqrt(1 - alpha)) / alpha - 1))
    return step_size, compressed.ef21_pp(
        quadratic,
        top_1,
        20,
        np.zeros(12),
        2000,
        step_size,
        participates=always,
        start="gradients",
    )


def marina_on_quadratics(compress):
    p = 1 / 12
    coins = np.random.default_rng(9).random(2000) < p
    step_size = 1 / (L + L_HAT * np.sqrt((1 - p) * 11 / (p * 20)))
    return step_size, compressed.marina(
        quadratic,
        compress,
        20,
        np.zeros(12),
        2000,
        step_size,
        coin=lambda round_: coins[round_],
    )


def dasha_on_quadratics(compress):
    step_size = 1 / (L + L_HAT * np.sqrt(16 * 11 * 23 / 20))
    return step_size, compressed.dasha(
        quadratic,
        compress,
        20,
        np.zeros(12),
        2000,
        step_size,
        momentum=1 / 23,
        start="gradients",
    )


# Gaps of one run each: those of random methods are orders of magnitude.
@pytest.mark.parametrize(
    ("run", "step_size", "gaps", "factor"),
    [
        (ef21_on_quadratics, 0.012589, {500: 9.6e-6, 1000: 7.3e-10}, 1.01),
        (ef_bv_on_quadratics, 0.010264, {1000: 2.5e-8, 2000: 6e-15}, 30),
        (marina_on_quadratics, 0.099562, {500: 2e-16}, 30),
        (dasha_on_quadratics, 0.019681, {500: 9e-8, 1000: 5e-14}, 30),
    ],
    ids=["ef21", "ef_bv", "marina", "dasha"],
)
def test_gaps_on_the_random_quadratics(run, step_size, gaps, factor):
    used, iterates = run(long_rand_1(4, 2000, workers=20, dim=12))
    np.testing.assert_allclose(used, step_size, rtol=1e-4)
    mean, linear = MATRICES.mean(0), VECTORS.mean(0)
    x_star = np.linalg.solve(mean, linear)
    for k, expected in gaps.items():
        error = iterates[k] - x_star
        gap = 0.5 * error @ mean @ error
        assert gap <= factor * expected + 1e-15
        assert gap >= expected / factor - 1e-15
