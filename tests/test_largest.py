"""Top-K of large arrays, where counting takes the place of sorting."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedjax_opt.compressors import top_k
from fedjax_opt.compressors.largest import (
    SMALLEST_FLOAT32,
    SMALLEST_OTHER,
    STRIDE,
    largest,
)

D = 7001  # no multiple of 32
K = 20
RNG = np.random.default_rng(0)
GAUSSIAN = RNG.standard_normal(D)
VECTORS = {
    "gaussian": GAUSSIAN,
    "heavy-tailed": RNG.standard_cauchy(D),
    "rising": np.arange(D) / D,
    "falling": -np.arange(D)[::-1] / D,
    "largest side by side": np.where(np.arange(D) < 3 * K, 10 + GAUSSIAN, GAUSSIAN),
    "nothing large in the sample": np.where(np.arange(D) % STRIDE, GAUSSIAN, 0),
    "everything large in the sample": np.where(np.arange(D) % STRIDE, 0, GAUSSIAN),
    "zero": np.zeros(D),
    "equal": np.full(D, -2.5),
    "fewer than K are nonzero": np.where(RNG.random(D) < 0.001, GAUSSIAN, 0),
    "ties": np.round(GAUSSIAN),
    "some ties": np.round(2 * GAUSSIAN, 1),
    "infinite": np.where(np.arange(D) % 1000 == 3, np.inf, GAUSSIAN),
    "not a number": np.where(np.arange(D) % 1000 == 3, np.nan, GAUSSIAN),
    "subnormal": 1e-310 * GAUSSIAN,
    "huge": 1e300 * GAUSSIAN,
}


def by_sorting(x, k):
    """The k largest |x|, ties and NaN by index; stable sorts are."""
    magnitude = np.where(np.isnan(x), np.inf, np.abs(x))
    return np.argsort(-magnitude, kind="stable")[:k]


def find(x, k):
    return jax.jit(largest, static_argnums=1)(jnp.asarray(x), k)


def test_the_arrays_are_large_enough():
    assert D > SMALLEST_OTHER


@pytest.mark.parametrize("name", VECTORS)
def test_exactly_the_largest_ties_to_the_lowest_index(name):
    np.testing.assert_array_equal(find(VECTORS[name], K), by_sorting(VECTORS[name], K))


@pytest.mark.parametrize("k", [1, 2, 100, 500, 3000, D])
def test_every_k(k):
    np.testing.assert_array_equal(find(GAUSSIAN, k), by_sorting(GAUSSIAN, k))


def test_rows_do_not_disturb_each_other():
    """Some rows are found by counting, others have to be sorted."""
    x = np.stack(list(VECTORS.values()))
    found = jax.jit(jax.vmap(lambda row: largest(row, K)))(jnp.asarray(x))
    np.testing.assert_array_equal(found, [by_sorting(row, K) for row in x])
    twice = jax.jit(jax.vmap(jax.vmap(lambda row: largest(row, K))))
    np.testing.assert_array_equal(
        twice(jnp.asarray(x).reshape(2, -1, D)).reshape(-1, K), found
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("d", [SMALLEST_FLOAT32 - 1, SMALLEST_FLOAT32 + 3])
def test_narrow_numbers(dtype, d):
    x = jnp.asarray(np.random.default_rng(1).standard_normal(d), dtype)
    np.testing.assert_array_equal(find(x, 500), by_sorting(np.asarray(x, float), 500))


def test_the_message_of_top_k():
    x = np.random.default_rng(2).standard_normal((70, 100))
    message = jax.jit(lambda x: top_k(30).encode(None, x))(jnp.asarray(x))
    kept = by_sorting(x.ravel(), 30)
    np.testing.assert_array_equal(message.indices, kept)
    np.testing.assert_array_equal(message.values, x.ravel()[kept])
    assert message.indices.dtype == "uint16"
