"""MARINA, PP-MARINA and DASHA: reductions, bits, trajectories, theory."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mechanism_draws import of_all, rand_k_draws, round_keys
from reference import compressed
from trajectory import (
    SHAPE,
    UPDATES,
    X0,
    N,
    full_gradient,
    measured,
    noisy_gradient,
)

from fedjax_opt import keys, problems, run, timing
from fedjax_opt.compressors import identity, rand_k, top_k
from fedjax_opt.compressors.perm_k import perm_k
from fedjax_opt.mechanisms.coins import common_coin, uniform_subset
from fedjax_opt.mechanisms.dasha import dasha
from fedjax_opt.mechanisms.lazy import cbag_map, lag_map
from fedjax_opt.mechanisms.marina import marina, pp_marina
from fedjax_opt.mechanisms.three_point import three_point, v3_map
from fedjax_opt.methods.dasha_gd import dasha_gd
from fedjax_opt.methods.dasha_mvr import dasha_mvr
from fedjax_opt.methods.marina_gd import marina_gd
from fedjax_opt.methods.pp_marina import pp_marina as pp_marina_gd
from fedjax_opt.simulate import distribute
from fedjax_opt.theory import marina as theory
from fedjax_opt.types import Joint

ROUNDS, SIZE = 12, 8
KEY = jax.random.key(31)


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


# ---------------------------------------------------------------- reductions


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "mechanism",
    [
        marina(rand_k(2), probability=1.0),
        marina(identity(), probability=0.3),
        pp_marina(rand_k(2), probability=1.0, count=2),
        pp_marina(identity(), probability=0.3, count=N),
        dasha(identity()),
    ],
)
def test_without_compression_it_is_gradient_descent(mechanism, first):
    estimates, _ = rounds_of(mechanism, gradients(), first=first)
    np.testing.assert_allclose(estimates, gradients().mean(axis=1), atol=1e-13)


@pytest.mark.parametrize(
    "mechanism",
    [
        marina(rand_k(2), probability=0.3),
        pp_marina(rand_k(2), probability=0.3, count=2),
        dasha(rand_k(2)),
    ],
)
def test_it_starts_at_the_first_gradients(mechanism):
    estimates, states = rounds_of(mechanism, gradients())
    np.testing.assert_allclose(estimates[0], gradients()[0].mean(axis=0), atol=1e-14)
    worker = states.worker.local if mechanism is dasha(rand_k(2)) else states.worker
    np.testing.assert_array_equal(worker, gradients())


def test_marina_with_perm_k_is_gradient_descent_where_workers_agree():
    alike = jnp.repeat(gradients()[:, :1], N, axis=1)
    mechanism = marina(perm_k(N), probability=0.2)
    estimates, states = rounds_of(mechanism, alike)
    np.testing.assert_allclose(estimates, alike[:, 0], atol=1e-13)
    # 8 entries for 6 workers: 2 numbers each, or all 8.
    assert set(np.asarray(states.info.bits.wire)) == {N * 2 * 64.0, N * 8 * 64.0}
    apart, _ = rounds_of(mechanism, gradients())
    assert not np.allclose(apart, gradients().mean(axis=1))


def test_marina_of_all_workers_is_marina():
    found, states = rounds_of(
        pp_marina(rand_k(2), probability=0.3, count=N), gradients()
    )
    expected, all_states = rounds_of(marina(rand_k(2), probability=0.3), gradients())
    np.testing.assert_allclose(found, expected, atol=1e-13)
    np.testing.assert_array_equal(states.info.bits, all_states.info.bits)


def test_the_estimate_of_dasha_is_the_mean_of_its_workers():
    estimates, states = rounds_of(dasha(rand_k(2)), gradients())
    each = states.worker.estimate
    np.testing.assert_allclose(estimates, each.mean(axis=1), rtol=0, atol=1e-13)


def test_dasha_takes_its_step_from_omega():
    """Rand-2 of 8: ω = 3, a = 1/7."""
    found, _ = rounds_of(dasha(rand_k(2)), gradients())
    expected, _ = rounds_of(dasha(rand_k(2), tracking_step=1 / 7), gradients())
    np.testing.assert_allclose(found, expected, atol=1e-13)


def test_a_compressed_round_of_marina_is_unbiased_around_the_last_estimate():
    """E g⁺ = g + (1/n) Σᵢ (∇fᵢ(x) − ∇fᵢ(x⁻)), with all workers or few."""
    old, new = np.asarray(gradients()[:2])
    change = (new - old).mean(axis=0)
    for mechanism in (
        marina(rand_k(2), probability=1e-9),
        pp_marina(rand_k(2), probability=1e-9, count=2),
    ):

        def estimate(key, mechanism=mechanism):
            adapter = distribute(mechanism, N, key=key, first_grads=old)
            return adapter.update(new, adapter.init(jnp.zeros(SIZE)))[0]

        sample = jax.jit(jax.vmap(estimate))(jax.random.split(KEY, 20_000))
        found = np.asarray(sample) - old.mean(axis=0)
        error = np.abs(found.mean(axis=0) - change)
        assert np.all(error < 6 * found.std(axis=0) / math.sqrt(len(sample)))


def test_the_subset_has_its_size_and_every_worker_is_as_likely():
    rounds = jax.random.split(jax.random.key(0), 1000)
    drawn = of_all(lambda k: uniform_subset(k, 2), rounds)
    assert (drawn.sum(axis=1) == 2).all()
    assert np.all(np.abs(drawn.mean(axis=0) - 1 / 3) < 6 * math.sqrt(2 / 9 / 1000))


@pytest.mark.parametrize(
    "mechanism",
    [
        three_point(v3_map(lag_map(trigger=1.3), top_k(2))),
        three_point(cbag_map(top_k(2), probability=0.5)),
        marina(perm_k(N), probability=0.3),
        pp_marina(rand_k(2), probability=0.3, count=2),
        dasha(rand_k(2)),
    ],
)
def test_stacked_is_sharded(mechanism):
    grads, results = gradients(), []
    for mesh in (None, jax.make_mesh((2,), ("workers",))):
        adapter = distribute(mechanism, N, key=KEY, mesh=mesh, first_grads=grads[0])

        @jax.jit
        def all_rounds(grads, adapter=adapter):
            step = lambda state, grad: adapter.update(grad, state)[::-1]
            state, estimates = jax.lax.scan(step, adapter.init(jnp.zeros(SIZE)), grads)
            return estimates, state.worker, state.server, state.info

        results.append(jax.tree.map(np.asarray, all_rounds(grads)))
    stacked, sharded = map(jax.tree.leaves, results)
    for one, other in zip(stacked, sharded, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


# ---------------------------------------------------------------- arguments


def test_what_is_refused():
    for make in (
        lambda c: marina(c, probability=0.5),
        lambda c: pp_marina(c, probability=0.5, count=1),
        dasha,
    ):
        with pytest.raises(ValueError, match="needs an unbiased compressor"):
            make(top_k(2))
    for p in (0.0, 1.5):
        with pytest.raises(ValueError, match="probability"):
            marina(rand_k(2), probability=p)
    with pytest.raises(ValueError, match="pp_marina needs count"):
        pp_marina(rand_k(2), probability=0.5, count=0)
    with pytest.raises(ValueError, match="make count at most 6"):
        rounds_of(pp_marina(rand_k(2), probability=0.5, count=7), gradients())
    with pytest.raises(ValueError, match="tracking_step"):
        dasha(rand_k(2), tracking_step=-0.1)


def test_numbers_may_be_traced():
    @jax.jit
    @jax.vmap
    def last(p):
        grads = gradients()
        mechanism = pp_marina(rand_k(2), probability=p, count=3)
        adapter = distribute(mechanism, N, key=KEY, first_grads=grads[0])
        step = lambda state, grad: adapter.update(grad, state)[::-1]
        return jax.lax.scan(step, adapter.init(jnp.zeros(SIZE)), grads)[1][-1]

    found = last(jnp.array([1e-9, 1.0]))
    np.testing.assert_allclose(found[1], gradients()[-1].mean(axis=0), atol=1e-13)
    assert not np.allclose(found[0], found[1])


# ---------------------------------------------------------------- bits


def test_bits_by_hand():
    """12 numbers in float32 take 384 bits, Rand-2 64 and two indices of a byte."""
    own = keys.in_round(jax.random.key(0), 0, 1)
    grad = jnp.ones(12, jnp.float32)

    def bits_of(mechanism, start):
        message, _ = mechanism.worker(own, grad, start)
        return tuple(mechanism.bits(keys.public(own), message, grad))

    full, short = (384, 384, 384), (64, 80, 71)
    assert bits_of(marina(rand_k(2), probability=1.0), grad) == full
    assert bits_of(marina(rand_k(2), probability=1e-9), grad) == short
    assert bits_of(dasha(rand_k(2)), dasha(rand_k(2)).init(grad).worker) == short


@pytest.mark.parametrize("count", [2, N])
def test_bits_of_the_rounds_follow_the_coin(count):
    """Full rounds are those whose estimate is the exact mean."""
    mechanism = pp_marina(rand_k(2), probability=0.4, count=count)
    estimates, states = rounds_of(mechanism, gradients())
    exact = np.all(np.isclose(estimates, gradients().mean(axis=1)), axis=1)[1:]
    assert 0 < exact.sum() < ROUNDS - 1
    expected = np.where(exact, N * SIZE * 64, count * 2 * (64 + 8))
    np.testing.assert_array_equal(states.info.bits.wire[1:], expected)


@pytest.mark.parametrize(
    "mechanism",
    [
        marina(rand_k(2), probability=0.5),
        pp_marina(rand_k(2), probability=0.5, count=1),
        dasha(rand_k(2)),
    ],
)
def test_states_keep_their_dtypes_and_zero_stays_zero(mechanism):
    params = {"a": jnp.zeros(8, "float32"), "b": jnp.zeros((4, 2), "bfloat16")}
    adapter = distribute(mechanism, 2, key=jax.random.key(0))
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


def follows(method, expected, key=KEY):
    iterates, trace = measured(method, key)
    np.testing.assert_allclose(iterates, expected, rtol=1e-10, atol=1e-13)
    return trace


def random_choices(probability):
    """The rounds' keys, Rand-2 of every round, and the common coin."""
    rounds = round_keys(KEY)
    coins = of_all(lambda k: common_coin(k, probability), rounds)
    assert 0 < coins[:, 0].sum() < UPDATES
    return rounds, rand_k_draws(2, rounds, SHAPE), lambda round_: coins[round_, 0]


