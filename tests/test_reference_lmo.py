"""Facts of the LMO methods on the reference loops alone: identities, limits, bounds."""

import numpy as np
import pytest
from reference import lmo_loops as loops

L2, SIGN, SPECTRAL = loops.l2_lmo, loops.sign_lmo, loops.spectral_lmo
PRIMAL = {
    "l2": np.linalg.norm,
    "sign": lambda z: np.max(np.abs(z)),
    "spectral": lambda z: np.linalg.norm(z, 2),
}
LMO = {"l2": L2, "sign": SIGN, "spectral": SPECTRAL}
DUAL = {
    "l2": loops.l2_dual,
    "sign": loops.sign_dual,
    "spectral": loops.spectral_dual,
}
SHAPES = [(4, 6), (3, 5), (5,)]
LMOS = [SPECTRAL, SIGN, L2]
DUALS = [loops.spectral_dual, loops.sign_dual, loops.l2_dual]
NORMS = [PRIMAL["spectral"], PRIMAL["sign"], PRIMAL["l2"]]


def layers(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in SHAPES]


def noisy(x, k):
    """Gradient of Σᵢ ½‖xᵢ − 1‖² with the noise of update k."""
    noise = layers(1000 + k)
    return [leaf - 1 + 0.5 * e for leaf, e in zip(x, noise, strict=True)]


def exact(x, k):
    return [leaf - 1 for leaf in x]


def assert_same(path, other, rtol=1e-12):
    assert len(path) == len(other)
    for x, y in zip(path, other, strict=True):
        for x_i, y_i in zip(x, y, strict=True):
            np.testing.assert_allclose(x_i, y_i, rtol=rtol, atol=1e-12)


def list_norm(x):
    return max(f(leaf) for f, leaf in zip(NORMS, x, strict=True))


def list_dual(g):
    return sum(f(leaf) for f, leaf in zip(DUALS, g, strict=True))


def matrices():
    rng = np.random.default_rng(3)
    full = rng.standard_normal((4, 7))
    rank_one = np.outer(rng.standard_normal(4), rng.standard_normal(6))
    zero_rows = np.where(np.arange(5)[:, None] < 2, 0.0, rng.standard_normal((5, 3)))
    return [full, full.T, rank_one, zero_rows, rng.standard_normal((1, 6))]


# Norms and oracles.


@pytest.mark.parametrize("name", LMO)
def test_lmo_is_active_and_attains_the_dual_norm(name):
    for g in matrices():
        z = LMO[name](g)
        assert PRIMAL[name](z) == pytest.approx(1, rel=1e-12)
        assert np.sum(g * z) == pytest.approx(-DUAL[name](g), rel=1e-12)
        sharp = -DUAL[name](g) * z
        assert np.sum(g * sharp) == pytest.approx(DUAL[name](g) ** 2, rel=1e-12)


@pytest.mark.parametrize("name", LMO)
@pytest.mark.parametrize("factor", [7.0, 1e-200, 1e200])
def test_lmo_ignores_the_scale_and_is_odd(name, factor):
    for g in matrices():
        np.testing.assert_allclose(LMO[name](factor * g), LMO[name](g), atol=1e-10)
        np.testing.assert_allclose(LMO[name](-g), -LMO[name](g), atol=1e-10)
        dual = factor * DUAL[name](g)
        assert DUAL[name](factor * g) == pytest.approx(dual, rel=1e-12)


@pytest.mark.parametrize("name", LMO)
def test_holder(name):
    rng = np.random.default_rng(5)
    for g in matrices():
        for _ in range(50):
            z = rng.standard_normal(g.shape)
            bound = DUAL[name](g) * PRIMAL[name](z)
            assert abs(np.sum(g * z)) <= bound * (1 + 1e-12)


@pytest.mark.parametrize("name", LMO)
def test_zero_gives_zero(name):
    assert not np.any(LMO[name](np.zeros((3, 4))))
    assert DUAL[name](np.zeros((3, 4))) == 0


def test_printed_cases():
    g = np.array([[3.0, 0.0], [0.0, -4.0]])
    np.testing.assert_allclose(L2(g), [[-0.6, 0], [0, 0.8]], atol=1e-15)
    np.testing.assert_array_equal(SIGN(g), [[-1, 0], [0, 1]])
    np.testing.assert_allclose(SPECTRAL(g), [[-1, 0], [0, 1]], atol=1e-15)
    assert loops.spectral_dual(g) == pytest.approx(7, rel=1e-14)
    assert loops.sign_dual(g) == 7
    assert loops.l2_dual(g) == pytest.approx(5, rel=1e-14)


def test_spectral_lmo_of_a_vector_normalises_it():
    v = np.array([3.0, 0.0, -4.0])
    for g in (v, v[None], v[:, None]):
        np.testing.assert_allclose(SPECTRAL(g), -g / 5, atol=1e-15)


def test_spectral_lmo_of_a_diagonal_is_its_signs():
    g = np.diag([2.0, -0.1, 5.0])
    np.testing.assert_allclose(SPECTRAL(g), np.diag([-1, 1, -1]), atol=1e-14)


def test_entry_rms_of_a_semi_orthogonal_matrix():
    z = SPECTRAL(np.random.default_rng(2).standard_normal((6, 15)))
    assert 0.2 * np.sqrt(15) * np.sqrt(np.mean(z**2)) == pytest.approx(0.2, rel=1e-12)


