"""DASHA-PP, DASHA-SYNC-MVR, COFIG, FRECON: reductions, bits, trajectories, theory."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from mechanism_draws import of_all, rand_k_draws, round_keys
from reference import compressed, variance_reduced
from trajectory import (
    SHAPE,
    UPDATES,
    X0,
    N,
    full_gradient,
    measured,
    noisy_gradient,
)

from fedjax_opt import estimators, keys, theory
from fedjax_opt.compressors import identity, rand_k, top_k
from fedjax_opt.mechanisms import cofig, dasha_sync, diana, frecon
from fedjax_opt.mechanisms.coins import common_coin, uniform_subset
from fedjax_opt.methods.cofig_gd import cofig_gd
from fedjax_opt.methods.dasha_page import dasha_page
from fedjax_opt.methods.dasha_pp import dasha_pp
from fedjax_opt.methods.dasha_pp_mvr import dasha_pp_mvr
from fedjax_opt.methods.dasha_pp_page import dasha_pp_page
from fedjax_opt.methods.dasha_sync_mvr import dasha_sync_mvr
from fedjax_opt.methods.frecon_gd import frecon_gd
from fedjax_opt.simulate import (
    after_first_round,
    distribute,
    independent_participation,
    uniform_participation,
)
from fedjax_opt.static import constant

ROUNDS, SIZE = 12, 8
KEY, STEP, P, COIN = jax.random.key(31), 0.05, 0.5, 0.3
TAKEN = 1 / 5  # Rand-2 of 6: ω = 2, a = 1/(2ω + 1)
RULE = (N, X0, UPDATES, STEP)


def gradients(seed=0):
    random = np.random.default_rng(seed)
    return jnp.asarray(random.standard_normal((ROUNDS, N, SIZE)))


@functools.partial(jax.jit, static_argnames=("mechanism", "first", "mesh"))
def rounds_of(mechanism, grads, *, first=True, mesh=None):
    """Estimates [T, d] and states [T, ...], one round per row of grads [T, n, d]."""
    adapter = distribute(
        mechanism,
        N,
        key=jax.random.key(5),
        mesh=mesh,
        first_grads=grads[0] if first else None,
    )

    def one_round(state, grad):
        estimate, state = adapter.update(grad, state)
        return state, (estimate, state)

    return jax.lax.scan(one_round, adapter.init(jnp.zeros(SIZE)), grads)[1]


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)


@functools.cache
def came_keys():
    """The key of each round's participation in `run(..., key=KEY)`."""
    following, found = jax.random.split(jax.random.split(KEY)[1])[1], []
    for _ in range(UPDATES):
        following, _, _, came = jax.random.split(following, 4)
        found.append(came)
    return found


def who_comes(rule):
    masks = np.array([rule(key, N, t) for t, key in enumerate(came_keys())])
    assert 0 < masks[1:].sum() < masks[1:].size
    return lambda worker, round_: masks[round_, worker]


@functools.cache
def common_flips():
    flips = of_all(lambda k: common_coin(k, COIN), round_keys(KEY))[:, 0]
    assert 5 < flips.sum() < 45
    return flips


@functools.cache
def sampled():
    return noisy_gradient(jax.random.split(jax.random.split(KEY)[1])[0])


@functools.cache
def compress():
    return rand_k_draws(2, round_keys(KEY), SHAPE)


# ---------------------------------------------------------------- reductions


@pytest.mark.parametrize(
    "mechanism",
    [
        dasha_sync(rand_k(2), probability=1.0),
        dasha_sync(identity(), probability=0.3),
        cofig(identity(), count=N),
        cofig(identity(), count=N, shift_step=0.3),
        frecon(identity(), count=N),
        frecon(identity(), count=N, momentum=0.9, shift_step=0.3),
        frecon(identity(), count=N, momentum=0.0, shift_step=0.0),
    ],
)
def test_without_compression_it_is_gradient_descent(mechanism):
    estimates, _ = rounds_of(mechanism, gradients())
    np.testing.assert_allclose(estimates, gradients().mean(axis=1), atol=1e-13)


@pytest.mark.parametrize(
    "mechanism",
    [
        dasha_sync(rand_k(2), probability=0.3),
        cofig(rand_k(2), count=2),
        frecon(rand_k(2), count=2),
    ],
)
def test_it_starts_at_the_first_gradients(mechanism):
    estimates, _ = rounds_of(mechanism, gradients())
    np.testing.assert_allclose(estimates[0], gradients()[0].mean(axis=0), atol=1e-14)


