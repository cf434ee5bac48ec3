"""EF-BV, Rand-DIANA and the relatives of EF21: reductions, references, theory."""

import dataclasses
import functools
import itertools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial
from reference import compressed
from trajectory import (
    UPDATES,
    X0,
    N,
    full_gradient,
    measured,
    noisy_gradient,
)

from fedjax_opt import keys, mechanisms, problems, run, theory
from fedjax_opt.compressors import hard_threshold, higgs, identity, rand_k, top_k, wrap
from fedjax_opt.compressors.perm_k import perm_k
from fedjax_opt.estimators.sgdm import sgdm
from fedjax_opt.mechanisms.coins import common_coin
from fedjax_opt.mechanisms.ef14 import ef14
from fedjax_opt.mechanisms.ef21_plus import ef21_plus
from fedjax_opt.mechanisms.ef21_weighted import ef21_weighted
from fedjax_opt.mechanisms.ef_bv import ef_bv
from fedjax_opt.mechanisms.rand_diana import rand_diana
from fedjax_opt.methods.dcgd_gd import dcgd_gd
from fedjax_opt.methods.diana_gd import diana_gd
from fedjax_opt.methods.ef14_gd import ef14_gd
from fedjax_opt.methods.ef21_gd import ef21_gd
from fedjax_opt.methods.ef21_hb import ef21_hb
from fedjax_opt.methods.ef21_p_diana import ef21_p_diana
from fedjax_opt.methods.ef21_pp import ef21_pp
from fedjax_opt.methods.ef21_prox import ef21_prox
from fedjax_opt.methods.ef21_sgdm import ef21_sgdm
from fedjax_opt.methods.ef_bv_gd import ef_bv_gd
from fedjax_opt.methods.rand_diana_gd import rand_diana_gd
from fedjax_opt.simulate import distribute, uniform_participation
from fedjax_opt.static import constant
from fedjax_opt.theory import error_feedback
from fedjax_opt.transforms.proximal import proximal, soft_threshold
from fedjax_opt.types import Bits, Certificate, Compressor

KEY = jax.random.key(4)
STEP = 0.05
TOP, RAND = top_k(2), rand_k(2)  # of 6: α = 1/3; ω = 2
SCALED = wrap.scaled(RAND)


def close(a, b, atol=1e-12):
    np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def iterates(method, key=KEY, **options):
    return measured(method, key, **options)[0]


def power_below():
    """Rounds every entry down to a power of two: α = 3/4, and C(tx) is not t C(x)."""

    def encode(keys, x):
        return jnp.where(x == 0, 0, jnp.sign(x) * jnp.ldexp(0.5, jnp.frexp(x)[1]))

    return Compressor(
        encode=encode,
        decode=lambda keys, message, like: message,
        bits=lambda keys, message, like: Bits(0, 0, 0),
        certificate=lambda d: Certificate(alpha=3 / 4),
        label="power_below()",
    )


def power_below_reference(worker, round_, x):
    safe = np.where(x == 0, 1, x)
    return np.where(x == 0, 0, np.sign(x) * np.ldexp(0.5, np.frexp(safe)[1]))


POWER = power_below()


def with_mechanism(mechanism, method=None):
    """A recipe with another mechanism."""
    method = ef21_gd(step_size=STEP, compressor=TOP) if method is None else method
    return dataclasses.replace(method, mechanism=Partial(constant(mechanism)))


def from_gradients(method):
    """A recipe that begins at the first gradients."""
    return dataclasses.replace(method, first_gradients=True)


# ---------------------------------------------------------------- what is drawn


class Draws:
    """What is drawn in every round of a run, by the adapter's documented keys."""

    def __init__(self, key):
        self.sample_key, mechanism_key = jax.random.split(jax.random.split(key)[1])
        self.round_keys, self.came_keys, following = [], [], mechanism_key
        for _ in range(UPDATES):
            following, of_round, _, came = jax.random.split(following, 4)
            self.round_keys.append(of_round)
            self.came_keys.append(came)

    def linear(self, compressor):
        """compress(worker, round, vector) of one that is linear once it has drawn."""

        @jax.jit
        def factors(of_worker):
            ones = jnp.ones(X0.shape)
            of_leaf = keys.for_leaf(of_worker, 0)
            return compressor.decode(of_leaf, compressor.encode(of_leaf, ones), ones)

        def compress(worker, round_, vector):
            of_worker = keys.in_round(self.round_keys[round_], worker, N)
            return np.asarray(factors(of_worker)) * vector

        return compress

    def participates(self, count):
        rule = uniform_participation(count)
        masks = [np.asarray(rule(key, N, t)) for t, key in enumerate(self.came_keys)]
        return lambda worker, round_: masks[round_][worker]

    def coin(self, probability):
        server = [keys.in_round(key, keys.SERVER, N) for key in self.round_keys]
        flips = [bool(common_coin(of_server, probability)) for of_server in server]
        assert 0 < sum(flips) < UPDATES
        return lambda worker, round_: flips[round_]


def top(worker, round_, vector):
    """Top-2 by a stable sort."""
    flat = vector.ravel()
    kept = np.argsort(-np.abs(flat), kind="stable")[:2]
    sparse = np.zeros_like(flat)
    sparse[kept] = flat[kept]
    return sparse.reshape(vector.shape)


WEIGHTS = (0.05, 0.1, 0.3, 0.15, 0.25, 0.15)
RULE = (N, X0, UPDATES, STEP)


def exact(reference, compress, **options):
    return reference(full_gradient, compress, *RULE, **options)


STARTS = {"compressed": lambda method: method, "gradients": from_gradients}


def weighted_from(start):
    method = with_mechanism(ef21_weighted(POWER, WEIGHTS))
    return STARTS[start](method), lambda draws: exact(
        compressed.ef21_weighted, power_below_reference, weights=WEIGHTS, start=start
    )


