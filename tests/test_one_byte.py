"""One byte per gradient: a slope along a direction that needs no message."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mechanism_draws import of_all, round_keys
from reference import variance_reduced
from trajectory import UPDATES, X0, D, N, measured, noisy_gradient

from fedjax_opt.compressors import one_byte, wrap
from fedjax_opt.keys import for_leaf, in_round, of_worker, public
from fedjax_opt.methods.one_byte_sgd import one_byte_sgd

KEY, STEP, CLIP = jax.random.key(3), 0.02, 4.0
X = np.array([1.0, -2.0, 2.0, 0.5, 0.0])  # of squared length 9.25
DRAWS = 20_000


@functools.partial(jax.jit, static_argnums=0)
def sent(c, x, draws=KEY):
    """Bytes and decoded vectors of one worker in many rounds."""

    def one(key):
        keys = in_round(key, 2, N)
        message = c.encode(keys, x)
        return message, c.decode(public(keys), message, x)

    return jax.vmap(one)(jax.random.split(draws, DRAWS))


def test_trajectory():
    """Directions are drawn from the keys that the server has of a worker."""
    draw = lambda keys: jax.random.normal(of_worker(keys), (D,), jnp.float32)
    directions = of_all(draw, round_keys(KEY)).astype(float)
    expected = variance_reduced.one_byte(
        noisy_gradient(jax.random.split(jax.random.split(KEY)[1])[0]),
        lambda i, t, s: CLIP / 127 * np.round(127 * np.clip(s / CLIP, -1, 1)),
        N,
        X0,
        UPDATES,
        STEP,
        direction=lambda i, t: directions[t, i].reshape(X0.shape),
    )
    found, trace = measured(one_byte_sgd(step_size=STEP, clip=CLIP), KEY)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)
    np.testing.assert_array_equal(np.diff(trace.bits_up), 8 * N)
    np.testing.assert_array_equal(np.diff(trace.bits_down), 8 * N)


def test_mean_and_variance_are_those_of_a_row_of_the_gaussian_sketch():
    """ω = d + 1 where nothing clips; a byte of 40 rounds s by at most 40/254."""
    codes, decoded = sent(one_byte(40.0), jnp.asarray(X))
    assert np.abs(codes).max() < 127
    decoded = np.asarray(decoded)
    # E|z| of a component is below 1, which bounds the bias of the rounding.
    noise = 6 * decoded.std(axis=0) / np.sqrt(DRAWS)
    assert (np.abs(decoded.mean(axis=0) - X) < noise + 40 / 254).all()
    assert noise.max() < 0.2
    errors = np.sum((decoded - X) ** 2, axis=1) / np.sum(X**2)
    margin = 6 * errors.std() / np.sqrt(DRAWS)
    # E(q − s)²|z|²/|x|² and the mixed term, 2E|q − s||s||z|²/|x|², are at most this.
    length = np.sqrt(np.sum(X**2))
    rounding = 7 * (40 / 254) ** 2 / length**2 + 2 * 7 * (40 / 254) / length
    assert abs(errors.mean() - 6) < margin + rounding
    assert margin + rounding < 1.5


def test_a_byte_by_hand():
    """Along z, ⟨x, z⟩/|z|² is 1; a slope of |z|² in steps of c/127, cut at c."""
    keys = in_round(KEY, 1, N)
    z = jax.random.normal(of_worker(keys), (5,), jnp.float32).astype(float)
    slope = float(z @ z)
    for clip, expected in (
        (2 * slope, 64),  # 63.5 to even
        (10 * slope, 13),
        (slope / 2, 127),
    ):
        for sign in (1, -1):
            code = one_byte(clip).encode(keys, sign * z)
            assert (code.dtype, code.shape, code) == (jnp.int8, (), sign * expected)


def test_the_same_key_gives_the_same_and_workers_differ():
    c, x = one_byte(CLIP), jnp.asarray(X)
    decode = jax.jit(lambda keys: c.decode(public(keys), jnp.int8(9), x))
    first = decode(in_round(KEY, 0, N))
    np.testing.assert_array_equal(first, decode(in_round(KEY, 0, N)))
    for other in (in_round(KEY, 1, N), in_round(jax.random.key(1), 0, N)):
        assert np.abs(first - decode(other)).min() > 0
    zero = c.encode(in_round(KEY, 0, N), 0 * x)
    np.testing.assert_array_equal(c.decode(in_round(KEY, 0, N), zero, x), 0 * X)


def test_a_tree_is_one_byte_or_one_for_each_leaf():
    like = {"a": jnp.ones((2, 3)), "b": jnp.ones(4)}
    keys = for_leaf(in_round(KEY, 0, N), 0)
    for c, bits in (
        (wrap.whole_tree(one_byte(CLIP)), 8),
        (wrap.per_leaf(one_byte(CLIP)), 16),
    ):
        message = c.encode(keys, like)
        assert set(c.bits(public(keys), message, like)) == {bits}


def test_clip_is_positive():
    with pytest.raises(ValueError, match="clip must be positive"):
        one_byte(0.0)
