"""Polynomial kernels for the polar factor, against what is known of them."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedjax_opt import linalg

# Largest |σ - 1| over starting values in [low, 1], as fractions of the Frobenius norm,
# for low = 1e-3, 1e-2, 1e-1: figures of an independent float64 computation.
WORST_ERRORS = {
    "jordan 5": (linalg.jordan(), (0.529, 0.318, 0.318)),
    "polar express 5, no safety": (
        linalg.polar_express(5, safety=1),
        (0.124, 0.124, 0.124),
    ),
    "polar express 5": (linalg.polar_express(5), (0.160, 0.130, 0.130)),
    "polar express 6": (linalg.polar_express(6), (6.5e-3, 2.6e-3, 2.6e-3)),
    "polar express 7": (linalg.polar_express(7), (1.1e-5, 4.7e-6, 4.7e-6)),
    "polar express 6, no safety": (
        linalg.polar_express(6, safety=1),
        (1.2e-3, 1.2e-3, 1.2e-3),
    ),
    "polar express 7, no safety": (
        linalg.polar_express(7, safety=1),
        (1.0e-9, 1.0e-9, 1.0e-9),
    ),
    "polar express, five steps only": (
        linalg.polar_express_five(),
        (0.141, 0.141, 0.141),
    ),
    "dion 5": (linalg.dion(), (0.525, 0.032, 0.032)),
    "cubic 5": (linalg.cubic(5), (0.99, 0.92, 0.34)),
    "cubic 10": (linalg.cubic(10), (0.94, 0.47, 3e-11)),
    "cubic 15": (linalg.cubic(15), (0.58, 2.5e-7, 0.0)),
    "quintic 5": (linalg.quintic(5), (0.98, 0.77, 4e-3)),
    "quintic 10": (linalg.quintic(10), (0.50, 2.3e-10, 0.0)),
}
CONVERGED = {
    "polar express 8": linalg.polar_express(),
    "polar express 20": linalg.polar_express(20),
    "cubic 30": linalg.cubic(),
    "quintic 15": linalg.quintic(),
}
KERNELS = {
    "jordan": linalg.jordan(),
    "polar express": linalg.polar_express(),
    "cubic": linalg.cubic(),
    "quintic": linalg.quintic(),
}

orthogonalize = jax.jit(linalg.orthogonalize, static_argnums=1)


def scalar_map(coefficients, low):
    """What becomes of starting values in [low, 1] in matrices of Frobenius norm 1."""
    start = np.geomspace(low, 1, 4001)
    rest = np.sqrt(1 - start**2)
    x = np.zeros((start.size, 2, 2))
    x[:, 0, 0], x[:, 1, 1] = start, rest
    return np.asarray(orthogonalize(jnp.asarray(x), coefficients))[:, 0, 0]


def gaussian(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def rotation(n, seed):
    return jnp.linalg.qr(gaussian(n, n, seed=seed))[0]


def with_singular_values(values, shape, seed=0):
    u, v = rotation(shape[0], seed), rotation(shape[1], seed + 1)
    k = len(values)
    return (u[:, :k] * jnp.asarray(values)[None, :]) @ v[:, :k].T, u[:, :k] @ v[:, :k].T


@pytest.mark.parametrize("name", WORST_ERRORS)
def test_worst_error_over_singular_values(name):
    coefficients, expected = WORST_ERRORS[name]
    for low, error in zip([1e-3, 1e-2, 1e-1], expected, strict=True):
        measured = np.max(np.abs(scalar_map(coefficients, low) - 1))
        assert measured == pytest.approx(error, rel=0.06, abs=1e-13)


@pytest.mark.parametrize("name", WORST_ERRORS)
def test_worst_error_of_the_polynomials_alone(name):
    """In NumPy on numbers, without matrices."""
    coefficients, expected = WORST_ERRORS[name]
    for low, error in zip([1e-3, 1e-2, 1e-1], expected, strict=True):
        t = np.geomspace(low, 1, 4001)
        for a, b, c in coefficients:
            t = a * t + b * t**3 + c * t**5
        assert np.max(np.abs(t - 1)) == pytest.approx(error, rel=0.06, abs=1e-13)


def test_the_preset_of_optax():
    muon = importlib.import_module("optax.contrib._muon")
    np.testing.assert_array_equal(linalg.dion(), muon._DION_NS_COEFFS)


@pytest.mark.parametrize("name", CONVERGED)
def test_converged_kernels_reach_rounding_error(name):
    assert np.max(np.abs(scalar_map(CONVERGED[name], 1e-3) - 1)) < 1e-13


def test_jordan_stays_in_its_band_and_never_converges():
    values = scalar_map(linalg.jordan(), 1e-2)
    assert values.min() == pytest.approx(0.682, abs=1e-3)
    assert values.max() == pytest.approx(1.134, abs=1e-3)
    assert np.ptp(scalar_map(linalg.jordan(40), 1e-2)) > 0.3


def test_one_step_is_the_polynomial():
    """With coefficients of my own, against NumPy's matrix products."""
    x, (a, b, c) = np.asarray(gaussian(3, 5)), (1.1, 0.7, -0.3)
    y = x / np.linalg.norm(x)
    expected = a * y + b * y @ y.T @ y + c * y @ y.T @ y @ y.T @ y
    result = linalg.orthogonalize(jnp.asarray(x), ((a, b, c),))
    np.testing.assert_allclose(result, expected, rtol=1e-13)


