"""The adapter: in a chain with optax, on a mesh, with errors, and what it transmits."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from collectives import BYTES, collectives
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from fedjax_opt.aggregators import coordinate_median, weighted
from fedjax_opt.compressors import identity, rand_k, top_k, wrap
from fedjax_opt.mechanisms import (
    clip21,
    cofig,
    dasha,
    dasha_sync,
    dcgd,
    diana,
    ec_diana,
    ef21,
    ef21_bc,
    ef21_plus,
    ef21_weighted,
    ef_bv,
    fixed_shift,
    frecon,
    lag_map,
    marina,
    masha,
    power_sgd,
    pp_marina,
    rand_diana,
    three_point,
)
from fedjax_opt.simulate.distribute import distribute
from fedjax_opt.simulate.participation import uniform_participation
from fedjax_opt.simulate.worker_grads import worker_grads
from fedjax_opt.types import Bits, Mechanism, Roles

KEY = jax.random.key(3)
AXIS_TYPES = [AxisType.Auto, AxisType.Explicit]


def mesh_of(axis_type, size=4):
    return jax.make_mesh((size,), ("workers",), axis_types=(axis_type,))


def one_round(adapter, grads, **extra):
    """Estimate and state after one compiled round from a fresh state."""
    params = jax.tree.map(lambda g: jnp.zeros(g.shape[1:], g.dtype), grads)
    return jax.jit(adapter.update)(grads, adapter.init(params), params, **extra)


# ---------------------------------------------------------------- training


def ridge(n=8, rows=12, d=6):
    """Least squares with λ = 0.1, its data split over n workers, and its solution."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((n, rows, d)), rng.standard_normal((n, rows))
    gram = np.einsum("nri,nrj->ij", a, a) / (n * rows)
    solution = np.linalg.solve(
        gram + 0.1 * np.eye(d), np.einsum("nri,nr->i", a, b) / (n * rows)
    )

    def loss(params, batch):
        a, b = batch
        residual = a @ params["w"] - b
        return 0.5 * jnp.mean(residual**2) + 0.05 * jnp.sum(params["w"] ** 2)

    return loss, (jnp.asarray(a), jnp.asarray(b)), solution


def minimise(optimizer, loss, batches, params, num_steps):
    grads = worker_grads(loss)

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(grads(params, batches), state, params)
        return (optax.apply_updates(params, updates), state), None

    start = (params, optimizer.init(params))
    return jax.lax.scan(step, start, None, length=num_steps)[0][0]


def adam_after(adapter, num_steps):
    return optax.chain(
        adapter, optax.adam(optax.cosine_decay_schedule(1e-2, num_steps))
    )


def test_chain_with_adam_finds_the_minimiser_for_every_seed():
    loss, batches, solution = ridge()

    def train(key):
        adapter = distribute(ef21(wrap.scaled(rand_k(2))), 8, key=key)
        optimizer = adam_after(adapter, 3000)
        return minimise(optimizer, loss, batches, {"w": jnp.zeros(6)}, 3000)

    found = jax.jit(jax.vmap(train))(jax.random.split(KEY, 3))
    np.testing.assert_allclose(found["w"], np.stack([solution] * 3), atol=1e-10)


@pytest.mark.parametrize("placed", [False, True])
@pytest.mark.parametrize("axis_type", AXIS_TYPES)
def test_chain_on_a_mesh_finds_the_minimiser(axis_type, placed):
    loss, batches, solution = ridge()
    params, mesh = {"w": jnp.zeros(6)}, mesh_of(axis_type)
    if placed:
        workers, everywhere = PartitionSpec("workers"), PartitionSpec()
        batches = jax.device_put(batches, NamedSharding(mesh, workers))
        params = jax.device_put(params, NamedSharding(mesh, everywhere))
    adapter = distribute(ef21(top_k(2)), 8, key=KEY, mesh=mesh)
    optimizer = adam_after(adapter, 1000)
    train = jax.jit(lambda *start: minimise(optimizer, loss, *start, 1000))
    np.testing.assert_allclose(train(batches, params)["w"], solution, atol=1e-10)


