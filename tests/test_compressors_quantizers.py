"""Facts about the compressors that send short numbers, beyond the contract."""

import functools
import math

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import scipy.linalg
from scipy.stats import norm as normal

from fedjax_opt.compressors import natural
from fedjax_opt.compressors.casts import cast, stochastic_rounding
from fedjax_opt.compressors.correlated import correlated_one_bit
from fedjax_opt.compressors.dithering import dithering
from fedjax_opt.compressors.higgs import GRIDS, higgs
from fedjax_opt.compressors.natural_dithering import natural_dithering
from fedjax_opt.compressors.packing import pack, unpack
from fedjax_opt.compressors.terngrad import terngrad
from fedjax_opt.keys import NOT_GIVEN, in_round, public
from fedjax_opt.types import Bits

INF = math.inf
DRAWS = 20_000
N = 8


@functools.partial(jax.jit, static_argnums=(0, 4))
def apply(c, key, x, worker=0, num_workers=N):
    """decode ∘ encode."""
    keys = in_round(key, worker, num_workers)
    return c.decode(public(keys), c.encode(keys, x), x)


def draws(c, x, number=DRAWS):
    """[number, d] independent messages about one vector, decoded."""
    keys = jax.random.split(jax.random.key(1), number)
    return np.asarray(jax.vmap(lambda key: apply(c, key, jnp.asarray(x)))(keys))


def message_of(c, x, dtype=None):
    return c.encode(in_round(jax.random.key(0), 0, N), jnp.asarray(x, dtype))


def length_of(c, d, dtype="float32"):
    like = jax.ShapeDtypeStruct((d,), dtype)
    keys = in_round(jax.random.key(0), 0, N)
    message = jax.eval_shape(lambda x: c.encode(keys, x), like)
    return c.bits(public(keys), message, like)


def assert_mean(sample, expected):
    """Within six standard errors."""
    error = np.std(sample, axis=0) / np.sqrt(len(sample))
    assert np.all(np.abs(np.mean(sample, axis=0) - expected) <= 6 * error + 1e-12)


def squared_errors(sample, x):
    return np.sum((sample - x) ** 2, axis=-1)


# ---------------------------------------------------------------- packing


@pytest.mark.parametrize("count", [1, 7, 64])
@pytest.mark.parametrize("width", [1, 2, 3, 5, 8, 11, 16, 17, 32])
def test_packing_is_exact_and_has_no_gaps(width, count):
    codes = np.random.default_rng(width).integers(2**width, size=count)
    codes[-1] = 2**width - 1
    packed = pack(jnp.asarray(codes, "uint32"), width)
    assert packed.dtype == "uint8"
    assert packed.shape == (math.ceil(width * count / 8),)
    np.testing.assert_array_equal(unpack(packed, width, count), codes)


def test_packing_begins_with_the_lowest_bit():
    packed = pack(jnp.array([1, 2, 3]), 2)
    np.testing.assert_array_equal(packed, [0b10_01_11_00])


# ---------------------------------------------------------------- dithering


def variance(y, grid):
    """Σ (upper − y)(y − lower) over the neighbours of each y in a grid from 0 to 1."""
    upper = np.clip(np.searchsorted(grid, y, side="right"), 1, len(grid) - 1)
    return np.sum((grid[upper] - y) * (y - grid[upper - 1]))


def uniform_grid(s):
    return np.arange(s + 1) / s


def natural_grid(s):
    return np.array([0, *(2.0 ** (k - s) for k in range(1, s + 1))])


FAMILIES = {
    "uniform": (dithering, uniform_grid),
    "natural": (natural_dithering, natural_grid),
}


