"""Compressors that keep the largest entries: what the common contract does not say."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedjax_opt import checks
from fedjax_opt.compressors import identity, natural, rand_k, rand_seq_k, top_k, wrap
from fedjax_opt.compressors.block_norm_top import block_norm_top
from fedjax_opt.compressors.block_top_k import block_top_k
from fedjax_opt.compressors.symmetric import symmetric, symmetric_rank_r
from fedjax_opt.compressors.threshold import hard_threshold, relative_threshold
from fedjax_opt.compressors.top_lek import top_lek
from fedjax_opt.keys import in_round, public
from fedjax_opt.mechanisms import ef21
from fedjax_opt.simulate.distribute import distribute

KEYS = in_round(jax.random.key(0), 0, 8)
DRAWS = 20_000
RNG = np.random.default_rng(0)
GAUSSIAN = RNG.standard_normal(23)


@functools.partial(jax.jit, static_argnums=0)
def apply(c, x, keys=KEYS):
    return c.decode(public(keys), c.encode(keys, x), x)


@functools.partial(jax.jit, static_argnums=0)
def draw(c, x):
    """[draws, ...] decoded messages."""
    keys = jax.random.split(jax.random.key(1), DRAWS)
    return jax.vmap(lambda key: apply(c, x, in_round(key, 0, 8)))(keys)


@functools.partial(jax.jit, static_argnums=0)
def encode(c, x):
    return c.encode(KEYS, x)


@functools.partial(jax.jit, static_argnums=0)
def bits_of(c, x):
    return c.bits(public(KEYS), c.encode(KEYS, x), x)


def keep(x, indices):
    out = np.zeros_like(x)
    out[indices] = x[indices]
    return out


def check_add(c, shape):
    """Adding a message, or a stack of them, is decoding and adding."""
    values = jnp.asarray(np.random.default_rng(1).standard_normal((3, *shape)))
    onto, weights = values[0] + 1, np.array([0.5, -2.0, 0.0])

    @jax.jit
    @jax.vmap
    def send(worker, x):
        keys = in_round(jax.random.key(2), worker, 3)
        message = c.encode(keys, x)
        return message, c.decode(public(keys), message, x)

    stack, decoded = send(jnp.arange(3), values)
    first = jax.tree.map(lambda part: part[0], stack)
    np.testing.assert_allclose(
        jax.jit(c.add)(onto, first, 0.5), onto + 0.5 * decoded[0], atol=1e-14
    )
    total = onto + np.einsum("i,i...", weights, decoded)
    np.testing.assert_allclose(jax.jit(c.add)(onto, stack, weights), total, atol=1e-14)


# ---------------------------------------------------------------- blocks

BLOCKS = [slice(0, 5), slice(5, 10), slice(10, 15), slice(15, 20), slice(20, 23)]


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_block_top_k_is_top_k_in_every_block(k):
    parts = [GAUSSIAN[b] for b in BLOCKS]
    expected = [keep(x, np.argsort(-np.abs(x))[:k]) for x in parts]
    out = apply(block_top_k(k, block_size=5), jnp.asarray(GAUSSIAN))
    np.testing.assert_array_equal(out, np.concatenate(expected))


def test_block_top_k_breaks_ties_by_the_lowest_index():
    for value in (0.0, -2.0):
        message = encode(block_top_k(2, block_size=5), jnp.full(12, value))
        np.testing.assert_array_equal(message.indices, [0, 1, 0, 1, 0, 1])
        np.testing.assert_array_equal(message.values, [value] * 6)


def test_padding_is_never_kept():
    x = jnp.zeros(7)  # the last block has 2 of 5 entries
    message = encode(block_top_k(4, block_size=5), x)
    np.testing.assert_array_equal(message.indices, [0, 1, 2, 3, 0, 1])


@pytest.mark.parametrize(("size", "dtype"), [(256, "uint8"), (257, "uint16")])
def test_indices_of_blocks_are_short(size, dtype):
    x = jnp.asarray(np.random.default_rng(2).standard_normal(1000))
    message = encode(block_top_k(3, block_size=size), x)
    assert message.indices.dtype == dtype
    assert message.indices.size == 4 * 3


def test_one_block_is_top_k():
    x = jnp.asarray(GAUSSIAN)
    np.testing.assert_array_equal(
        apply(block_top_k(4, block_size=100), x), apply(top_k(4), x)
    )
    np.testing.assert_array_equal(apply(block_top_k(30, block_size=30), x), x)


def test_alpha_of_block_top_k_is_attained_in_the_worst_block():
    c = block_top_k(2, block_size=5)
    x = np.where(np.arange(12) < 5, 3.0, 0.0)
    error = np.sum((apply(c, jnp.asarray(x)) - x) ** 2) / np.sum(x**2)
    np.testing.assert_allclose(error, 3 / 5)
    assert c.certificate(12).alpha == pytest.approx(2 / 5)


def test_block_norm_top_keeps_the_largest_blocks():
    norms = [np.linalg.norm(GAUSSIAN[b]) for b in BLOCKS]
    for k in range(1, 6):
        expected = np.zeros(23)
        for b in np.argsort(norms)[-k:]:
            expected[BLOCKS[b]] = GAUSSIAN[BLOCKS[b]]
        for c in (block_norm_top(k, block_size=5), block_norm_top(k, num_blocks=5)):
            np.testing.assert_array_equal(apply(c, jnp.asarray(GAUSSIAN)), expected)


def test_the_last_block_is_sent_with_padding():
    x = jnp.zeros((2, 4)).at[1, 3].set(7.0)  # blocks of 3, 3 and 2
    message = encode(block_norm_top(1, block_size=3), x)
    np.testing.assert_array_equal(message.values, [[0, 7, 0]])
    np.testing.assert_array_equal(message.indices, [2])
    np.testing.assert_array_equal(apply(block_norm_top(1, block_size=3), x), x)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_norms_of_blocks_of_any_scale_are_compared(dtype):
    x = jnp.asarray([1e-30, 1e-30, 2e-30, 2e-30, 1e30, 0.0, 1e-25, 0.0], dtype)
    message = encode(block_norm_top(3, block_size=2), x)
    np.testing.assert_array_equal(message.indices, [2, 3, 1])


def test_equal_blocks_attain_alpha_and_the_first_are_kept():
    out = apply(block_norm_top(1, block_size=3), jnp.full(12, -2.0))
    np.testing.assert_array_equal(out, [-2, -2, -2, *[0] * 9])


def test_fewer_blocks_than_asked_for():
    """5 entries in blocks of ⌈5/4⌉ = 2: three, of which α knows."""
    assert block_norm_top(1, num_blocks=4).certificate(5).alpha == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="cannot keep 4 of the 3 blocks of 5 entries"):
        encode(block_norm_top(4, num_blocks=4), jnp.ones(5))


@pytest.mark.parametrize(
    "c",
    [
        block_top_k(2, block_size=5),
        block_norm_top(1, block_size=5),
        block_norm_top(3, block_size=5),
        top_lek(3),
    ],
    ids=lambda c: c.label,
)
def test_adding_is_decoding_and_adding(c):
    check_add(c, (12,))
    check_add(c, (3, 4))


@pytest.mark.parametrize(
    ("make", "error", "phrase"),
    [
        (lambda: block_top_k(6, block_size=5), ValueError, "cannot keep 6 of 5"),
        (lambda: block_top_k(0, block_size=5), ValueError, "k must be at least 1"),
        (lambda: block_top_k(1, block_size=0.5), TypeError, "block_size must be an"),
        (lambda: block_norm_top(1), ValueError, "either block_size= or num_blocks="),
        (
            lambda: block_norm_top(1, block_size=2, num_blocks=2),
            ValueError,
            "either block_size= or num_blocks=",
        ),
        (lambda: block_norm_top(1, num_blocks=0), ValueError, "num_blocks must be"),
        (lambda: relative_threshold(0.0), ValueError, r"theta must lie in \(0, 1\]"),
        (lambda: relative_threshold(1.5), ValueError, r"theta must lie in \(0, 1\]"),
        (lambda: hard_threshold(0.0), ValueError, "level must be positive"),
        (lambda: top_lek(), ValueError, "top_lek takes either k or fraction="),
        (lambda: symmetric(wrap.per_leaf(top_k(1))), TypeError, "of arrays such as"),
    ],
)
def test_arguments_are_checked(make, error, phrase):
    with pytest.raises(error, match=phrase):
        make()


# ---------------------------------------------------------------- thresholds

HALF = np.array([0.5, -4.0, 2.0, 0.0, -1.9, 3.0])


def test_relative_threshold_keeps_what_reaches_it():
    out = apply(relative_threshold(0.5), jnp.asarray(HALF))
    np.testing.assert_array_equal(out, [0, -4, 2, 0, 0, 3])


def test_hard_threshold_keeps_what_reaches_it():
    out = apply(hard_threshold(1.9), jnp.asarray(HALF))
    np.testing.assert_array_equal(out, [0, -4, 2, 0, -1.9, 3])
    np.testing.assert_array_equal(apply(hard_threshold(5.0), jnp.asarray(HALF)), 0)


def test_the_kept_entries_are_in_front():
    message = encode(relative_threshold(0.5), jnp.asarray(HALF))
    assert message.count == 3
    np.testing.assert_array_equal(message.values, [-4, 2, 3, 0, 0, 0])
    np.testing.assert_array_equal(message.indices, [1, 2, 5, 0, 3, 4])


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("theta", [0.1, 1.0])
def test_theta_one_keeps_the_largest_and_all_that_equal_it(theta, dtype):
    x = jnp.array([1.0, -7.0, 0.0, 7.0, 0.5], dtype)
    out = np.asarray(apply(relative_threshold(theta), x), float)
    expected = [0, -7, 0, 7, 0] if theta == 1 else [1, -7, 0, 7, 0]
    np.testing.assert_array_equal(out, expected)
    constant = jnp.full(5, 0.3, dtype)
    np.testing.assert_array_equal(apply(relative_threshold(theta), constant), constant)


def test_zero_sends_the_count_alone():
    for c in (relative_threshold(0.5), hard_threshold(0.5), top_lek(2)):
        assert encode(c, jnp.zeros(12)).count == 0
        bits = bits_of(c, np.zeros(12))
        assert (bits.values, bits.wire) == (0, 8)


@pytest.mark.parametrize("count", [0, 1, 5, 100, 299, 300])
def test_bits_count_what_is_filled(count):
    x = np.where(np.random.default_rng(3).permutation(300) < count, 2.0, 0.5)
    bits = bits_of(hard_threshold(1.0), x.astype("float32"))
    assert bits.values == 32 * count
    assert bits.wire == 32 * count + 16 * count + 16
    which = min(9 * count, math.log2(math.comb(300, count))) + 9
    np.testing.assert_allclose(bits.entropy, 32 * count + min(which, 300), rtol=1e-6)


def test_entropy_of_a_large_subset():
    """Without a difference of large logarithms; |log₂| of Stirling's series."""
    d, count = 1_000_000, 500_000
    x = (np.arange(d) < count).astype("float32")
    log_subsets = d - math.log2(math.pi * d / 2) / 2
    bits = bits_of(hard_threshold(0.5), x)
    expected = 32 * count + min(log_subsets + 20, d)
    assert abs(float(bits.entropy) - expected) < 1


