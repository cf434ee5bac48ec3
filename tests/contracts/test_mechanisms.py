"""Every mechanism keeps the contract: alone, permuted, absent, and on a mesh."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts.cases_mechanisms import CASES, History, mean
from jax.sharding import AxisType

from fedjax_opt import mechanisms
from fedjax_opt.compressors import identity, rand_k, top_k, wrap
from fedjax_opt.mechanisms import dcgd, diana, ef14, ef21
from fedjax_opt.simulate.distribute import distribute
from fedjax_opt.types import Bits, Certificate, Compressor

N, ROUNDS = 8, 5
SHAPES = {"bias": (5,), "weight": (3, 2)}
PARAMS = {name: jnp.zeros(shape) for name, shape in SHAPES.items()}
KEY = jax.random.key(7)
EVEN = np.arange(N) % 2 == 0


def gradients(n=N):
    """[T, n, ...], different for every worker and round."""
    rng = np.random.default_rng(0)
    return {
        name: jnp.asarray(rng.standard_normal((ROUNDS, n, *shape)))
        for name, shape in SHAPES.items()
    }


def even_workers(key, num_workers, round):
    return jnp.arange(num_workers) % 2 == 0


@functools.partial(jax.jit, static_argnames=("mechanism", "participation", "mesh"))
def trajectory(mechanism, grads, *, first_grads=None, participation=None, mesh=None):
    """Estimates [T, ...] and states [T, ...] of one round per row of grads."""
    adapter = distribute(
        mechanism,
        len(grads["bias"][0]),
        key=KEY,
        participation=participation,
        mesh=mesh,
        first_grads=first_grads,
    )

    def one_round(state, grad):
        estimate, state = adapter.update(grad, state)
        return state, (estimate, state)

    return jax.lax.scan(one_round, adapter.init(PARAMS), grads)[1]


# Those that the table has no room for: two compressors, thresholds, coins, weights,
# subsets of their own, everybody in every round.
OTHERS = {
    "ec_diana": mechanisms.ec_diana(top_k(2), identity()),
    "ef21_bc": mechanisms.ef21_bc(top_k(2), top_k(1)),
    "power_sgd": mechanisms.power_sgd(1),
    "masha": mechanisms.masha(
        ef14(top_k(2)), ef14(top_k(2)), step_size=0.1, momentum=0.5
    ),
    "marina": mechanisms.marina(identity(), probability=0.4),
    "pp_marina": mechanisms.pp_marina(identity(), probability=0.4, count=N),
    "dasha_sync": mechanisms.dasha_sync(identity(), probability=0.4),
    "cofig": mechanisms.cofig(identity(), count=N),
    "frecon": mechanisms.frecon(identity(), count=N),
    "clip21": mechanisms.clip21(1.0),
    "clipped_shift": mechanisms.clipped_shift(1.0, shift_step=0.5),
    "norm_ec": mechanisms.norm_ec(1.0, estimate_step=0.5),
    "lag": mechanisms.three_point(mechanisms.lag_map(trigger=0.4)),
    "clag": mechanisms.three_point(mechanisms.clag_map(top_k(2), trigger=0.4)),
    "3PCv1": mechanisms.three_point(mechanisms.v1_map(top_k(2))),
    "3PCv2": mechanisms.three_point(mechanisms.v2_map(identity(), top_k(2))),
    "3PCv3": mechanisms.three_point(
        mechanisms.v3_map(mechanisms.v1_map(top_k(2)), top_k(1))
    ),
    "3PCv5": mechanisms.three_point(mechanisms.v5_map(top_k(2), probability=0.4)),
    "cbag": mechanisms.three_point(mechanisms.cbag_map(top_k(2), probability=0.4)),
    "ef21_weighted": mechanisms.ef21_weighted(top_k(2), tuple(range(1, N + 1))),
    "fixed_shift": mechanisms.fixed_shift(
        identity(), shifts=jax.tree.map(lambda x: x[0], gradients())
    ),
}
BY_INDEX = ("cbag", "ef21_weighted")  # the coin, or the weight, of a worker


def close(a, b, tolerance=1e-14):
    chex.assert_trees_all_close(a, b, rtol=0, atol=tolerance)


def round_of(x, t):
    """Round t of leaves [T, ...]."""
    return jax.tree.map(lambda leaf: leaf[t], x)


def rows(x, which):
    """Some of the workers of leaves [T, n, ...]."""
    return jax.tree.map(lambda leaf: leaf[:, which], x)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, dtype) for name in CASES for dtype in ("float64", "float32", "bfloat16")]
    + [(name, "bfloat16") for name in OTHERS],
)
def test_state_is_stable_under_scan_and_traced_once(name, dtype):
    mechanism = OTHERS.get(name) or CASES[name].make(CASES[name].random)
    adapter = distribute(mechanism, N, key=KEY)
    params, grads = (
        jax.tree.map(lambda x: x.astype(dtype), x) for x in (PARAMS, gradients())
    )
    traces = []

    @jax.jit
    def update(grads, state):
        traces.append(None)
        return adapter.update(grads, state, params)

    def run(grads):
        def one_round(state, grad):  # scan refuses a state of another type
            estimate, state = update(grad, state)
            return state, estimate

        return jax.lax.scan(one_round, adapter.init(params), grads)[1]

    estimates = jax.eval_shape(run, grads)
    expected = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((ROUNDS, *x.shape), x.dtype), params
    )
    assert estimates == expected
    state = jax.eval_shape(adapter.init, params)
    for _ in range(2):
        _, state = jax.eval_shape(update, round_of(grads, 0), state)
    assert len(traces) == 1


@pytest.mark.parametrize("name", CASES)
def test_identity_compressor_is_the_plain_mean(name):
    grads = gradients()
    estimates, _ = trajectory(CASES[name].make(identity()), grads)
    close(estimates, mean(grads))


@pytest.mark.parametrize("name", CASES)
def test_workers_with_the_same_data_are_one_worker(name):
    mechanism = CASES[name].make(CASES[name].deterministic)
    alone = gradients(n=1)
    together = jax.tree.map(lambda x: jnp.repeat(x, N, axis=1), alone)
    estimates, _ = trajectory(mechanism, together)
    expected, _ = trajectory(mechanism, alone)
    close(estimates, expected)


@pytest.mark.parametrize("name", CASES)
def test_permuting_workers_permutes_their_state_only(name):
    mechanism = CASES[name].make(CASES[name].deterministic)
    order = np.array([3, 1, 7, 0, 2, 6, 5, 4])
    estimates, states = trajectory(mechanism, rows(gradients(), order))
    expected, ordered = trajectory(mechanism, gradients())
    close((estimates, states.server), (expected, ordered.server))
    close(states.worker, rows(ordered.worker, order))


@pytest.mark.parametrize("participation", [None, even_workers])
@pytest.mark.parametrize("name", CASES)
def test_invariant_holds_in_every_round(name, participation):
    grads = gradients()
    mechanism = CASES[name].make(CASES[name].random)
    estimates, states = trajectory(mechanism, grads, participation=participation)
    came = 1.0 * EVEN if participation else np.ones(N)
    sent = jax.tree.map(lambda x: np.einsum("tn...,n->tn...", x, came), grads)
    close(
        *CASES[name].invariant(History(sent, estimates, states.worker, states.server))
    )


@pytest.mark.parametrize("name", CASES)
def test_absent_workers_keep_their_state_and_pay_nothing(name):
    mechanism = CASES[name].make(CASES[name].random)
    _, everybody = trajectory(mechanism, gradients())
    _, states = trajectory(mechanism, gradients(), participation=even_workers)
    # Nothing that a worker does here depends on the others.
    close(rows(states.worker, EVEN), rows(everybody.worker, EVEN), 0)
    absent = rows(states.worker, ~EVEN)
    close(absent, jax.tree.map(jnp.zeros_like, absent), 0)
    assert (states.info.participants == N / 2).all()
    for bits, bits_of_everybody in zip(
        states.info.bits, everybody.info.bits, strict=True
    ):
        np.testing.assert_array_equal(bits, bits_of_everybody / 2)


# How axes are typed is the adapter's affair: one mechanism on automatic ones is enough.
@pytest.mark.parametrize(
    ("name", "axis_type"),
    [(name, AxisType.Explicit) for name in CASES] + [("ef21", AxisType.Auto)],
)
def test_stacked_is_sharded(name, axis_type):
    mesh = jax.make_mesh((4,), ("workers",), axis_types=(axis_type,))
    mechanism = CASES[name].make(CASES[name].random)
    estimates, states = trajectory(mechanism, gradients(), mesh=mesh)
    expected, stacked = trajectory(mechanism, gradients())
    close(estimates, jax.tree.map(np.asarray, expected), 1e-12)
    for part in ("worker", "server", "info"):
        close(getattr(states, part), jax.tree.map(np.asarray, getattr(stacked, part)))


@pytest.mark.parametrize("mesh_axis", [None, AxisType.Auto, AxisType.Explicit])
def test_one_trace_of_the_state_that_came_back(mesh_axis):
    mesh = mesh_axis and jax.make_mesh((4,), ("workers",), axis_types=(mesh_axis,))
    adapter = distribute(ef21(top_k(2)), N, key=KEY, mesh=mesh)
    traces = []

    @jax.jit
    def update(grads, state):
        traces.append(None)
        return adapter.update(grads, state)

    grads, state = round_of(gradients(), 0), adapter.init(PARAMS)
    for _ in range(3):
        _, state = jax.block_until_ready(update(grads, state))
    assert len(traces) == 1


@pytest.mark.parametrize("other", [other for other in OTHERS if other not in BY_INDEX])
def test_the_others_too_permute_their_workers_states_only(other):
    order = np.array([3, 1, 7, 0, 2, 6, 5, 4])
    estimates, states = trajectory(OTHERS[other], rows(gradients(), order))
    expected, ordered = trajectory(OTHERS[other], gradients())
    close((estimates, states.server), (expected, ordered.server), 1e-12)
    close(states.worker, rows(ordered.worker, order), 1e-12)
    assert any(np.any(x) for x in jax.tree.leaves(estimates))


@pytest.mark.parametrize("other", OTHERS)
def test_the_others_too_are_the_same_on_a_mesh(other):
    mesh = jax.make_mesh((4,), ("workers",))
    estimates, states = trajectory(OTHERS[other], gradients(), mesh=mesh)
    expected, stacked = trajectory(OTHERS[other], gradients())
    for one, other in (
        (estimates, expected),
        (states.worker, stacked.worker),
        (states.info, stacked.info),
    ):
        close(jax.tree.map(np.asarray, one), jax.tree.map(np.asarray, other), 1e-12)


@pytest.mark.parametrize("make", [dcgd, ef14, ef21, diana])
def test_equal_compressors_give_the_same_mechanism(make):
    assert make(identity()) is make(identity())


@pytest.mark.parametrize("mechanism", [ef21(top_k(2)), diana(rand_k(2))])
def test_first_gradients_are_where_shifts_begin(mechanism):
    first = round_of(gradients(), 0)
    estimates, states = trajectory(mechanism, gradients(), first_grads=first)
    # The first message is C(0) = 0.
    close(round_of(states.worker, 0), first, 0)
    close(round_of(estimates, 0), jax.tree.map(lambda x: x.mean(0), first))


def test_ef21_refuses_a_compressor_without_alpha():
    with pytest.raises(ValueError, match=r"ef21 .*wrap\.scaled\(rand_k\(k=2\)\)"):
        ef21(rand_k(2))


def test_diana_refuses_a_biased_compressor():
    with pytest.raises(ValueError, match="diana needs an unbiased compressor"):
        diana(top_k(2))


@pytest.mark.parametrize("shift_step", [-0.1, 1.5])
def test_diana_refuses_a_shift_step_out_of_range(shift_step):
    with pytest.raises(ValueError, match="shift_step"):
        diana(rand_k(2), shift_step=shift_step)


def test_diana_with_step_zero_is_dcgd():
    estimates, _ = trajectory(diana(rand_k(2), shift_step=0.0), gradients())
    expected, _ = trajectory(dcgd(rand_k(2)), gradients())
    close(estimates, expected, 0)


def test_diana_takes_its_step_from_the_worst_leaf():
    # rand_k(2) on leaves of 5 and 6: ω = 6/2 − 1 = 2, so that a = 1/3.
    default, _ = trajectory(diana(rand_k(2)), gradients())
    expected, _ = trajectory(diana(rand_k(2), shift_step=1 / 3), gradients())
    close(default, expected)


def test_diana_step_may_be_traced():
    def estimates(shift_step):
        adapter = distribute(diana(rand_k(2), shift_step=shift_step), N, key=KEY)
        step = lambda state, grad: adapter.update(grad, state)[::-1]
        return jax.lax.scan(step, adapter.init(PARAMS), gradients())[1]

    swept = jax.jit(jax.vmap(estimates))(jnp.array([0.0, 0.5]))
    for row, shift_step in enumerate((0.0, 0.5)):
        alone, _ = trajectory(diana(rand_k(2), shift_step=shift_step), gradients())
        close(round_of(swept, row), alone)


def halves():
    """C(x) = x/2: linear, α = 1 − 1/4."""
    return Compressor(
        encode=lambda keys, x: x / 2,
        decode=lambda keys, message, like: message,
        bits=lambda keys, message, like: Bits(0, 0, 0),
        certificate=lambda d: Certificate(alpha=3 / 4),
    )


def test_ef21_is_ef14_for_a_linear_compressor():
    compressor = halves()
    estimates, _ = trajectory(ef21(compressor), gradients())
    expected, _ = trajectory(ef14(compressor), gradients())
    close(estimates, expected)
    # Both: gᵏ = gᵏ⁻¹/2 + ∇f(xᵏ)/2.
    average = 0.0
    for row in mean(gradients())["bias"]:
        average = average / 2 + row / 2
    np.testing.assert_allclose(estimates["bias"][-1], average, rtol=1e-13)


def joined(x):
    """Leaves [T, ...] as [T, d]."""
    return np.concatenate([np.reshape(x[name], (ROUNDS, -1)) for name in SHAPES], 1)


def test_a_compressor_on_trees_is_taken_as_it_is():
    estimates, _ = trajectory(dcgd(wrap.whole_tree(top_k(4))), gradients(n=1))
    grads = joined(mean(gradients(n=1)))
    kept = np.abs(grads) >= np.sort(np.abs(grads), axis=1)[:, [-4]]
    np.testing.assert_array_equal(joined(estimates), np.where(kept, grads, 0))