def sgdm_from(start, folds):
    method = ef21_sgdm(step_size=STEP, compressor=TOP, momentum=0.7, folds=folds)
    reference = (compressed.ef21_sgdm, compressed.ef21_sgd2m)[folds - 1]
    return STARTS[start](method), lambda draws: reference(
        noisy_gradient(draws.sample_key), top, *RULE, momentum=0.7, start=start
    )


# name -> (method, (draws) -> iterates of the reference)
GOLDEN = {
    "ef_bv_gd, Rand-2": (
        ef_bv_gd(step_size=STEP, compressor=RAND),
        # η = 0, ω = 2 and ω/n = 1/3: 1/(1+2) and 1/(1+1/3).
        lambda draws: exact(
            compressed.ef_bv,
            draws.linear(RAND),
            shift_step=1 / 3,
            estimate_step=3 / 4,
            start="zero",
        ),
    ),
    "ef_bv_gd, steps and start given": (
        from_gradients(
            ef_bv_gd(
                step_size=STEP, compressor=SCALED, shift_step=0.7, estimate_step=0.4
            )
        ),
        lambda draws: exact(
            compressed.ef_bv,
            draws.linear(SCALED),
            shift_step=0.7,
            estimate_step=0.4,
            start="gradients",
        ),
    ),
    "rand_diana_gd": (
        rand_diana_gd(step_size=STEP, compressor=RAND),
        lambda draws: exact(
            compressed.rand_diana, draws.linear(RAND), coin=draws.coin(1 / 3)
        ),
    ),
    "ef21_plus, Top-2": (
        with_mechanism(ef21_plus(TOP)),
        lambda draws: exact(compressed.ef21_plus, top, start="compressed"),
    ),
    "ef21_plus, powers of two, from the gradients": (
        from_gradients(with_mechanism(ef21_plus(POWER))),
        lambda draws: exact(
            compressed.ef21_plus, power_below_reference, start="gradients"
        ),
    ),
    "ef21_plus, random": (
        with_mechanism(ef21_plus(SCALED)),
        lambda draws: exact(
            compressed.ef21_plus, draws.linear(SCALED), start="compressed"
        ),
    ),
    **{
        f"ef21_weighted, powers of two, {start}": weighted_from(start)
        for start in STARTS
    },
    **{
        f"ef21_sgdm, {folds} folds, {start}": sgdm_from(start, folds)
        for folds in (1, 2)
        for start in STARTS
    },
    "ef21_hb": (
        ef21_hb(step_size=STEP, compressor=TOP, momentum=0.4),
        lambda draws: exact(compressed.ef21_hb, top, momentum=0.4, start="compressed"),
    ),
    "ef21_prox": (
        ef21_prox(step_size=STEP, compressor=TOP, prox=soft_threshold(0.3)),
        lambda draws: exact(
            compressed.ef21_prox,
            top,
            prox=lambda z, step: np.sign(z) * np.maximum(np.abs(z) - 0.3 * step, 0),
            start="compressed",
        ),
    ),
    "ef21_pp, Top-2": (
        ef21_pp(step_size=STEP, compressor=TOP, participants=2),
        lambda draws: exact(
            compressed.ef21_pp,
            top,
            participates=draws.participates(2),
            start="compressed",
        ),
    ),
    "ef21_pp, random, from the gradients": (
        from_gradients(ef21_pp(step_size=STEP, compressor=SCALED, participants=3)),
        lambda draws: exact(
            compressed.ef21_pp,
            draws.linear(SCALED),
            participates=draws.participates(3),
            start="gradients",
        ),
    ),
    "ef21_p_diana": (
        ef21_p_diana(step_size=STEP, compressor=RAND, model_compressor=TOP),
        lambda draws: compressed.ef21_p_diana(
            full_gradient,
            draws.linear(RAND),
            functools.partial(top, None),
            *RULE,
            shift_step=1 / 3,
        ),
    ),
    "ef21_p": (
        ef21_p_diana(step_size=STEP, compressor=identity(), model_compressor=TOP),
        lambda draws: compressed.ef21_p(
            full_gradient, functools.partial(top, None), *RULE
        ),
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_trajectory(name):
    method, reference = GOLDEN[name]
    expected = reference(Draws(KEY))
    np.testing.assert_allclose(iterates(method), expected, rtol=1e-10, atol=1e-13)


# ---------------------------------------------------------------- reductions


def gradient_descent():
    """The iterates of gradient descent."""
    x, path = X0, [X0]
    for _ in range(UPDATES):
        x = x - STEP * sum(full_gradient(i, x) for i in range(N)) / N
        path.append(x)
    return np.stack(path)


@pytest.mark.parametrize(
    "method",
    [
        dcgd_gd(step_size=STEP, compressor=identity()),
        ef14_gd(step_size=STEP, compressor=identity()),
        ef_bv_gd(step_size=STEP, compressor=identity()),
        ef_bv_gd(step_size=STEP, compressor=identity(), shift_step=0.2),
        rand_diana_gd(step_size=STEP, compressor=identity(), refresh_probability=0.3),
        ef21_hb(step_size=STEP, compressor=identity(), momentum=0.0),
        ef21_pp(step_size=STEP, compressor=identity(), participants=N),
        ef21_prox(step_size=STEP, compressor=identity(), prox=lambda z, step: z),
        ef21_p_diana(
            step_size=STEP, compressor=identity(), model_compressor=identity()
        ),
        with_mechanism(ef21_plus(identity())),
        with_mechanism(ef21_weighted(identity(), WEIGHTS)),
    ],
    ids=lambda method: method.label,
)
def test_without_compression_it_is_gradient_descent(method):
    close(iterates(method), gradient_descent())


def test_ef_bv_with_estimate_step_one_is_diana():
    method = ef_bv_gd(step_size=STEP, compressor=RAND, estimate_step=1.0)
    # The default λ = 1/(1+ω) is the a of DIANA.
    close(iterates(method), iterates(diana_gd(step_size=STEP, compressor=RAND)))


@pytest.mark.parametrize("steps", [{}, {"shift_step": 1.0, "estimate_step": 1.0}])
def test_ef_bv_of_a_deterministic_contraction_is_ef21(steps):
    # Without noise λ = ν = min {1/(1−η), 1} = 1.
    method = ef_bv_gd(step_size=STEP, compressor=TOP, **steps)
    close(iterates(method), iterates(ef21_gd(step_size=STEP, compressor=TOP)))


def test_ef_bv_of_a_random_contraction_with_steps_one_is_ef21():
    method = ef_bv_gd(
        step_size=STEP, compressor=SCALED, shift_step=1.0, estimate_step=1.0
    )
    close(iterates(method), iterates(ef21_gd(step_size=STEP, compressor=SCALED)))


def test_ef_bv_knows_bias_and_noise_of_a_scaled_compressor():
    # Rand-2 of 6, unscaled: η = 1 − 1/3, ω = (1/3)(2/3), so that
    # λ = min {(1/3)/(1/9 + 2/9), 1} = 1,  ν = min {(1/3)/(1/9 + 2/(9·6)), 1} = 1.
    default = ef_bv_gd(step_size=STEP, compressor=SCALED)
    given = dict(shift_step=1.0, estimate_step=1.0)
    close(
        iterates(default),
        iterates(ef_bv_gd(step_size=STEP, compressor=SCALED, **given)),
    )


def test_ef_bv_knows_the_noise_of_the_mean_of_joint_compressors():
    # Perm-K of d = n = 6: ω = n − 1, A = 1, so that λ = 1/6 and ν = 1/2.
    method = functools.partial(ef_bv_gd, step_size=STEP, compressor=perm_k(N))
    close(iterates(method()), iterates(method(shift_step=1 / 6, estimate_step=1 / 2)))


def test_shifts_that_never_move_are_dcgd():
    expected = iterates(dcgd_gd(step_size=STEP, compressor=RAND))
    still = [
        ef_bv_gd(step_size=STEP, compressor=RAND, shift_step=0.0, estimate_step=1.0),
        rand_diana_gd(step_size=STEP, compressor=RAND, refresh_probability=0.0),
    ]
    for method in still:
        close(iterates(method), expected)


def test_rand_diana_that_always_refreshes_has_the_last_gradients_as_shifts():
    method = rand_diana_gd(step_size=STEP, compressor=RAND, refresh_probability=1.0)
    compress = Draws(KEY).linear(RAND)
    x, path, h = X0, [X0], np.zeros((N, *X0.shape))
    for t in range(UPDATES):
        grads = np.stack([full_gradient(i, x) for i in range(N)])
        sent = [h[i] + compress(i, t, grads[i] - h[i]) for i in range(N)]
        x, h = x - STEP * np.mean(sent, axis=0), grads
        path.append(x)
    close(iterates(method), np.stack(path))


EF21 = ef21_gd(step_size=STEP, compressor=TOP)
IS_EF21 = {
    "hb": ef21_hb(step_size=STEP, compressor=TOP, momentum=0.0),
    "pp": ef21_pp(step_size=STEP, compressor=TOP, participants=N),
    "prox": ef21_prox(step_size=STEP, compressor=TOP, prox=lambda z, step: z),
    "weighted, equal weights": with_mechanism(ef21_weighted(TOP, (3.0,) * N)),
    "weighted, homogeneous compressor": with_mechanism(ef21_weighted(TOP, WEIGHTS)),
}


@pytest.mark.parametrize("name", IS_EF21)
def test_it_is_ef21(name):
    close(iterates(IS_EF21[name]), iterates(EF21))


def test_weights_matter_to_a_compressor_that_is_not_homogeneous():
    weighted = iterates(with_mechanism(ef21_weighted(POWER, WEIGHTS)))
    alike = iterates(with_mechanism(mechanisms.ef21(POWER)))
    assert np.abs(weighted - alike).max() > 1e-4


@pytest.mark.parametrize("folds", [1, 2])
def test_sgdm_without_memory_is_ef21_on_stochastic_gradients(folds):
    method = ef21_sgdm(step_size=STEP, compressor=TOP, momentum=0.0, folds=folds)
    noisy = dataclasses.replace(EF21, full_gradients=False)
    close(iterates(method), iterates(noisy))


def test_ef21_p_diana_without_compression_down_is_diana():
    method = ef21_p_diana(step_size=STEP, compressor=RAND, model_compressor=identity())
    close(iterates(method), iterates(diana_gd(step_size=STEP, compressor=RAND)))


def test_ef14_takes_exact_steps_of_the_virtual_iterate():
    # x − γ mean eᵢ; γ Σ (mean gradient) is recovered from the iterates alone.
    method = ef14_gd(step_size=STEP, compressor=TOP)
    errors, path = np.zeros((N, *X0.shape)), iterates(method)
    virtual = X0
    for t in range(UPDATES):
        x = path[t]
        grads = np.stack([full_gradient(i, x) for i in range(N)])
        virtual = virtual - STEP * grads.mean(axis=0)
        errors = errors + grads
        errors = errors - np.stack([top(i, t, e) for i, e in enumerate(errors)])
        close(path[t + 1] - STEP * errors.mean(axis=0), virtual)


def test_ef14_keeps_less_than_a_threshold_of_every_entry():
    # Where |pᵢ| >= λ all of it is sent: what is kept is below λ, however long it runs.
    _, states = history(ef14(hard_threshold(0.5)), gradients())
    for kept in jax.tree.leaves(states.worker):
        assert 0 < np.abs(kept).max() < 0.5


# ---------------------------------------------------------------- sgdm


def test_sgdm_averages_by_hand():
    # β = 1/2, gradients 8, 0, 4: v = 8, 4, 4; u = 8, 6, 5.
    for folds, expected in ((1, [8, 4, 4]), (2, [8, 6, 5])):
        estimator = sgdm(0.5, folds=folds)
        state, found = estimator.init(jnp.zeros(())), []
        for grad in (8.0, 0.0, 4.0):
            estimate, state = estimator.update(jnp.asarray(grad), state)
            found.append(float(estimate))
        assert found == expected


def test_sgdm_momentum_may_be_traced():
    def third(momentum):
        estimator = sgdm(momentum)
        state = estimator.init(jnp.zeros(()))
        for grad in (8.0, 0.0, 4.0):
            estimate, state = estimator.update(jnp.asarray(grad), state)
        return estimate

    np.testing.assert_array_equal(
        jax.vmap(third)(jnp.array([0.0, 0.5, 1.0])), [4, 4, 8]
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_sgdm_keeps_the_dtype(dtype):
    estimator = sgdm(0.9, folds=2)
    params = jnp.zeros(3, dtype)
    estimate, state = estimator.update(params, estimator.init(params))
    assert estimate.dtype == dtype
    chex.assert_trees_all_equal_dtypes(state, estimator.init(params))


# ---------------------------------------------------------------- rounds


PARAMS = {"bias": jnp.zeros(5), "weight": jnp.zeros((3, 2))}
ROUNDS, WORKERS = 6, 8


def gradients(dtype=float):
    rng = np.random.default_rng(0)
    return {
        name: jnp.asarray(rng.standard_normal((ROUNDS, WORKERS, *x.shape)), dtype)
        for name, x in PARAMS.items()
    }


def history(mechanism, grads, **options):
    """Estimates [T, ...] and states [T, ...] of one round per row of grads."""
    adapter = distribute(mechanism, WORKERS, key=KEY, **options)
    params = jax.tree.map(lambda g: jnp.zeros(g.shape[2:], g.dtype), grads)

    def one_round(state, grad):
        estimate, state = adapter.update(grad, state)
        return state, (estimate, state)

    @jax.jit
    def rounds(grads):
        return jax.lax.scan(one_round, adapter.init(params), grads)[1]

    return rounds(grads)


def even_workers(key, num_workers, round):
    return jnp.arange(num_workers) % 2 == 0


MECHANISMS = {
    "ef_bv": ef_bv(RAND),
    "ef_bv, contraction": ef_bv(SCALED, shift_step=0.5),
    "ef21_plus": ef21_plus(SCALED),
    "ef21_weighted": ef21_weighted(SCALED, tuple(range(1, WORKERS + 1))),
    "rand_diana": rand_diana(RAND, refresh_probability=0.5),
}


@pytest.mark.parametrize("name", MECHANISMS)
def test_the_server_has_the_mean_of_the_workers_whoever_comes(name):
    _, everybody = history(MECHANISMS[name], gradients())
    _, some = history(MECHANISMS[name], gradients(), participation=even_workers)
    for states in (everybody, some):
        mean = jax.tree.map(lambda x: np.mean(x, axis=1), states.worker)
        chex.assert_trees_all_close(states.server, mean, rtol=0, atol=1e-14)
    # The absent keep their state; the others do not notice.
    for found, of_everybody in zip(
        jax.tree.leaves(some.worker), jax.tree.leaves(everybody.worker), strict=True
    ):
        assert (found[:, 1::2] == 0).all()
        np.testing.assert_array_equal(found[:, ::2], of_everybody[:, ::2])


@pytest.mark.parametrize("name", MECHANISMS)
def test_it_begins_at_the_first_gradients(name):
    grads = gradients()
    first = jax.tree.map(lambda x: x[0], grads)
    estimates, states = history(MECHANISMS[name], grads, first_grads=first)
    begun = jax.tree.map(lambda x: x[0], (estimates, states.worker))
    mean = jax.tree.map(lambda x: x.mean(axis=0), first)
    chex.assert_trees_all_close(begun, (mean, first), rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", MECHANISMS)
def test_state_and_estimate_keep_the_dtype(name, dtype):
    grads = gradients(dtype)
    estimates, states = history(MECHANISMS[name], grads)
    for leaf in jax.tree.leaves((estimates, states.worker, states.server)):
        assert leaf.dtype == dtype
        assert np.isfinite(np.asarray(leaf, float)).all()


@pytest.mark.parametrize("scale", [1e30, 1e-30])
@pytest.mark.parametrize("name", MECHANISMS)
def test_large_and_small_gradients_in_float32(name, scale):
    usual, _ = history(MECHANISMS[name], gradients("float32"))
    grads = jax.tree.map(lambda x: x * np.float32(scale), gradients("float32"))
    estimates, _ = history(MECHANISMS[name], grads)
    for found, expected in zip(
        jax.tree.leaves(estimates), jax.tree.leaves(usual), strict=True
    ):
        np.testing.assert_allclose(found / np.float32(scale), expected, atol=1e-5)


def test_ef21_plus_is_never_further_than_either():
    grads = gradients()
    start = jax.tree.map(lambda x: 100 * x[1], grads)
    mechanism = ef21_plus(top_k(2))
    _, states = history(mechanism, grads, first_grads=start)
    flat = lambda x: np.concatenate(
        [np.reshape(x[name], (ROUNDS, WORKERS, -1)) for name in PARAMS], axis=-1
    )
    found, exact_ = flat(states.worker), flat(grads)
    kept = lambda z: np.concatenate(
        [_largest(part, 2) for part in np.split(z, [5], axis=-1)], axis=-1
    )
    old = np.concatenate(
        [
            np.concatenate([np.reshape(start[k], (WORKERS, -1)) for k in PARAMS], -1)[
                None
            ],
            found[:-1],
        ]
    )
    fresh, corrected = kept(exact_), old + kept(exact_ - old)
    distance = lambda z: np.sum((z - exact_) ** 2, axis=-1)
    best = np.minimum(distance(fresh), distance(corrected))
    np.testing.assert_allclose(distance(found), best, rtol=1e-12, atol=1e-25)
    is_fresh = distance(fresh) < distance(corrected)
    assert 0 < is_fresh.sum() < is_fresh.size


def _largest(x, k):
    """The k largest entries of the last axis, zero elsewhere."""
    least = np.sort(np.abs(x), axis=-1)[..., [-k]]
    return np.where(np.abs(x) >= least, x, 0)


# ---------------------------------------------------------------- bits


def test_bits_of_ef21_plus_are_those_of_the_compressor_and_a_flag():
    _, states = history(ef21_plus(top_k(2)), gradients())
    # Leaves of 5 and 6 float64: each 2 numbers and 2 bytes; a byte for the flag.
    bits = jax.tree.map(lambda x: x / WORKERS, states.info.bits)
    assert (bits.values == 2 * 2 * 64).all()
    assert (bits.wire == 2 * 2 * (64 + 8) + 8).all()
    # ⌈log₂ (5 over 2)⌉ = 4 and ⌈log₂ (6 over 2)⌉ = 4; one bit for the flag.
    assert (bits.entropy == 2 * 2 * 64 + 4 + 4 + 1).all()


def test_bits_of_rand_diana_count_the_refreshes():
    mechanism = rand_diana(rand_k(2), refresh_probability=0.5)
    _, states = history(mechanism, gradients())
    server = jax.tree.leaves(states.server)[0]
    changed = np.diff(server, axis=0, prepend=0).any(axis=-1)
    assert 0 < changed.sum() < ROUNDS
    message = 2 * 2 * (64 + 8)
    expected = WORKERS * (message + changed * 11 * 64)
    np.testing.assert_array_equal(states.info.bits.wire, expected)


@pytest.mark.parametrize(
    ("method", "senders", "down"),
    [
        (ef21_pp(step_size=STEP, compressor=TOP, participants=2), 2, 8 * X0.nbytes),
        (
            ef21_p_diana(step_size=STEP, compressor=RAND, model_compressor=TOP),
            N,
            2 * (64 + 8),
        ),
    ],
)
def test_bits_in_a_trace(method, senders, down):
    trace = measured(method, KEY)[1]
    np.testing.assert_array_equal(np.diff(trace.bits_up), senders * 2 * (64 + 8))
    assert trace.bits_down[-1] - trace.bits_down[-2] == down


# ---------------------------------------------------------------- prox


def test_soft_threshold_by_hand():
    point = {"a": jnp.array([3.0, -0.5, 0.2]), "b": jnp.array(-2.0)}
    found = soft_threshold(0.5)(point, 2.0)
    chex.assert_trees_all_equal(
        found, {"a": jnp.array([2.0, 0, 0]), "b": -jnp.ones(())}
    )


def test_ef21_prox_solves_the_lasso():
    matrix = np.diag([1.0, 2.0, 4.0])
    vectors = np.array([[3.0, 0.1, -2.0], [1.0, -0.3, -4.0]])
    problem = problems.quadratics(np.stack([matrix, matrix]), vectors)
    # ½aᵢxᵢ² − bᵢxᵢ + |xᵢ|/2 with b = (2, −0.1, −3): soft threshold of b over a.
    method = ef21_prox(step_size=0.05, compressor=top_k(1), prox=soft_threshold(0.5))
    trace = run(method, problem, key=KEY, num_workers=2, num_updates=2000)
    close(trace.params, [1.5, 0, -2.5 / 4])


def test_ef21_prox_projects():
    problem = problems.quadratics(np.eye(2)[None], np.array([[1.0, -1.0]]))

    def onto_the_orthant(point, step_size):
        return optax.projections.projection_non_negative(point)

    method = ef21_prox(step_size=0.2, compressor=top_k(1), prox=onto_the_orthant)
    trace = run(method, problem, key=KEY, num_workers=1, num_updates=300)
    close(trace.params, [1.0, 0.0])


def test_proximal_needs_the_parameters():
    transform = proximal(0.1, soft_threshold(1.0))
    with pytest.raises(TypeError, match="its update needs them"):
        transform.update(jnp.ones(2), transform.init(jnp.ones(2)))


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ef14(RAND), r"ef14 .*only omega. Wrap it: wrap\.scaled\(rand_k\(k=2"),
        (lambda: ef14_gd(step_size=STEP, compressor=RAND), "ef14 needs a contractive"),
        (lambda: ef14(higgs(1)), r"ef14 .*higgs\(1.* certifies no alpha"),
        (lambda: ef_bv(POWER), r"power_below\(\) does not. Give shift_step="),
        (lambda: ef_bv(RAND, shift_step=1.5), "shift_step must lie in"),
        (lambda: ef_bv(RAND, estimate_step=0.0), "estimate_step must lie in"),
        (lambda: ef21_plus(RAND), r"ef21_plus .*wrap\.scaled\(rand_k\(k=2\)\)"),
        (lambda: ef21_weighted(RAND, (1, 1)), "ef21_weighted needs a contractive"),
        (lambda: ef21_weighted(TOP, (1.0, 0.0)), "each weight must be positive"),
        (lambda: rand_diana(TOP), "rand_diana needs an unbiased"),
        (lambda: rand_diana(RAND, refresh_probability=2.0), "refresh_probability"),
        (lambda: sgdm(1.5), "momentum must lie in"),
        (lambda: soft_threshold(-1.0), "weight must be positive"),
        (lambda: history(ef21_weighted(TOP, (1.0, 2.0)), gradients()), "for each of 8"),
        (lambda: error_feedback.ef_bv(1, 1, omega=0, omega_mean=0, eta=1), "eta"),
    ],
)
def test_it_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make", [ef_bv, ef21_plus, rand_diana, lambda c: ef21_weighted(c, (1.0, 2.0))]
)
def test_equal_arguments_give_the_same_mechanism(make):
    assert make(identity()) is make(identity())