def test_certificate_of_the_hard_threshold_is_absolute():
    certificate = hard_threshold(0.25).certificate(16)
    assert certificate.absolute == 1.0
    assert certificate.alpha is None
    with pytest.raises(ValueError, match="Take one that does"):
        checks.contractive(hard_threshold(0.25), user="ef21")
    assert checks.contractive(top_lek(3), user="ef21") is top_lek(3)


def test_error_of_the_hard_threshold_approaches_its_bound():
    x = np.full(16, np.nextafter(0.25, 0))
    error = np.sum((apply(hard_threshold(0.25), jnp.asarray(x)) - x) ** 2)
    np.testing.assert_allclose(error, 1.0)


# ---------------------------------------------------------------- TopLEK

INPUTS = {
    "one-hot": np.where(np.arange(12) == 7, -5.0, 0.0),
    "constant": np.full(12, 4 / 3),
    "geometric": 0.6 ** np.arange(12),
    "gaussian": RNG.standard_normal(12),
    "two equal": np.where(np.arange(12) % 7 == 2, 3.0, 0.0),
    "huge": 1e30 * RNG.standard_normal(12),
    "tiny": 1e-30 * RNG.standard_normal(12),
}


def number_and_probability(x, k):
    """(j, p), written from the definition."""
    squares = np.sort((x / np.max(np.abs(x))) ** 2)[::-1]
    errors = [np.sum(squares[j:]) for j in range(k + 1)]
    allowed = (1 - k / x.size) * errors[0]
    for j in range(1, k + 1):
        if errors[j] <= allowed * (1 + 1e-12):
            p = (allowed - errors[j]) / (errors[j - 1] - errors[j])
            return j, min(max(p, 0), 1)
    raise AssertionError("Top-K itself is within its bound")


