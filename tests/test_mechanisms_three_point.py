"""Three-point compressors: their inequality, reductions, bits, and trajectories."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial
from mechanism_draws import of_all, rand_k_draws, round_keys
from reference import compressed, trajectories
from trajectory import SHAPE, UPDATES, X0, N, full_gradient, measured

from fedjax_opt import estimators, events, keys, problems, run, timing
from fedjax_opt.compressors import identity, rand_k, top_k, wrap
from fedjax_opt.mechanisms import ef21
from fedjax_opt.mechanisms.coins import common_coin, own_coin
from fedjax_opt.mechanisms.lazy import cbag_map, clag_map, lag_map
from fedjax_opt.mechanisms.marina import marina
from fedjax_opt.mechanisms.three_point import (
    ef21_map,
    three_point,
    v1_map,
    v2_map,
    v3_map,
    v4_map,
    v5_map,
)
from fedjax_opt.methods.clag_gd import clag_gd
from fedjax_opt.methods.lag_gd import lag_gd
from fedjax_opt.simulate import distribute
from fedjax_opt.static import constant
from fedjax_opt.theory.three_point import (
    ThreePoint,
    three_point_cbag,
    three_point_clag,
    three_point_ef21,
    three_point_lag,
    three_point_lyapunov,
    three_point_marina,
    three_point_step_size,
    three_point_v1,
    three_point_v2,
    three_point_v3,
    three_point_v4,
    three_point_v5,
)
from fedjax_opt.types import Method

ROUNDS, SIZE = 12, 8
SHRUNK = wrap.scaled(rand_k(2))  # α = 1/4 of 8 entries, like Top-2
ALPHA = 1 / 4

# Maps on 8 entries, and A and B of each.
MAPS = {
    "ef21": (ef21_map(top_k(2)), three_point_ef21(ALPHA)),
    "ef21, random": (ef21_map(SHRUNK), three_point_ef21(ALPHA)),
    "lag": (lag_map(trigger=3.0), three_point_lag(3.0)),
    "clag": (clag_map(top_k(2), trigger=9.0), three_point_clag(ALPHA, 9.0)),
    "clag, random": (clag_map(SHRUNK, trigger=2.0), three_point_clag(ALPHA, 2.0)),
    "v1": (v1_map(top_k(2)), three_point_v1(ALPHA)),
    "v2": (v2_map(rand_k(2), top_k(2)), three_point_v2(ALPHA, 3.0)),
    "v2, random": (v2_map(rand_k(4), SHRUNK), three_point_v2(ALPHA, 1.0)),
    "v3": (
        v3_map(v2_map(rand_k(4), SHRUNK), top_k(2)),
        three_point_v3(ALPHA, three_point_v2(ALPHA, 1.0)),
    ),
    "v4": (v4_map(SHRUNK, top_k(4)), three_point_v4(1 / 2, ALPHA)),
    "v5": (v5_map(top_k(2), probability=0.3), three_point_v5(ALPHA, 0.3)),
    "marina": (v5_map(rand_k(2), probability=0.3), three_point_marina(3.0, 0.3)),
    "cbag": (cbag_map(top_k(2), probability=0.3), three_point_cbag(ALPHA, 0.3)),
}


def moved(step, own_keys, h, y, x):
    """C_{h,y}(x), by way of the message."""
    message = step.encode(own_keys, h, y, x)
    return h + step.decode(keys.public(own_keys), message, x)


@functools.partial(jax.jit, static_argnums=0)
def mean_error(step, key, h, y, x):
    """E|C_{h,y}(x) − x|² over many rounds."""

    def error(round_key):
        own = keys.in_round(round_key, 1, 4)
        return jnp.sum((moved(step, own, h, y, x) - x) ** 2)

    return jnp.mean(jax.vmap(error)(jax.random.split(key, 4000)))


@pytest.mark.parametrize("name", MAPS)
def test_the_inequality_holds_at_random_points(name):
    step, (a, b) = MAPS[name]
    random = np.random.default_rng(1)
    for trial in range(60):
        x = random.standard_normal(SIZE)
        far, near = 10 ** random.uniform(-2, 1, 2)
        y = x + far * random.standard_normal(SIZE)
        h = y + near * random.standard_normal(SIZE)
        if trial % 3 == 0:  # equal entries, where Top-K and dropped steps are worst
            h, y = x + near, x + far
        error = mean_error(step, jax.random.key(trial), h, y, x)
        bound = (1 - a) * np.sum((h - y) ** 2) + b * np.sum((x - y) ** 2)
        assert error <= 1.06 * bound  # 6 % for sampling


def test_constants_by_hand():
    """At α = 7/16: 1 − √(1−α) = 1/4 and (1−α)/(1/4) = 9/4."""
    alpha = 7 / 16
    found = {
        three_point_ef21(alpha): (1 / 4, 9 / 4),
        three_point_lag(5): (1, 5),
        three_point_clag(alpha, 3): (1 / 4, 3),
        three_point_clag(alpha, 2): (1 / 4, 9 / 4),
        three_point_v1(alpha): (1, 9 / 16),
        three_point_v2(alpha, 4): (7 / 16, 9 / 4),
        three_point_v3(1 / 2, ThreePoint(1 / 4, 9 / 4)): (5 / 8, 9 / 8),
        three_point_v4(1 / 4, 1 / 4): (1 / 4, 9 / 4),
        three_point_v5(1 / 3, alpha): (1 / 4, 3 / 2),
        three_point_marina(3, 1 / 4): (1 / 4, 9 / 4),
        three_point_cbag(7 / 8, 1 / 2): (1 / 4, 9 / 4),
    }
    for constants, expected in found.items():
        np.testing.assert_allclose(constants, expected)
    # L + L̂√(B/A) = 1 + 2·3, and 1 + √2·√2·3.
    step_size = functools.partial(
        three_point_step_size, constants=ThreePoint(1 / 4, 9 / 4)
    )
    np.testing.assert_allclose(step_size(1.0, 2.0), 1 / 7)
    for mu, expected in ((0.5, 1 / 7), (2.0, 1 / 16)):
        found_ = step_size(1.0, math.sqrt(2), strong_convexity=mu)
        np.testing.assert_allclose(found_, expected)
    lyapunov = functools.partial(
        three_point_lyapunov, 0.5, constants=ThreePoint(1 / 4, 9 / 4)
    )
    np.testing.assert_allclose(lyapunov(), (1, 1))
    np.testing.assert_allclose(lyapunov(strong_convexity=0.2), (2, 0.9))


@pytest.mark.parametrize("bad", [-1.0, math.nan])
def test_a_negative_trigger_is_refused(bad):
    with pytest.raises(ValueError, match="trigger must be at least 0"):
        lag_map(trigger=bad)


@pytest.mark.parametrize(
    "make",
    [
        lambda c: ef21_map(c),
        lambda c: clag_map(c, trigger=1.0),
        lambda c: v1_map(c),
        lambda c: v2_map(rand_k(2), c),
        lambda c: v3_map(lag_map(trigger=1.0), c),
        lambda c: v4_map(c, top_k(1)),
        lambda c: v4_map(top_k(1), c),
        lambda c: cbag_map(c, probability=0.5),
    ],
)
def test_an_unscaled_compressor_is_refused(make):
    with pytest.raises(ValueError, match=r"wrap\.scaled\(rand_k\(k=2\)\)"):
        make(rand_k(2))
    make(wrap.scaled(rand_k(2)))


def test_what_else_is_refused():
    with pytest.raises(ValueError, match="v2_map needs an unbiased compressor"):
        v2_map(top_k(2), top_k(2))
    for make in (v5_map, cbag_map):
        with pytest.raises(ValueError, match="probability"):
            make(top_k(2), probability=0.0)


def test_equal_arguments_give_the_same_mechanism():
    for make in (
        lambda: three_point(lag_map(trigger=2.0)),
        lambda: three_point(v4_map(top_k(1), top_k(2))),
        lambda: three_point(v5_map(rand_k(2), probability=0.5)),
    ):
        assert make() is make()


# ---------------------------------------------------------------- maps against NumPy


def keep_largest(x, k):
    """Top-K of a vector without ties."""
    kept = np.abs(x) >= np.sort(np.abs(x))[-k]
    return np.where(kept, x, 0)


def test_deterministic_maps_are_their_formulas():
    random = np.random.default_rng(3)
    own = keys.in_round(jax.random.key(0), 0, 1)
    top = functools.partial(keep_largest, k=2)
    for _ in range(20):
        h, y, x = random.standard_normal((3, SIZE))
        b = h + keep_largest(x - h, 3)
        fires = np.sum((x - h) ** 2) > 1.5 * np.sum((x - y) ** 2)
        expected = {
            ef21_map(top_k(2)): h + top(x - h),
            lag_map(trigger=1.5): x if fires else h,
            clag_map(top_k(2), trigger=1.5): h + top(x - h) if fires else h,
            v1_map(top_k(2)): y + top(x - y),
            v3_map(v1_map(top_k(2)), top_k(2)): (
                y + top(x - y) + top(x - y - top(x - y))
            ),
            v4_map(top_k(3), top_k(2)): b + top(x - b),
        }
        for step, value in expected.items():
            found = moved(step, own, h, y, x)
            np.testing.assert_allclose(found, value, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("scale", [1e30, 1.0, 1e-30])
def test_the_trigger_survives_every_scale(scale, dtype):
    """x = 1, h = 0, y = 1/2 in all entries, times the scale: |x − h|² = 4 |x − y|²."""
    x = jnp.full(5, scale, dtype)
    tree = lambda factor: {"a": factor * x, "b": factor * x[:2]}
    for trigger, fires in ((3.5, True), (4.5, False)):
        step = lag_map(trigger=trigger)
        h, y, new = tree(0), tree(0.5), tree(1)
        message = step.encode(keys.NOT_GIVEN, h, y, new)
        assert message.sent == fires
        found = step.decode(keys.NOT_GIVEN, message, new)
        expected = new if fires else h
        jax.tree.map(np.testing.assert_array_equal, found, expected)
        assert found["a"].dtype == dtype


def test_nothing_is_sent_where_nothing_changes():
    zero = jnp.zeros(4)
    message = lag_map(trigger=0.0).encode(keys.NOT_GIVEN, zero, zero, zero)
    assert not message.sent


# ---------------------------------------------------------------- reductions


def gradients(seed=0):
    random = np.random.default_rng(seed)
    return jnp.asarray(random.standard_normal((ROUNDS, N, SIZE)))


@functools.partial(jax.jit, static_argnames=("mechanism", "first"))
def rounds_of(mechanism, grads, *, first=True):
    """Estimates [T, d] and states [T, ...], one round per row of grads [T, n, d]."""
    adapter = distribute(
        mechanism, N, key=jax.random.key(5), first_grads=grads[0] if first else None
    )

    def one_round(state, grad):
        estimate, state = adapter.update(grad, state)
        return state, (estimate, state)

    return jax.lax.scan(one_round, adapter.init(jnp.zeros(SIZE)), grads)[1]


def same(mechanism, other, tolerance=1e-13, **options):
    found, _ = rounds_of(mechanism, gradients(), **options)
    expected, _ = rounds_of(other, gradients(), **options)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", MAPS)
def test_the_server_holds_the_mean_and_starts_at_the_first_gradients(name):
    estimates, states = rounds_of(three_point(MAPS[name][0]), gradients())
    np.testing.assert_allclose(
        estimates, states.worker.estimate.mean(axis=1), rtol=0, atol=1e-13
    )
    np.testing.assert_array_equal(states.worker.gradient, gradients())
    np.testing.assert_array_equal(states.worker.estimate[0], gradients()[0])
    np.testing.assert_allclose(estimates[0], gradients()[0].mean(axis=0), atol=1e-14)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "step",
    [
        lag_map(trigger=0.0),
        clag_map(identity(), trigger=0.0),
        ef21_map(identity()),
        v1_map(identity()),
        v2_map(rand_k(2), identity()),
        v4_map(top_k(2), identity()),
        v5_map(top_k(2), probability=1.0),
        v5_map(identity(), probability=0.5),
        cbag_map(identity(), probability=1.0),
    ],
)
def test_without_compression_it_is_gradient_descent(step, first):
    estimates, _ = rounds_of(three_point(step), gradients(), first=first)
    np.testing.assert_allclose(estimates, gradients().mean(axis=1), atol=1e-13)


@pytest.mark.parametrize(("c", "first"), [(top_k(2), True), (SHRUNK, False)])
def test_reductions_to_ef21(c, first):
    expected, _ = rounds_of(ef21(c), gradients(), first=first)
    for step in (
        ef21_map(c),
        clag_map(c, trigger=0.0),
        cbag_map(c, probability=1.0),
    ):
        found, _ = rounds_of(three_point(step), gradients(), first=first)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def test_v3_of_ef21_is_v4():
    inner = ef21_map(SHRUNK)
    same(three_point(v3_map(inner, top_k(2))), three_point(v4_map(SHRUNK, top_k(2))))


def test_v5_with_an_unbiased_compressor_is_marina():
    same(
        three_point(v5_map(rand_k(2), probability=0.4)),
        marina(rand_k(2), probability=0.4),
        first=True,
    )


def test_clag_of_the_identity_is_lag():
    same(
        three_point(clag_map(identity(), trigger=1.3)),
        three_point(lag_map(trigger=1.3)),
    )


def test_cbag_is_ef21_of_those_whose_coin_says_so():
    """Lazy EF21 in NumPy; the coins come out of the bits that were paid."""
    mechanism = three_point(cbag_map(top_k(2), probability=0.5))
    _, states = rounds_of(mechanism, gradients())
    before = np.asarray(gradients()[0])
    for t in range(ROUNDS):
        estimate = np.asarray(states.worker.estimate[t])
        grad = np.asarray(gradients()[t])
        silent = np.all(estimate == before, axis=1)
        expected = [
            g if s else g + keep_largest(x - g, 2)
            for g, x, s in zip(before, grad, silent, strict=True)
        ]
        np.testing.assert_allclose(estimate, expected, rtol=0, atol=1e-13)
        if t > 0:  # 2 numbers of 64 bits, from each of those who sent
            assert states.info.bits.values[t] == 128 * np.sum(~silent)
        before = estimate


def test_coins_are_common_or_own_and_fair():
    rounds = jax.random.split(jax.random.key(0), 400)
    common = of_all(lambda k: common_coin(k, 0.3), rounds)
    own = of_all(lambda k: own_coin(k, 0.3), rounds)
    assert (common == common[:, :1]).all()
    assert (own != own[:, :1]).any()
    assert abs(common[:, 0].mean() - 0.3) < 6 * math.sqrt(0.21 / 400)
    assert abs(own.mean() - 0.3) < 6 * math.sqrt(0.21 / own.size)
    assert abs(np.corrcoef(own.T)[0, 1]) < 6 / math.sqrt(400)


# ---------------------------------------------------------------- bits


def bits_of(step, h, y, x):
    own = keys.in_round(jax.random.key(0), 0, 1)
    like = jnp.zeros(12, jnp.float32)
    h, y, x = (jnp.full(12, value, jnp.float32) for value in (h, y, x))
    message = step.encode(own, h, y, x)
    return tuple(step.bits(keys.public(own), message, like))


def test_bits_of_a_message_by_hand():
    """12 numbers in float32 take 384 bits; Top-2 64, with two indices of a byte 80.

    A pair of 12 has ⌈log₂ 66⌉ = 7 bits in the ideal code.
    """
    lag, clag = lag_map(trigger=2.0), clag_map(top_k(2), trigger=2.0)
    assert bits_of(lag, 0, 0, 1) == (0, 8, 1)
    assert bits_of(lag, 0, 1, 1) == (384, 392, 385)
    assert bits_of(clag, 0, 0, 1) == (0, 8, 1)
    assert bits_of(clag, 0, 1, 1) == (64, 88, 72)
    assert bits_of(ef21_map(top_k(2)), 0, 0, 1) == (64, 80, 71)
    assert bits_of(v1_map(top_k(2)), 0, 0, 1) == (384, 384, 384)
    assert bits_of(v2_map(rand_k(2), top_k(2)), 0, 0, 1) == (128, 160, 142)
    assert bits_of(v4_map(top_k(2), top_k(2)), 0, 0, 1) == (128, 160, 142)
    assert bits_of(v3_map(lag, top_k(2)), 0, 0, 1) == (64, 88, 72)
    always = {"probability": 1.0}
    assert bits_of(v5_map(top_k(2), **always), 0, 0, 1) == (384, 384, 384)
    assert bits_of(cbag_map(top_k(2), **always), 0, 0, 1) == (64, 80, 71)
    never = {"probability": 1e-9}
    assert bits_of(v5_map(top_k(2), **never), 0, 0, 1) == (64, 80, 71)
    assert bits_of(cbag_map(top_k(2), **never), 0, 0, 1) == (0, 0, 0)


def test_bits_of_a_round_count_who_sent():
    mechanism = three_point(lag_map(trigger=1.3))
    _, states = rounds_of(mechanism, gradients())
    kept = np.asarray(states.worker.estimate)
    changed = np.any(kept[1:] != kept[:-1], axis=2).sum(axis=1)
    assert 0 < changed.sum() < (ROUNDS - 1) * N
    sent = np.concatenate([[0], changed])
    np.testing.assert_array_equal(states.info.bits.wire, sent * SIZE * 64 + N * 8)


def test_absent_workers_keep_their_state_and_pay_nothing():
    mask = jnp.arange(N) % 2 == 0
    adapter = distribute(
        three_point(lag_map(trigger=0.0)),
        N,
        key=jax.random.key(1),
        participation=lambda *_: mask,
    )
    state = adapter.init(jnp.zeros(SIZE))
    estimate, state = adapter.update(gradients()[0], state)
    expected = np.where(mask[:, None], gradients()[0], 0)
    np.testing.assert_allclose(state.worker.estimate, expected)
    np.testing.assert_allclose(estimate, expected.mean(axis=0))
    assert state.info.bits.wire == 3 * (SIZE * 64 + 8)


@pytest.mark.parametrize("name", MAPS)
def test_states_keep_their_dtypes_and_zero_stays_zero(name):
    params = {"a": jnp.zeros(8, "float32"), "b": jnp.zeros((4, 2), "bfloat16")}
    adapter = distribute(three_point(MAPS[name][0]), 2, key=jax.random.key(0))
    grads = jax.tree.map(lambda p: jnp.zeros((2, *p.shape), p.dtype), params)

    def one_round(state, _):  # scan refuses a state of another type
        estimate, state = adapter.update(grads, state)
        return state, estimate

    _, estimates = jax.lax.scan(one_round, adapter.init(params), None, 3)
    for estimate, leaf in zip(
        jax.tree.leaves(estimates), jax.tree.leaves(params), strict=True
    ):
        assert estimate.dtype == leaf.dtype
        assert not estimate.any()


# ---------------------------------------------------------------- trajectories


def top(k):
    return lambda worker, round_, vector: trajectories.top_k(vector.ravel(), k).reshape(
        vector.shape
    )


def method_of(step):
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=Partial(constant(three_point(step))),
        optimizer=Partial(optax.sgd, 0.05),
        full_gradients=True,
        first_gradients=True,
    )


def follows(method, key, reference, *compress, **options):
    iterates, trace = measured(method, key)
    expected = reference(full_gradient, *compress, N, X0, UPDATES, 0.05, **options)
    np.testing.assert_allclose(iterates, expected, rtol=1e-10, atol=1e-13)
    return trace


KEY = jax.random.key(21)
FIRST = {"start": "gradients"}


@pytest.mark.parametrize("zeta", [0.5, 20.0])
def test_lag_gd_trajectory(zeta):
    method = lag_gd(step_size=0.05, trigger=zeta)
    follows(method, KEY, compressed.lag, zeta=zeta, **FIRST)


@pytest.mark.parametrize("zeta", [0.0, 20.0])
def test_clag_gd_trajectory(zeta):
    method = clag_gd(step_size=0.05, compressor=top_k(2), trigger=zeta)
    follows(method, KEY, compressed.clag, top(2), zeta=zeta, **FIRST)


def test_cbag_trajectory():
    coins = of_all(lambda k: own_coin(k, 0.5), round_keys(KEY))
    method = method_of(cbag_map(top_k(2), probability=0.5))
    coin = lambda worker, round_: coins[round_, worker]
    follows(method, KEY, compressed.cbag, top(2), coin=coin, **FIRST)


def test_v1_to_v5_trajectories():
    rounds = round_keys(KEY)
    three_pc = functools.partial(compressed.three_pc, **FIRST)
    follows(method_of(v1_map(top_k(2))), KEY, three_pc, top(2), point_map="v1")
    follows(
        method_of(v2_map(rand_k(2), top_k(2))),
        KEY,
        three_pc,
        top(2),
        point_map="v2",
        compress_first=rand_k_draws(2, rounds, SHAPE, part=0),
    )
    follows(
        method_of(v3_map(v1_map(top_k(1)), top_k(2))),
        KEY,
        three_pc,
        top(2),
        point_map="v3",
        inner=lambda i, t, h, y, x: y + top(1)(i, t, x - y),
    )
    follows(
        method_of(v4_map(top_k(1), top_k(2))),
        KEY,
        three_pc,
        top(2),
        point_map="v4",
        compress_first=top(1),
    )
    coins = of_all(lambda k: common_coin(k, 0.4), rounds)
    follows(
        method_of(v5_map(top_k(2), probability=0.4)),
        KEY,
        three_pc,
        top(2),
        point_map="v5",
        coin=lambda worker, round_: coins[round_, 0],
    )


def test_the_trigger_of_a_recipe_may_be_swept():
    """Two methods of one kind share a program: only a leaf differs."""
    methods = [lag_gd(step_size=0.05, trigger=zeta) for zeta in (0.5, 20.0)]
    first, second = (jax.tree.flatten(method) for method in methods)
    assert first[1] == second[1]
    differ = [(a, b) for a, b in zip(first[0], second[0], strict=True) if a != b]
    assert differ == [(0.5, 20.0)]


# ---------------------------------------------------------------- theory


def quadratic(seed, lowest=0.1):
    """Heterogeneous quadratics on 8 entries; not all convex where lowest < 0."""
    random = np.random.default_rng(seed)
    eigenvalues = random.uniform(lowest, 10, (N, SIZE))
    bases = np.linalg.qr(random.normal(size=(N, SIZE, SIZE)))[0]
    matrices = np.einsum("nij,nj,nkj->nik", bases, eigenvalues, bases)
    matrices = (matrices + matrices.transpose(0, 2, 1)) / 2
    return matrices, random.normal(size=(N, SIZE))


def constants_of(matrices):
    """L, L̂ and μ."""
    mean = matrices.mean(axis=0)
    each = np.linalg.norm(matrices, 2, axis=(1, 2))
    lowest = np.linalg.eigvalsh(mean)[0]
    return np.linalg.norm(mean, 2), math.sqrt(np.mean(each**2)), lowest


@functools.partial(jax.jit, static_argnums=0)
def mean_error_of_workers(step, key, h, y, x):
    """E (1/n) Σᵢ |C(xᵢ) − xᵢ|² over many rounds; rows are workers."""

    def error(round_key):
        def of_worker(i, h, y, x):
            return moved(step, keys.in_round(round_key, i, N), h, y, x)

        new = jax.vmap(of_worker)(jnp.arange(N), h, y, x)
        return jnp.mean(jnp.sum((new - x) ** 2, axis=1))

    return jnp.mean(jax.vmap(error)(jax.random.split(key, 2000)))


@pytest.mark.parametrize("lowest", [0.1, -6.0])
@pytest.mark.parametrize("name", MAPS)
def test_one_step_decreases_the_lyapunov_function(name, lowest):
    step, constants = MAPS[name]
    for seed in range(6):
        matrices, vectors = quadratic(seed, lowest)
        mean, linear = matrices.mean(axis=0), vectors.mean(axis=0)
        value = lambda x, mean=mean, linear=linear: x @ mean @ x / 2 - linear @ x
        smooth, square, mu = constants_of(matrices)
        convex = {} if lowest < 0 else {"strong_convexity": mu}
        optimum = value(np.linalg.solve(mean, linear))
        gamma = three_point_step_size(smooth, square, constants=constants, **convex)
        weight, contraction = three_point_lyapunov(gamma, constants=constants, **convex)
        random = np.random.default_rng(seed)
        x = 3 * random.normal(size=SIZE)
        y = matrices @ x - vectors
        h = y + random.normal(size=(N, SIZE)) * 10 ** random.uniform(-2, 1)
        new = x - gamma * h.mean(axis=0)
        error = mean_error_of_workers(
            step, jax.random.key(seed), h, y, matrices @ new - vectors
        )
        before = weight * np.mean(np.sum((h - y) ** 2, axis=1))
        after = value(new) + weight * error
        slack = 0.03 * weight * error
        if lowest < 0:
            gain = gamma / 2 * np.sum((mean @ x - linear) ** 2)
            assert after <= value(x) + before - gain + slack
        else:
            gap = value(x) - optimum + before
            assert after - optimum <= contraction * gap + slack


@pytest.mark.parametrize(
    ("make", "constants"),
    [
        (lambda **k: lag_gd(trigger=4.0, **k), three_point_lag(4.0)),
        (
            lambda **k: clag_gd(compressor=top_k(2), trigger=4.0, **k),
            three_point_clag(1 / 4, 4.0),
        ),
    ],
)
def test_recipes_converge_with_the_prescribed_step_size(make, constants):
    matrices, vectors = quadratic(0)
    problem = problems.quadratics(matrices, vectors)
    smooth, square, mu = constants_of(matrices)
    gamma = three_point_step_size(
        smooth, square, constants=constants, strong_convexity=mu
    )
    trace = run(
        make(step_size=gamma),
        problem,
        num_workers=N,
        compute_time=timing.fixed(np.ones(N)),
        key=jax.random.key(0),
        num_updates=1500,
    )
    gaps = np.asarray(trace.loss) - problem.constants["f_star"]
    assert gaps[-1] <= 1e-9 * gaps[0]