def test_layerwise_lmo_attains_the_dual_of_the_weighted_maximum():
    radii, g = [2.0, 0.5, 3.0], layers()
    z = [r * leaf for r, leaf in zip(radii, loops.each(LMOS, g), strict=True)]
    dual = sum(r * f(leaf) for r, f, leaf in zip(radii, DUALS, g, strict=True))
    assert loops.inner(g, z) == pytest.approx(-dual, rel=1e-12)


def test_layerwise_frobenius_is_not_the_global_one():
    g = [np.array([3.0]), np.array([4.0])]
    np.testing.assert_array_equal(np.concatenate(loops.each([L2, L2], g)), [-1, -1])
    np.testing.assert_allclose(L2(np.concatenate(g)), [-0.6, -0.8], rtol=1e-15)


# Muon and Scion.


@pytest.mark.parametrize("nesterov", [False, True])
def test_muon_is_heavy_ball_in_the_oracle(nesterov):
    mu, lr, decay = 0.9, 0.02, 0.1
    path = loops.muon(
        noisy, LMOS, layers(), 20, lr, beta=mu, nesterov=nesterov, weight_decay=decay
    )
    x, expected = layers(), [layers()]
    buffer = [np.zeros(shape) for shape in SHAPES]
    for k in range(20):
        g = noisy(x, k)
        for i in range(3):
            buffer[i] = mu * buffer[i] + g[i]
            z = g[i] + mu * buffer[i] if nesterov else buffer[i]
            x[i] = (1 - lr * decay) * x[i] + lr * LMOS[i](z)
        expected.append(list(x))
    assert_same(path, expected, rtol=1e-9)


def test_muon_without_momentum_is_lmo_descent():
    options = dict(beta=0.0, weight_decay=0.0)
    path = loops.muon(noisy, LMOS, layers(), 10, 0.1, nesterov=True, **options)
    x, expected = layers(), [layers()]
    for k in range(10):
        g = noisy(x, k)
        x = [x[i] + 0.1 * LMOS[i](g[i]) for i in range(3)]
        expected.append(x)
    assert_same(path, expected)


def test_muon_on_one_row_is_normalised_sgd_with_momentum():
    gradient = lambda x, k: [x[0] - np.cos(k + np.arange(5.0))[None]]
    options = dict(beta=0.8, nesterov=False, weight_decay=0.0)
    path = loops.muon(gradient, [SPECTRAL], [np.zeros((1, 5))], 15, 0.1, **options)
    x, m = np.zeros((1, 5)), np.zeros((1, 5))
    for k in range(15):
        m = 0.8 * m + 0.2 * gradient([x], k)[0]
        x = x - 0.1 * m / np.linalg.norm(m)
        np.testing.assert_allclose(path[k + 1][0], x, rtol=1e-12, atol=1e-14)


def test_nesterov_changes_the_path():
    options = dict(beta=0.9, weight_decay=0.0)
    with_it = loops.muon(noisy, LMOS, layers(), 5, 0.1, nesterov=True, **options)
    without = loops.muon(noisy, LMOS, layers(), 5, 0.1, nesterov=False, **options)
    np.testing.assert_allclose(with_it[1][0], without[1][0], rtol=1e-12)
    assert list_norm(loops.minus(with_it[5], without[5])) > 1e-3


def scaled(radius, lmo):
    return lambda g: radius * lmo(g)


def test_constrained_scion_is_weight_decay_one_per_step_size():
    radii = [2.0, 0.5, 3.0]
    path = loops.scion(
        noisy, LMOS, layers(), 15, 0.1, radii, alpha=0.2, constrained=True
    )
    in_balls = [scaled(r, f) for r, f in zip(radii, LMOS, strict=True)]
    decayed = loops.muon(
        noisy, in_balls, layers(), 15, 0.1, beta=0.8, nesterov=False, weight_decay=1.0
    )
    assert_same(path, decayed)


def test_unconstrained_scion_sees_only_the_product():
    options = dict(alpha=0.2, constrained=False)
    path = loops.scion(noisy, LMOS, layers(), 15, 0.1, [1.0, 2.0, 3.0], **options)
    other = loops.scion(noisy, LMOS, layers(), 15, 0.05, [2.0, 4.0, 6.0], **options)
    assert_same(path, other)


def test_constrained_scion_sees_more_than_the_product():
    options = dict(alpha=0.2, constrained=True)
    path = loops.scion(noisy, LMOS, layers(), 3, 0.1, [1.0, 2.0, 3.0], **options)
    other = loops.scion(noisy, LMOS, layers(), 3, 0.05, [2.0, 4.0, 6.0], **options)
    assert list_norm(loops.minus(path[-1], other[-1])) > 1e-2


def test_constrained_scion_stays_in_its_balls():
    radii = [0.5, 0.2, 0.3]
    start = [r * z for r, z in zip(radii, loops.each(LMOS, layers()), strict=True)]
    path = loops.scion(noisy, LMOS, start, 40, 0.3, radii, alpha=0.5, constrained=True)
    for x in path:
        for leaf, norm, radius in zip(x, NORMS, radii, strict=True):
            assert norm(leaf) <= radius * (1 + 1e-12)


def test_scion_light_is_scion():
    radii = [2.0, 0.5, 3.0]
    path = loops.scion(
        noisy, LMOS, layers(), 20, 0.1, radii, alpha=0.1, constrained=True
    )
    light = loops.scion_light(noisy, LMOS, layers(), 20, 0.1, radii, alpha=0.1)
    assert_same(path, light, rtol=1e-9)