def vectors(d):
    """Some that are known to be bad, and many at random."""
    rng = np.random.default_rng(d)
    yield np.ones(d)
    yield np.eye(d)[0]
    yield np.where(np.arange(d) == 0, 1, 1 / (1 + math.sqrt(d)))
    for k in range(1, 40):
        yield np.where(np.arange(d) == 0, 1, k / 40)
    for power in (0.2, 1, 5):
        yield from rng.uniform(0, 1, (30, d)) ** power


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("p", [1, 1.5, 2, 3, INF])
def test_variance_is_never_above_omega(family, p):
    make, grid_of = FAMILIES[family]
    for s in (1, 2, 3, 4, 7):
        for d in (1, 2, 5, 12, 100):
            omega = make(s, norm=p).certificate(d).omega
            for x in vectors(d):
                size = np.linalg.norm(x, p)
                y = np.minimum(x / size, 1)
                found = size**2 * variance(y, grid_of(s))
                assert found <= (omega + 1e-12) * np.sum(x**2)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("s", "p"), [(1, 2), (4, 2), (3, 1), (2, 3), (4, INF)])
def test_entries_go_to_their_neighbours(family, s, p):
    make, grid_of = FAMILIES[family]
    x = np.array([3.0, -4.0, 0.0, 0.1, -1.0, 2.5, 0.4])
    size = np.linalg.norm(x, p)
    y, grid = np.abs(x) / size, grid_of(s)
    sample = draws(make(s, norm=p), x)
    for i in range(len(x)):
        above = grid[grid >= y[i] - 1e-12].min()
        below = grid[grid <= y[i] + 1e-12].max()
        allowed = np.sign(x[i]) * size * np.array([below, above])
        assert np.isclose(sample[:, i, None], allowed[None], rtol=1e-14).any(1).all()
    assert_mean(sample, x)
    assert_mean(squared_errors(sample, x), size**2 * variance(y, grid))


@pytest.mark.parametrize("p", [1, 1.5, 2, 3, INF])
@pytest.mark.parametrize("scale", [1, 1e30, 1e-30])
def test_the_norm_is_sent_in_float32_at_least(p, scale):
    x = scale * np.array([3.0, -4.0, 0.0, 0.5])
    for dtype, sent in (("bfloat16", "float32"), ("float32", "float32")):
        size = message_of(dithering(3, norm=p), x, dtype).norm
        assert size.dtype == sent
        exact = np.linalg.norm(np.asarray(jnp.asarray(x, dtype), float) / scale, p)
        np.testing.assert_allclose(size / scale, exact, rtol=1e-6)


def test_what_lies_on_a_level_is_not_changed():
    x = np.array([4.0, -3.0, 2.0, 1.0, 0.0])
    np.testing.assert_array_equal(
        draws(dithering(4, norm=INF), x, 50), np.tile(x, (50, 1))
    )
    x = np.array([4.0, -2.0, 1.0, 0.5, 0.0])
    np.testing.assert_array_equal(
        draws(natural_dithering(4, norm=INF), x, 50), np.tile(x, (50, 1))
    )


def test_with_one_level_both_ditherings_are_the_same():
    x = np.random.default_rng(2).standard_normal(50)
    np.testing.assert_array_equal(
        draws(dithering(1), x, 50), draws(natural_dithering(1), x, 50)
    )


def test_many_levels_are_exact_but_for_a_level():
    x = np.random.default_rng(3).standard_normal(100)
    error = np.abs(draws(dithering(65535), x, 1)[0] - x)
    assert 0 < error.max() <= np.linalg.norm(x) / 65535


@pytest.mark.parametrize("d", [4, 12])
def test_omega_of_one_level_is_attained_on_equal_entries(d):
    x = np.ones(d)
    sample = draws(dithering(1), x)
    assert_mean(squared_errors(sample, x) / d, math.sqrt(d) - 1)
    assert dithering(1).certificate(d).omega == pytest.approx(math.sqrt(d) - 1)
    assert_mean(np.count_nonzero(sample, axis=1), math.sqrt(d))


@pytest.mark.parametrize("d", [4, 12])
def test_omega_of_terngrad_is_attained(d):
    x = np.where(np.arange(d) == 3, -1, 1 / (1 + math.sqrt(d)))
    sample = draws(terngrad(), x)
    assert set(np.unique(sample)) == {-1, 0, 1}
    assert np.all(sample[:, 3] == -1)
    error = squared_errors(sample, x) / np.sum(x**2)
    assert_mean(error, (math.sqrt(d) - 1) / 2)
    assert terngrad().certificate(d).omega == pytest.approx((math.sqrt(d) - 1) / 2)