@pytest.mark.parametrize("shift_step", [None, 0.2])
def test_cofig_of_all_workers_is_diana(shift_step):
    found, states = rounds_of(
        cofig(rand_k(2), count=N, shift_step=shift_step), gradients(), first=False
    )
    expected, of_diana = rounds_of(
        diana(rand_k(2), shift_step=shift_step), gradients(), first=False
    )
    np.testing.assert_allclose(found, expected, atol=1e-13)
    np.testing.assert_allclose(states.worker, of_diana.worker, atol=1e-13)
    np.testing.assert_array_equal(states.info.bits, of_diana.info.bits)


def test_the_server_knows_the_means_of_the_workers():
    _, states = rounds_of(cofig(rand_k(2), count=2), gradients())
    np.testing.assert_allclose(states.server, states.worker.mean(axis=1), atol=1e-13)
    _, states = rounds_of(frecon(rand_k(2), count=2), gradients())
    shifts = states.worker.shift.mean(axis=1)
    np.testing.assert_allclose(states.server.shift, shifts, atol=1e-13)
    _, states = rounds_of(dasha_sync(rand_k(2), probability=0.3), gradients())
    each = states.worker.estimate.mean(axis=1)
    np.testing.assert_allclose(states.server, each, atol=1e-13)


@pytest.mark.parametrize("first", [False, True])
def test_only_the_workers_of_the_second_set_move_their_shifts_in_cofig(first):
    _, states = rounds_of(cofig(identity(), count=2), gradients(), first=first)
    before = np.concatenate([gradients()[:1] * first, states.worker[:-1]])
    moved = (states.worker != before).any(axis=-1)
    # At the first gradients nothing is missing in the first round.
    assert (moved[first:].sum(axis=1) == 2).all()


def test_an_estimate_of_cofig_is_unbiased():
    """E g = (1/n) Σᵢ ∇fᵢ(x), whatever the shifts are."""
    shifts, grads = np.asarray(gradients()[:2])

    def estimate(key):
        adapter = distribute(cofig(rand_k(2), count=2), N, key=key, first_grads=shifts)
        return adapter.update(grads, adapter.init(jnp.zeros(SIZE)))[0]

    sample = np.asarray(jax.jit(jax.vmap(estimate))(jax.random.split(KEY, 20_000)))
    error = np.abs(sample.mean(axis=0) - grads.mean(axis=0))
    assert np.all(error < 6 * sample.std(axis=0) / math.sqrt(len(sample)))


def test_the_two_sets_of_cofig_are_independent():
    """P(i in both) = (2/6)², where one set for both would give 2/6."""
    rounds = jax.random.split(jax.random.key(0), 2000)
    sets = [
        of_all(lambda k, part=part: uniform_subset(keys.for_leaf(k, part), 2), rounds)
        for part in (0, 1)
    ]
    assert all((drawn.sum(axis=1) == 2).all() for drawn in sets)
    both = (sets[0] & sets[1]).mean(axis=0)
    assert np.all(np.abs(both - 1 / 9) < 6 * math.sqrt(1 / 9 / 2000))


def test_dasha_page_with_everybody_is_dasha_page():
    shared = {"step_size": STEP, "compressor": rand_k(2)}
    own = dasha_pp_page(**shared, probability=1.0, refresh_probability=COIN)
    parent = dasha_page(**shared, probability=COIN)
    close(measured(own, KEY)[0], measured(parent, KEY)[0])


# ---------------------------------------------------------------- estimators


@pytest.mark.parametrize(
    ("estimator", "parent"),
    [
        (estimators.partial_mvr(1.0, 0.7), estimators.mvr(0.7)),
        # b = 1: the gradient itself, of DASHA.
        (estimators.partial_mvr(1.0), estimators.mvr(0.0)),
        (estimators.partial_page(1.0), estimators.page()),
    ],
)
def test_an_estimate_of_everybody_is_the_parent(estimator, parent):
    state, expected = estimator.init(jnp.zeros(N)), parent.init(jnp.zeros(N))
    for t, (new, old) in enumerate(gradients()[:, :2, :N]):
        pair = {"previous_grads": old, "full": t % 3 == 0}
        found, state = estimator.update(new, state, **pair)
        wanted, expected = parent.update(new, expected, **pair)
        np.testing.assert_allclose(found, wanted, atol=1e-13)