@pytest.mark.parametrize("k", [1, 3, 11])
@pytest.mark.parametrize("name", INPUTS)
def test_top_lek_attains_its_certificate(name, k):
    x = INPUTS[name]
    sample = np.asarray(draw(top_lek(k), jnp.asarray(x)))
    scale = np.max(np.abs(x))
    errors = np.sum(((sample - x) / scale) ** 2, axis=1) / np.sum((x / scale) ** 2)
    margin = 6 * np.std(errors) / np.sqrt(DRAWS)
    assert abs(np.mean(errors) - (1 - k / 12)) <= margin + 1e-12


@pytest.mark.parametrize("k", [1, 3, 11])
@pytest.mark.parametrize("name", ["one-hot", "geometric", "gaussian", "huge"])
def test_top_lek_sends_one_of_two_numbers_of_entries(name, k):
    x = INPUTS[name]
    sample = np.asarray(draw(top_lek(k), jnp.asarray(x)))
    j, p = number_and_probability(x, k)
    order = np.argsort(-np.abs(x), kind="stable")
    fewer, more = keep(x, order[: j - 1]), keep(x, order[:j])
    is_fewer = np.all(sample == fewer, axis=1)
    assert np.all(is_fewer | np.all(sample == more, axis=1))
    assert abs(np.mean(is_fewer) - p) <= 6 * np.sqrt(p * (1 - p) / DRAWS) + 1e-12


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_top_lek_of_equal_entries_is_top_k(dtype):
    x = jnp.full((3, 12), jnp.array([4 / 3, -1e30, 0.1], dtype)[:, None])
    for k in (1, 7, 12):
        encode = jax.jit(jax.vmap(lambda row, k=k: top_lek(k).encode(KEYS, row)))
        message = encode(x)
        np.testing.assert_array_equal(message.count, [k] * 3)
        np.testing.assert_array_equal(np.sort(message.indices), [range(k)] * 3)