def test_elias_code_is_shorter_for_few_levels():
    # d = 10⁶, s = 1: about 1001 numbers are not zero.
    elias = (3 + 1.5 * math.log2(2 * (1 + 10**6) / 1001)) * 1001
    assert 19_000 < elias < 20_000
    assert length_of(dithering(1), 10**6) == Bits(
        32 + 2 * 10**6, 32 + 2 * 10**6, 32 + math.ceil(elias)
    )
    # Only for the Euclidean norm.
    ternary = 32 + math.ceil(10**6 * math.log2(3))
    assert length_of(terngrad(), 10**6).entropy == ternary


@pytest.mark.parametrize(
    ("s", "width"), [(1, 2), (2, 3), (3, 3), (4, 4), (7, 4), (8, 5), (255, 9)]
)
@pytest.mark.parametrize("make", [dithering, lambda s: dithering(s, norm=3.0)])
def test_bits_of_sign_and_level(make, s, width):
    assert length_of(make(s), 100, "bfloat16").values == 32 + 100 * width
    assert length_of(make(s), 100, "float64").values == 64 + 100 * width


# ---------------------------------------------------------------- casts

TYPES = {
    "bfloat16": (ml_dtypes.bfloat16, 1.0),
    "float8_e4m3fn": (ml_dtypes.float8_e4m3fn, 2.0**7),
    "float8_e5m2": (ml_dtypes.float8_e5m2, 2.0**14),
}


@functools.partial(jax.jit, static_argnums=0)
def cast_to(name, x):
    c = cast(name)
    return c.decode(NOT_GIVEN, c.encode(NOT_GIVEN, x), x)


@pytest.mark.parametrize("scale", [1, 3e30, 5e-22])
@pytest.mark.parametrize("name", TYPES)
def test_casts_are_those_of_ml_dtypes(name, scale):
    short, k = TYPES[name]
    rng = np.random.default_rng(4)
    x = scale * rng.standard_normal(5000) * 10 ** rng.uniform(-8, 0, 5000)
    x = x.astype("float32")
    power = 2.0 ** np.floor(np.log2(np.max(np.abs(x)).astype(float)))
    expected = (x / power * k).astype("float32").astype(short).astype(float) * power / k
    np.testing.assert_array_equal(cast_to(name, jnp.asarray(x)), expected)
    message = cast(name).encode(NOT_GIVEN, jnp.asarray(x))
    assert message.values.dtype == name
    assert message.scale == power


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("peak", [1.0, np.nextafter(np.float32(2), np.float32(0)), 1.5])
def test_the_largest_entry_stays_finite(name, peak):
    x = jnp.array([peak, -peak], jnp.float32)
    unit = float(jnp.finfo(name).eps) / 2
    np.testing.assert_allclose(cast_to(name, x), x, rtol=unit)


def test_bfloat16_is_kept_as_it_is():
    x = jnp.asarray(np.random.default_rng(5).standard_normal(1000), "bfloat16")
    np.testing.assert_array_equal(cast_to("bfloat16", x), x)


@pytest.mark.parametrize(
    ("name", "unit", "step"),
    [("float8_e4m3fn", 2.0**-4, 2.0**-17), ("float8_e5m2", 2.0**-3, 2.0**-31)],
)
def test_rounding_errors_of_casts_are_attained(name, unit, step):
    """Half a unit above a power of two is lost, and half a subnormal step."""
    x = np.array([1 + unit, step])
    out = np.asarray(cast_to(name, jnp.asarray(x)))
    np.testing.assert_array_equal(out, [1, 0])
    out = cast_to(name, jnp.asarray([1, 1.001 * step]))
    np.testing.assert_array_equal(out, [1, 2 * step])


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("bad", [INF, math.nan])
def test_what_is_not_finite_is_not_hidden(name, bad):
    assert np.isnan(cast_to(name, jnp.array([1.0, bad]))).all()


def test_rounding_to_no_mantissa_is_natural_compression(key):
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        x = jnp.asarray(np.random.default_rng(6).standard_normal(100), dtype)
        np.testing.assert_array_equal(
            apply(stochastic_rounding(0), key, x), apply(natural(), key, x)
        )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("m", [1, 3])
