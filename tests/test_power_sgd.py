"""PowerSGD: one factor per round, and what its errors remember."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mechanism_draws import round_keys
from reference import variance_reduced
from trajectory import SHAPE, UPDATES, X0, N, measured, noisy_gradient

from fedjax_opt import keys, mechanisms
from fedjax_opt.methods.power_sgd import power_sgd
from fedjax_opt.simulate import distribute

KEY, STEP, WORKERS, ROUNDS = jax.random.key(5), 0.05, 4, 6
SHAPES = {"bias": (5,), "kernel": (2, 3, 4), "small": (2, 2), "weight": (6, 5)}
MATRICES = ("kernel", "weight")  # of rank 1: those of which factors are shorter


def gradients(workers=WORKERS):
    """[T, n, ...], different for every worker and round."""
    rng = np.random.default_rng(0)
    return {
        name: jnp.asarray(rng.standard_normal((ROUNDS, workers, *shape)))
        for name, shape in SHAPES.items()
    }


@functools.partial(jax.jit, static_argnames=("rank", "mesh"))
def trajectory(grads, rank=1, mesh=None):
    """Estimates [T, ...] and states [T, ...] of one round per row of grads."""
    adapter = distribute(mechanisms.power_sgd(rank), WORKERS, key=KEY, mesh=mesh)
    params = jax.tree.map(lambda x: jnp.zeros(x.shape[2:], x.dtype), grads)

    def one_round(state, grad):
        estimate, state = adapter.update(grad, state)
        return state, (estimate, state)

    return jax.lax.scan(one_round, adapter.init(params), grads)[1]


def close(found, expected, atol=1e-12):
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


def test_trajectory():
    """The first V is Gaussian, from the shared key of the first matrix."""
    of_leaf = keys.for_leaf(keys.in_round(round_keys(KEY)[0], keys.SERVER, N), 0)
    drawn = np.asarray(jax.random.normal(of_leaf.shared, (SHAPE[1], 1), float))
    expected = variance_reduced.power_sgd(
        noisy_gradient(jax.random.split(jax.random.split(KEY)[1])[0]),
        N,
        X0,
        UPDATES,
        STEP,
        factor=drawn / np.linalg.norm(drawn),
    )
    found, trace = measured(power_sgd(step_size=STEP, rank=1), KEY)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)
    # 3 and 2 numbers of 64 bits in turn; each worker's message has a byte besides.
    lengths = np.resize([3 * 64, 2 * 64], UPDATES)
    np.testing.assert_array_equal(np.diff(trace.bits_up), N * (lengths + 8))
    np.testing.assert_array_equal(np.diff(trace.bits_down), lengths)


def low_rank():
    """A matrix of rank 2 as the gradient of everybody, in every round."""
    rng = np.random.default_rng(1)
    matrix = rng.standard_normal((7, 2)) @ rng.standard_normal((2, 6))
    return matrix, jnp.broadcast_to(jnp.asarray(matrix), (ROUNDS, WORKERS, 7, 6))


def test_a_matrix_of_low_rank_is_found_after_two_rounds():
    """If Mᵢ stays M: round 0 finds its columns, round 1 its rows."""
    matrix, grads = low_rank()
    first = trajectory(grads, rank=2)[0][0]
    assert np.abs(first - matrix).max() > 0.1
    estimates, _ = trajectory(grads.at[1].set(first), rank=2)  # M less e of round 0
    close(estimates[1:], np.broadcast_to(matrix, (ROUNDS - 1, 7, 6)), 1e-10)


def test_a_constant_gradient_of_low_rank_is_made_up_for_every_second_round():
    matrix, grads = low_rank()
    sums = np.cumsum(trajectory(grads, rank=2)[0], axis=0)
    close(sums[1::2], np.arange(2, ROUNDS + 1, 2)[:, None, None] * matrix, 1e-10)


def test_errors_are_what_the_sum_of_estimates_lacks():
    """Σ M̂ + (1/n) Σᵢ eᵢ = Σ (1/n) Σᵢ gᵢ, and M̂ has rank 1 in every round."""
    grads = gradients()
    estimates, states = trajectory(grads)
    for name in MATRICES:
        errors = states.worker[name].mean(axis=1) - estimates[name]
        sent = np.cumsum(estimates[name], axis=0)
        close(sent + errors, np.cumsum(grads[name].mean(axis=1), axis=0))
        rows = SHAPES[name][0]
        ranks = np.linalg.matrix_rank(estimates[name].reshape(ROUNDS, rows, -1))
        np.testing.assert_array_equal(ranks, 1)
    for name in ("bias", "small"):
        close(estimates[name], grads[name].mean(axis=1), 1e-15)


def test_bits_by_hand():
    """Of rank 1: 5 + 4 numbers as they are; 2 + 6 and 12 + 5 numbers in turn."""
    _, states = trajectory(gradients())
    lengths = np.resize([(9 + 2 + 6) * 64, (9 + 12 + 5) * 64], ROUNDS)
    for of_all, flag in zip(states.info.bits, (0, 8, 0), strict=True):
        np.testing.assert_array_equal(of_all, WORKERS * (lengths + flag))
    for down in states.info.down:
        np.testing.assert_array_equal(down, lengths)


def test_stacked_is_sharded():
    mesh = jax.make_mesh((2,), ("workers",))
    expected, stacked = trajectory(gradients())
    estimates, states = trajectory(gradients(), mesh=mesh)
    found = (estimates, states.worker, states.server, states.info)
    wanted = (expected, stacked.worker, stacked.server, stacked.info)
    for one, other in zip(*map(jax.tree.leaves, (found, wanted)), strict=True):
        close(np.asarray(one), np.asarray(other))


def test_zero_gradients_give_zero_and_a_matrix_may_wake_up():
    """A basis that has seen only zeros is drawn anew: it cannot miss all columns."""
    grads = gradients()
    quiet = jax.tree.map(lambda x: x.at[:2].set(0).at[2:, ..., :3].set(0), grads)
    estimates, states = trajectory(quiet)
    for name in SHAPES:
        close(estimates[name][:2], 0, 0)
    assert np.abs(estimates["weight"][2:]).max(axis=(1, 2)).min() > 1e-3
    for leaf in jax.tree.leaves((estimates, states.worker, states.server)):
        assert np.isfinite(leaf).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_leaves_keep_their_dtype(dtype):
    """Scan refuses a state of another type."""
    grads = jax.tree.map(lambda x: x.astype(dtype), gradients())
    estimates, states = jax.eval_shape(trajectory, grads)
    kept = (estimates, states.worker, states.server.factors)
    assert {x.dtype for x in jax.tree.leaves(kept)} == {jnp.dtype(dtype)}


def test_the_rank_is_checked():
    for rank, error in ((0, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="rank must be"):
            mechanisms.power_sgd(rank)