def test_top_lek_of_all_entries_is_the_identity():
    for x in (GAUSSIAN, INPUTS["two equal"], np.array([-1.7])):
        np.testing.assert_array_equal(apply(top_lek(x.size), jnp.asarray(x)), x)
    assert encode(top_lek(12), jnp.asarray(INPUTS["two equal"])).count == 2


def test_top_lek_sends_no_more_than_needed():
    """One entry of 12 has nearly everything: mostly nothing is sent, α = 3/12."""
    x = INPUTS["one-hot"]
    sample = np.asarray(draw(top_lek(3), jnp.asarray(x)))
    sent = np.any(sample != 0, axis=1)
    assert abs(np.mean(sent) - 1 / 4) <= 6 * np.sqrt(3 / 16 / DRAWS)
    bits = bits_of(top_lek(3), x.astype("float32"))
    count = int(encode(top_lek(3), jnp.asarray(x, "float32")).count)
    assert (bits.values, bits.wire) == (32 * count, 40 * count + 8)


# ---------------------------------------------------------------- symmetric matrices


def random_symmetric(n, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, n))
    return (x + x.T) / 2


def frobenius(x):
    return np.sum(np.square(np.asarray(x, float)))


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_the_triangle_is_mirrored(n):
    x = random_symmetric(n)
    np.testing.assert_allclose(apply(symmetric(identity()), x), x, rtol=1e-15)
    message = encode(symmetric(identity()), jnp.asarray(x))
    assert message.shape == (n * (n + 1) // 2,)
    np.testing.assert_allclose(np.sum(message**2), frobenius(x))


def test_entries_lie_row_by_row_and_count_twice_off_the_diagonal():
    x = jnp.array([[1.0, 2.0, 3.0], [9.0, 4.0, 5.0], [9.0, 9.0, 6.0]])
    message = encode(symmetric(identity()), x)
    root = math.sqrt(2)
    expected = [1, 2 * root, 3 * root, 4, 5 * root, 6]
    np.testing.assert_allclose(message, expected, rtol=1e-15)
    out = apply(symmetric(identity()), x)
    np.testing.assert_allclose(out, [[1, 2, 3], [2, 4, 5], [3, 5, 6]], rtol=1e-15)


@pytest.mark.parametrize("k", [1, 4, 10])
def test_symmetric_top_k_leaves_the_least_frobenius_error(k):
    x = random_symmetric(4)
    row, column = np.triu_indices(4)
    gains = x[row, column] ** 2 * np.where(row == column, 1, 2)
    chosen = np.argsort(-gains)[:k]
    out = np.asarray(apply(symmetric(top_k(k)), jnp.asarray(x)))
    np.testing.assert_array_equal(out, out.T)
    expected = np.zeros((4, 4))
    for c in chosen:
        expected[row[c], column[c]] = expected[column[c], row[c]] = x[row[c], column[c]]
    np.testing.assert_allclose(out, expected, rtol=1e-15)
    assert frobenius(out - x) <= (1 - k / 10) * frobenius(x) + 1e-14


def test_alpha_of_symmetric_top_k_is_attained():
    """2K/(n(n + 1)), on entries that weigh the same."""
    x = np.where(np.eye(4), math.sqrt(2), 1.0)
    c = symmetric(top_k(3))
    assert c.certificate(16).alpha == pytest.approx(3 / 10)
    error = frobenius(apply(c, jnp.asarray(x)) - x)
    np.testing.assert_allclose(error, 7 / 10 * frobenius(x))


@pytest.mark.parametrize(
    ("c", "omega"),
    [(rand_k(3), 10 / 3 - 1), (rand_seq_k(3), 10 / 3 - 1), (natural(), 1 / 8)],
    ids=["rand_k", "rand_seq_k", "natural"],
)
def test_unbiased_compressors_stay_unbiased(c, omega):
    x = random_symmetric(4)
    sample = np.asarray(draw(symmetric(c), jnp.asarray(x)))
    margin = 6 * np.std(sample, axis=0) / np.sqrt(DRAWS)
    assert np.all(np.abs(np.mean(sample, axis=0) - x) <= margin + 1e-12)
    errors = np.sum((sample - x) ** 2, axis=(1, 2)) / frobenius(x)
    margin = 6 * np.std(errors) / np.sqrt(DRAWS)
    assert symmetric(c).certificate(16).omega == pytest.approx(omega)
    if omega > 1:
        assert abs(np.mean(errors) - omega) <= margin
    assert np.mean(errors) <= omega + margin


def test_symmetric_top_lek_attains_its_certificate():
    x = random_symmetric(4, seed=5)
    sample = np.asarray(draw(symmetric(top_lek(4)), jnp.asarray(x)))
    np.testing.assert_array_equal(sample, np.swapaxes(sample, 1, 2))
    errors = np.sum((sample - x) ** 2, axis=(1, 2)) / frobenius(x)
    margin = 6 * np.std(errors) / np.sqrt(DRAWS)
    assert abs(np.mean(errors) - 6 / 10) <= margin


def test_symmetric_rand_seq_k_keeps_a_run_of_the_triangle():
    out = np.asarray(apply(symmetric(rand_seq_k(4)), jnp.ones((4, 4))))
    kept = out[np.triu_indices(4)] != 0
    assert np.sum(kept) == 4
    assert np.sum(kept != np.roll(kept, 1)) == 2  # one run, modulo 10


def test_promises_and_bits_are_those_of_the_triangle():
    like = jax.ShapeDtypeStruct((5, 5), jnp.float32)
    message = jax.eval_shape(lambda x: symmetric(top_k(3)).encode(None, x), like)
    # 3 floats; 3 bytes; ⌈log₂ 455⌉ = 9 bits.
    assert symmetric(top_k(3)).bits(None, message, like) == (96, 120, 105)
    assert symmetric(hard_threshold(0.5)).certificate(25).absolute == 15 / 4
    alpha = wrap.scaled(symmetric(rand_k(3))).certificate(25).alpha
    assert alpha == pytest.approx(3 / 15)
    assert checks.contractive(symmetric(top_k(3)), user="ef21")


@pytest.mark.parametrize("c", [top_k(4), rand_k(4), top_lek(4)], ids=lambda c: c.label)
def test_adding_symmetric_messages_is_decoding_and_adding(c):
    check_add(symmetric(c), (4, 4))
    assert symmetric(natural()).add is None


def test_eigenvalues_beyond_the_range_of_float16():
    """Those of 100 × 100 entries of 1000 are 10⁵ and 0."""
    x = jnp.full((100, 100), 1000.0, "float16")
    message = encode(symmetric_rank_r(1), x)
    np.testing.assert_allclose(message.values, [1e5], rtol=1e-5)
    assert symmetric_rank_r(1).bits(None, message, x) == 3 * (32 + 100 * 16,)
    np.testing.assert_allclose(apply(symmetric_rank_r(1), x), x, rtol=2**-9)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("scale", [1, 1e30, 1e-30])
def test_symmetric_keeps_dtypes_and_scales(dtype, scale):
    x = jnp.asarray(scale * random_symmetric(4), dtype)
    for c in (top_k(10), top_lek(10), relative_threshold(0.5)):
        out = apply(symmetric(c), x)
        assert out.dtype == dtype
        exact, out = np.asarray(x, float) / scale, np.asarray(out, float) / scale
        alpha = symmetric(c).certificate(16).alpha or 0
        rounding = float(jnp.finfo(dtype).eps)
        bound = (1 - alpha) * frobenius(exact) + rounding
        assert frobenius(out - exact) <= bound
    np.testing.assert_array_equal(apply(symmetric(top_lek(3)), jnp.zeros_like(x)), 0)


def of_spectrum(values, seed=0):
    """A symmetric matrix with these eigenvalues, and its eigenvectors."""
    n = len(values)
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))
    return q * values @ q.T, q