def test_marina_gd_trajectory():
    _, compress, coin = random_choices(0.4)
    follows(
        marina_gd(step_size=0.05, compressor=rand_k(2), probability=0.4),
        compressed.marina(full_gradient, compress, N, X0, UPDATES, 0.05, coin=coin),
    )


def test_pp_marina_trajectory():
    rounds, compress, coin = random_choices(0.4)
    drawn = of_all(lambda k: uniform_subset(k, 2), rounds)
    follows(
        pp_marina_gd(step_size=0.02, compressor=rand_k(2), probability=0.4, count=2),
        compressed.pp_marina(
            full_gradient,
            lambda worker, round_, vector, repeat: compress(worker, round_, vector),
            N,
            X0,
            UPDATES,
            0.02,
            coin=coin,
            clients=lambda round_: np.flatnonzero(drawn[round_]),
        ),
    )


def test_dasha_gd_trajectory():
    compress = rand_k_draws(2, round_keys(KEY), SHAPE)
    expected = functools.partial(
        compressed.dasha, full_gradient, compress, N, X0, UPDATES, 0.05
    )
    # ω = 6/2 − 1 = 2, a = 1/5.
    follows(
        dasha_gd(step_size=0.05, compressor=rand_k(2)),
        expected(momentum=1 / 5, start="gradients"),
    )
    follows(
        dasha_gd(step_size=0.05, compressor=rand_k(2), tracking_step=0.3),
        expected(momentum=0.3, start="gradients"),
    )