# ---------------------------------------------------------------- theory


def test_ef_bv_constants_by_hand():
    # Unbiased, ω = 3, ω_av = 1: λ = 1/4, ν = 1/2, r = 3/4, r_av = 1/2,
    # s = √(7/6) − 1, γ = 1/(2 + 5 √(2/3)/s).
    found = error_feedback.ef_bv(2.0, 5.0, omega=3.0, omega_mean=1.0)
    s = math.sqrt(7 / 6) - 1
    expected = (1 / (2 + 5 * math.sqrt(2 / 3) / s), 1 / 4, 1 / 2, 3 / 4, 1 / 2)
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    bound = error_feedback.ef_bv_lyapunov(0.01, 3 / 4, 1 / 2, strong_convexity=0.5)
    theta = s * (1 + s) * (3 / 4) / (1 / 2)
    np.testing.assert_allclose(bound, (0.01 / (2 * theta), 0.995), rtol=1e-13)


def test_ef_bv_without_compression_is_gradient_descent():
    found = error_feedback.ef_bv(2.0, 5.0, omega=0.0, omega_mean=0.0)
    assert found == (1 / 2, 1.0, 1.0, 0.0, 0.0)
    bound = error_feedback.ef_bv_lyapunov(1 / 2, 0.0, 0.0, strong_convexity=1.5)
    assert bound == (0.0, 1 / 2)


