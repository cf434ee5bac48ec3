"""EC-SGD-DIANA and EF21-BC: what the server tells the workers, besides the model."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mechanism_draws import rand_k_draws, round_keys
from reference import compressed
from trajectory import (
    PROBLEM,
    SHAPE,
    UPDATES,
    X0,
    N,
    full_gradient,
    measured,
)

from fedjax_opt import mechanisms, problems, run, sweep, timing
from fedjax_opt.compressors import gaussian_sketch, identity, rand_k, top_k, wrap
from fedjax_opt.keys import SERVER, in_round, public
from fedjax_opt.methods.ec_diana import ec_diana
from fedjax_opt.methods.ef14_gd import ef14_gd
from fedjax_opt.methods.ef21_bc import ef21_bc
from fedjax_opt.methods.ef21_gd import ef21_gd
from fedjax_opt.methods.ef21_p_diana import ef21_p_diana
from fedjax_opt.simulate import distribute

KEY, STEP = jax.random.key(12), 0.05
TOP, RAND = top_k(2), rand_k(2)  # of 6: α = 1/3; ω = 2
RULE = (N, X0, UPDATES, STEP)


def iterates(method):
    return measured(method, KEY)[0]


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)


def top(worker, round_, vector, k=2):
    """The k largest entries, by a stable sort."""
    flat = vector.ravel()
    kept = np.argsort(-np.abs(flat), kind="stable")[:k]
    sparse = np.zeros_like(flat)
    sparse[kept] = flat[kept]
    return sparse.reshape(vector.shape)


def gradient_descent():
    x, path = X0, [X0]
    for _ in range(UPDATES):
        x = x - STEP * sum(full_gradient(i, x) for i in range(N)) / N
        path.append(x)
    return np.stack(path)


# ---------------------------------------------------------------- trajectories


@pytest.mark.parametrize("shift_step", [None, 0.2])
def test_ec_diana_trajectory(shift_step):
    method = ec_diana(
        step_size=STEP, compressor=TOP, shift_compressor=RAND, shift_step=shift_step
    )
    expected = compressed.ec_diana(
        full_gradient,
        top,
        rand_k_draws(2, round_keys(KEY), SHAPE, part=1),
        *RULE,
        shift_step=shift_step or 1 / 3,
    )
    close(iterates(method), expected)


@pytest.mark.parametrize("start", ["compressed", "gradients"])
def test_ef21_bc_trajectory(start):
    method = ef21_bc(step_size=STEP, compressor=TOP, server_compressor=top_k(3))
    method = dataclasses.replace(method, first_gradients=start == "gradients")
    expected = compressed.ef21_bc(
        full_gradient, top, functools.partial(top, None, k=3), *RULE, start=start
    )
    close(iterates(method), expected)


# ---------------------------------------------------------------- reductions


@pytest.mark.parametrize(
    "method",
    [
        ec_diana(step_size=STEP, compressor=identity(), shift_compressor=RAND),
        ef21_bc(step_size=STEP, compressor=identity(), server_compressor=identity()),
    ],
)
def test_without_compression_it_is_gradient_descent(method):
    close(iterates(method), gradient_descent())


def test_ec_diana_whose_shifts_never_move_is_ef14():
    method = ec_diana(
        step_size=STEP, compressor=TOP, shift_compressor=RAND, shift_step=0.0
    )
    close(iterates(method), iterates(ef14_gd(step_size=STEP, compressor=TOP)))


def test_ef21_bc_without_compression_down_is_ef21():
    method = ef21_bc(step_size=STEP, compressor=TOP, server_compressor=identity())
    close(iterates(method), iterates(ef21_gd(step_size=STEP, compressor=TOP)))


def test_the_sketches_of_ef21_bc_up_and_down_are_drawn_apart():
    """The server's error is ω/(1 + ω) of what it compresses: 65/69 for ω = 65/4.

    With one matrix both ways a sketch is compressed by itself: 0.996, above 1 − α.
    """
    sketch = wrap.scaled(gaussian_sketch(4))
    mechanism = mechanisms.ef21_bc(sketch, sketch)
    gradient = jnp.asarray(np.random.default_rng(5).standard_normal(64))
    start = mechanism.init(jnp.zeros(64))

    def relative_error(key):
        keys = in_round(key, 0, 1)
        message, _ = mechanism.worker(keys, gradient, start.worker)
        received = mechanism.decode(public(keys), message, gradient)
        server = in_round(key, SERVER, 1)
        g, state = mechanism.server(server, received, jnp.ones(1, bool), start.server)
        return jnp.sum((g - state.mean) ** 2) / jnp.sum(state.mean**2)

    draws = jax.random.split(jax.random.key(6), 2000)
    errors = np.asarray(jax.jit(jax.vmap(relative_error))(draws))
    spread = errors.std() / np.sqrt(errors.size)
    assert abs(errors.mean() - 65 / 69) <= 5 * spread


def random_gradients(rounds=8, d=12):
    random = np.random.default_rng(2)
    return jnp.asarray(random.standard_normal((rounds, N, d)))


@pytest.mark.parametrize(
    "mechanism",
    [mechanisms.ec_diana(top_k(3), rand_k(3)), mechanisms.ef21_bc(top_k(3), top_k(2))],
)
def test_stacked_is_sharded_and_the_server_has_the_mean(mechanism):
    grads, results = random_gradients(), []
    for mesh in (None, jax.make_mesh((2,), ("workers",))):
        adapter = distribute(mechanism, N, key=KEY, mesh=mesh)

        @jax.jit
        def all_rounds(grads, adapter=adapter):
            step = lambda state, grad: adapter.update(grad, state)[::-1]
            state, estimates = jax.lax.scan(step, adapter.init(grads[0, 0]), grads)
            return estimates, state.worker, state.server, state.info

        results.append(jax.tree.map(np.asarray, all_rounds(grads)))
    stacked, sharded = map(jax.tree.leaves, results)
    for one, other in zip(stacked, sharded, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)
    _, worker, server, _ = results[0]
    kept, means = (
        (server, worker.shift)
        if isinstance(server, np.ndarray)
        else (server.mean, worker)
    )
    np.testing.assert_allclose(kept, means.mean(axis=0), atol=1e-13)


# ---------------------------------------------------------------- convergence

HETEROGENEOUS = problems.heterogeneous_quadratics(
    N, 12, noise_scale=0.4, strong_convexity=0.2, seed=3
)


def distance(method, num_updates):
    trace = run(method, HETEROGENEOUS, num_workers=N, key=KEY, num_updates=num_updates)
    return trace.distance_sq[-1]


def test_ec_diana_finds_the_minimiser_where_ef14_stalls():
    step = 0.1 / HETEROGENEOUS.constants["smoothness"]
    options = {"step_size": step, "compressor": top_k(2)}
    exact = distance(ec_diana(shift_compressor=rand_k(2), **options), 8000)
    stalled = [distance(ef14_gd(**options), updates) for updates in (4000, 8000)]
    assert exact < 1e-16
    assert min(stalled) > 1e-7


def test_ef21_bc_finds_the_minimiser():
    step = 0.05 / HETEROGENEOUS.constants["smoothness"]
    method = ef21_bc(step_size=step, compressor=top_k(2), server_compressor=top_k(3))
    assert distance(method, 8000) < 1e-16


# ---------------------------------------------------------------- bits


def test_bits_by_hand():
    """Six numbers of 64 bits, indices of a byte; the model has 384 bits."""
    cases = [
        (
            ec_diana(step_size=STEP, compressor=TOP, shift_compressor=rand_k(3)),
            2 * 72 + 3 * 72,
            384 + 384,
        ),
        (
            ef21_bc(step_size=STEP, compressor=TOP, server_compressor=top_k(3)),
            2 * 72,
            3 * 72,
        ),
    ]
    for method, up, down in cases:
        trace = measured(method, KEY)[1]
        np.testing.assert_array_equal(np.diff(trace.bits_up), N * up)
        np.testing.assert_array_equal(np.diff(trace.bits_down), down)


def test_the_account_of_a_round_says_what_went_down():
    grads = random_gradients()[0]
    for mechanism, down in (
        (mechanisms.ef21(top_k(3)), 12 * 64),
        (mechanisms.ec_diana(top_k(3), rand_k(3)), 2 * 12 * 64),
        (mechanisms.ef21_bc(top_k(3), top_k(2)), 2 * 72),
    ):
        adapter = distribute(mechanism, N, key=KEY)
        _, state = adapter.update(grads, adapter.init(grads[0]))
        assert state.info.down.wire == down


def test_a_link_delays_by_what_is_sent():
    """One bit a second: 2 · 72 up and 3 · 72 down, and a second of computing."""
    method = ef21_bc(step_size=STEP, compressor=TOP, server_compressor=top_k(3))
    link = timing.linear(up_bandwidth=1.0, down_bandwidth=1.0)
    trace = run(
        method,
        PROBLEM,
        num_workers=N,
        key=KEY,
        num_updates=3,
        link=link,
        compute_time=timing.fixed(np.ones(N)),
    )
    assert trace.time[-1] == pytest.approx(3 * (1 + 2 * 72 + 3 * 72))


def test_the_longest_message_down_of_varying_length_is_counted():
    """TopLEK sends at most three of six numbers, and how many they are."""
    from fedjax_opt.compressors import top_lek

    method = ef21_bc(step_size=STEP, compressor=TOP, server_compressor=top_lek(3))
    trace = measured(method, KEY)[1]
    lengths = np.diff(trace.bits_down)
    assert len(set(lengths)) > 1
    assert lengths.max() <= 3 * 72 + 8


# ---------------------------------------------------------------- arguments


def test_what_is_refused():
    for make, message in (
        (lambda: mechanisms.ef21_bc(RAND, TOP), r"ef21_bc .*wrap\.scaled"),
        (lambda: mechanisms.ef21_bc(TOP, RAND), r"ef21_bc .*wrap\.scaled"),
        (lambda: mechanisms.ec_diana(RAND, RAND), r"ec_diana .*wrap\.scaled"),
        (lambda: mechanisms.ec_diana(TOP, TOP), "ec_diana needs an unbiased"),
        (lambda: mechanisms.ec_diana(TOP, RAND, shift_step=2.0), "shift_step"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_two_ways_down_are_refused():
    down = ef21_p_diana(step_size=STEP, compressor=RAND, model_compressor=TOP).downlink
    method = ef21_bc(step_size=STEP, compressor=TOP, server_compressor=TOP)
    with pytest.raises(ValueError, match="takes no downlink: leave it out"):
        measured(dataclasses.replace(method, downlink=down), KEY)


def test_step_sizes_and_shift_steps_are_swept_in_one_program():
    found = sweep(
        functools.partial(ec_diana, compressor=TOP, shift_compressor=RAND),
        PROBLEM,
        grid={"step_size": [0.02, STEP], "shift_step": [0.1, 1 / 3]},
        seeds=[0],
        num_workers=N,
        num_updates=UPDATES,
    )
    alone = run(
        ec_diana(step_size=STEP, compressor=TOP, shift_compressor=RAND),
        PROBLEM,
        num_workers=N,
        key=jax.random.key(0),
        num_updates=UPDATES,
    )
    np.testing.assert_allclose(
        found.columns["loss"][1, 1, 0], alone.loss, rtol=1e-10, atol=1e-13
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_states_keep_the_dtype(dtype):
    grads = random_gradients().astype(dtype)
    for mechanism in (
        mechanisms.ec_diana(top_k(3), rand_k(3)),
        mechanisms.ef21_bc(top_k(3), top_k(2)),
    ):
        adapter = distribute(mechanism, N, key=KEY)
        state = jax.eval_shape(adapter.init, grads[0, 0])
        estimate, after = jax.eval_shape(adapter.update, grads[0], state)
        assert jax.tree.map(lambda x: x.dtype, after) == jax.tree.map(
            lambda x: x.dtype, state
        )
        assert estimate.dtype == dtype