def test_a_partial_estimate_by_hand():
    """p = 1/2, b = 1/3: from h = 3, k = 7 − 5 − (3 − 5)/3 = 8/3 and h⁺ = 3 + 16/3."""
    mvr, page = estimators.partial_mvr(0.5), estimators.partial_page(0.5)
    for estimator in (mvr, page):
        state = estimator.init(jnp.zeros(1))
        pair = {"previous_grads": jnp.array([9.0]), "full": True}
        first, state = estimator.update(jnp.array([3.0]), state, **pair)
        np.testing.assert_allclose(first, [3.0])
        pair = {"previous_grads": jnp.array([5.0]), "full": True}
        second, _ = estimator.update(jnp.array([7.0]), state, **pair)
        np.testing.assert_allclose(second, [25 / 3])
    # A sample counts as it is: 3 + 2 (7 − 5).
    second, _ = page.update(
        jnp.array([7.0]), state, previous_grads=jnp.array([5.0]), full=False
    )
    np.testing.assert_allclose(second, [7.0])


def test_everybody_comes_first():
    rule = after_first_round(uniform_participation(2))
    counts = [int(rule(KEY, N, t).sum()) for t in range(3)]
    assert counts == [N, 2, 2]


# ---------------------------------------------------------------- arguments


def test_what_is_refused():
    for make in (
        lambda c: dasha_sync(c, probability=0.5),
        lambda c: cofig(c, count=1),
        lambda c: frecon(c, count=1),
    ):
        with pytest.raises(ValueError, match="needs an unbiased compressor"):
            make(top_k(2))
    for make in (cofig, frecon):
        with pytest.raises(ValueError, match="needs count to be 1, 2"):
            make(rand_k(2), count=0)
        with pytest.raises(ValueError, match="make count at most 6"):
            rounds_of(make(rand_k(2), count=7), gradients())
        with pytest.raises(ValueError, match="shift_step"):
            make(rand_k(2), count=1, shift_step=2.0)
    with pytest.raises(ValueError, match="momentum"):
        frecon(rand_k(2), count=1, momentum=-0.1)
    with pytest.raises(ValueError, match="probability"):
        dasha_sync(rand_k(2), probability=0.0)
    for make in (estimators.partial_mvr, estimators.partial_page):
        with pytest.raises(ValueError, match="probability"):
            make(0.0)
        with pytest.raises(ValueError, match="momentum"):
            make(0.5, 1.1)
        with pytest.raises(TypeError, match="previous_grads"):
            make(0.5).update(jnp.ones(1), make(0.5).init(jnp.ones(1)))
    page = estimators.partial_page(0.5)
    with pytest.raises(TypeError, match="whether the batch is full"):
        page.update(jnp.ones(1), page.init(jnp.ones(1)), previous_grads=jnp.ones(1))
    with pytest.raises(ValueError, match="count must be at most num_workers = 3"):
        theory.cofig(1.0, 1.0, num_workers=3, count=4)


@pytest.mark.parametrize("make", [cofig, frecon])
def test_numbers_may_be_traced(make):
    @jax.jit
    @jax.vmap
    def last(count, shift_step):
        mechanism = make(rand_k(2), count=count, shift_step=shift_step)
        adapter = distribute(
            mechanism, N, key=jax.random.key(5), first_grads=gradients()[0]
        )
        step = lambda state, grad: adapter.update(grad, state)[::-1]
        start = adapter.init(jnp.zeros(SIZE))
        return jax.lax.scan(step, start, gradients())[1][-1]

    found = last(jnp.array([2, 3]), jnp.array([0.1, 0.3]))
    for row, numbers in enumerate(((2, 0.1), (3, 0.3))):
        mechanism = make(rand_k(2), count=numbers[0], shift_step=numbers[1])
        expected, _ = rounds_of(mechanism, gradients())
        np.testing.assert_allclose(found[row], expected[-1], atol=1e-13)


