"""AdaCGD, Press-Clip21, fixed shifts, compressed iterates: reductions, trajectories."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mechanism_draws import rand_k_draws, round_keys
from reference import compressed, trajectories, variance_reduced
from trajectory import (
    MATRICES,
    SHAPE,
    UPDATES,
    VECTORS,
    X0,
    N,
    full_gradient,
    measured,
)

from fedjax_opt import estimators, keys, theory, transforms
from fedjax_opt.compressors import identity, induced, rand_k, top_k
from fedjax_opt.mechanisms import (
    adacgd_map,
    clag_map,
    clip21,
    dcgd,
    ef21,
    fixed_shift,
    press_clip21,
    three_point,
)
from fedjax_opt.methods.adacgd_gd import adacgd_gd
from fedjax_opt.methods.gdci import gdci
from fedjax_opt.methods.press_clip21_gd import press_clip21_gd
from fedjax_opt.methods.vr_gdci import vr_gdci
from fedjax_opt.simulate import distribute
from fedjax_opt.types import Bits, Certificate, Compressor

ROUNDS, SIZE = 12, 8
KEY, STEP = jax.random.key(31), 0.05
RULE = (N, X0, UPDATES, STEP)


def gradients():
    random = np.random.default_rng(0)
    return jnp.asarray(random.standard_normal((ROUNDS, N, SIZE)))


SHIFTS = gradients()[3]


@functools.partial(jax.jit, static_argnames=("mechanism", "mesh"))
def rounds_of(mechanism, grads, *, mesh=None):
    """Estimates [T, d] and states [T, ...], one round per row of grads [T, n, d]."""
    adapter = distribute(mechanism, N, key=jax.random.key(5), mesh=mesh)

    def one_round(state, grad):
        estimate, state = adapter.update(grad, state)
        return state, (estimate, state)

    return jax.lax.scan(one_round, adapter.init(jnp.zeros(SIZE)), grads)[1]


def ladder(*compressors, trigger=1.0):
    return three_point(adacgd_map(compressors, trigger=trigger))


def silence():
    """C(x) = 0: the first step of a ladder that may stay silent."""
    return Compressor(
        encode=lambda keys, x: jnp.zeros_like(x),
        decode=lambda keys, message, like: message,
        bits=lambda keys, message, like: Bits(0, 0, 0),
        certificate=lambda d: Certificate(),
    )


def top(k):
    """Top-k by a stable sort."""

    def compress(worker, round_, vector):
        return trajectories.top_k(vector.ravel(), k).reshape(vector.shape)

    return compress


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)


# ---------------------------------------------------------------- reductions


@pytest.mark.parametrize(
    ("mechanism", "parent"),
    [
        (ladder(top_k(2), trigger=3.0), ef21(top_k(2))),
        (ladder(top_k(1), top_k(3), trigger=0.0), ef21(top_k(3))),
        (ladder(top_k(1), top_k(3), trigger=1e9), ef21(top_k(1))),
        (
            ladder(silence(), top_k(2), trigger=0.7),
            three_point(clag_map(top_k(2), trigger=0.7)),
        ),
        (press_clip21(identity(), threshold=0.6), clip21(0.6)),
        (press_clip21(top_k(2), threshold=math.inf), ef21(top_k(2))),
        (fixed_shift(rand_k(2), shifts=jnp.zeros((N, SIZE))), dcgd(rand_k(2))),
        (fixed_shift(identity(), shifts=SHIFTS), dcgd(identity())),
    ],
)
def test_it_reduces_to_its_parent(mechanism, parent):
    found, _ = rounds_of(mechanism, gradients())
    expected, _ = rounds_of(parent, gradients())
    np.testing.assert_allclose(found, expected, atol=1e-13)


def test_the_estimates_are_the_means_of_the_workers():
    _, states = rounds_of(ladder(top_k(1), top_k(3)), gradients())
    each = states.worker.estimate.mean(axis=1)
    np.testing.assert_allclose(states.server, each, atol=1e-13)
    _, states = rounds_of(press_clip21(top_k(2), threshold=0.6), gradients())
    np.testing.assert_allclose(states.server, states.worker.mean(axis=1), atol=1e-13)


def test_a_fixed_shift_is_exact_where_the_gradient_is_it():
    estimates, _ = rounds_of(fixed_shift(rand_k(2), shifts=SHIFTS), gradients())
    np.testing.assert_allclose(estimates[3], SHIFTS.mean(axis=0), atol=1e-14)
    assert not np.allclose(estimates[4], gradients()[4].mean(axis=0))


# ---------------------------------------------------------------- AdaCGD


OWN = keys.in_round(jax.random.key(0), 0, 1)


@pytest.mark.parametrize(
    ("trigger", "kept"), [(0.9, 2), (1.0, 2), (4.9, 2), (5.0, 1), (13.9, 1), (14.0, 0)]
)
def test_a_message_of_adacgd_by_hand(trigger, kept):
    """|x − y| = 1; of |x|² = 14 Top-1 loses 5 and Top-2 loses 1."""
    x = jnp.array([3.0, 2.0, 1.0, 0.0])
    step = adacgd_map((silence(), top_k(1), top_k(2)), trigger=trigger * (1 + 1e-12))
    message = step.encode(OWN, jnp.zeros(4), x.at[3].set(1.0), x)
    assert int(message.index) == kept
    moved = step.decode(keys.public(OWN), message, x)
    np.testing.assert_array_equal(moved, np.where(np.arange(4) < kept, x, 0))


def test_bits_by_hand():
    """Top-k of 8 float32: k (32 + 8) bits on the wire; the index is one byte."""
    x = jnp.arange(8, dtype=jnp.float32)

    def bits_of(trigger):
        step = adacgd_map((top_k(1), top_k(3)), trigger=trigger)
        message = step.encode(OWN, jnp.zeros_like(x), jnp.zeros_like(x), x)
        return step.bits(keys.public(OWN), message, x)

    cheap, good = bits_of(1e9), bits_of(0.0)
    assert (float(cheap.values), float(cheap.wire)) == (32, 32 + 8 + 8)
    assert (float(good.values), float(good.wire)) == (96, 3 * (32 + 8) + 8)
    # log₂ 2 = 1 for the index, log₂ of 8 choose k for the entries.
    np.testing.assert_allclose(cheap.entropy, 32 + 3 + 1, atol=1)
    np.testing.assert_allclose(good.entropy, 96 + math.log2(56) + 1, atol=1)
    message = press_clip21(top_k(2), threshold=1.0).worker(OWN, x, jnp.zeros_like(x))
    found = press_clip21(top_k(2), threshold=1.0).bits(keys.public(OWN), message[0], x)
    assert found.wire == 2 * (32 + 8)


@pytest.mark.parametrize("trigger", [0.5, 4.0])
def test_the_inequality_of_three_points_holds(trigger):
    """α = 1/2 of the last compressor, Top-4 of 8; nothing is random."""
    step = adacgd_map((top_k(1), top_k(4)), trigger=trigger)
    a, b = theory.three_point_clag(1 / 2, trigger)
    random = np.random.default_rng(1)
    size = 2000
    x = random.standard_normal((size, SIZE))
    far, near = 10 ** random.uniform(-2, 1, (2, size, 1))
    y = x + far * random.standard_normal((size, SIZE))
    h = y + near * random.standard_normal((size, SIZE))
    h[::3], y[::3] = x[::3] + near[::3], x[::3] + far[::3]  # where Top-k is worst

    @jax.jit
    @jax.vmap
    def moved(h, y, x):
        message = step.encode(OWN, h, y, x)
        return step.decode(keys.public(OWN), message, x), message.index

    by, index = moved(h, y, x)
    assert 0 < np.mean(index) < 1
    error = np.sum((h + by - x) ** 2, axis=1)
    bound = (1 - a) * np.sum((h - y) ** 2, axis=1) + b * np.sum((x - y) ** 2, axis=1)
    assert np.all(error <= bound * (1 + 1e-12))


# ---------------------------------------------------------------- arguments


def test_what_is_refused():
    with pytest.raises(ValueError, match="adacgd_map needs a contractive compressor"):
        adacgd_map((top_k(2), rand_k(2)), trigger=1.0)
    with pytest.raises(ValueError, match="adacgd_map needs 1 to 255 compressors"):
        adacgd_map((), trigger=1.0)
    with pytest.raises(ValueError, match="trigger must be at least 0"):
        adacgd_map((top_k(2),), trigger=-1.0)
    with pytest.raises(ValueError, match="press_clip21 needs a contractive"):
        press_clip21(rand_k(2), threshold=1.0)
    with pytest.raises(ValueError, match="threshold must be positive"):
        press_clip21(top_k(2), threshold=0.0)
    with pytest.raises(ValueError, match="fixed_shift needs an unbiased compressor"):
        fixed_shift(top_k(2), shifts=SHIFTS)
    with pytest.raises(ValueError, match="one shift for each of 6 workers"):
        rounds_of(fixed_shift(rand_k(2), shifts=SHIFTS[:5]), gradients())
    with pytest.raises(ValueError, match="mixing"):
        transforms.towards(0.0)
    with pytest.raises(ValueError, match="step_size must be positive"):
        estimators.local_step(-1.0)
    one = jnp.ones(1)
    with pytest.raises(TypeError, match="needs the present point"):
        transforms.towards(0.5).update(one, transforms.towards(0.5).init(one))
    with pytest.raises(TypeError, match="needs the point of the gradients"):
        estimators.local_step(0.5).update(one, estimators.local_step(0.5).init(one))


def test_numbers_may_be_traced():
    @jax.jit
    @jax.vmap
    def last(trigger, threshold):
        def of(mechanism):
            adapter = distribute(mechanism, N, key=jax.random.key(5))
            step = lambda state, grad: adapter.update(grad, state)[::-1]
            start = adapter.init(jnp.zeros(SIZE))
            return jax.lax.scan(step, start, gradients())[1][-1]

        return (
            of(ladder(top_k(1), top_k(3), trigger=trigger)),
            of(press_clip21(top_k(2), threshold=threshold)),
        )

    found = last(jnp.array([0.0, 1e9]), jnp.array([0.5, jnp.inf]))
    for row, kept in enumerate((3, 1)):
        expected, _ = rounds_of(ef21(top_k(kept)), gradients())
        np.testing.assert_allclose(found[0][row], expected[-1], atol=1e-13)
    expected, _ = rounds_of(ef21(top_k(2)), gradients())
    np.testing.assert_allclose(found[1][1], expected[-1], atol=1e-13)
    assert not np.allclose(found[1][0], expected[-1])


def test_stacked_is_sharded():
    mesh = jax.make_mesh((2,), ("workers",))
    mechanism = fixed_shift(rand_k(2), shifts=SHIFTS)
    stacked, _ = rounds_of(mechanism, gradients())
    sharded, _ = rounds_of(mechanism, gradients(), mesh=mesh)
    np.testing.assert_allclose(stacked, sharded, rtol=0, atol=1e-12)


# ---------------------------------------------------------------- trajectories


def test_adacgd_trajectory():
    method = adacgd_gd(
        step_size=STEP, compressors=(top_k(1), top_k(2), top_k(4)), trigger=2.0
    )
    expected = variance_reduced.adacgd(
        full_gradient, [top(1), top(2), top(4)], *RULE, zeta=2.0, start="gradients"
    )
    close(measured(method, KEY)[0], expected)


def test_press_clip21_trajectory():
    method = press_clip21_gd(step_size=STEP, compressor=top_k(2), threshold=0.5)
    expected = variance_reduced.press_clip21(
        full_gradient, top(2), *RULE, threshold=0.5
    )
    close(measured(method, KEY)[0], expected)


def test_gdci_trajectory():
    compress = rand_k_draws(2, round_keys(KEY), SHAPE)
    expected = functools.partial(compressed.gdci, full_gradient, compress, *RULE)
    method = gdci(step_size=STEP, compressor=rand_k(2), mixing=0.2)
    close(measured(method, KEY)[0], expected(mixing=0.2, shift_step=0.0))
    method = vr_gdci(step_size=STEP, compressor=rand_k(2), mixing=0.2)
    close(measured(method, KEY)[0], expected(mixing=0.2, shift_step=1 / 3))


def test_vr_gdci_without_compression_is_gradient_descent():
    method = vr_gdci(step_size=STEP, compressor=identity(), mixing=1.0, shift_step=0.3)
    x, expected = X0, [X0]
    for _ in range(UPDATES):
        x = x - STEP * sum(full_gradient(i, x) for i in range(N)) / N
        expected.append(x)
    close(measured(method, KEY)[0], expected)


def test_shifts_at_the_optimum_make_the_limit_exact():
    """DCGD-STAR and STAR against their references, on the gradients of one run."""
    optimum = np.linalg.solve(MATRICES.mean(axis=0), VECTORS.mean(axis=0))
    shifts = MATRICES @ optimum - VECTORS
    size = optimum.size

    def iterates(compressor):
        adapter = distribute(
            fixed_shift(compressor, shifts=jnp.asarray(shifts)), N, key=KEY
        )

        @jax.jit
        def run():
            def step(carry, _):
                x, state = carry
                estimate, state = adapter.update(MATRICES @ x - VECTORS, state)
                x = x - STEP * estimate
                return (x, state), x

            start = (jnp.zeros(size), adapter.init(jnp.zeros(size)))
            return jax.lax.scan(step, start, None, 1500)[1]

        return np.asarray(run())

    def gradient(worker, x, round_):
        return MATRICES[worker] @ x - VECTORS[worker]

    mechanism_keys, following = [], KEY
    for _ in range(UPDATES):
        following, of_round, *_ = jax.random.split(following, 4)
        mechanism_keys.append(of_round)
    mechanism_keys = jnp.stack(mechanism_keys)
    given = (N, np.zeros(size), UPDATES, STEP)

    found = iterates(rand_k(2))
    expected = variance_reduced.shifted(
        gradient, rand_k_draws(2, mechanism_keys, (size,)), *given, shifts=shifts
    )
    close(found[:UPDATES], expected[1:])
    np.testing.assert_allclose(found[-1], optimum, atol=1e-9)

    inner = functools.partial(_with_part_of_leaf, mechanism_keys, size)
    found = iterates(induced(top_k(1), rand_k(2)))
    expected = variance_reduced.star(
        gradient, inner(), top(1), *given, optimal_gradients=shifts
    )
    close(found[:UPDATES], expected[1:])
    np.testing.assert_allclose(found[-1], optimum, atol=1e-9)


def _with_part_of_leaf(rounds, size):
    """Rand-2 by the keys of the second part of the first leaf."""
    compressor, ones = rand_k(2), jnp.ones(size)

    @jax.jit
    @jax.vmap
    def kept(round_key):
        def of_worker(worker):
            own = keys.for_leaf(
                keys.for_leaf(keys.in_round(round_key, worker, N), 0), 1
            )
            return compressor.decode(own, compressor.encode(own, ones), ones)

        return jax.vmap(of_worker)(jnp.arange(N))

    table = np.asarray(kept(rounds))
    return lambda worker, round_, vector: table[round_, worker] * vector