def test_stochastic_rounding_of_a_number(m, dtype):
    """9/8 is 1/4 of the way from 1 to 3/2; 11/8 + 1/64 is 1/8 of that to 12/8."""
    t, lower, step, up = {
        1: (9 / 8, 1.0, 1 / 2, 1 / 4),
        3: (11 / 8 + 1 / 64, 11 / 8, 1 / 8, 1 / 8),
    }[m]
    x = jnp.full(DRAWS, -4 * t, dtype)
    out = -np.asarray(apply(stochastic_rounding(m), jax.random.key(7), x), float) / 4
    assert set(out) == {lower, lower + step}
    assert_mean(out == lower + step, up)


def test_omega_of_stochastic_rounding_is_attained():
    """t = 2a (a + h)/(2a + h) between a = 1 and a + h = 5/4."""
    x = np.full(1, 10 / 9)
    sample = draws(stochastic_rounding(2), x)
    assert set(sample.ravel()) == {1, 1.25}
    assert_mean(squared_errors(sample, x) / x**2, 1 / 80)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_stochastic_rounding_at_the_ends(dtype, key):
    top = float(jnp.finfo(dtype).max)
    x = jnp.array([INF, -INF, top, -top, 0.0, 1.5, -1.25], dtype)
    out = np.asarray(apply(stochastic_rounding(2), key, x), float)
    largest = 1.75 * 2.0 ** (jnp.finfo(dtype).maxexp - 1)
    np.testing.assert_array_equal(out, [INF, -INF, largest, -largest, 0, 1.5, -1.25])


# ---------------------------------------------------------------- correlated


def everyone(c, key, x):
    """[n, d] decoded messages of n workers in one round."""
    n = len(x)
    return jax.vmap(lambda i, x: apply(c, key, x, i, n))(jnp.arange(n), jnp.asarray(x))


@pytest.mark.parametrize("n", [1, 2, 7, 20])
def test_equal_vectors_have_nearly_their_mean(n):
    x = np.random.default_rng(8).uniform(-1, 3, 200)
    c = correlated_one_bit(-1.0, 3.0)
    for seed in range(5):
        out = np.asarray(everyone(c, jax.random.key(seed), np.tile(x, (n, 1))))
        assert set(np.unique(out)) == {-1, 3}
        assert np.max(np.abs(out.mean(axis=0) - x)) <= 4 / n
    # A share of workers that is a whole number is met exactly: y = 13/20.
    if n == 20:
        out = everyone(c, jax.random.key(9), np.full((20, 100), -1 + 4 * 0.65))
        np.testing.assert_array_equal(np.sum(out == 3, axis=0), 13)


def test_correlated_bits_are_unbiased_with_the_variance_of_a_coin():
    x = np.array([-1.0, 3.0, 0.0, 2.0, 2.9])
    sample = draws(correlated_one_bit(-1.0, 3.0), x)
    assert_mean(sample, x)
    assert_mean((sample - x) ** 2, (3 - x) * (x + 1))
    np.testing.assert_array_equal(sample[:, 0], -1)
    np.testing.assert_array_equal(sample[:, 1], 3)


def test_two_workers_that_differ():
    """y = 1/4 and 3/4: in one order both toss a fair coin, in the other none errs.

    The mean has the variance 1/16; of independent bits it is 3/32.
    """
    c = correlated_one_bit(0.0, 1.0)
    x = np.array([[0.25], [0.75]])
    keys = jax.random.split(jax.random.key(10), DRAWS)
    out = np.asarray(jax.vmap(lambda key: everyone(c, key, x))(keys))[..., 0]
    assert_mean((out.mean(axis=1) - 0.5) ** 2, 1 / 16)