def test_dasha_mvr_trajectory():
    compress = rand_k_draws(2, round_keys(KEY), SHAPE)
    sample_key, _ = jax.random.split(jax.random.split(KEY)[1])
    follows(
        dasha_mvr(step_size=0.05, compressor=rand_k(2), momentum=0.7),
        compressed.dasha_mvr(
            noisy_gradient(sample_key),
            compress,
            N,
            X0,
            UPDATES,
            0.05,
            momentum=1 / 5,
            estimator_momentum=0.7,
            start="gradients",
        ),
    )


def test_dasha_mvr_without_momentum_and_compression_is_minibatch_sgd():
    sample_key, _ = jax.random.split(jax.random.split(KEY)[1])
    gradient, x, expected = noisy_gradient(sample_key), X0, [X0]
    for t in range(UPDATES):
        x = x - 0.05 * sum(gradient(i, x, t) for i in range(N)) / N
        expected.append(x)
    follows(dasha_mvr(step_size=0.05, compressor=identity(), momentum=0.0), expected)


def test_dasha_mvr_without_compression_is_mvr_at_each_worker():
    """vᵢ ← ∇fᵢ(x; ξ) + β (vᵢ − ∇fᵢ(x⁻; ξ)), and steps along their mean."""
    sample_key, _ = jax.random.split(jax.random.split(KEY)[1])
    gradient, x, v = noisy_gradient(sample_key), [X0], np.zeros((N, *SHAPE))
    for t in range(UPDATES):
        for i in range(N):
            back = v[i] - gradient(i, x[t - 1], t) if t else 0
            v[i] = gradient(i, x[t], t) + 0.6 * back
        x.append(x[t] - 0.05 * v.mean(axis=0))
    method = dasha_mvr(step_size=0.05, compressor=identity(), momentum=0.6)
    follows(method, np.stack(x))