def test_step_sizes_by_hand():
    # p α = 3/4: ξ = (1 + 1/2)/(3/4) − 1 = 1.
    found = error_feedback.ef21_pp_step_size(2.0, 5.0, alpha=1.0, probability=0.75)
    assert found == pytest.approx(1 / 7)
    found = error_feedback.ef21_weighted(2.0, [1.0, 3.0, 8.0], alpha=3 / 4)
    assert found.step_size == pytest.approx(1 / (2 + 4))
    np.testing.assert_allclose(found.weights, [1 / 12, 1 / 4, 2 / 3])
    sgdm_step = functools.partial(error_feedback.ef21_sgdm_step_size, 2.0, 5.0)
    assert sgdm_step(alpha=0.5, momentum=0.5) == pytest.approx(0.005)
    assert sgdm_step(alpha=0.5, momentum=0.99) == pytest.approx(0.01 / 14)
    assert error_feedback.ef21_p_step_size(2.0, alpha=0.5) == pytest.approx(1 / 64)
    both = functools.partial(
        error_feedback.ef21_p_diana_step_size, num_workers=4, alpha=0.25
    )
    # 1/γ: 160·4·30/4 = 4800, 20·2·5 = 200 (√(nα) = 1), 100·2/0.25 = 800, 2·5·μ.
    found = both(2.0, 5.0, 30.0, omega=4.0, strong_convexity=1.0)
    assert found == pytest.approx(1 / 4800)
    assert both(2.0, 5.0, 1.0, omega=4.0, strong_convexity=1.0) == pytest.approx(
        1 / 800
    )
    found = both(0.2, 50.0, 1.0, omega=4.0, strong_convexity=0.1)
    assert found == pytest.approx(1 / 2000)
    found = both(0.2, 0.2, 0.2, omega=4.0, strong_convexity=0.2 * 100)
    assert found == pytest.approx(1 / 200)
    assert both(2.0, 5.0, 30.0, omega=0.0, strong_convexity=1.0) == pytest.approx(
        1 / 800
    )