def test_every_order_of_three_workers_is_as_likely():
    """With y = 1/3 just the worker that is first sends 1, with 2/3 the first two."""
    c, d = correlated_one_bit(0.0, 1.0), 3
    keys = jax.random.split(jax.random.key(11), DRAWS)

    def orders(x):
        return np.asarray(jax.vmap(lambda key: everyone(c, key, x))(keys))

    first = orders(np.full((3, d), 1 / 3 + 1e-9))[:, :, 0]
    for worker in range(3):
        assert_mean(first[:, worker], 1 / 3)
    # Worker 0 sends 1 if it is first, worker 1 if it is not last: both in one order.
    mixed = np.zeros((3, d))
    mixed[0], mixed[1] = 1 / 3, 2 / 3
    out = orders(mixed)
    assert_mean(out[:, 0, 0] * out[:, 1, 0], 1 / 6)
    # Two entries of one worker are independent.
    assert_mean(out[:, 0, 0] * out[:, 0, 1], 1 / 9)


def test_outside_the_range_is_its_end(key):
    x = jnp.array([-5.0, 7.0, -1e30, 1e30, -1.0, 3.0])
    out = apply(correlated_one_bit(-1.0, 3.0), key, x)
    np.testing.assert_array_equal(out, [-1, 3, -1, 3, -1, 3])


def test_correlated_bits_keep_shape_and_dtype(key):
    for dtype in ("float64", "float32", "bfloat16"):
        x = jnp.full((3, 4), 0.3, dtype)
        out = apply(correlated_one_bit(0.0, 1.0), key, x)
        assert (out.shape, out.dtype) == (x.shape, x.dtype)
        zero = apply(correlated_one_bit(0.0, 1.0), key, jnp.zeros((3, 4), dtype))
        np.testing.assert_array_equal(zero, 0)


def test_correlated_bits_cost_a_bit_each():
    c = correlated_one_bit(-1.0, 3.0)
    assert length_of(c, 12) == Bits(values=12, wire=16, entropy=12)
    assert c.certificate(12)._asdict() == {
        "omega": None,
        "alpha": None,
        "eta": None,
        "variance": None,
        "absolute": 12 * 16 / 4,
    }


# ---------------------------------------------------------------- higgs

# Bits, t², positive centroids, entropy of the index.
TABLE = [
    (1, 0.363380, [0.7979], 1),
    (2, 0.117482, [0.4528, 1.5104], 1.911),
    (3, 0.034548, [0.2451, 0.7560, 1.3439, 2.1519], 2.825),
    (
        4,
        0.009501,
        [0.1284, 0.3880, 0.6568, 0.9423, 1.2562, 1.6180, 2.0690, 2.7326],
        3.765,
    ),
    (5, 0.002505, None, 4.730),
    (6, 0.000644, None, 5.710),
]


@pytest.mark.parametrize(("bits", "error", "centroids", "entropy"), TABLE)
def test_grids_are_those_of_lloyd_and_max(bits, error, centroids, entropy):
    grid = np.array(GRIDS[bits - 1])
    assert len(grid) == 2 ** (bits - 1)
    borders = np.array([0, *(grid[1:] + grid[:-1]) / 2, INF])
    mass = np.diff(normal.cdf(borders))
    mean = -np.diff(normal.pdf(borders)) / mass
    np.testing.assert_allclose(grid, mean, atol=1e-7)
    second = 2 * np.sum(mass * (grid**2 - 2 * grid * mean)) + 1
    assert second == pytest.approx(error, abs=6e-7)
    if centroids is not None:
        np.testing.assert_allclose(grid, centroids, atol=6e-5)
    cost = length_of(higgs(bits), 2**20)
    scales = 16 * 2**10
    assert cost.values == cost.wire == scales + bits * 2**20
    assert (cost.entropy - scales) / 2**20 == pytest.approx(entropy, abs=6e-4)