# ---------------------------------------------------------------- theory


def test_step_sizes_of_marina_by_hand():
    """L = 1, L̂ = 2, p = 1/4."""
    marina_ = functools.partial(theory.marina_step_size, 1.0, probability=1 / 4)
    # D² = (3/4)·3·4 = 9, √(9·4) = 6
    found = marina_(2.0, joint=Joint(3.0, 0.0))
    np.testing.assert_allclose(found, 1 / 7)
    # D² = (3/4)(2·4 + 1·1) = 27/4
    found = marina_(2.0, joint=Joint(3.0, 1.0), hessian_variance=1.0)
    np.testing.assert_allclose(found, 1 / (1 + math.sqrt(27)))
    # Perm-K: L_± alone, D² = (3/4)·12
    found = marina_(9.0, joint=Joint(1.0, 1.0), hessian_variance=math.sqrt(12))
    np.testing.assert_allclose(found, 1 / 7)
    np.testing.assert_allclose(
        marina_(2.0, joint=Joint(3.0, 1.0)), marina_(2.0, joint=Joint(3.0, 0.0))
    )
    # Identical workers and Perm-K: gradient descent.
    found = marina_(2.0, joint=Joint(1.0, 1.0), hessian_variance=0.0)
    np.testing.assert_allclose(found, 1.0)
    for mu, expected in ((0.1, 1 / (1 + 6 * math.sqrt(2))), (5.0, 1 / 40)):
        found = marina_(2.0, joint=Joint(3.0, 0.0), strong_convexity=mu)
        np.testing.assert_allclose(found, expected)
    # D²/p = (3/3)(1·4 + 2·4/2) = 8
    found = theory.vr_marina_step_size(
        1.0, 2.0, 2.0, omega=1.0, num_workers=3, batch_size=2, probability=1 / 4
    )
    np.testing.assert_allclose(found, 1 / (1 + math.sqrt(8)))
    # D²/p = 3·3·4/4 = 9
    found = theory.pp_marina_step_size(1.0, 2.0, omega=2.0, count=4, probability=1 / 4)
    np.testing.assert_allclose(found, 1 / 4)
    lyapunov = functools.partial(theory.marina_lyapunov, 0.5, probability=1 / 4)
    np.testing.assert_allclose(lyapunov(), (1, 1))
    np.testing.assert_allclose(lyapunov(strong_convexity=0.2), (2, 0.9))


def test_step_sizes_of_dasha_by_hand():
    """L = 1, L̂ = 2, ω = 1, n = 3: ω(2ω+1)/n = 1, a = 1/3."""
    found = theory.dasha(1.0, 2.0, 1.0, num_workers=3)
    np.testing.assert_allclose(found, (1 / 9, 1 / 3))
    # 48 (1 + 4) + 2·1/(3/2)
    found = theory.dasha_page(
        1.0, 2.0, 2.0, 1.0, num_workers=3, batch_size=2, probability=1 / 2
    )
    np.testing.assert_allclose(found, (1 / (1 + math.sqrt(240 + 4 / 3)), 1 / 3))
    # 96 (1 + 4) + 4·1/(3/2)
    found = theory.dasha_mvr(1.0, 2.0, 2.0, 1.0, num_workers=3, momentum=1 / 2)
    np.testing.assert_allclose(found, (1 / (1 + math.sqrt(480 + 8 / 3)), 1 / 3))
    # With full gradients both variances are 0.
    found = theory.dasha_page(
        1.0, 2.0, 2.0, 1.0, num_workers=3, batch_size=2, probability=1.0
    )
    np.testing.assert_allclose(found.step_size, 1 / (1 + math.sqrt(192)))
    np.testing.assert_allclose(
        theory.dasha_lyapunov(0.5, 1.0, num_workers=2), (3 / 4, 1 / 4)
    )