@pytest.mark.parametrize(
    "name, error, alignment",
    [
        ("jordan 5", 0.216, 0.85),
        ("polar express 5", 0.087, 0.996),
        ("dion 5", 0.018, 0.997),
    ],
)
def test_gaussian_matrices(name, error, alignment):
    """Relative distance to U Vᵀ, and <G, result> over the nuclear norm."""
    g = np.asarray(gaussian(64, 256))
    u, s, vt = np.linalg.svd(g, full_matrices=False)
    result = np.asarray(orthogonalize(jnp.asarray(g), WORST_ERRORS[name][0]))
    distance = np.linalg.norm(result - u @ vt) / np.linalg.norm(u @ vt)
    assert distance == pytest.approx(error, rel=0.06)  # of another draw
    assert np.sum(g * result) / s.sum() == pytest.approx(alignment, abs=0.01)


@pytest.mark.parametrize("name", KERNELS)
def test_equivariance(name):
    """Under rotations from both sides, transposition and positive factors."""
    coefficients, g = KERNELS[name], gaussian(4, 6)
    left, right = rotation(4, 1), rotation(6, 2)
    result = orthogonalize(g, coefficients)

    def assert_equal(x, y):
        np.testing.assert_allclose(x, y, atol=1e-10)

    assert_equal(orthogonalize(left @ g @ right, coefficients), left @ result @ right)
    assert_equal(orthogonalize(g.T, coefficients), result.T)
    assert_equal(orthogonalize(1e-30 * g, coefficients), result)
    assert_equal(orthogonalize(1e200 * g, coefficients), result)


def test_leading_axes_are_a_batch():
    g = gaussian(2, 3, 5, 4)
    batched = orthogonalize(g, linalg.jordan())
    for i, j in np.ndindex(2, 3):
        alone = orthogonalize(g[i, j], linalg.jordan())
        np.testing.assert_allclose(batched[i, j], alone, atol=1e-13)


@pytest.mark.parametrize(
    "coefficients, dtype, low, high",
    [
        (linalg.jordan(), jnp.float32, 0.6, 1.25),
        (linalg.jordan(), jnp.bfloat16, 0.57, 1.28),
        (linalg.dion(), jnp.float32, 0.96, 1.04),
        (linalg.dion(), jnp.bfloat16, 0.93, 1.07),
        (linalg.polar_express_five(), jnp.float32, 0.85, 1.15),
        (linalg.polar_express_five(), jnp.bfloat16, 0.82, 1.18),
        (linalg.polar_express(), jnp.float32, 0.999, 1.001),
        (linalg.polar_express(), jnp.bfloat16, 0.97, 1.03),
        (linalg.cubic(), jnp.float32, 0.9999, 1.0001),
    ],
)
def test_low_precision(coefficients, dtype, low, high):
    start = np.geomspace(0.02, 1, 8)
    g = with_singular_values(start, (8, 20))[0].astype(dtype)
    result = orthogonalize(g, coefficients)
    values = np.linalg.svd(np.asarray(result, np.float64), compute_uv=False)
    assert result.dtype == dtype
    assert low <= values.min() <= values.max() <= high


