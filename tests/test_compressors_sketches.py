"""Low-rank factors and linear sketches: identities, shapes, memory, distributions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedjax_opt.compressors.count_sketch import count_sketch
from fedjax_opt.compressors.gaussian_sketch import gaussian_sketch
from fedjax_opt.compressors.rank_r import rank_r
from fedjax_opt.keys import NOT_GIVEN, in_round, public
from fedjax_opt.mechanisms import dcgd
from fedjax_opt.simulate.distribute import distribute
from fedjax_opt.types import Joint

RNG = np.random.default_rng(3)
X = RNG.standard_normal(12)
SKETCHES = {
    "gaussian": gaussian_sketch(5),
    "count": count_sketch(4),
    "count, rows": count_sketch(3, rows=2),
}
OMEGA = {"gaussian": 13 / 5, "count": 11 / 4, "count, rows": 11 / 6}
DRAWS = 20_000


def keys_of(key, worker=0):
    return in_round(key, worker, 8)


@functools.partial(jax.jit, static_argnums=0)
def apply(c, key, x):
    return c.decode(public(keys_of(key)), c.encode(keys_of(key), x), x)


@functools.partial(jax.jit, static_argnums=0)
def encode(c, key, x, worker=0):
    return c.encode(keys_of(key, worker), x)


def relative_error(x, out):
    x, out = np.asarray(x, float), np.asarray(out, float)
    peak = np.max(np.abs(x))
    return np.sum((out / peak - x / peak) ** 2) / np.sum((x / peak) ** 2)


# ---------------------------------------------------------------- rank R


@pytest.mark.parametrize("shape", [(9, 7), (7, 9)])
def test_rank_r_is_the_truncated_svd(shape, key):
    x = RNG.standard_normal(shape)
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    expected = u[:, :2] @ np.diag(s[:2]) @ vt[:2]
    out = apply(rank_r(2), key, jnp.asarray(x))
    np.testing.assert_allclose(out, expected, atol=1e-13)
    error = np.sum(s[2:] ** 2) / np.sum(s**2)
    assert abs(relative_error(x, out) - error) < 1e-13


@pytest.mark.parametrize(
    ("shape", "left", "right"),
    [
        ((5, 7), (5, 1), (7, 1)),
        ((4, 3, 2), (4, 1), (6, 1)),
        ((12,), (3, 1), (4, 1)),
        ((36,), (6, 1), (6, 1)),
        ((22,), (2, 1), (11, 1)),
    ],
)
def test_factors_of_arrays_and_vectors(shape, left, right, key):
    x = jnp.asarray(RNG.standard_normal(shape))
    message = rank_r(1).encode(keys_of(key), x)
    assert (message.left.shape, message.right.shape) == (left, right)
    matrix = np.reshape(x, (left[0], right[0]))
    u, s, vt = np.linalg.svd(matrix)
    expected = (s[0] * np.outer(u[:, 0], vt[0])).reshape(shape)
    np.testing.assert_allclose(apply(rank_r(1), key, x), expected, atol=1e-13)


@pytest.mark.parametrize(
    ("rank", "shape"), [(1, (13,)), (1, ()), (1, (2, 2)), (3, (6, 6)), (9, (6, 6))]
)
def test_what_would_not_be_shorter_is_sent_as_it_is(rank, shape, key):
    x = jnp.asarray(RNG.standard_normal(shape))
    np.testing.assert_array_equal(rank_r(rank).encode(keys_of(key), x), x)
    np.testing.assert_array_equal(apply(rank_r(rank), key, x), x)


@pytest.mark.parametrize("scale", [1, 1e30, 1e-30])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_matrix_of_rank_r_is_kept(dtype, scale, key):
    x = RNG.standard_normal((10, 2)) @ RNG.standard_normal((2, 15))
    x = jnp.asarray(scale * x, dtype)
    out = apply(rank_r(2), key, x)
    assert relative_error(x, out) ** 0.5 < 20 * float(jnp.finfo(dtype).eps)


@pytest.mark.parametrize(("rank", "error"), [(1, 5 / 6), (2, 4 / 6)])
def test_equal_singular_values_attain_the_certificate(rank, error, key):
    q, _ = np.linalg.qr(RNG.standard_normal((6, 6)))
    out = apply(rank_r(rank), key, jnp.asarray(q))
    assert abs(relative_error(q, out) - error) < 1e-13
    assert abs(1 - rank_r(rank).certificate(36).alpha - error) < 1e-13


def test_certificate_holds_for_all_matrices_of_that_size(key):
    """Even for those whose singular values are all equal."""
    alpha = rank_r(1).certificate(36).alpha
    for rows in (1, 2, 3, 4, 6, 9, 12, 18, 36):
        q, _ = np.linalg.qr(RNG.standard_normal((36, 36)))
        x = q[:rows, : 36 // rows] if rows in (1, 36) else np.eye(rows, 36 // rows)
        error = relative_error(x, apply(rank_r(1), key, jnp.asarray(x)))
        assert error <= 1 - alpha + 1e-13
        assert rows == 6 or error < 1 - alpha - 0.01


@pytest.mark.parametrize(
    ("d", "alpha"), [(1, 1), (13, 1), (22, 1 / 2), (36, 1 / 6), (2**32, 2**-16)]
)
def test_certificate_is_that_of_the_most_square_matrix(d, alpha):
    assert rank_r(1).certificate(d).alpha == alpha


# ---------------------------------------------------------------- sketches


def matrix_of(c, key, d=12):
    """[m, d], whose product with x is the message, raveled."""
    messages = jax.vmap(lambda x: encode(c, key, x))(jnp.eye(d))
    return np.asarray(messages).reshape(d, -1).T


@pytest.mark.parametrize("name", SKETCHES)
def test_messages_are_linear_and_add_up(name, key):
    c = SKETCHES[name]
    x = RNG.standard_normal((4, 3, 4))
    messages = [encode(c, key, jnp.asarray(x[i]), i) for i in range(4)]
    like = jnp.zeros((3, 4))
    decode = jax.jit(lambda message: c.decode(public(keys_of(key)), message, like))
    together = decode(sum(messages))
    apart = sum(decode(message) for message in messages)
    np.testing.assert_allclose(together, apart, atol=1e-12)
    alone = encode(c, key, jnp.asarray(x.sum(0)))
    np.testing.assert_allclose(sum(messages), alone, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "rows"), [("gaussian", 5), ("count", 1), ("count, rows", 2)]
)
def test_decoding_is_the_transpose(name, rows, key):
    c = SKETCHES[name]
    matrix = matrix_of(c, key)
    message = encode(c, key, jnp.asarray(X))
    np.testing.assert_allclose(np.ravel(message), matrix @ X, atol=1e-13)
    expected = matrix.T @ (matrix @ X) / rows
    np.testing.assert_allclose(apply(c, key, jnp.asarray(X)), expected, atol=1e-13)


@pytest.mark.parametrize("name", SKETCHES)
def test_all_workers_draw_alike_and_every_round_anew(name, key):
    c, x = SKETCHES[name], jnp.asarray(X)
    messages = [encode(c, key, x, worker) for worker in range(3)]
    np.testing.assert_array_equal(messages[0], messages[1])
    np.testing.assert_array_equal(messages[0], messages[2])
    other = encode(c, jax.random.key(1), x)
    assert not np.array_equal(messages[0], other)


@pytest.mark.parametrize("name", SKETCHES)
def test_variance_is_omega_exactly(name):
    keys = jax.random.split(jax.random.key(4), DRAWS)
    out = jax.jit(jax.vmap(lambda key: apply(SKETCHES[name], key, jnp.asarray(X))))
    errors = np.sum((np.asarray(out(keys)) - X) ** 2, axis=1) / np.sum(X**2)
    margin = 6 * np.std(errors) / np.sqrt(DRAWS)
    assert abs(np.mean(errors) - OMEGA[name]) <= margin < 0.05 * OMEGA[name] + 0.1


@pytest.mark.parametrize("name", SKETCHES)
def test_error_of_the_mean_is_that_of_one_vector(name):
    """ω|ā|², within the joint promise ω (1/n) Σ|aᵢ|²."""
    c, each = SKETCHES[name], RNG.standard_normal((3, 12))
    assert c.joint(12, 3) == Joint(OMEGA[name], 0.0)

    def mean(key):
        def sent(i, a):
            return c.decode(public(keys_of(key, i)), c.encode(keys_of(key, i), a), a)

        return jnp.mean(jax.vmap(sent)(jnp.arange(3), jnp.asarray(each)), axis=0)

    out = np.asarray(
        jax.jit(jax.vmap(mean))(jax.random.split(jax.random.key(5), DRAWS))
    )
    errors = np.sum((out - each.mean(0)) ** 2, axis=1)
    expected = OMEGA[name] * np.sum(each.mean(0) ** 2)
    assert abs(np.mean(errors) - expected) <= 6 * np.std(errors) / np.sqrt(DRAWS)
    assert expected < OMEGA[name] * np.mean(np.sum(each**2, axis=1))


def test_entries_of_the_gaussian_sketch_are_normal(key):
    entries = np.ravel(matrix_of(gaussian_sketch(100), key, d=100))
    for power, moment, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs(np.mean(entries**power) - moment) <= 6 * (variance / 10_000) ** 0.5
    assert len(np.unique(entries)) > 9_900  # no row or column twice


def test_sketches_of_float16_are_sent_in_float32(key):
    """Sums of 1000 entries of 3000 may be larger than 65504."""
    x = jnp.full(1000, 3000.0, "float16")
    for c in (gaussian_sketch(4), count_sketch(4)):
        message = encode(c, key, x)
        assert c.bits(public(keys_of(key)), message, x) == (128, 128, 128)
        exact = encode(c, key, x.astype("float32"))
        np.testing.assert_allclose(message, exact, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_sketch_is_the_same_in_every_dtype(dtype, key):
    x = jnp.asarray(X, dtype)
    for c in SKETCHES.values():
        message = encode(c, key, x)
        assert message.dtype == dtype
        exact = np.asarray(encode(c, key, x.astype(float)))
        size = np.linalg.norm(exact)
        found = np.asarray(message, float)
        assert np.linalg.norm(found - exact) < 2 * jnp.finfo(dtype).eps * size


def test_count_sketch_puts_every_entry_into_one_bucket_of_each_row(key):
    matrix = matrix_of(count_sketch(3, rows=2), key).reshape(2, 3, 12)
    assert set(np.unique(matrix)) == {-1, 0, 1}
    np.testing.assert_array_equal(np.sum(np.abs(matrix), axis=1), 1)
    assert not np.array_equal(matrix[0], matrix[1])


def test_buckets_and_signs_are_uniform(key):
    d = 1500
    matrix = matrix_of(count_sketch(3), key, d)
    filled = np.sum(np.abs(matrix), axis=1) / d
    assert np.all(np.abs(filled - 1 / 3) <= 6 * np.sqrt(2 / 9 / d))
    assert np.all(np.abs(np.sum(matrix, axis=1)) <= 6 * np.sqrt(d / 3))


def test_one_bucket_holds_the_signed_sum(key):
    c, x = count_sketch(1), jnp.asarray(X)
    signs = np.ravel(matrix_of(c, key))
    np.testing.assert_allclose(apply(c, key, x), signs * (signs @ X), atol=1e-13)


@pytest.mark.parametrize("make", [gaussian_sketch, lambda r: count_sketch(4, rows=r)])
def test_no_more_than_a_few_rows_are_kept(make):
    d, rows = 100_000, 64
    c, like = make(rows), jax.ShapeDtypeStruct((d,), "float32")
    program = jax.jit(lambda key, x: apply(c, key, x))
    key = jax.eval_shape(lambda: jax.random.key(0))
    memory = program.lower(key, like).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 16 * 4 * d


@pytest.mark.parametrize("c", SKETCHES.values())
def test_the_adapter_gives_both_ends_the_same_sketch(c):
    def estimate(num_workers):
        adapter = distribute(dcgd(c), num_workers, key=jax.random.key(8))
        grads = jnp.broadcast_to(jnp.asarray(X), (num_workers, 12))
        found, state = jax.jit(adapter.update)(grads, adapter.init(jnp.asarray(X)))
        return found, state.info.bits.wire

    # Equal vectors under one sketch: many workers are one, and cost as many times more.
    (alone, cost), (together, costs) = estimate(1), estimate(4)
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    assert costs == 4 * cost


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("make", [rank_r, gaussian_sketch, count_sketch])
def test_sizes_are_positive_integers(make):
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        make(0)
    with pytest.raises(TypeError, match="must be an integer, got 0.5"):
        make(0.5)
    with pytest.raises(ValueError, match="rows must be at least 1"):
        count_sketch(4, rows=0)


@pytest.mark.parametrize("c", SKETCHES.values())
def test_a_missing_key_is_named(c):
    with pytest.raises(TypeError, match="was given no key"):
        c.encode(NOT_GIVEN, jnp.asarray(X))