class Quadratics:
    """fᵢ(x) = xᵀAᵢx/2 − bᵢᵀx of n workers on d entries, with exact constants."""

    def __init__(self, seed, n, d, lowest):
        random = np.random.default_rng(seed)
        eigenvalues = random.uniform(lowest, 10, (n, d))
        bases = np.linalg.qr(random.normal(size=(n, d, d)))[0]
        self.hessians = np.einsum("nij,nj,nkj->nik", bases, eigenvalues, bases)
        self.linear = random.normal(size=(n, d))
        self.mean = self.hessians.mean(axis=0)
        self.smoothness = np.linalg.norm(self.mean, 2)
        each = np.linalg.norm(self.hessians, 2, axis=(1, 2))
        self.mean_square = math.sqrt(np.mean(each**2))
        variance = np.mean(self.hessians @ self.hessians, axis=0)
        self.hessian_variance = math.sqrt(
            np.linalg.eigvalsh(variance - self.mean @ self.mean)[-1]
        )
        self.strong_convexity = np.linalg.eigvalsh(self.mean)[0]
        self.minimum = np.linalg.solve(self.mean, self.linear.mean(axis=0))

    def grads(self, x):
        return self.hessians @ x - self.linear

    def value(self, x):
        return x @ self.mean @ x / 2 - self.linear.mean(axis=0) @ x


def rand_1_outcomes(rows):
    """All equally likely outcomes of independent Rand-1 on each row, [dⁿ, n, d]."""
    n, d = rows.shape
    kept = np.array(list(itertools.product(range(d), repeat=n)))
    return d * rows * (kept[:, :, None] == np.arange(d))


def subset_outcomes(rows, count):
    """The mean of Rand-1 over all subsets of `count` rows, [outcomes, d]."""
    subsets = itertools.combinations(range(len(rows)), count)
    return np.concatenate(
        [rand_1_outcomes(rows[list(s)]).mean(axis=1) for s in subsets]
    )


@pytest.mark.parametrize("lowest", [0.1, -6.0])
@pytest.mark.parametrize("count", [None, 1, 2])
def test_marina_decreases_its_lyapunov_function_in_exact_expectation(count, lowest):
    n, d, p = 3, 3, 0.3
    for seed in range(10):
        problem = Quadratics(seed, n, d, lowest)
        convex = {} if lowest < 0 else {"strong_convexity": problem.strong_convexity}
        known = (problem.smoothness, problem.mean_square)
        if count is None:
            joint = Joint((d - 1) / n, 0.0)
            gamma = theory.marina_step_size(
                *known, joint=joint, probability=p, **convex
            )
        else:
            gamma = theory.pp_marina_step_size(
                *known, omega=d - 1, count=count, probability=p, **convex
            )
        weight, contraction = theory.marina_lyapunov(gamma, probability=p, **convex)
        random = np.random.default_rng(seed)
        for spread in (0.0, 0.1, 1.0, 10.0):
            x = problem.minimum + random.normal(size=d)
            grad = problem.grads(x).mean(axis=0)
            g = grad + spread * random.normal(size=d)
            new = x - gamma * g
            change = problem.grads(new) - problem.grads(x)
            if count is None:
                moves = rand_1_outcomes(change).mean(axis=1)
            else:
                moves = subset_outcomes(change, count)
            error = np.sum((g + moves - problem.grads(new).mean(axis=0)) ** 2, axis=1)
            after = problem.value(new) + weight * (1 - p) * error.mean()
            before = problem.value(x) + weight * np.sum((g - grad) ** 2)
            lowest_value = problem.value(problem.minimum)
            if lowest < 0:
                assert after <= before - gamma / 2 * np.sum(grad**2) + 1e-10
            else:
                assert after - lowest_value <= contraction * (before - lowest_value)