def test_the_step_size_of_pp_is_the_best_of_the_papers():
    """γ = 1/(L + √(B/θ_p)) over a grid of s and ρ comes up to ours."""
    smooth, rough, alpha, p = 2.0, 5.0, 0.3, 0.4
    s, rho = np.meshgrid(*2 * [np.geomspace(1e-4, 1, 1201)])
    theta, beta = 1 - (1 + s) * (1 - alpha), (1 + 1 / s) * (1 - alpha)
    theta_p = rho * p + theta * p - rho
    b = (beta * p + (1 + 1 / rho) * (1 - p)) * rough**2
    valid = theta_p > 0
    best = (1 / (smooth + np.sqrt(b[valid] / theta_p[valid]))).max()
    ours = error_feedback.ef21_pp_step_size(smooth, rough, alpha=alpha, probability=p)
    assert best <= ours <= 1.0001 * best


class Quadratics:
    """A few small quadratics fᵢ(x) = ½xᵀAᵢx − bᵢᵀx, and their constants, in NumPy."""

    def __init__(self, seed, indefinite, n=3, d=3):
        rng = np.random.default_rng(seed)
        square = rng.standard_normal((n, d, d))
        self.a = np.einsum("nij,nkj->nik", square, square) / d + 0.1 * np.eye(d)
        if indefinite:
            offset = rng.standard_normal((n, d))
            offset = 1.5 * (offset - offset.mean(axis=0))
            self.a = self.a + np.stack([np.diag(o) for o in offset])
        self.b = rng.standard_normal((n, d))
        mean = self.a.mean(axis=0)
        eigenvalues = np.linalg.eigvalsh(mean)
        assert eigenvalues[0] > 0
        self.mu, self.smooth = eigenvalues[[0, -1]]
        self.each = np.abs(np.linalg.eigvalsh(self.a)).max(axis=1)
        self.rough = math.sqrt(np.mean(self.each**2))
        self.x_star = np.linalg.solve(mean, self.b.mean(axis=0))

    def gap(self, x):
        moved = x - self.x_star
        return 0.5 * moved @ self.a.mean(axis=0) @ moved

    def grads(self, x):
        return self.a @ x - self.b