def test_worker_grads_are_the_gradients_of_each_workers_batch():
    loss, (a, b), _ = ridge()
    w = np.arange(6.0)
    grads = worker_grads(loss)({"w": jnp.asarray(w)}, (a, b))
    expected = [x.T @ (x @ w - y) / 12 + 0.1 * w for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(grads["w"], expected, rtol=1e-12)


# ---------------------------------------------------------------- a worked example

# Three quadratics on which compressed gradient descent with Top-1 diverges for every
# step size (arXiv:2002.12410): fᵢ(x) = ⟨aᵢ, x⟩² + |x|²/4.
A = np.array([[-3.0, 2.0, 2.0], [2.0, -3.0, 2.0], [2.0, 2.0, -3.0]])


def divergence_example(x):
    return 2 * (A @ x)[:, None] * A + 0.5 * x[None]


def theory_step_size():
    """EF21: 1/(L + L̂ξ), with α = 1/3 for Top-1 of three."""
    hessians = 2 * A[:, :, None] * A[:, None, :] + 0.5 * np.eye(3)
    smoothness_i = np.linalg.eigvalsh(hessians).max(axis=1)
    smoothness = np.linalg.eigvalsh(hessians.mean(axis=0)).max()
    np.testing.assert_allclose(smoothness_i, 34.5)
    np.testing.assert_allclose(smoothness, 17.1667, rtol=1e-5)
    xi = (1 + math.sqrt(1 - 1 / 3)) * 3 - 1
    return 1 / (smoothness + math.sqrt(np.mean(smoothness_i**2)) * xi)


def squared_gradient_norms(adapter, step_size, num_rounds):
    """|∇f(xᵏ)|² for k = 0, ..., num_rounds - 1, and xᵏ, from x⁰ = (1, 1, 1)."""

    def step(carry, _):
        x, state = carry
        grads = divergence_example(x)
        estimate, state = adapter.update(grads, state)
        record = (jnp.sum(grads.mean(axis=0) ** 2), x)
        return (x - step_size * estimate, state), record

    start = (jnp.ones(3), adapter.init(jnp.ones(3)))
    scan = jax.jit(lambda start: jax.lax.scan(step, start, None, length=num_rounds))
    return jax.tree.map(np.asarray, scan(start)[1])


def test_theory_step_size_of_the_example():
    assert theory_step_size() == pytest.approx(5.85912e-3, rel=1e-5)


@pytest.mark.parametrize("step_size", [1e-4, 5.85912e-3, 0.1])
def test_dcgd_with_top_1_diverges_for_every_step_size(step_size):
    adapter = distribute(dcgd(top_k(1)), 3, key=KEY)
    _, iterates = squared_gradient_norms(adapter, step_size, 30)
    growth = (1 + 11 * step_size / 6) ** np.arange(30)
    np.testing.assert_allclose(iterates, growth[:, None] * np.ones(3), rtol=1e-12)


@pytest.mark.parametrize(
    ("first_grads", "expected"),
    [
        (True, {0: 4.0833, 10: 3.557, 100: 1.026, 500: 4.09e-3, 1000: 4.11e-6}),
        (False, {0: 4.0833, 10: 3.757, 100: 1.081, 500: 4.31e-3, 1000: 4.33e-6}),
    ],
)
def test_ef21_with_top_1_converges(first_grads, expected):
    start = divergence_example(jnp.ones(3)) if first_grads else None
    adapter = distribute(ef21(top_k(1)), 3, key=KEY, first_grads=start)
    norms, _ = squared_gradient_norms(adapter, theory_step_size(), 2001)
    for k, value in expected.items():
        assert norms[k] == pytest.approx(value, rel=1e-2)
    # Two printed digits.
    assert norms[2000] == pytest.approx(4.1e-12 if first_grads else 4.4e-12, abs=6e-14)


# ---------------------------------------------------------------- what is transmitted


@pytest.mark.parametrize("axis_type", AXIS_TYPES)
def test_only_messages_cross_the_links(axis_type):
    n, d, k = 8, 100_000, 100
    mesh = mesh_of(axis_type)
    adapter = distribute(ef21(top_k(k)), n, key=KEY, mesh=mesh)
    grads = jax.device_put(
        jnp.ones((n, d)), NamedSharding(mesh, PartitionSpec("workers"))
    )
    state = adapter.init(jnp.zeros(d))
    assert state.worker.sharding.spec[0] == "workers"
    program = jax.jit(adapter.update).lower(grads, state).compile()

    results = collectives(program.as_text())
    assert sorted(results) == [("f64", n * k), ("u32", n * k)]
    sent = sum(BYTES[dtype] * entries for dtype, entries in results)
    assert sent <= 1.1 * n * k * (8 + 4)
    _, state = program(grads, state)
    assert state.info.bits.wire == 8 * sent


def test_dense_collectives_would_be_seen():
    mesh = mesh_of(AxisType.Auto)
    sharded = NamedSharding(mesh, PartitionSpec("workers"))
    x = jax.device_put(jnp.ones((8, 100)), sharded)
    program = jax.jit(lambda x: jnp.sum(x, axis=0)).lower(x).compile()
    assert collectives(program.as_text()) == [("f64", 100)]


def test_bits_do_not_overflow_without_64_bit_integers():
    with jax.enable_x64(False):
        adapter = distribute(dcgd(identity()), 1000, key=KEY)
        grads = jax.ShapeDtypeStruct((1000, 10**8), jnp.float32)
        state = jax.eval_shape(adapter.init, jax.ShapeDtypeStruct((10**8,), "float32"))
        _, state = jax.eval_shape(adapter.update, grads, state)
        assert state.info.bits.wire.dtype == jnp.float32


def counting_mechanism():
    """Sends a number, whose length in bits is the number."""
    return Mechanism(
        init=lambda params, first_grad=None: Roles((), ()),
        worker=lambda keys, grad, state: (grad, state),
        decode=lambda keys, message, like: message,
        server=lambda keys, aggregate, mask, state: (aggregate, state),
        bits=lambda keys, message, like: Bits(message, 2 * message, 7),
    )


@pytest.mark.parametrize("axis_type", [None, AxisType.Explicit])
def test_bits_of_messages_of_varying_length_are_those_of_who_came(axis_type):
    mesh = axis_type and mesh_of(axis_type)
    adapter = distribute(
        counting_mechanism(), 4, key=KEY, mesh=mesh, participation=all_but_the_last
    )
    _, state = one_round(adapter, jnp.array([1.0, 10.0, 100.0, 1000.0]))
    assert tuple(map(float, state.info.bits)) == (111, 222, 21)
    assert state.info.participants == 3


# ---------------------------------------------------------------- who takes part


def all_but_the_last(key, num_workers, round):
    return jnp.arange(num_workers) < num_workers - 1


def test_absent_workers_count_as_zero_in_the_mean_even_with_nan():
    adapter = distribute(dcgd(identity()), 4, key=KEY, participation=all_but_the_last)
    estimate, _ = one_round(adapter, jnp.array([[4.0], [8.0], [12.0], [jnp.nan]]))
    np.testing.assert_allclose(estimate, [6.0])


def test_the_aggregator_is_told_who_came():
    adapter = distribute(
        dcgd(identity()),
        4,
        key=KEY,
        aggregator=coordinate_median(),
        participation=all_but_the_last,
    )
    estimate, _ = one_round(adapter, jnp.array([[1.0], [5.0], [1e9], [-1e9]]))
    np.testing.assert_allclose(estimate, [5.0])


def test_uniform_participation_draws_all_sets_equally_often():
    draws = 6000
    came = jax.jit(jax.vmap(lambda key: uniform_participation(2)(key, 4, 0)))(
        jax.random.split(KEY, draws)
    )
    came = np.asarray(came)
    assert (came.sum(axis=1) == 2).all()
    _, counts = np.unique(came, axis=0, return_counts=True)
    assert len(counts) == 6
    deviation = math.sqrt(draws * (1 / 6) * (5 / 6))
    np.testing.assert_allclose(counts, draws / 6, atol=5 * deviation)


def test_uniform_participation_count_may_be_traced():
    count = lambda tau: uniform_participation(tau)(KEY, 5, 0).sum()
    np.testing.assert_array_equal(jax.vmap(count)(jnp.arange(1, 6)), np.arange(1, 6))


def test_rounds_draw_different_participants_and_messages():
    adapter = distribute(
        dcgd(rand_k(2)), 6, key=KEY, participation=uniform_participation(3)
    )
    step = lambda state, _: adapter.update(jnp.ones((6, 40)), state)[::-1]
    _, estimates = jax.lax.scan(step, adapter.init(jnp.ones(40)), None, length=8)
    assert len(np.unique(estimates, axis=0)) == 8


@pytest.mark.parametrize("axis_type", [None, AxisType.Explicit])
def test_state_may_be_donated(axis_type):
    mesh, first = axis_type and mesh_of(axis_type), jnp.ones((4, 3))
    adapter = distribute(ef21(top_k(1)), 4, key=KEY, mesh=mesh, first_grads=first)
    update = jax.jit(adapter.update, donate_argnums=1)
    for _ in range(2):  # the second start finds key and gradients where they were
        state = adapter.init(jnp.zeros(3))
        for _ in range(2):
            estimate, state = update(2 * first, state)
    np.testing.assert_array_equal(estimate, [2, 2, 1])


# ---------------------------------------------------------------- worker transforms


def change_of_gradient():
    """∇f(xᵏ) − ∇f(xᵏ⁻¹), and how often it was asked."""

    def update(updates, state, params=None, *, previous_grads, **extra):
        assert not extra
        change = jax.tree.map(jnp.subtract, updates, previous_grads)
        return change, state + 1

    return optax.GradientTransformationExtraArgs(
        lambda params: jnp.zeros((), jnp.int32), update
    )


@pytest.mark.parametrize("axis_type", [None, AxisType.Explicit])
def test_each_worker_is_given_its_own_previous_gradient(axis_type):
    mesh = axis_type and mesh_of(axis_type)
    rng = np.random.default_rng(0)
    grads, previous = rng.standard_normal((2, 4, 5))
    adapter = distribute(
        ef21(identity()),
        4,
        key=KEY,
        mesh=mesh,
        worker_transform=change_of_gradient(),
        participation=all_but_the_last,
    )
    # A loss value and a function are for others in the chain, not for the workers.
    estimate, state = jax.jit(
        lambda grads, previous: adapter.update(
            grads,
            adapter.init(jnp.zeros(5)),
            previous_grads=previous,
            value=jnp.ones(()),
            value_fn=jnp.sum,
        )
    )(grads, previous)
    change = (grads - previous) * (np.arange(4) < 3)[:, None]
    np.testing.assert_allclose(state.worker, change, rtol=1e-14)
    np.testing.assert_allclose(estimate, change.mean(axis=0), rtol=1e-13)
    np.testing.assert_array_equal(state.transform, [1, 1, 1, 0])


def test_workers_draw_different_noise():
    noise = optax.add_noise(eta=1.0, gamma=0.55, key=jax.random.key(0))
    adapter = distribute(ef21(identity()), 4, key=KEY, worker_transform=noise)
    _, state = one_round(adapter, jnp.zeros((4, 3)))
    assert len(np.unique(state.worker)) == 12


def test_worker_transform_is_given_the_parameters():
    decay = optax.add_decayed_weights(0.5)
    adapter = distribute(dcgd(identity()), 2, key=KEY, worker_transform=decay)
    params = jnp.array([2.0, 4.0])
    estimate, _ = adapter.update(jnp.zeros((2, 2)), adapter.init(params), params)
    np.testing.assert_allclose(estimate, [1.0, 2.0])


# ---------------------------------------------------------------- errors


def test_wrong_leading_axis_names_the_leaf_and_the_cure():
    adapter = distribute(dcgd(identity()), 8, key=KEY)
    params = {"w": jnp.zeros(3)}
    with pytest.raises(ValueError, match=r"worker_grads\['w'\] .* 8 .*\(4, 3\).*stack"):
        adapter.update({"w": jnp.zeros((4, 3))}, adapter.init(params))
    with pytest.raises(ValueError, match=r"previous_grads\['w'\] .*\(3,\)"):
        grads = {"w": jnp.zeros((8, 3))}
        adapter.update(grads, adapter.init(params), previous_grads=params)
    with pytest.raises(ValueError, match="first_grads needs a leading axis of 8"):
        distribute(ef21(identity()), 8, key=KEY, first_grads=1.0).init(jnp.zeros(3))


def test_arguments_out_of_range_are_refused():
    with pytest.raises(TypeError, match=r"jax\.random\.key"):
        distribute(dcgd(identity()), 8, key=jnp.zeros(2, jnp.uint32))
    with pytest.raises(ValueError, match="num_workers must be at least 1"):
        distribute(dcgd(identity()), 0, key=KEY)
    with pytest.raises(ValueError, match="count must be at least 1"):
        uniform_participation(0)
    with pytest.raises(ValueError, match="at most 4"):
        uniform_participation(5)(KEY, 4, 0)


EVERYBODY = {
    "marina": marina(rand_k(2), probability=0.5),
    "pp_marina": pp_marina(rand_k(2), probability=0.5, count=2),
    "dasha_sync": dasha_sync(rand_k(2), probability=0.5),
    "power_sgd": power_sgd(1),
    "masha": masha(dcgd(rand_k(2)), dcgd(rand_k(2)), step_size=0.1, momentum=0.5),
    "cofig": cofig(rand_k(2), count=2),
    "frecon": frecon(rand_k(2), count=2),
}
ADDS_UP = {
    **{name: mechanism for name, mechanism in EVERYBODY.items() if name != "marina"},
    "bounded": clip21(1.0),
    "dasha": dasha(rand_k(2)),
    "diana": diana(rand_k(2)),
    "ec_diana": ec_diana(top_k(2), rand_k(2)),
    "ef21": ef21(top_k(2)),
    "ef21_bc": ef21_bc(top_k(2), top_k(2)),
    "ef21_plus": ef21_plus(top_k(2)),
    "ef21_weighted": ef21_weighted(top_k(2), (1.0, 2.0, 3.0, 4.0)),
    "ef_bv": ef_bv(rand_k(2)),
    "fixed_shift": fixed_shift(rand_k(2), shifts=jnp.zeros((4, 3))),
    "rand_diana": rand_diana(rand_k(2)),
    "three_point": three_point(lag_map(trigger=1.0)),
}


@pytest.mark.parametrize("name", EVERYBODY)
def test_nobody_may_be_absent_where_everybody_has_to_come(name):
    with pytest.raises(ValueError, match="everybody has to come.*participation out"):
        distribute(EVERYBODY[name], 4, key=KEY, participation=uniform_participation(2))
    distribute(EVERYBODY[name], 4, key=KEY)


@pytest.mark.parametrize("name", ADDS_UP)
def test_a_median_of_changes_is_refused_where_they_add_up(name):
    with pytest.raises(ValueError, match=r"linear in the messages: take aggregators\."):
        distribute(ADDS_UP[name], 4, key=KEY, aggregator=coordinate_median())
    distribute(ADDS_UP[name], 4, key=KEY, aggregator=weighted(0.5))


def test_marina_with_a_median_takes_the_median_of_the_estimates():
    """g ← median of g + ∇fᵢ(x) − ∇fᵢ(x⁻), in rounds without a full gradient."""
    grads = np.random.default_rng(0).standard_normal((4, 5, 3))
    adapter = distribute(
        marina(identity(), probability=1e-12),
        5,
        key=KEY,
        aggregator=coordinate_median(),
        first_grads=jnp.asarray(grads[0]),
    )
    state, expected = adapter.init(jnp.zeros(3)), grads[0].mean(axis=0)
    for before, now in itertools.pairwise(grads):
        estimate, state = adapter.update(jnp.asarray(now), state)
        expected = np.median(expected + now - before, axis=0)
        np.testing.assert_allclose(estimate, expected, rtol=1e-13)


def test_a_mesh_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="6 workers cannot be spread evenly over 4"):
        distribute(dcgd(identity()), 6, key=KEY, mesh=mesh_of(AxisType.Auto))
    with pytest.raises(ValueError, match="one axis"):
        mesh = jax.make_mesh((2, 2), ("a", "b"))
        distribute(dcgd(identity()), 4, key=KEY, mesh=mesh)


def test_a_participation_that_returns_indices_is_refused():
    adapter = distribute(
        dcgd(identity()),
        4,
        key=KEY,
        participation=lambda key, n, round: jnp.array([0, 2]),
    )
    with pytest.raises(ValueError, match="must return 4 bools.*int64 of shape"):
        adapter.update(jnp.zeros((4, 3)), adapter.init(jnp.zeros(3)))