@pytest.mark.parametrize("lowest", [0.1, -6.0])
def test_marina_with_perm_k_decreases_its_lyapunov_function(lowest):
    """A = B = 1, in exact expectation: |mean error|² is the spread of the changes."""
    n, d, p = 4, 4, 0.3
    for seed in range(10):
        problem = Quadratics(seed, n, d, lowest)
        gamma = theory.marina_step_size(
            problem.smoothness,
            problem.mean_square,
            joint=perm_k(n).joint(d, n),
            probability=p,
            hessian_variance=problem.hessian_variance,
        )
        weight, _ = theory.marina_lyapunov(gamma, probability=p)
        random = np.random.default_rng(seed)
        for spread in (0.0, 0.1, 1.0, 10.0):
            x = problem.minimum + random.normal(size=d)
            grad = problem.grads(x).mean(axis=0)
            g = grad + spread * random.normal(size=d)
            new = x - gamma * g
            change = problem.grads(new) - problem.grads(x)
            owners = itertools.permutations(range(n))  # of the d = n entries
            moves = np.array([change[list(o), np.arange(d)] for o in owners])
            error = np.sum((g + moves - problem.grads(new).mean(axis=0)) ** 2, axis=1)
            after = problem.value(new) + weight * (1 - p) * error.mean()
            before = problem.value(x) + weight * np.sum((g - grad) ** 2)
            assert after <= before - gamma / 2 * np.sum(grad**2) + 1e-10


@pytest.mark.parametrize("lowest", [0.1, -6.0])
def test_dasha_decreases_its_lyapunov_function_in_exact_expectation(lowest):
    n, d = 3, 3
    for seed in range(10):
        problem = Quadratics(seed, n, d, lowest)
        gamma, a = theory.dasha(
            problem.smoothness, problem.mean_square, d - 1, num_workers=n
        )
        weights = theory.dasha_lyapunov(gamma, d - 1, num_workers=n)

        def error(estimates, grads, weights=weights):
            behind = estimates - grads
            of_mean = np.sum(behind.mean(axis=-2) ** 2, axis=-1)
            of_each = np.sum(behind**2, axis=-1).mean(axis=-1)
            return np.mean(weights.mean * of_mean + weights.each * of_each)

        random = np.random.default_rng(seed)
        for spread in (0.0, 0.1, 1.0, 10.0):
            x = random.normal(size=d)
            h = problem.grads(x)
            g = h + spread * random.normal(size=(n, d))
            new = x - gamma * g.mean(axis=0)
            h_new = problem.grads(new)
            estimates = g + rand_1_outcomes(h_new - h - a * (g - h))
            after = problem.value(new) + error(estimates, h_new)
            before = problem.value(x) + error(g, h)
            gain = gamma / 2 * np.sum(h.mean(axis=0) ** 2)
            assert after <= before - gain + 1e-10


@pytest.mark.parametrize("name", ["marina", "perm_k", "pp_marina", "dasha"])
def test_recipes_converge_with_the_prescribed_step_size(name):
    """Rand-2 of 4: ω = 1."""
    quadratics = Quadratics(0, N, 4, 0.5)
    known = (quadratics.smoothness, quadratics.mean_square)
    if name == "dasha":
        gamma, a = theory.dasha(*known, 1.0, num_workers=N)
        method = dasha_gd(step_size=gamma, compressor=rand_k(2), tracking_step=a)
    elif name == "perm_k":
        compressor = perm_k(N)
        gamma = theory.marina_step_size(
            *known,
            joint=compressor.joint(4, N),
            probability=1 / 2,
            hessian_variance=quadratics.hessian_variance,
            strong_convexity=quadratics.strong_convexity,
        )
        method = marina_gd(step_size=gamma, compressor=compressor, probability=1 / 2)
    elif name == "marina":
        gamma = theory.marina_step_size(
            *known,
            joint=Joint(1 / N, 0.0),
            probability=1 / 2,
            strong_convexity=quadratics.strong_convexity,
        )
        method = marina_gd(step_size=gamma, compressor=rand_k(2), probability=1 / 2)
    else:
        gamma = theory.pp_marina_step_size(
            *known,
            omega=1.0,
            count=2,
            probability=1 / 6,
            strong_convexity=quadratics.strong_convexity,
        )
        method = pp_marina_gd(
            step_size=gamma, compressor=rand_k(2), probability=1 / 6, count=2
        )
    symmetric = (quadratics.hessians + quadratics.hessians.transpose(0, 2, 1)) / 2
    problem = problems.quadratics(symmetric, quadratics.linear)
    trace = run(
        method,
        problem,
        num_workers=N,
        compute_time=timing.fixed(np.ones(N)),
        key=jax.random.key(0),
        num_updates=1500,
    )
    gaps = np.asarray(trace.loss) - problem.constants["f_star"]
    assert gaps[-1] <= 1e-9 * gaps[0]