def one_of(scale):
    """Rand-1, scaled: all its outcomes, of equal probability."""
    return lambda v: [scale * v[j] * np.eye(len(v))[j] for j in range(len(v))]


def top_one(v):
    return [_largest(v, 1)]


@pytest.mark.parametrize("indefinite", [False, True])
@pytest.mark.parametrize(
    ("outcomes", "eta", "omega"),
    [(one_of(3), 0.0, 2.0), (one_of(1), 2 / 3, 2 / 9), (top_one, (2 / 3) ** 0.5, 0.0)],
)
def test_ef_bv_contracts_its_lyapunov_function(outcomes, eta, omega, indefinite):
    """The exact expectation over all draws of one step, at random states."""
    q = Quadratics(0, indefinite)
    p = error_feedback.ef_bv(
        q.smooth, q.rough, omega=omega, omega_mean=omega / 3, eta=eta
    )
    bound = error_feedback.ef_bv_lyapunov(
        p.step_size, p.error, p.mean_error, strong_convexity=q.mu
    )

    def psi(x, h):
        return q.gap(x) + bound.weight * np.sum((q.grads(x) - h) ** 2) / 3

    rng = np.random.default_rng(1)
    for _ in range(30):
        x = q.x_star + rng.standard_normal(3) * rng.choice([0.1, 1, 10])
        h = q.grads(x) + rng.standard_normal((3, 3)) * rng.choice([0.1, 1, 10])
        after = []
        for sent in itertools.product(*map(outcomes, q.grads(x) - h)):
            estimate = h.mean(axis=0) + p.estimate_step * np.mean(sent, axis=0)
            moved = x - p.step_size * estimate
            after.append(psi(moved, h + p.shift_step * np.asarray(sent)))
        assert np.mean(after) <= bound.contraction * psi(x, h) * (1 + 1e-12)