def test_spectral_scion_is_muon_with_its_scale():
    lmo = [scaled(np.sqrt(4 / 6), SPECTRAL)]
    gradient = lambda x, k: [x[0] - layers(k)[0]]
    start = [layers()[0]]
    path = loops.scion(
        gradient, lmo, start, 10, 0.1, [1.0], alpha=0.05, constrained=False
    )
    muon = loops.muon(
        gradient,
        [SPECTRAL],
        start,
        10,
        0.1 * np.sqrt(4 / 6),
        beta=0.95,
        nesterov=False,
        weight_decay=0.0,
    )
    assert_same(path, muon)


def test_sign_scion_is_signum():
    gradient = lambda x, k: [x[0] - layers(k)[1]]
    start = [layers()[1]]
    path = loops.scion(
        gradient, [SIGN], start, 10, 0.1, [2.0], alpha=0.1, constrained=False
    )
    x, m = start[0], np.zeros((3, 5))
    for k in range(10):
        m = 0.9 * m + 0.1 * gradient([x], k)[0]
        x = x - 0.2 * np.sign(m)
        np.testing.assert_allclose(path[k + 1][0], x, rtol=1e-12)


def test_clipped_scion_without_a_threshold_is_steepest_descent():
    path = loops.clipped_scion(noisy, LMOS, layers(), 10, 0.1, np.inf, alpha=1.0)
    x, expected = layers(), [layers()]
    for k in range(10):
        g = noisy(x, k)
        x = [x[i] + 0.1 * list_dual(g) * LMOS[i](g[i]) for i in range(3)]
        expected.append(x)
    assert_same(path, expected)


def test_clipped_scion_under_a_low_threshold_is_unconstrained_scion():
    path = loops.clipped_scion(noisy, LMOS, layers(), 15, 0.1, 0.3, alpha=0.2)
    radii = [0.3] * 3
    scion = loops.scion(
        noisy, LMOS, layers(), 15, 0.1, radii, alpha=0.2, constrained=False
    )
    assert_same(path, scion)


def test_euclidean_clipped_scion_is_clipped_gradient_descent():
    curvature = np.array([1.0, 4.0, 0.5])
    gradient = lambda x, k: [curvature * x[0]]
    x = np.array([3.0, -2.0, 1.0])
    path = loops.clipped_scion(gradient, [L2], [x], 60, 0.2, 2.0, alpha=1.0)
    clipped = 0
    for k in range(60):
        norm = np.linalg.norm(curvature * x)
        clipped += norm > 2
        x = x - 0.2 * min(1, 2 / norm) * curvature * x
        np.testing.assert_allclose(path[k + 1][0], x, rtol=1e-11)
    assert 0 < clipped < 60


# Gluon.


def test_gluon_without_l1_is_steepest_descent():
    smoothness = [2.0, 20.0, 1.5]
    path = loops.gluon(exact, LMOS, DUALS, layers(), 10, smoothness, [0.0] * 3)
    x, expected = layers(), [layers()]
    for k in range(10):
        g = exact(x, k)
        x = [x[i] + DUALS[i](g[i]) / smoothness[i] * LMOS[i](g[i]) for i in range(3)]
        expected.append(x)
    assert_same(path, expected)


def test_gluon_without_l0_has_constant_radii():
    path = loops.gluon(exact, LMOS, DUALS, layers(), 10, [0.0] * 3, [20.0, 50.0, 10.0])
    x, expected = layers(), [layers()]
    for k in range(10):
        g = exact(x, k)
        x = [x[i] + LMOS[i](g[i]) / (20.0, 50.0, 10.0)[i] for i in range(3)]
        expected.append(x)
    assert_same(path, expected)


def test_gluon_stays_at_a_stationary_point():
    ones = [np.ones(shape) for shape in SHAPES]
    for l0 in (0.0, 1.0):
        path = loops.gluon(exact, LMOS, DUALS, ones, 3, [l0] * 3, [1.0] * 3)
        assert_same(path, [ones] * 4)


def test_gluon_layers_do_not_see_each_other():
    one, other = layers(), layers()
    other[1] = other[1] + 5
    start = dict(num_updates=10, l0=[3.0] * 3, l1=[1.0] * 3)
    a = loops.gluon(exact, LMOS, DUALS, one, **start)
    b = loops.gluon(exact, LMOS, DUALS, other, **start)
    assert_same([x[::2] for x in a], [x[::2] for x in b])


def test_gluon_bound_on_a_separable_quadratic():
    """min_k Σᵢ wᵢ ‖gᵢ‖_* ≤ ε, wᵢ = (1/L1ᵢ)/mean(1/L1), after the steps of the theorem.

    The layers are ½⟨x, H x⟩ with H diagonal; ‖Hx‖_* ≤ L0 ‖x‖ with L0 the sum of H's
    entries in the sign norm, and 4 max H (4 = rank) in the spectral norm of 4 × 6.
    """
    h = [np.random.default_rng(i).uniform(0.2, 1, s) for i, s in enumerate(SHAPES)]
    gradient = lambda x, k: [h[i] * x[i] for i in range(3)]
    value = lambda x: sum(0.5 * np.sum(h[i] * x[i] ** 2) for i in range(3))
    l0 = [4 * np.max(h[0]), np.sum(h[1]), np.max(h[2])]
    l1, eps = np.array([0.5, 1.0, 2.0]), 2.0
    inverse = np.mean(1 / l1)
    gap = value(layers())
    steps = 2 * gap * np.sum(l0 / l1**2) / (eps * inverse) ** 2
    steps = int(np.ceil(steps + 2 * gap / (eps * inverse)))
    path = loops.gluon(gradient, LMOS, DUALS, layers(), steps, l0, l1)
    weighted = [
        sum(DUALS[i](h[i] * x[i]) / l1[i] for i in range(3)) / inverse for x in path
    ]
    assert weighted[0] > eps
    assert min(weighted[:steps]) <= eps
    for x, y in zip(path, path[1:], strict=False):
        norms = [DUALS[i](h[i] * x[i]) for i in range(3)]
        drop = sum(n**2 / (2 * (l0[i] + l1[i] * n)) for i, n in enumerate(norms))
        assert value(y) <= value(x) - drop + 1e-12