def test_symmetric_rank_r_keeps_the_largest_eigenvalues():
    x, q = of_spectrum(np.array([0.5, -3.0, 2.0, 0.1, -1.0]))
    out = np.asarray(apply(symmetric_rank_r(2), jnp.asarray(x)))
    expected = q[:, 1:3] * [-3.0, 2.0] @ q[:, 1:3].T
    np.testing.assert_allclose(out, expected, atol=1e-14)
    np.testing.assert_array_equal(out, out.T)
    np.testing.assert_allclose(frobenius(out - x), 0.5**2 + 0.1**2 + 1)
    full = apply(symmetric_rank_r(5), jnp.asarray(x))
    np.testing.assert_allclose(full, x, atol=1e-14)


def test_alpha_of_symmetric_rank_r_is_attained_on_equal_eigenvalues():
    x, _ = of_spectrum(np.array([2.0, -2.0, 2.0, 2.0, -2.0]))
    error = frobenius(apply(symmetric_rank_r(2), jnp.asarray(x)) - x)
    np.testing.assert_allclose(error, 3 / 5 * frobenius(x))
    assert symmetric_rank_r(2).certificate(25).alpha == pytest.approx(2 / 5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_symmetric_rank_r_is_exact_at_every_scale(dtype, scale):
    v = np.array([1.0, -2.0, 3.0, 0.5])
    x = jnp.asarray(scale * np.outer(v, v), dtype)
    out = apply(symmetric_rank_r(1), x)
    assert out.dtype == dtype
    tolerance = 40 * scale * float(jnp.finfo(dtype).eps)
    exact = np.asarray(x, float)
    np.testing.assert_allclose(np.asarray(out, float), exact, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(apply(symmetric_rank_r(1), 0 * x), 0)


def test_symmetric_rank_r_sends_eigenpairs():
    like = jax.ShapeDtypeStruct((5, 5), jnp.float32)
    c = symmetric_rank_r(2)
    message = jax.eval_shape(lambda x: c.encode(None, x), like)
    assert c.bits(public(KEYS), message, like) == (384, 384, 384)  # 2 (5 + 1) floats
    with pytest.raises(ValueError, match="cannot keep 6 of 5 eigenvalues"):
        symmetric_rank_r(6).encode(None, jnp.ones((5, 5)))
    with pytest.raises(ValueError, match="needs a square matrix"):
        c.encode(None, jnp.ones((2, 3)))


@pytest.mark.parametrize("shape", [(16,), (2, 8), (4, 2, 2)])
def test_what_is_no_square_matrix_is_refused(shape):
    with pytest.raises(ValueError, match="symmetric.* needs a square matrix"):
        symmetric(top_k(1)).encode(None, jnp.ones(shape))
    with pytest.raises(ValueError, match=r"leaf \['w'\]: .* needs a square matrix"):
        wrap.per_leaf(symmetric(top_k(1))).encode(KEYS, {"w": jnp.ones((3, 4))})


# ---------------------------------------------------------------- in a round


def test_a_round_counts_the_entries_that_were_sent():
    """EF21 from zero sends the entries of the gradients above the threshold."""
    grads = np.random.default_rng(6).standard_normal((4, 12))
    adapter = distribute(ef21(relative_threshold(0.5)), 4, key=jax.random.key(3))
    state = adapter.init(jnp.zeros(12))
    estimate, state = jax.jit(adapter.update)(jnp.asarray(grads), state)
    kept = np.abs(grads) >= 0.5 * np.max(np.abs(grads), axis=1, keepdims=True)
    np.testing.assert_allclose(
        estimate, np.mean(np.where(kept, grads, 0), axis=0), atol=1e-15
    )
    assert state.info.bits.values == 64 * np.sum(kept)
    assert state.info.bits.wire == (64 + 8) * np.sum(kept) + 4 * 8


def test_a_round_of_symmetric_matrices():
    grads = np.stack([random_symmetric(4, seed) for seed in range(3)])
    adapter = distribute(ef21(symmetric(top_k(10))), 3, key=jax.random.key(3))
    state = adapter.init(jnp.zeros((4, 4)))
    estimate, state = jax.jit(adapter.update)(jnp.asarray(grads), state)
    np.testing.assert_allclose(estimate, np.mean(grads, axis=0), atol=1e-15)
    assert state.info.bits.wire == 3 * 10 * (64 + 8)