@pytest.mark.parametrize("indefinite", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_ef21_pp_decreases_its_lyapunov_function(count, indefinite):
    """Likewise over all sets of participants, Top-1: f + (γ/(2θ)) G by (γ/2)|∇f|²."""
    q = Quadratics(0, indefinite)
    probability = count / 3
    step = error_feedback.ef21_pp_step_size(
        q.smooth, q.rough, alpha=1 / 3, probability=probability
    )
    theta = 1 - math.sqrt(1 - probability / 3)

    def psi(x, g):
        return q.gap(x) + step / (2 * theta) * np.sum((q.grads(x) - g) ** 2) / 3

    rng = np.random.default_rng(1)
    for _ in range(30):
        x = q.x_star + rng.standard_normal(3) * rng.choice([0.1, 1, 10])
        g = q.grads(x) + rng.standard_normal((3, 3)) * rng.choice([0.1, 1, 10])
        moved = x - step * g.mean(axis=0)
        sent = _largest(q.grads(moved) - g, 1)
        after = []
        for absent in itertools.combinations(range(3), 3 - count):
            came = np.array([i not in absent for i in range(3)])
            after.append(psi(moved, g + came[:, None] * sent))
        mean_grad = q.grads(x).mean(axis=0)
        decreased = psi(x, g) - 0.5 * step * mean_grad @ mean_grad
        assert np.mean(after) <= decreased + 1e-12 * psi(x, g)


@pytest.mark.parametrize("indefinite", [False, True])
def test_ef21_weighted_decreases_its_lyapunov_function(indefinite):
    """With (1/n) Σᵢ |gᵢ − ∇fᵢ|²/(n wᵢ) for G."""
    q = Quadratics(0, indefinite)
    step, weights = error_feedback.ef21_weighted(q.smooth, q.each, alpha=1 / 3)
    theta = 1 - math.sqrt(2 / 3)

    def psi(x, g):
        errors = np.sum((q.grads(x) - g) ** 2, axis=1) / (3 * weights)
        return q.gap(x) + step / (2 * theta) * errors.mean()

    rng = np.random.default_rng(1)
    for _ in range(100):
        x = q.x_star + rng.standard_normal(3) * rng.choice([0.1, 1, 10])
        g = q.grads(x) + rng.standard_normal((3, 3)) * rng.choice([0.1, 1, 10])
        moved = x - step * g.mean(axis=0)
        new = g + _largest(q.grads(moved) - g, 1)
        mean_grad = q.grads(x).mean(axis=0)
        decreased = psi(x, g) - 0.5 * step * mean_grad @ mean_grad
        assert psi(moved, new) <= decreased + 1e-12 * psi(x, g)


HETEROGENEOUS = problems.heterogeneous_quadratics(
    8, 12, noise_scale=0.3, strong_convexity=0.1, seed=0
)


def gaps(method, problem=HETEROGENEOUS, num_updates=4000, n=8, **options):
    """f(x^k) − f*."""
    trace = run(
        method, problem, key=KEY, num_workers=n, num_updates=num_updates, **options
    )
    return trace.loss - problem.constants["f_star"]


def of_theory():
    """name -> (recipe, γ of the theory) on `HETEROGENEOUS`, Top-4 and Rand-4 of 12."""
    c = HETEROGENEOUS.constants
    both = c["smoothness"], c["smoothness_mean_square"]
    weighted = error_feedback.ef21_weighted(
        c["smoothness"], c["smoothness_each"], alpha=1 / 3
    )
    mu = c["strong_convexity"]
    ef_bv_step = error_feedback.ef_bv(*both, omega=2, omega_mean=2 / 8).step_size
    diana_step = theory.diana(c["smoothness_max"], 2, num_workers=8).step_size
    pp_step = error_feedback.ef21_pp_step_size(*both, alpha=1 / 3, probability=1 / 2)
    both_ways = error_feedback.ef21_p_diana_step_size(
        *both,
        c["smoothness_max"],
        omega=2,
        alpha=1 / 3,
        num_workers=8,
        strong_convexity=mu,
    )
    down = error_feedback.ef21_p_step_size(c["smoothness"], alpha=1 / 3)
    ef21_step = theory.ef21_step_size(*both, alpha=1 / 3)
    top4, rand4 = top_k(4), rand_k(4)
    by_weight = with_mechanism(
        ef21_weighted(top4, tuple(weighted.weights.tolist())),
        ef21_gd(step_size=weighted.step_size, compressor=top4),
    )
    return {
        "ef_bv": ef_bv_gd(step_size=ef_bv_step, compressor=rand4),
        "ef_bv, contraction": ef_bv_gd(
            step_size=ef21_step, compressor=wrap.scaled(rand4)
        ),
        "ef21_plus": with_mechanism(
            ef21_plus(top4), ef21_gd(step_size=ef21_step, compressor=top4)
        ),
        "ef21_weighted": by_weight,
        "ef21_pp": ef21_pp(step_size=pp_step, compressor=top4, participants=4),
        "ef21_p": ef21_p_diana(
            step_size=down, compressor=identity(), model_compressor=top4
        ),
        "ef21_p_diana": ef21_p_diana(
            step_size=both_ways, compressor=rand4, model_compressor=top4
        ),
        "rand_diana": rand_diana_gd(step_size=diana_step / 2, compressor=rand4),
    }


@pytest.mark.parametrize("name", of_theory())
def test_it_finds_the_minimiser_with_the_step_size_of_the_theory(name):
    found = gaps(of_theory()[name], num_updates=30_000, record_every=30_000)
    assert abs(found[-1]) < 1e-10 * found[0]


def test_rates_of_ef21_p_and_ef21_p_diana():
    mu = HETEROGENEOUS.constants["strong_convexity"]
    for name in ("ef21_p", "ef21_p_diana"):
        method = of_theory()[name]
        (step,) = [x for x in jax.tree.leaves(method.optimizer)]
        trace = run(method, HETEROGENEOUS, key=KEY, num_workers=8, num_updates=4000)
        bound = trace.distance_sq[0] * (1 - float(step) * mu / 2) ** np.arange(4001)
        assert (trace.distance_sq <= bound).all()


# ---------------------------------------------------------------- published numbers

# Where gradient descent with Top-1 diverges (arXiv:2002.12410): ⟨aᵢ, x⟩² + |x|²/4.
A = np.array([[-3.0, 2.0, 2.0], [2.0, -3.0, 2.0], [2.0, 2.0, -3.0]])
DIVERGENCE = problems.quadratics(
    2 * A[:, :, None] * A[:, None, :] + 0.5 * np.eye(3), np.zeros((3, 3)), x0=np.ones(3)
)


def test_dcgd_diverges_where_ef21_and_ef_bv_converge():
    c = DIVERGENCE.constants
    step = theory.ef21_step_size(
        c["smoothness"], c["smoothness_mean_square"], alpha=1 / 3
    )
    options = dict(key=KEY, num_workers=3)
    dcgd = dcgd_gd(step_size=step, compressor=top_k(1))
    trace = run(dcgd, DIVERGENCE, num_updates=5, **options)
    np.testing.assert_allclose(trace.params, 1.05487 * np.ones(3), rtol=1e-5)

    method = ef_bv_gd(step_size=step, compressor=top_k(1))
    starts = {
        method: {0: 4.0833, 10: 3.757, 100: 1.081, 500: 4.31e-3, 1000: 4.33e-6},
        from_gradients(method): {10: 3.557, 100: 1.026, 500: 4.09e-3, 1000: 4.11e-6},
    }
    for start, expected in starts.items():
        trace = run(start, DIVERGENCE, num_updates=1000, **options)
        for k, value in expected.items():
            assert trace.grad_norm_sq[k] == pytest.approx(value, rel=1e-2)


def random_quadratics():
    """20 workers, d = 12: M Mᵀ/d + I/10, M then b for every worker."""
    rng = np.random.default_rng(1)
    matrices, vectors = [], []
    for _ in range(20):
        m = rng.standard_normal((12, 12))
        matrices.append(m @ m.T / 12 + 0.1 * np.eye(12))
        vectors.append(rng.standard_normal(12))
    return problems.quadratics(np.stack(matrices), np.stack(vectors))


def test_ef_bv_on_random_quadratics():
    problem = random_quadratics()
    c = problem.constants
    p = error_feedback.ef_bv(
        c["smoothness"], c["smoothness_mean_square"], omega=11, omega_mean=11 / 20
    )
    assert p.step_size == pytest.approx(0.010264, rel=1e-4)
    method = ef_bv_gd(step_size=p.step_size, compressor=rand_k(1))
    found = gaps(method, problem, 2000, n=20)
    # In the specification: 0.4766, 2.5e-8, 6e-15; the last two vary with the draws.
    assert found[0] == pytest.approx(0.4766, abs=1e-4)
    assert 1e-9 < found[1000] < 1e-6
    assert abs(found[2000]) < 1e-12


NOISE = math.sqrt(3 / 10) * np.array([[2.0, 0.0], [0.0, 1.0], [-2.0, -1.0]])


def mean_square(step_size, momentum, runs=256):
    """Mean |x|² over the second half of 60/γ steps on f = ½|x|², Top-1, σ = 1."""
    num_steps = round(60 / step_size)
    start = jnp.array([0.0, -0.01])

    def one(key):
        adapter = distribute(
            mechanisms.ef21(top_k(1)), 1, key=key, worker_transform=sgdm(momentum)
        )
        noise = jnp.asarray(NOISE)[jax.random.randint(key, num_steps, 0, 3)]

        def step(carry, z):
            x, state = carry
            estimate, state = adapter.update((x + z)[None], state)
            return (x - step_size * estimate, state), jnp.sum(x**2)

        return jax.lax.scan(step, (start, adapter.init(start)), noise)[1]

    squares = jax.jit(jax.vmap(one))(jax.random.split(KEY, runs))
    return float(squares[:, num_steps // 2 :].mean())


@pytest.mark.parametrize(
    ("step_size", "of_sgd", "of_sgdm"),
    [(1e-1, 0.0840, 0.0539), (1e-2, 0.0116, 0.00538)],
)
def test_momentum_tracks_sgd_where_ef21_on_stochastic_gradients_stalls(
    step_size, of_sgd, of_sgdm
):
    # The published values are means of 64 runs, ours of 256.
    assert mean_square(step_size, 0.0) == pytest.approx(of_sgd, rel=0.06)
    momentum = 1 - math.sqrt(step_size)
    assert mean_square(step_size, momentum) == pytest.approx(of_sgdm, rel=0.06)