@pytest.mark.parametrize(
    "mechanism",
    [
        dasha_sync(rand_k(2), probability=0.3),
        cofig(rand_k(2), count=2),
        frecon(rand_k(2), count=2),
    ],
)
def test_stacked_is_sharded(mechanism):
    mesh = jax.make_mesh((2,), ("workers",))
    results = [
        jax.tree.map(np.asarray, (estimates, states.worker, states.server, states.info))
        for estimates, states in (
            rounds_of(mechanism, gradients(), mesh=where) for where in (None, mesh)
        )
    ]
    stacked, sharded = map(jax.tree.leaves, results)
    for one, other in zip(stacked, sharded, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "mechanism",
    [
        dasha_sync(rand_k(2), probability=0.5),
        cofig(rand_k(2), count=1),
        frecon(rand_k(2), count=1),
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


# ---------------------------------------------------------------- bits


def test_bits_of_the_rounds():
    """Rand-2 of 8 float64 numbers: 2 (64 + 8) bits a message."""
    one = 2 * (64 + 8)
    _, states = rounds_of(frecon(rand_k(2), count=2), gradients())
    np.testing.assert_array_equal(states.info.bits.wire, np.full(ROUNDS, 2 * 2 * one))
    _, states = rounds_of(cofig(rand_k(2), count=2), gradients())
    # Two to four workers send, as the two sets overlap.
    assert set(np.asarray(states.info.bits.wire)) == {2 * one, 3 * one, 4 * one}
    estimates, states = rounds_of(dasha_sync(rand_k(2), probability=0.4), gradients())
    exact = np.all(np.isclose(estimates, gradients().mean(axis=1)), axis=1)[1:]
    assert 0 < exact.sum() < ROUNDS - 1
    expected = np.where(exact, N * SIZE * 64, N * one)
    np.testing.assert_array_equal(states.info.bits.wire[1:], expected)


# ---------------------------------------------------------------- trajectories


def partial(reference, *given, rule, **options):
    return reference(
        *given,
        compress(),
        *RULE,
        momentum=P * TAKEN,
        probability=P,
        participates=who_comes(rule),
        start="gradients",
        **options,
    )


INDEPENDENT = after_first_round(independent_participation(P))
LARGEST = 1 - P / (2 - P)  # 1 − b


def test_dasha_pp_trajectory():
    method = dasha_pp(step_size=STEP, compressor=rand_k(2), probability=P, momentum=0.9)
    expected = partial(
        variance_reduced.dasha_pp,
        full_gradient,
        rule=INDEPENDENT,
        estimator_momentum=0.9,
    )
    close(measured(method, KEY)[0], expected)


def test_dasha_pp_trajectory_of_half_of_the_workers():
    rule = after_first_round(uniform_participation(3))
    method = dataclasses.replace(
        dasha_pp(step_size=STEP, compressor=rand_k(2), probability=3 / 6),
        participation=Partial(constant(rule)),
    )
    expected = partial(
        variance_reduced.dasha_pp,
        full_gradient,
        rule=rule,
        estimator_momentum=LARGEST,
    )
    close(measured(method, KEY)[0], expected)


def test_dasha_pp_page_trajectory():
    flips = common_flips()
    method = dasha_pp_page(
        step_size=STEP, compressor=rand_k(2), probability=P, refresh_probability=COIN
    )
    expected = partial(
        variance_reduced.dasha_pp_page,
        sampled(),
        full_gradient,
        rule=INDEPENDENT,
        estimator_momentum=LARGEST,
        coin=lambda worker, t: flips[t],
    )
    close(measured(method, KEY)[0], expected)


def test_dasha_pp_mvr_trajectory():
    method = dasha_pp_mvr(
        step_size=STEP, compressor=rand_k(2), probability=P, momentum=0.8
    )
    expected = partial(
        variance_reduced.dasha_pp_mvr,
        sampled(),
        rule=INDEPENDENT,
        estimator_momentum=0.8,
    )
    close(measured(method, KEY)[0], expected)


def test_dasha_sync_mvr_trajectory():
    flips = common_flips()
    method = dasha_sync_mvr(step_size=STEP, compressor=rand_k(2), probability=COIN)
    expected = variance_reduced.dasha_sync_mvr(
        sampled(),
        full_gradient,
        compress(),
        *RULE,
        momentum=TAKEN,
        coin=lambda t: flips[t],
        start="gradients",
    )
    close(measured(method, KEY)[0], expected)


def subsets(part=None):
    """S of every round; of part `part` of the keys."""

    def drawn(own):
        return uniform_subset(own if part is None else keys.for_leaf(own, part), 2)

    table = of_all(drawn, round_keys(KEY))
    return lambda worker, round_: table[round_, worker]


def test_cofig_trajectory():
    expected = compressed.cofig(
        full_gradient,
        compress(),
        *RULE,
        shift_step=1 / 3,
        participates=subsets(0),
        refreshes=subsets(1),
    )
    method = cofig_gd(step_size=STEP, compressor=rand_k(2), count=2)
    close(measured(method, KEY)[0], expected)


def test_frecon_trajectory():
    """The reference has hᵢ⁰ = 0, the library cᵢ = ∇fᵢ(x⁰); it is given hᵢ − cᵢ."""
    momentum = 2 / (2 * 3 * 6)
    starts = [full_gradient(i, X0) for i in range(N)]
    change, shift = (
        rand_k_draws(2, round_keys(KEY), SHAPE, part=part) for part in (0, 1)
    )
    lost = momentum * sum(starts) / N  # λ (h − (h − c)) in g
    expected = compressed.frecon(
        full_gradient,
        lambda i, t, vector: change(i, t, vector) + lost,
        lambda i, t, vector: shift(i, t, vector - starts[i]),
        *RULE,
        momentum=momentum,
        shift_step=1 / 3,
        participates=subsets(),
        start="gradients",
    )
    method = frecon_gd(step_size=STEP, compressor=rand_k(2), count=2)
    close(measured(method, KEY)[0], expected)


# ---------------------------------------------------------------- theory


def test_step_sizes_by_hand():
    """ω = 3, n = 64, s = 8: n^{2/3} = 16, (1+ω)^{3/2} = 8."""
    found = theory.cofig(2.0, 3.0, num_workers=64, count=8)
    # The three terms, times L: 1/2, 8/(5·4·16) = 1/40, 8/(5·8·8) = 1/40.
    np.testing.assert_allclose(found, (1 / 80, 1 / 4))
    # n = 1, ω = 8: the third term, 1/(5·27), not 1/(5·9³/2).
    found = theory.cofig(1.0, 8.0, num_workers=1, count=1)
    np.testing.assert_allclose(found, (1 / 135, 1 / 9))
    # ω = 0, 1/2 is the least only if 5 n^{2/3}/s < 2, which s <= n excludes for n = 1.
    found = theory.cofig(1.0, 0.0, num_workers=125, count=125)
    np.testing.assert_allclose(found, (1 / 2, 1))
    # √(10·16·10/64) = 5, λ = 8/(2·4·10)
    found = theory.frecon(2.0, 3.0, num_workers=10, count=8)
    np.testing.assert_allclose(found, (1 / 12, 1 / 10, 1 / 4))


def quadratics():
    """Heterogeneous Hessians and linear terms; indefinite fᵢ, strongly convex f."""
    random = np.random.default_rng(0)
    eigenvalues = random.uniform(-1, 4, (N, 4))
    bases = np.linalg.qr(random.normal(size=(N, 4, 4)))[0]
    hessians = np.einsum("nij,nj,nkj->nik", bases, eigenvalues, bases)
    linear = random.normal(size=(N, 4))
    assert np.linalg.eigvalsh(hessians.mean(axis=0))[0] > 0.1
    return hessians, linear, np.abs(eigenvalues).max()


@functools.partial(jax.jit, static_argnames=("mechanism", "updates"))
def descent(mechanism, gamma, key, updates):
    """The points of x ← x − γg on the quadratics from 0, [T + 1, d]."""
    hessians, linear, _ = quadratics()
    start = jnp.zeros(4)
    adapter = distribute(mechanism, N, key=key, first_grads=hessians @ start - linear)

    def step(carry, _):
        x, state = carry
        estimate, state = adapter.update(hessians @ x - linear, state)
        return (x - gamma * estimate, state), x

    return jax.lax.scan(step, (start, adapter.init(start)), None, updates)[1]


@pytest.mark.parametrize("name", ["cofig", "frecon"])
def test_it_converges_with_the_prescribed_step_size(name):
    """Rand-2 of 4: ω = 1. The mean of |∇f|² over 64 runs keeps the bound of COFIG."""
    hessians, linear, largest = quadratics()
    known = {"num_workers": N, "count": 2}
    if name == "cofig":
        gamma, a = theory.cofig(largest, 1.0, **known)
        mechanism = cofig(rand_k(2), count=2, shift_step=a)
    else:
        gamma, weight, a = theory.frecon(largest, 1.0, **known)
        mechanism = frecon(rand_k(2), count=2, momentum=weight, shift_step=a)
    of_all_keys = jax.vmap(lambda key: descent(mechanism, gamma, key, 3000))
    points = np.asarray(of_all_keys(jax.random.split(KEY, 64)))
    mean = hessians.mean(axis=0)
    grads = points @ mean - linear.mean(axis=0)
    squares = np.sum(grads**2, axis=-1).mean(axis=0)
    assert squares[-1] < 1e-9 * squares[0]
    if name == "cofig":
        gap = grads[0, 0] @ np.linalg.solve(mean, grads[0, 0]) / 2
        for updates in (30, 300, 3000):
            assert squares[:updates].mean() <= 2 * gap / (gamma * updates)
