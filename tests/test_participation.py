"""Who comes, and what the server makes of those who came."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedjax_opt import aggregators, mechanisms
from fedjax_opt.compressors import identity, top_k
from fedjax_opt.simulate import (
    cyclic_participation,
    distribute,
    importance_probabilities,
    independent_participation,
    uniform_participation,
)

KEY = jax.random.key(3)
DRAWS = 20_000


def masks(rule, num_workers):
    """[draws, n]."""
    draw = jax.jit(jax.vmap(lambda key: rule(key, num_workers, 0)))
    return np.asarray(draw(jax.random.split(KEY, DRAWS)))


def test_independent_workers_come_independently():
    p = np.array([0.2, 0.5, 1.0])
    came = masks(independent_participation(p), 3)
    np.testing.assert_allclose(came.mean(axis=0), p, atol=5 * 0.5 / math.sqrt(DRAWS))
    both = (came[:, 0] & came[:, 1]).mean()
    assert abs(both - 0.1) <= 5 * math.sqrt(0.1 * 0.9 / DRAWS)


def test_one_probability_is_that_of_everybody():
    came = masks(independent_participation(0.25), 5)
    np.testing.assert_allclose(came.mean(axis=0), 0.25, atol=5 * 0.5 / DRAWS**0.5)


def test_cyclic_workers_take_turns():
    rule = cyclic_participation(2)
    came = [np.flatnonzero(rule(KEY, 5, jnp.int32(t))).tolist() for t in range(5)]
    assert came == [[0, 1], [2, 3], [0, 4], [1, 2], [3, 4]]


def test_rounds_are_counted():
    adapter = distribute(
        mechanisms.dcgd(identity()), 3, key=KEY, participation=cyclic_participation(1)
    )
    step = lambda state, _: adapter.update(jnp.array([3.0, 30.0, 300.0]), state)[::-1]
    _, estimates = jax.lax.scan(step, adapter.init(jnp.zeros(())), None, length=4)
    np.testing.assert_allclose(estimates, [1, 10, 100, 1])


@pytest.mark.parametrize(
    ("weights", "count", "expected"),
    [
        ([1, 1, 1, 1], 2, [0.5, 0.5, 0.5, 0.5]),
        ([1, 2, 3, 4], 1, [0.1, 0.2, 0.3, 0.4]),
        ([1, 1, 8], 2, [0.5, 0.5, 1.0]),  # 8 would have 1.6
        ([1, 4, 10], 2.5, [0.5, 1.0, 1.0]),  # without the 10: 0.3 and 1.2
        ([1, 2, 3], 3, [1, 1, 1]),
    ],
)
def test_importance_is_in_proportion_as_far_as_it_can_be(weights, count, expected):
    p = importance_probabilities(weights, count)
    np.testing.assert_allclose(p, expected, rtol=1e-12)


@pytest.mark.parametrize("compressor", [identity(), top_k(2)])
def test_weighted_by_probabilities_the_estimate_is_unbiased(compressor):
    """Dense messages, and sparse ones, which are added without being decoded."""
    p = importance_probabilities([1, 2, 3, 10], 2)
    grads = jnp.asarray(np.random.default_rng(0).standard_normal((4, 5)))

    def estimate(key):
        adapter = distribute(
            mechanisms.dcgd(compressor),
            4,
            key=key,
            participation=independent_participation(p),
            aggregator=aggregators.weighted(p),
        )
        return adapter.update(grads, adapter.init(grads[0]))[0]

    found = np.asarray(jax.jit(jax.vmap(estimate))(jax.random.split(KEY, DRAWS)))
    kept = np.asarray(grads)
    if compressor is not identity():
        order = np.argsort(-np.abs(kept), axis=1)[:, 2:]
        kept = kept.copy()
        np.put_along_axis(kept, order, 0, axis=1)
    error = 6 * found.std(axis=0) / math.sqrt(DRAWS)
    assert (np.abs(found.mean(axis=0) - kept.mean(axis=0)) <= error + 1e-12).all()


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"probabilities must lie in \(0, 1\]"):
        independent_participation([0.5, 0.0])
    with pytest.raises(ValueError, match="one probability or 4"):
        independent_participation([0.5, 0.5])(KEY, 4, 0)
    with pytest.raises(ValueError, match="cannot draw from 4 workers"):
        cyclic_participation(5)(KEY, 4, 0)
    with pytest.raises(ValueError, match="cannot draw from 4 workers"):
        uniform_participation(5)(KEY, 4, 0)
    with pytest.raises(ValueError, match="positive number per worker"):
        importance_probabilities([1.0, -1.0], 1)
    with pytest.raises(ValueError, match=r"count must lie in \(0, 2\]"):
        importance_probabilities([1.0, 1.0], 3)