@pytest.mark.parametrize(
    "value, slope, l0, start",
    [(lambda x: x**4, lambda x: 4 * x**3, 16.0, 5.0), (np.exp, np.exp, 0.0, 3.0)],
)
def test_gluon_descends_under_a_bound_on_the_hessian(value, slope, l0, start):
    """|f''| ≤ L0 + |f'| gives at least (3 − e) ‖g‖²/(L0 + ‖g‖) per step."""
    gradient = lambda x, k: [slope(x[0])]
    start = [np.array([start])]
    path = loops.gluon(gradient, [L2], [loops.l2_dual], start, 20, [l0], [1.0])
    for x, y in zip(path, path[1:], strict=False):
        g = abs(slope(x[0][0]))
        assert np.linalg.norm(y[0] - x[0]) <= 1 + 1e-12
        drop = (3 - np.e) * g**2 / (l0 + g)
        assert value(y[0][0]) <= value(x[0][0]) - drop


def test_scheduled_gluon_has_the_printed_schedule():
    first, second = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    gradient = lambda x, k: [first if k == 0 else second]
    path = loops.gluon_scheduled(gradient, [L2], [np.zeros(2)], 2, [0.5])
    np.testing.assert_allclose(path[1][0], [-0.5, 0.0], atol=1e-15)
    m = np.array([1 - 0.5**0.5, 0.5**0.5])
    step = 0.5 * 2**-0.75 * m / np.linalg.norm(m)
    np.testing.assert_allclose(path[2][0] - path[1][0], -step, rtol=1e-12)


def test_scheduled_gluon_radii_sum():
    path = loops.gluon_scheduled(
        lambda x, k: [np.ones(3)], [SIGN], [np.zeros(3)], 50, [2.0]
    )
    total = 2 * sum(j**-0.75 for j in range(1, 51))
    np.testing.assert_allclose(path[-1][0], -total, rtol=1e-12)


# Error feedback and dropped layers.

WORKERS, SHAPE = 3, (4, 5)


def worker_gradient(worker, x, k):
    """Gradient h (x − c), h and c of the worker, plus the noise of update k."""
    rng = np.random.default_rng(worker)
    h, c = rng.uniform(0.5, 2, SHAPE), rng.standard_normal(SHAPE)
    noise = np.random.default_rng([worker, k]).standard_normal(SHAPE)
    return h * (x - c) + 0.2 * noise


def mean_gradient(x, k):
    return sum(worker_gradient(j, x, k) for j in range(WORKERS)) / WORKERS


def top(count, v):
    kept = np.argsort(np.abs(v), axis=None)[-count:]
    out = np.zeros(v.size)
    out[kept] = v.ravel()[kept]
    return out.reshape(v.shape)