@pytest.mark.parametrize(
    ("bits", "mean", "worst"),
    [(1, 0.354, 0.380), (2, 0.115, 0.129), (3, 0.0341, 0.040), (4, 0.0093, 0.013)],
)
def test_error_of_higgs_on_heavy_tails(bits, mean, worst):
    x = np.random.default_rng(12).standard_t(3, (50, 1024))
    keys = jax.random.split(jax.random.key(13), 50)
    out = jax.vmap(lambda key, x: apply(higgs(bits), key, x))(keys, jnp.asarray(x))
    error = squared_errors(np.asarray(out), x) / np.sum(x**2, axis=1)
    assert np.mean(error) == pytest.approx(mean, rel=0.05)
    assert np.max(error) <= 1.1 * worst


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6])
def test_error_of_higgs_on_a_normal_vector(bits, key):
    x = np.random.default_rng(14).standard_normal(2**17)
    out = np.asarray(apply(higgs(bits), key, jnp.asarray(x)))
    error = squared_errors(out, x) / np.sum(x**2)
    assert error == pytest.approx(TABLE[bits - 1][1], rel=0.02)


@pytest.mark.parametrize("d", [1, 5, 20])
def test_higgs_step_by_step(d):
    """With the signs as they are drawn, and the matrix of SciPy."""
    x = np.random.default_rng(d).standard_normal(d)
    c, keys = higgs(2, group=8), in_round(jax.random.key(15), 0, N)
    g = 1 if d == 1 else 8
    groups = -(-d // g)
    signs = np.asarray(jax.random.rademacher(keys.shared, (groups, g), "float64"))
    matrix = scipy.linalg.hadamard(g) / math.sqrt(g)
    padded = np.pad(x, (0, groups * g - d)).reshape(groups, g)
    z = (signs * padded) @ matrix
    size = np.sqrt(np.mean(z**2, axis=1, keepdims=True))
    grid = np.array([-1.51041761, -0.45278003, 0.45278003, 1.51041761])
    nearest = np.argmin(np.abs((z / size)[..., None] - grid[None, None]), axis=-1)
    sent = size.astype(ml_dtypes.bfloat16).astype(float)
    expected = ((sent * grid[nearest]) @ matrix * signs).ravel()[:d]
    out = apply(c, jax.random.key(15), jnp.asarray(x))
    np.testing.assert_allclose(out, expected, atol=1e-12)
    message = c.encode(keys, jnp.asarray(x))
    np.testing.assert_array_equal(
        unpack(message.packed, 2, groups * g), nearest.ravel()
    )
    assert message.scales.shape == (groups,)


def test_all_workers_turn_alike(key):
    x = jnp.asarray(np.random.default_rng(16).standard_normal(100))
    first, other = (higgs(2).encode(in_round(key, i, N), x) for i in (0, 5))
    np.testing.assert_array_equal(first.packed, other.packed)
    np.testing.assert_array_equal(first.scales, other.scales)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("make", "error", "phrase"),
    [
        (lambda: dithering(0), ValueError, "levels must be at least 1"),
        (lambda: dithering(2.5), TypeError, "levels must be an integer"),
        (lambda: dithering(2**16), ValueError, "levels must be at most 65535"),
        (lambda: dithering(4, norm=0.5), ValueError, "norm must be at least 1"),
        (lambda: dithering(4, norm=math.nan), ValueError, "norm must be at least 1"),
        (lambda: natural_dithering(101), ValueError, "levels must be at most 100"),
        (lambda: natural_dithering(4, norm=0), ValueError, "norm must be at least 1"),
        (lambda: cast("int8"), ValueError, "cast takes one of bfloat16, float8_e4m3fn"),
        (lambda: stochastic_rounding(-1), ValueError, "mantissa must be 0, 1, ..., 20"),
        (lambda: stochastic_rounding(1.5), ValueError, "mantissa must be 0, 1"),
        (lambda: correlated_one_bit(1.0, 1.0), ValueError, "low must be less"),
        (lambda: correlated_one_bit(0.0, INF), ValueError, "low must be less"),
        (lambda: higgs(7), ValueError, "bits must be at most 6"),
        (lambda: higgs(0), ValueError, "bits must be at least 1"),
        (lambda: higgs(4, group=100), ValueError, "group must be a power of two"),
    ],
)
def test_arguments_are_checked(make, error, phrase):
    with pytest.raises(error, match=phrase):
        make()


def test_a_mantissa_that_the_dtype_lacks_is_named():
    with pytest.raises(ValueError, match="bfloat16 has 7 bits of mantissa"):
        message_of(stochastic_rounding(7), np.ones(3), "bfloat16")