def test_exact_polar_factor():
    g, factor = with_singular_values([3.0, 1.0, 1e-3, 1e-9], (4, 7))
    np.testing.assert_allclose(linalg.polar_svd(g), factor, atol=1e-6)
    np.testing.assert_allclose(linalg.polar_svd(g.T), factor.T, atol=1e-6)
    g, factor = with_singular_values([3.0, 1.0], (4, 7))  # rank two
    np.testing.assert_allclose(linalg.polar_svd(g), factor, atol=1e-13)
    np.testing.assert_allclose(linalg.polar_svd(1e-200 * g), factor, atol=1e-13)
    stacked = linalg.polar_svd(jnp.stack([g, -2 * g]))
    np.testing.assert_allclose(stacked, jnp.stack([factor, -factor]), atol=1e-13)
    assert linalg.polar_svd(g.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_zero_gives_zero():
    zero = jnp.zeros((4, 6))
    for coefficients in KERNELS.values():
        assert not np.any(orthogonalize(zero, coefficients))
    assert not np.any(linalg.polar_svd(zero))


def test_euclidean_norm_at_every_scale():
    x = jnp.array([[3.0, 0.0], [0.0, -4.0]])
    for scale in (1e-300, 1.0, 1e300):
        np.testing.assert_allclose(linalg.euclidean_norm(scale * x), 5 * scale, 1e-15)
    small = (1e-30 * x).astype(jnp.float32)
    np.testing.assert_allclose(linalg.euclidean_norm(small), 5e-30, rtol=1e-6)
    rows = linalg.euclidean_norm(x, axis=1)
    np.testing.assert_array_equal(rows, [3, 4])
    assert linalg.euclidean_norm(x, axis=1, keepdims=True).shape == (2, 1)
    assert linalg.euclidean_norm(jnp.zeros((0, 2))) == 0


@pytest.mark.parametrize("scale", [8e37, 9e37, 2e38, 3.3e38])
def test_euclidean_norm_of_the_largest_numbers(scale):
    x = jnp.asarray(scale * np.array([0.6, -0.8, 0.0]), jnp.float32)
    for norm in (linalg.euclidean_norm, jax.jit(linalg.euclidean_norm)):
        np.testing.assert_allclose(norm(x), scale, rtol=1e-6)
    for unit in (linalg.unit, jax.jit(linalg.unit)):
        np.testing.assert_allclose(unit(x), [0.6, -0.8, 0.0], rtol=1e-6)
    four = jnp.full(4, scale, jnp.float32)  # a norm beyond the largest number
    assert linalg.euclidean_norm(four) == (np.inf if 2 * scale > 3.4e38 else 2 * scale)
    np.testing.assert_allclose(linalg.unit(four), np.full(4, 0.5), rtol=1e-6)
    doubles = jnp.array([6e307, -8e307])
    np.testing.assert_allclose(linalg.euclidean_norm(doubles), 1e308, rtol=1e-14)


def test_euclidean_norm_of_infinite_entries():
    for dtype in (jnp.float32, jnp.float64):
        assert linalg.euclidean_norm(jnp.array([1.0, -jnp.inf], dtype)) == np.inf
        assert np.isnan(linalg.euclidean_norm(jnp.array([jnp.nan, jnp.inf], dtype)))
    rows = linalg.euclidean_norm(jnp.array([[3.0, 4.0], [jnp.inf, 0.0]]), axis=1)
    np.testing.assert_array_equal(rows, [5, np.inf])


@pytest.mark.parametrize("scale", [1e-30, 1.0, 9e37, 3.3e38])
def test_polar_factors_of_the_largest_numbers(scale):
    g, factor = with_singular_values([1.0, 0.6, 0.3], (3, 5))
    g = (scale / jnp.max(jnp.abs(g)) * g).astype(jnp.float32)
    for found in (
        jax.jit(linalg.polar_svd)(g),
        orthogonalize(g, linalg.polar_express()),
    ):
        np.testing.assert_allclose(found, factor, atol=1e-5)


def test_half_precision_norms_accumulate_in_float32():
    ones = jnp.ones(4096, jnp.bfloat16)
    norm = linalg.euclidean_norm(ones)
    assert norm.dtype == jnp.float32
    assert norm == 64