def test_ef21_muon_keeps_the_mean_of_the_tables():
    xs, ws, totals, tables = loops.ef21_muon(
        worker_gradient,
        SPECTRAL,
        lambda j, k, v: top(3 + (j + k) % 4, v),
        lambda k, v: top(5 + k % 3, v),
        WORKERS,
        np.zeros(SHAPE),
        30,
        0.1,
        beta=0.7,
    )
    assert xs.shape == ws.shape == totals.shape == (31, *SHAPE)
    assert tables.shape == (31, WORKERS, *SHAPE)
    np.testing.assert_allclose(totals, tables.mean(axis=1), rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(tables[0, 1], top(4, worker_gradient(1, xs[0], 0)))
    assert np.count_nonzero(tables[1, 1] - tables[0, 1]) == 5
    np.testing.assert_array_equal(ws[1] - ws[0], top(5, xs[1] - ws[0]))
    assert np.max(np.abs(xs[-1] - ws[-1])) > 1e-3


def keep(*draw):
    return draw[-1]


def test_ef21_muon_without_compression_is_gluon_on_the_mean():
    xs, ws, totals, _ = loops.ef21_muon(
        worker_gradient,
        SPECTRAL,
        keep,
        keep,
        WORKERS,
        np.zeros(SHAPE),
        20,
        0.1,
        beta=0.7,
    )
    np.testing.assert_allclose(ws, xs, rtol=1e-12, atol=1e-13)
    x, m = np.zeros(SHAPE), mean_gradient(np.zeros(SHAPE), 0)
    for k in range(20):
        np.testing.assert_allclose(totals[k], m, rtol=1e-9, atol=1e-11)
        x = x + 0.1 * SPECTRAL(m)
        np.testing.assert_allclose(xs[k + 1], x, rtol=1e-9, atol=1e-11)
        m = 0.7 * m + 0.3 * mean_gradient(x, k + 1)


def test_ef21_muon_without_compression_is_muon_with_a_larger_first_gradient():
    """M = g⁰ instead of (1−β) g⁰ at the first step."""
    gradient = lambda x, k: [mean_gradient(x[0], k) / (0.3 if k == 0 else 1.0)]
    xs, *_ = loops.ef21_muon(
        worker_gradient,
        SPECTRAL,
        keep,
        keep,
        WORKERS,
        np.zeros(SHAPE),
        20,
        0.1,
        beta=0.7,
    )
    start = [np.zeros(SHAPE)]
    path = loops.muon(
        gradient, [SPECTRAL], start, 20, 0.1, beta=0.7, nesterov=False, weight_decay=0.0
    )
    assert_same([[x] for x in xs], path, rtol=1e-9)


@pytest.mark.parametrize("down", [20, 6])
def test_euclidean_ef21_muon_without_momentum_is_ef21_both_ways(down):
    """With lmo(G) scaled by ‖G‖ the step is −γ G; down = 20 keeps the model whole."""
    gamma, compress = 0.1, lambda j, k, v: top(7, v)
    xs, *_ = loops.ef21_muon(
        worker_gradient,
        lambda g: np.linalg.norm(g) * L2(g),
        compress,
        lambda k, v: top(down, v),
        WORKERS,
        np.zeros(SHAPE),
        25,
        gamma,
        beta=0.0,
    )
    x = w = np.zeros(SHAPE)
    g = [top(7, worker_gradient(j, x, 0)) for j in range(WORKERS)]
    for k in range(25):
        x = x - gamma * np.mean(g, axis=0)
        w = w + top(down, x - w)
        fresh = [worker_gradient(j, w, k + 1) for j in range(WORKERS)]
        g = [g[j] + top(7, fresh[j] - g[j]) for j in range(WORKERS)]
        np.testing.assert_allclose(xs[k + 1], x, rtol=1e-10, atol=1e-12)


def test_drop_muon_of_all_layers_is_sharp_gluon():
    path = loops.drop_muon(
        exact, LMOS, DUALS, layers(), 10, 0.05, beta=0.0, starts=[0] * 10
    )
    gluon = loops.gluon(exact, LMOS, DUALS, layers(), 10, [20.0] * 3, [0.0] * 3)
    assert_same(path, gluon)


def test_normalised_drop_muon_of_all_layers_is_muon():
    path = loops.drop_muon(
        noisy, LMOS, DUALS, layers(), 10, 0.1, beta=0.8, starts=[0] * 10, sharp=False
    )
    options = dict(beta=0.8, nesterov=False, weight_decay=0.0)
    assert_same(path, loops.muon(noisy, LMOS, layers(), 10, 0.1, **options))


def test_drop_muon_freezes_weights_and_momentum():
    starts = [0, 2, 1, 0, 2]
    path = loops.drop_muon(
        noisy, LMOS, DUALS, layers(), 5, 0.05, beta=0.8, starts=starts
    )
    for i in range(3):
        active = [k for k in range(5) if starts[k] <= i]
        x, m = layers()[i], np.zeros(SHAPES[i])
        for k in range(5):
            if k in active:
                g = x - 1 + 0.5 * layers(1000 + k)[i]
                m = 0.8 * m + 0.2 * g
                x = x + 0.05 * DUALS[i](m) * LMOS[i](m)
            np.testing.assert_allclose(path[k + 1][i], x, rtol=1e-12)
            assert (path[k + 1][i] is path[k][i]) == (k not in active)


# Steps from distances.


def schedule(k):
    return (k + 1) ** -0.5


def test_distance_adaptive_with_a_large_radius_is_scheduled_gluon():
    path, radii = loops.distance_adaptive(
        noisy,
        LMOS,
        list_norm,
        layers(),
        20,
        0.01,
        50.0,
        alpha=schedule,
        weight=lambda k: (k + 1) ** -0.75,
    )
    assert radii == [50.0] * 20
    assert_same(path, loops.gluon_scheduled(noisy, LMOS, layers(), 20, [0.5] * 3))


def test_distance_adaptive_is_dog_on_normalised_gradients():
    curvature = np.array([1.0, 4.0, 0.5])
    gradient = lambda x, k: [curvature * x[0] + np.cos(k + np.arange(3.0))]
    start = np.array([3.0, -2.0, 1.0])
    path, _ = loops.distance_adaptive(
        gradient,
        [L2],
        lambda x: np.linalg.norm(x[0]),
        [start],
        40,
        1.0,
        0.01,
        alpha=lambda k: 1.0,
        weight=schedule,
    )
    x, furthest, squares = start, 0.01, 0.0
    for k in range(40):
        g = gradient([x], k)[0]
        g = g / np.linalg.norm(g)
        furthest = max(furthest, np.linalg.norm(x - start))
        squares += np.sum(g**2)
        x = x - furthest / np.sqrt(squares) * g
        np.testing.assert_allclose(path[k + 1][0], x, rtol=1e-9)


def distance_adaptive_from(scale):
    """f(x/s) from s x⁰ with the first radius s r."""
    gradient = lambda x, k: [g / scale for g in noisy([z / scale for z in x], k)]
    start = [scale * leaf for leaf in layers()]
    return loops.distance_adaptive(
        gradient,
        LMOS,
        list_norm,
        start,
        25,
        1.0,
        scale * 0.01,
        alpha=schedule,
        weight=schedule,
    )


def test_distance_adaptive_follows_a_change_of_units():
    path, radii = distance_adaptive_from(1.0)
    large, large_radii = distance_adaptive_from(64.0)
    assert_same([[64 * leaf for leaf in x] for x in path], large, rtol=1e-9)
    np.testing.assert_allclose(64 * np.array(radii), large_radii, rtol=1e-9)
    assert radii[0] == 0.01 and radii[-1] > 0.1
    assert np.all(np.diff(radii) >= 0)
    explored = [list_norm(loops.minus(x, path[0])) for x in path[:-1]]
    np.testing.assert_allclose(radii, np.maximum.accumulate([0.01, *explored])[1:])


def random_quadratic(size, seed):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((size, size))
    return root @ root.T / size + 0.1 * np.eye(size), rng.standard_normal(size)


def test_scale_calibrated_never_increases_f():
    """f(x⁺) ≤ f(x) − (L/2) ‖x⁺ − x‖² in the sign norm, L = Σ |H|, with momentum."""
    h, start = random_quadratic(6, 0)
    smoothness = np.sum(np.abs(h))
    gradient = lambda x, k: [h @ x[0]]
    path = loops.scale_calibrated(
        gradient, [SIGN], [start], 200, lambda g: smoothness, alpha=0.1
    )
    value = lambda x: 0.5 * x[0] @ h @ x[0]
    m = np.zeros(6)
    for x, y in zip(path, path[1:], strict=False):
        g = h @ x[0]
        m = 0.9 * m + 0.1 * g
        length = np.max(np.abs(y[0] - x[0]))
        assert value(y) <= value(x) - smoothness / 2 * length**2 + 1e-12
        assert smoothness * length <= np.sum(np.abs(g)) * (1 + 1e-9)
        least = np.sum(np.abs(m)) - np.sum(np.abs(g - m))
        assert smoothness * length >= least - 1e-12
    assert value(path[-1]) < 0.2 * value(path[0])


def test_scale_calibrated_waits_while_the_momentum_points_uphill():
    sizes = [3.0, -1.0, -1.0]
    gradient = lambda x, k: [sizes[k] * np.ones(2)]
    path = loops.scale_calibrated(
        gradient, [L2], [np.zeros(2)], 3, lambda g: 2.0, alpha=0.25
    )
    np.testing.assert_allclose(path[1][0], -1.5, rtol=1e-12)
    np.testing.assert_array_equal(path[2][0], path[1][0])
    np.testing.assert_allclose(path[3][0], -1.0, rtol=1e-12)


def test_scale_calibrated_without_momentum_is_gluon_of_one_layer():
    gradient = lambda x, k: [x[0] - 1]
    start = [layers()[0]]
    path = loops.scale_calibrated(
        gradient,
        [SPECTRAL],
        start,
        15,
        lambda g: 3 + 2 * loops.spectral_dual(g[0]),
        alpha=1.0,
    )
    gluon = loops.gluon(
        gradient, [SPECTRAL], [loops.spectral_dual], start, 15, [3.0], [2.0]
    )
    assert_same(path, gluon)


def test_scale_calibrated_gives_all_layers_one_length():
    path = loops.scale_calibrated(exact, LMOS, layers(), 3, lambda g: 40.0, alpha=1.0)
    for x, y in zip(path, path[1:], strict=False):
        length = list_dual(exact(x, 0)) / 40
        for i in range(3):
            assert NORMS[i](y[i] - x[i]) == pytest.approx(length, rel=1e-10)


def test_recentred_converges_like_frank_wolfe():
    h, start = random_quadratic(6, 1)
    target = start + 0.8 * np.sign(np.arange(6) - 2.5)
    gradient = lambda x, k: [h @ (x[0] - target)]
    smoothness, radius = np.sum(np.abs(h)), 1.0
    path = loops.recentred(gradient, [SIGN], [start], 300, radius)
    for k, x in enumerate(path):
        assert np.max(np.abs(x[0] - start)) <= radius + 1e-12
        if k > 0:
            gap = 0.5 * (x[0] - target) @ h @ (x[0] - target)
            assert gap <= 2 * smoothness * (2 * radius) ** 2 / (k + 2)
    lmo = SIGN(h @ (start - target))
    np.testing.assert_allclose(path[1][0], start + radius * lmo, rtol=1e-12)


def distance_free_on_a_line(value, gradient, start, num_updates):
    """L = 1 and first radius 1; value and gradient of a number."""
    path, distances, radii = loops.distance_free(
        lambda x: value(float(x[0][0])),
        lambda x, k: [np.array([gradient(float(x[0][0]), k)])],
        [L2],
        lambda g: abs(float(g[0][0])),
        lambda x: abs(float(x[0][0])),
        [np.array([start])],
        num_updates,
        1.0,
        1.0,
    )
    return [float(x[0][0]) for x in path], distances, radii


def test_distance_free_by_hand():
    """f = x²/2 from 10."""
    path, distances, radii = distance_free_on_a_line(
        lambda x: x**2 / 2, lambda x, k: x, 10.0, 5
    )
    np.testing.assert_allclose(radii, [1, 2, 4, 8, 10.4], rtol=1e-12)
    np.testing.assert_allclose(distances, [0, 1, 5 / 3, 17 / 6, 4.9], rtol=1e-12)
    points = [10, 9, 25 / 3, 43 / 6, 5.1, 49 / 15]
    np.testing.assert_allclose(path, points, rtol=1e-12)


def test_distance_free_where_values_rise():
    """The certificate counts f − f_best, and lifts the search above the old top.

    Values 27 (10 − x) beside the gradient x, which is not theirs: 0, 27, 81.
    """
    path, distances, radii = distance_free_on_a_line(
        lambda x: 27 * (10 - x), lambda x, k: x, 10.0, 3
    )
    np.testing.assert_allclose(distances, [0, 4, 102 / 7], rtol=1e-12)
    np.testing.assert_allclose(radii, [1, 4, 102 / 7], rtol=1e-12)
    np.testing.assert_allclose(path, [10, 9, 7, 17 / 14], rtol=1e-12)


def test_distance_free_doubles_only_at_the_top():
    """The minimiser 0.5 is below the top 1, which then stays; 14 is beyond it."""
    _, distances, radii = distance_free_on_a_line(
        lambda x: 0.0, lambda x, k: [0.5, 10.0, 10.0][k], 0.0, 3
    )
    np.testing.assert_allclose(distances, [0, 1, 1], rtol=1e-12)
    np.testing.assert_allclose(radii, [1, 1, 2], rtol=1e-12)


@pytest.mark.parametrize("first_radius", [1e-3, 30.0])
def test_distance_free_certifies_lower_bounds(first_radius):
    h, start = random_quadratic(6, 2)
    target = start + np.array([4.0, -1.0, 2.0, 0.5, -3.0, 1.0])
    value = lambda x: 0.5 * float((x[0] - target) @ h @ (x[0] - target))
    path, distances, radii = loops.distance_free(
        value,
        lambda x, k: [h @ (x[0] - target)],
        [SIGN],
        lambda g: loops.sign_dual(g[0]),
        lambda x: float(np.max(np.abs(x[0]))),
        [start],
        400,
        float(np.sum(np.abs(h))),
        first_radius,
    )
    assert np.all(np.diff(distances) >= 0)
    assert 0.1 < distances[-1] <= 4
    assert np.all(np.array(radii) >= np.maximum(distances, first_radius))
    furthest = [np.max(np.abs(x[0] - start)) for x in path]
    assert max(furthest) <= max(radii) + 1e-12
    assert value(path[-1]) < 0.05 * value(path[0])


# Local LMO.

NORMALS = np.array([[1.0, 2.0, -1.0, 0.5], [0.0, 1.0, 1.0, -1.0]])
SETS = {
    "box": lambda x: loops.project_box(x, -np.ones(4), np.array([1.0, 2, 0.5, 1])),
    "ball": lambda x: loops.project_ball(x, np.array([0.5, 0, -0.5, 0]), 1.5),
    "half-space": lambda x: loops.project_half_space(x, NORMALS[0], 0.7),
    "affine": lambda x: loops.project_affine(x, NORMALS, np.array([0.7, -0.2])),
    "simplex": lambda x: loops.project_simplex(x, 1.5),
    "l1 ball": lambda x: loops.project_l1_ball(x, 1.2),
}
INSIDE = {
    "box": lambda x: np.all(np.abs(x - [0, 0.5, -0.25, 0]) <= [1, 1.5, 0.75, 1]),
    "ball": lambda x: np.linalg.norm(x - [0.5, 0, -0.5, 0]) <= 1.5 + 1e-12,
    "half-space": lambda x: NORMALS[0] @ x <= 0.7 + 1e-12,
    "affine": lambda x: np.allclose(NORMALS @ x, [0.7, -0.2], atol=1e-12),
    "simplex": lambda x: np.all(x >= 0) and abs(np.sum(x) - 1.5) <= 1e-12,
    "l1 ball": lambda x: np.sum(np.abs(x)) <= 1.2 + 1e-12,
}


def draws(name, seed, count):
    """Points of the set, some inside and some on its boundary."""
    rng = np.random.default_rng(seed)
    scales = rng.choice([0.1, 1.0, 3.0], count)
    return [SETS[name](s * rng.standard_normal(4)) for s in scales]


@pytest.mark.parametrize("name", SETS)
def test_projections(name):
    """p in X and ⟨v − p, y − p⟩ ≤ 0 for all y in X."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        v = 2 * rng.standard_normal(4)
        p = SETS[name](v)
        assert INSIDE[name](p)
        np.testing.assert_allclose(SETS[name](p), p, rtol=1e-12, atol=1e-14)
        assert max((v - p) @ (y - p) for y in draws(name, 1, 50)) <= 1e-12


@pytest.mark.parametrize("name", SETS)
def test_local_step_is_feasible_and_optimal(name):
    rng = np.random.default_rng(1)
    others = draws(name, 2, 100)
    for x in draws(name, 3, 10):
        g, t = rng.standard_normal(4), rng.choice([0.1, 0.7, 5.0])
        new = loops.local_step(SETS[name], x, g, t)
        assert INSIDE[name](new)
        assert np.linalg.norm(new - x) <= t * (1 + 1e-12)
        for y in others:
            z = x + t / max(t, np.linalg.norm(y - x)) * (y - x)
            assert g @ new <= g @ z + 1e-10


@pytest.mark.parametrize("name", SETS)
def test_local_step_of_matching_length_is_projected_gradient_descent(name):
    rng = np.random.default_rng(2)
    lengths = []
    for x in draws(name, 4, 10):
        g, gamma = rng.standard_normal(4), rng.uniform(0.1, 2)
        target = SETS[name](x - gamma * g)
        t = np.linalg.norm(target - x)
        new = loops.local_step(SETS[name], x, g, t)
        np.testing.assert_allclose(new, target, rtol=1e-7, atol=1e-9)
        steps = [np.linalg.norm(SETS[name](x - c * g) - x) for c in (0.1, 0.5, 1, 3)]
        assert np.all(np.diff(steps) >= -1e-12)
        lengths.append(t)
    assert max(lengths) > 0.1


@pytest.mark.parametrize("name", SETS)
def test_local_step_is_fejer(name):
    """t ‖g‖ ≤ ⟨g, x − y⟩ implies ‖x⁺ − y‖² ≤ ‖x − y‖² − t²."""
    rng = np.random.default_rng(3)
    seen = 0
    for x in draws(name, 5, 5):
        g = rng.standard_normal(4)
        for y in draws(name, 6, 8):
            t = g @ (x - y) / np.linalg.norm(g)
            if t > 1e-3:
                new = loops.local_step(SETS[name], x, g, t)
                bound = np.sum((x - y) ** 2) - t**2
                assert np.sum((new - y) ** 2) <= bound + 1e-10
                seen += 1
    assert seen > 5


def test_local_step_in_the_whole_space_is_a_normalised_step():
    x, g = np.array([1.0, 2.0, -1.0]), np.array([2.0, -1.0, 2.0])
    new = loops.local_step(lambda z: z, x, g, 0.6)
    np.testing.assert_allclose(new, x - 0.2 * g, rtol=1e-12)


def test_local_step_in_an_affine_set_uses_the_projected_gradient():
    x, g = SETS["affine"](np.zeros(4)), np.array([1.0, -2.0, 0.5, 3.0])
    along = g - NORMALS.T @ np.linalg.solve(NORMALS @ NORMALS.T, NORMALS @ g)
    expected = x - 0.4 * along / np.linalg.norm(along)
    new = loops.local_step(SETS["affine"], x, g, 0.4)
    np.testing.assert_allclose(new, expected, rtol=1e-9)
    orthogonal = loops.local_step(SETS["affine"], x, NORMALS[0] - NORMALS[1], 0.4)
    np.testing.assert_allclose(orthogonal, x, atol=1e-12)


def test_local_step_with_a_large_radius_is_the_frank_wolfe_vertex():
    x, g = np.array([0.3, 0.2, 0.1, 0.9]), np.array([0.4, -1.0, 2.0, -0.9])
    expected = {
        "box": [-1, 2, -1, 1],
        "ball": np.array([0.5, 0, -0.5, 0]) - 1.5 * g / np.linalg.norm(g),
        "simplex": [0, 1.5, 0, 0],
        "l1 ball": [0, 0, -1.2, 0],
    }
    for name, vertex in expected.items():
        new = loops.local_step(SETS[name], SETS[name](x), g, 6.0)
        np.testing.assert_allclose(new, vertex, rtol=1e-11, atol=1e-11)


def test_local_step_on_a_face_of_minimisers_takes_the_nearest():
    x, g = np.array([0.2, 1.5, -0.3, 0.4]), np.array([1.0, 0.0, 0.0, -1.0])
    new = loops.local_step(SETS["box"], x, g, 5.0)
    np.testing.assert_allclose(new, [-1, 1.5, -0.3, 1], atol=1e-14)
    inward = loops.local_step(SETS["half-space"], np.zeros(4), -NORMALS[0], 5.0)
    np.testing.assert_allclose(inward, 0.7 * NORMALS[0] / 6.25, rtol=1e-12)


def test_local_step_passes_a_corner_at_which_the_path_rests():
    """Proj_X(x − γ g) stays at the corner 0 for γ in [0.1, 0.6], then slides on."""
    edges = np.array([[0.0, 1.0], [1.0, 0.11]])

    def project(v):
        if np.all(edges @ v <= 0):
            return v
        on_edges = [loops.project_half_space(v, n, 0.0) for n in edges]
        feasible = [p for p in on_edges if np.all(edges @ p <= 1e-12)]
        feasible.append(np.zeros(2))
        return min(feasible, key=lambda p: np.sum((p - v) ** 2))

    x, g, t = np.array([-1.0, -0.05]), np.array([-10.0, -1.0]), 1.5
    for gamma in (0.11, t / np.linalg.norm(g), 2 * t / np.linalg.norm(g), 0.59):
        np.testing.assert_array_equal(project(x - gamma * g), np.zeros(2))
    new = loops.local_step(project, x, g, t)
    s = max(np.roots([1 + 0.11**2, 2 * 0.11 - 0.1, 1.0025 - t**2]))
    np.testing.assert_allclose(new, [0.11 * s, -s], rtol=1e-9)


@pytest.mark.parametrize("name", SETS)
def test_local_step_stays_without_gradient_or_radius(name):
    x = draws(name, 7, 1)[0]
    g = np.arange(4.0)
    np.testing.assert_array_equal(loops.local_step(SETS[name], x, 0 * g, 1.0), x)
    np.testing.assert_array_equal(loops.local_step(SETS[name], x, g, 0.0), x)


def test_constant_radius_bound_on_a_lipschitz_function():
    """min_{k≤K} f(xₖ) − f* ≤ R G/√K for t = R/√K, f = ‖x − c‖₁ on the simplex."""
    center = np.array([0.9, 0.4, 0.15, 0.05])
    value = lambda x: np.sum(np.abs(x - center))
    x = start = np.array([0.0, 0.0, 0.0, 1.5])
    distance, updates = np.linalg.norm(start - center), 60
    values = [value(x)]
    for _ in range(updates):
        g = np.sign(x - center)
        x = loops.local_step(SETS["simplex"], x, g, distance / np.sqrt(updates))
        values.append(value(x))
    assert min(values) <= distance * 2 / np.sqrt(updates) < values[0]


def test_polyak_radius_moves_towards_the_solution():
    h, center = random_quadratic(4, 4)
    target = SETS["box"](center)
    value = lambda x: 0.5 * (x - target) @ h @ (x - target)
    x, distance = -np.ones(4), np.inf
    for _ in range(60):
        g = h @ (x - target)
        t = value(x) / np.linalg.norm(g)
        x = loops.local_step(SETS["box"], x, g, t)
        assert np.linalg.norm(x - target) < distance
        distance = np.linalg.norm(x - target)
    assert value(x) < 1e-2 * value(-np.ones(4))
