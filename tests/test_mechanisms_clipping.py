"""Clipped and normalized messages: their bias, how memory removes it, trajectories."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType
from jax.tree_util import Partial
from mechanism_draws import rand_k_draws, round_keys
from reference import compressed, trajectories
from trajectory import (
    PROBLEM,
    SHAPE,
    UPDATES,
    X0,
    N,
    full_gradient,
    measured,
    noisy_gradient,
)

from fedjax_opt import events, keys, run, sweep, transforms
from fedjax_opt.compressors import identity, rand_k, top_k
from fedjax_opt.mechanisms import dcgd
from fedjax_opt.mechanisms.clip21 import clip21, clipped_shift
from fedjax_opt.mechanisms.norm_ec import norm_ec
from fedjax_opt.methods import diana_gd
from fedjax_opt.methods.clip21_gd import clip21_gd
from fedjax_opt.methods.clip21_sgd2m import clip21_sgd2m
from fedjax_opt.methods.clipped_gd import clipped_gd
from fedjax_opt.methods.dprox_clipped_shift import dprox_clipped_shift
from fedjax_opt.methods.mcm import mcm
from fedjax_opt.methods.norm_ec_gd import norm_ec_gd
from fedjax_opt.methods.norm_ef21_gd import norm_ef21_gd
from fedjax_opt.methods.norm_ef21_sgdm import norm_ef21_sgdm
from fedjax_opt.simulate import distribute
from fedjax_opt.static import constant
from fedjax_opt.theory.clipping import (
    clip21_active_rounds,
    norm_ec_bound,
    norm_ec_step_size,
)
from fedjax_opt.transforms.proximal import soft_threshold
from fedjax_opt.types import Method, Problem

KEY = jax.random.key(5)
STEP = 0.05


def close(ours, expected):
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-13)


def path(method, key=KEY):
    """x⁰, ..., x^50 on the problem of the trajectory tests."""
    return measured(method, key)[0]


# ------------------------------------------------------- bias: fᵢ = (x − bᵢ)²/2, x* = 1

TARGETS = jnp.array([-1.0, -1.0, 5.0])


def three_parabolas(start):
    return Problem(
        data=TARGETS,
        init=jnp.array([start]),
        loss=lambda data, x: jnp.mean((x[0] - data) ** 2) / 2,
        draw=None,
        grad=lambda data, x, worker, sample: x - data[worker],
        num_workers=3,
        metrics={"x": lambda data, x: x[0]},
        constants={},
    )


def limit(method, num_updates, start=3.0):
    """x after so many updates, from `start`."""
    trace = run(
        method,
        three_parabolas(start),
        key=KEY,
        num_workers=3,
        num_updates=num_updates,
        record_every=num_updates,
    )
    return trace.columns["x"][-1]


def test_clipped_gradients_alone_rest_where_the_gradient_is_not_zero():
    # 2 (x + 1) − 1 = 0 at x = −1/2, where f' = −3/2.
    stuck = limit(clipped_gd(step_size=0.1, threshold=1.0), 2000)
    np.testing.assert_allclose(stuck, -0.5, atol=1e-12)


def normalized(alpha):
    """An estimator: Norm_α of each worker's gradient."""
    return transforms.smoothed_normalization(alpha)


def test_normalized_gradients_alone_rest_where_the_gradient_is_not_zero():
    # 2 (x + 1)/(2 + x) = (5 − x)/(6 − x), that is x² − 7x − 2 = 0.
    method = Method(
        schedule=events.synchronous(),
        estimator=Partial(normalized, 1.0),
        mechanism=Partial(constant(dcgd(identity()))),
        optimizer=Partial(optax.sgd, 0.1),
        full_gradients=True,
    )
    expected = (7 - math.sqrt(57)) / 2
    assert round(expected, 4) == -0.2749
    np.testing.assert_allclose(limit(method, 4000), expected, atol=1e-12)


def test_clip21_finds_the_minimiser():
    found = limit(clip21_gd(step_size=0.1, threshold=1.0), 1000)
    np.testing.assert_allclose(found, 1, atol=1e-12)


@pytest.mark.parametrize(("shift_step", "expected"), [(0.0, -0.5), (0.3, 1.0)])
def test_shifts_remove_the_bias(shift_step, expected):
    method = dprox_clipped_shift(step_size=0.1, threshold=1.0, shift_step=shift_step)
    np.testing.assert_allclose(limit(method, 2000), expected, atol=1e-12)


@pytest.mark.parametrize(("start", "expected"), [(3.0, 0.99182), (0.0, 1.0041)])
def test_norm_ec_moves_about_the_minimiser(start, expected):
    step_size = 1 / math.sqrt(20000)
    method = norm_ec_gd(step_size=step_size, alpha=1.0, estimate_step=0.5)
    found = limit(method, 20000, start)
    assert abs(found - 1) <= 2 * step_size
    np.testing.assert_allclose(found, expected, atol=6e-5)


# ------------------------------------------------------- trajectories


def clipped_gd_path(threshold):
    x, iterates = X0, [X0]
    for _ in range(UPDATES):
        each = [compressed.clip(full_gradient(i, x), threshold) for i in range(N)]
        x = x - STEP * sum(each) / N
        iterates.append(x)
    return np.stack(iterates)


def dprox_path(gradient, threshold, shift_step, prox):
    x, iterates, shifts = X0, [X0], [0 * X0] * N
    for t in range(UPDATES):
        sent = [
            compressed.clip(gradient(i, x, t) - shifts[i], threshold) for i in range(N)
        ]
        estimate = sum(h + c for h, c in zip(shifts, sent, strict=True)) / N
        x = prox(x - STEP * estimate)
        shifts = [h + shift_step * c for h, c in zip(shifts, sent, strict=True)]
        iterates.append(x)
    return np.stack(iterates)


def noise_of(key, deviation):
    """noise(worker, round) of a run: Gaussian, from each worker's own key of a leaf."""

    def draw(round_key, worker):
        own = keys.for_leaf(keys.in_round(round_key, worker, N), 0).private
        return jax.random.normal(own, SHAPE)

    workers = jnp.arange(N)
    table = jax.vmap(lambda r: jax.vmap(lambda i: draw(r, i))(workers))
    drawn = deviation * np.asarray(jax.jit(table)(round_keys(key)))
    return lambda worker, round_: drawn[round_, worker]


def sample_noise(key):
    return noisy_gradient(jax.random.split(jax.random.split(key)[1])[0])


def top_2(worker, round_, vector):
    return trajectories.top_k(vector.ravel(), 2).reshape(vector.shape)


def test_clipped_gd_trajectory():
    lengths = [np.linalg.norm(full_gradient(i, X0)) for i in range(N)]
    assert min(lengths) < 2.0 < max(lengths)  # some are clipped
    ours = path(clipped_gd(step_size=STEP, threshold=2.0))
    close(ours, clipped_gd_path(2.0))


def test_clip21_gd_trajectory():
    ours = path(clip21_gd(step_size=STEP, threshold=0.2))
    close(ours, compressed.clip21(full_gradient, N, X0, UPDATES, STEP, threshold=0.2))


@pytest.mark.parametrize("deviation", [None, 0.3])
def test_clip21_sgd2m_trajectory(deviation):
    noise = {} if deviation is None else {"noise": noise_of(KEY, deviation)}
    ours = path(
        clip21_sgd2m(
            step_size=STEP,
            threshold=0.5,
            momentum=0.7,
            estimate_step=0.4,
            noise=deviation,
        )
    )
    expected = compressed.clip21_sgd2m(
        sample_noise(KEY),
        N,
        X0,
        UPDATES,
        STEP,
        threshold=0.5,
        momentum=0.7,
        estimate_step=0.4,
        **noise,
    )
    close(ours, expected)


def test_norm_ef21_gd_trajectory():
    ours = path(norm_ef21_gd(step_size=STEP, compressor=top_k(2)))
    close(ours, compressed.norm_ef21(full_gradient, top_2, N, X0, UPDATES, STEP))


def test_norm_ef21_sgdm_trajectory():
    ours = path(norm_ef21_sgdm(step_size=STEP, compressor=top_k(2), momentum=0.7))
    expected = compressed.norm_ef21_sgdm(
        sample_noise(KEY), top_2, N, X0, UPDATES, STEP, momentum=0.7
    )
    close(ours, expected)


@pytest.mark.parametrize(("start", "deviation"), [("zero", 0.3), ("gradients", None)])
def test_norm_ec_gd_trajectory(start, deviation):
    noise = {} if deviation is None else {"noise": noise_of(KEY, deviation)}
    method = norm_ec_gd(step_size=STEP, alpha=0.6, estimate_step=0.4, noise=deviation)
    ours = path(dataclasses.replace(method, first_gradients=start == "gradients"))
    expected = compressed.alpha_norm_ec(
        full_gradient,
        N,
        X0,
        UPDATES,
        STEP,
        alpha=0.6,
        estimate_step=0.4,
        start=start,
        **noise,
    )
    close(ours, expected)


@pytest.mark.parametrize("weight", [None, 0.4])
def test_dprox_clipped_shift_trajectory(weight):
    method = dprox_clipped_shift(
        step_size=STEP,
        threshold=0.5,
        shift_step=0.3,
        prox=None if weight is None else soft_threshold(weight),
    )
    least = STEP * (weight or 0)
    expected = dprox_path(
        sample_noise(KEY),
        0.5,
        0.3,
        lambda z: np.sign(z) * np.maximum(np.abs(z) - least, 0),
    )
    close(path(method), expected)


def test_mcm_trajectory():
    """The model sent at the end of a round is seen in the next one, at first x⁰."""
    down_key, kept = jax.random.split(jax.random.split(KEY)[1], 3)[2], [None]
    compressor, ones = rand_k(3), jnp.ones(SHAPE)
    for _ in range(UPDATES):
        down_key, of_round = jax.random.split(down_key)
        own = keys.for_leaf(keys.in_round(of_round, 0, 1), 0)
        kept.append(compressor.decode(own, compressor.encode(own, ones), ones))

    def compress_down(round_, vector):
        return vector if round_ == 0 else np.asarray(kept[round_]) * vector

    numbers = {"memory_step": 0.4, "shift_step": 0.2}
    method = mcm(
        step_size=STEP, compressor=rand_k(2), model_compressor=rand_k(3), **numbers
    )
    expected = compressed.mcm(
        full_gradient,
        rand_k_draws(2, round_keys(KEY), SHAPE),
        compress_down,
        N,
        X0,
        UPDATES,
        STEP,
        memory=X0,
        **numbers,
    )
    close(path(method), expected)


# ------------------------------------------------------- reductions


def gradient_descent_path(gradient=full_gradient, momentum=0.0):
    x, average, iterates = X0, 0 * X0, [X0]
    for t in range(UPDATES):
        mean = sum(gradient(i, x, t) for i in range(N)) / N
        average = momentum * average + (1 - momentum) * mean
        x = x - STEP * average
        iterates.append(x)
    return np.stack(iterates)


@pytest.mark.parametrize(
    "make",
    [
        clipped_gd,
        clip21_gd,
        lambda **numbers: dataclasses.replace(
            dprox_clipped_shift(shift_step=0.3, **numbers), full_gradients=True
        ),
    ],
)
def test_without_clipping_it_is_gradient_descent(make):
    close(path(make(step_size=STEP, threshold=math.inf)), gradient_descent_path())


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_clip21_sgd2m_without_clipping_is_sgd_with_momentum(momentum):
    method = clip21_sgd2m(
        step_size=STEP, threshold=math.inf, momentum=momentum, estimate_step=1.0
    )
    close(path(method), gradient_descent_path(sample_noise(KEY), momentum))


@pytest.mark.parametrize(
    "method",
    [
        clip21_sgd2m(step_size=STEP, threshold=0.2, momentum=0.0, estimate_step=1.0),
        dprox_clipped_shift(step_size=STEP, threshold=0.2, shift_step=1.0),
        clip21_sgd2m(
            step_size=STEP, threshold=0.2, momentum=0.0, estimate_step=1.0, noise=0.0
        ),
    ],
)
def test_what_is_clip21_on_full_gradients(method):
    ours = path(dataclasses.replace(method, full_gradients=True))
    close(ours, path(clip21_gd(step_size=STEP, threshold=0.2)))


def test_without_shifts_it_is_clipped_gradient_descent():
    method = dprox_clipped_shift(step_size=STEP, threshold=2.0, shift_step=0.0)
    close(path(dataclasses.replace(method, full_gradients=True)), clipped_gd_path(2.0))


def test_mcm_without_compression_of_the_model_is_diana():
    ours = mcm(
        step_size=STEP,
        compressor=rand_k(2),
        model_compressor=identity(),
        memory_step=0.4,
        shift_step=0.2,
    )
    diana = diana_gd(step_size=STEP, compressor=rand_k(2), shift_step=0.2)
    close(path(ours), path(diana))


def test_norm_ef21_without_compression_is_normalized_gradient_descent():
    x, expected = X0, [X0]
    for _ in range(UPDATES):
        g = sum(full_gradient(i, x) for i in range(N)) / N
        x = x - STEP * g / np.linalg.norm(g)
        expected.append(x)
    close(path(norm_ef21_gd(step_size=STEP, compressor=identity())), expected)


def test_norm_ef21_sgdm_without_momentum_is_norm_ef21():
    method = norm_ef21_sgdm(step_size=STEP, compressor=top_k(2), momentum=0.0)
    ours = path(dataclasses.replace(method, full_gradients=True))
    close(ours, path(norm_ef21_gd(step_size=STEP, compressor=top_k(2))))


def test_norm_ec_of_a_large_alpha_averages_gradients():
    """gᵢ ← gᵢ + c(∇fᵢ − gᵢ) as α grows, with β = cα; the difference is c|u|²/α."""
    alpha, share = 1e9, 0.3
    grads = np.random.default_rng(0).standard_normal((20, N, 4))
    estimates, _ = estimates_of(norm_ec(alpha, estimate_step=share * alpha), grads)
    average = np.zeros(4)
    for estimate, grad in zip(estimates, grads.mean(axis=1), strict=True):
        average = (1 - share) * average + share * grad
        np.testing.assert_allclose(estimate, average, atol=1e-7)


# ------------------------------------------------------- mechanisms alone

MECHANISMS = {
    "clip21": clip21(0.5),
    "clip21, noise": clip21(0.5, estimate_step=0.3, noise=0.2),
    "clipped_shift": clipped_shift(0.5, shift_step=0.3),
    "norm_ec": norm_ec(0.5, estimate_step=0.2),
    "norm_ec, noise": norm_ec(0.5, estimate_step=0.2, noise=0.2),
}
QUIET = [name for name in MECHANISMS if "noise" not in name]


def estimates_of(mechanism, grads, **options):
    """Estimates [T, ...] and states [T, ...] of one round per row of [T, n, ...]."""
    grads = jax.tree.map(jnp.asarray, grads)
    first = jax.tree.leaves(grads)[0]
    adapter = distribute(mechanism, first.shape[1], key=KEY, **options)

    def one_round(state, grad):
        estimate, state = adapter.update(grad, state)
        return state, (estimate, state)

    start = adapter.init(jax.tree.map(lambda x: jnp.zeros_like(x[0, 0]), grads))
    return jax.jit(lambda s: jax.lax.scan(one_round, s, grads)[1])(start)


def some_grads(dtype="float64", scale=1.0, num_workers=8):
    rng = np.random.default_rng(1)
    shapes = {"bias": (6, num_workers, 5), "weight": (6, num_workers, 3, 2)}
    return {
        name: jnp.asarray(scale * rng.standard_normal(shape), dtype)
        for name, shape in shapes.items()
    }


def lengths(x):
    """|·| of trees with leaves [..., *shape of a leaf], over all leaves."""
    leaves = [np.asarray(x[name], float) for name in ("bias", "weight")]
    lead = leaves[0].ndim - 1
    return np.sqrt(sum((y**2).sum(axis=tuple(range(lead, y.ndim))) for y in leaves))


def messages(mechanism, tree):
    """The message of one worker at the start, decoded."""
    own = keys.in_round(KEY, 0, 1)
    state = mechanism.init(tree).worker
    message, _ = mechanism.worker(own, tree, state)
    return mechanism.decode(keys.public(own), message, tree)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("name", ["clip21, noise", "norm_ec"])
def test_dtypes_stay_under_scan(name, dtype):
    grads = some_grads(dtype)
    estimates, states = estimates_of(MECHANISMS[name], grads)
    for tree in (estimates, states.server, states.worker):
        assert {x.dtype for x in jax.tree.leaves(tree)} == {jnp.dtype(dtype)}
    assert estimates["weight"].shape == (6, 3, 2)


@pytest.mark.parametrize("name", QUIET)
def test_server_has_the_mean_of_the_workers_shifts(name):
    _, states = estimates_of(MECHANISMS[name], some_grads())
    for leaf in ("bias", "weight"):
        mean = np.mean(states.worker[leaf], axis=1)
        np.testing.assert_allclose(states.server[leaf], mean, atol=1e-15)


@pytest.mark.parametrize("name", QUIET)
def test_order_of_workers_does_not_matter(name):
    order = np.array([3, 1, 7, 0, 2, 6, 5, 4])
    shuffled = jax.tree.map(lambda x: x[:, order], some_grads())
    estimates, states = estimates_of(MECHANISMS[name], shuffled)
    expected, ordered = estimates_of(MECHANISMS[name], some_grads())
    for leaf in ("bias", "weight"):
        np.testing.assert_allclose(estimates[leaf], expected[leaf], atol=1e-15)
        moved = ordered.worker[leaf][:, order]
        np.testing.assert_array_equal(states.worker[leaf], moved)


@pytest.mark.parametrize("name", ["clip21, noise", "clipped_shift"])
def test_absent_workers_keep_their_state_and_pay_nothing(name):
    def even_workers(key, num_workers, round):
        return jnp.arange(num_workers) % 2 == 0

    _, everybody = estimates_of(MECHANISMS[name], some_grads())
    _, states = estimates_of(MECHANISMS[name], some_grads(), participation=even_workers)
    for leaf in ("bias", "weight"):
        assert (states.worker[leaf][:, 1::2] == 0).all()
        np.testing.assert_array_equal(
            states.worker[leaf][:, ::2], everybody.worker[leaf][:, ::2]
        )
    # 11 numbers of 64 bits from each of 8 workers, or 4.
    assert (everybody.info.bits.wire == 8 * 11 * 64).all()
    assert (states.info.bits.wire == 4 * 11 * 64).all()


def test_workers_on_a_mesh():
    mechanism = MECHANISMS["clip21, noise"]
    mesh = jax.make_mesh((4,), ("workers",), axis_types=(AxisType.Auto,))
    estimates, _ = estimates_of(mechanism, some_grads(), mesh=mesh)
    expected, _ = estimates_of(mechanism, some_grads())
    for leaf in ("bias", "weight"):
        np.testing.assert_allclose(estimates[leaf], expected[leaf], atol=1e-12)


@pytest.mark.parametrize("mechanism", [clip21(0.5), norm_ec(0.5, estimate_step=1.0)])
def test_a_message_is_12_numbers(mechanism):
    like = jnp.ones(12, jnp.float32)
    own = keys.in_round(KEY, 0, 1)
    message, _ = mechanism.worker(own, like, mechanism.init(like).worker)
    assert mechanism.bits(keys.public(own), message, like) == (384, 384, 384)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_messages_of_every_scale(scale, dtype):
    """Of length τ, or |u|/(α + |u|), where squares over- or underflow."""
    tolerance = 1e-5 if dtype == "float32" else 2e-2
    tree = jax.tree.map(lambda x: x[0, 0], some_grads(dtype, scale))
    length = lengths(tree)
    assert 0.1 < length / scale < 10
    for factor in (0.25, 4.0):
        sent = messages(clip21(factor * scale), tree)
        np.testing.assert_allclose(
            lengths(sent), min(length, factor * scale), rtol=tolerance
        )
        sent = messages(norm_ec(factor * scale, estimate_step=1.0), tree)
        ratio = (length / scale) / (factor + length / scale)
        np.testing.assert_allclose(lengths(sent), ratio, rtol=tolerance)


@pytest.mark.parametrize("mechanism", [clip21(1.0), norm_ec(0.0, estimate_step=1.0)])
def test_zero_stays_zero(mechanism):
    zero = {"bias": jnp.zeros(5), "weight": jnp.zeros((3, 2))}
    assert all((x == 0).all() for x in jax.tree.leaves(messages(mechanism, zero)))


@pytest.mark.parametrize("mechanism", [clip21(0.5), norm_ec(0.5, estimate_step=0.2)])
def test_first_gradients_are_where_estimates_begin(mechanism):
    grads = some_grads()
    first = jax.tree.map(lambda x: x[0], grads)
    estimates, states = estimates_of(mechanism, grads, first_grads=first)
    for leaf in ("bias", "weight"):  # the first message is 0
        np.testing.assert_array_equal(states.worker[leaf][0], first[leaf])
        mean = first[leaf].mean(axis=0)
        np.testing.assert_allclose(estimates[leaf][0], mean, atol=1e-15)


def test_noise_is_in_the_message_and_not_in_the_workers_state():
    rounds, deviation, step = 400, 0.2, 0.3
    grads = np.random.default_rng(2).standard_normal((rounds, 8, 25))
    quiet = clip21(0.5, estimate_step=step)
    noisy = clip21(0.5, estimate_step=step, noise=deviation)
    _, expected = estimates_of(quiet, grads)
    _, states = estimates_of(noisy, grads)
    np.testing.assert_array_equal(states.worker, expected.worker)
    # What is added in a round: b times the mean of 8 Gaussians.
    walk = np.asarray(states.server) - np.asarray(expected.server)
    added = np.diff(walk, axis=0) / (step * deviation / math.sqrt(8))
    count = added.size
    assert abs(added.mean()) < 6 / math.sqrt(count)
    assert abs(added.var() - 1) < 6 * math.sqrt(2 / count)


def test_workers_draw_different_noise():
    mechanism = clip21(1.0, noise=1.0)
    zero = jnp.zeros(4)

    def sent(worker):
        own = keys.in_round(KEY, worker, 2)
        return mechanism.worker(own, zero, zero)[0]

    assert (np.asarray(sent(0)[0]) != np.asarray(sent(1)[0])).all()


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: clip21(0.0), "threshold must be positive"),
        (lambda: clip21(1.0, estimate_step=0.0), "estimate_step must lie in"),
        (lambda: clip21(1.0, estimate_step=1.5), "estimate_step must lie in"),
        (lambda: clip21(1.0, noise=-1.0), "noise must be at least 0"),
        (lambda: clipped_shift(-1.0, shift_step=0.3), "threshold must be positive"),
        (lambda: clipped_shift(1.0, shift_step=1.5), "shift_step must lie in"),
        (lambda: norm_ec(-1.0, estimate_step=1.0), "needs alpha ≥ 0"),
        (lambda: norm_ec(1.0, estimate_step=0.0), "estimate_step must be positive"),
        (lambda: norm_ec(1.0, estimate_step=1.0, noise=-1.0), "noise must be at least"),
        (lambda: clip21_active_rounds(3.0, 1.0, drift=1.0), "below the threshold"),
        (
            lambda: norm_ec_step_size(1.0, alpha=1.0, estimate_step=2.0, residual=1.0),
            "at most alpha",
        ),
    ],
)
def test_numbers_out_of_range(make, named):
    with pytest.raises(ValueError, match=named):
        make()


def test_equal_numbers_give_the_same_mechanism():
    assert clip21(0.5) is clip21(0.5)
    assert norm_ec(0.5, estimate_step=0.1) is norm_ec(0.5, estimate_step=0.1)


# ------------------------------------------------------- sweeps

SWEEPS = {
    "clipped_gd": (clipped_gd, {"threshold": [0.5, 2.0]}),
    "clip21_sgd2m": (
        clip21_sgd2m,
        {"threshold": [0.5], "momentum": [0.5, 0.9], "noise": [0.1, 0.2]},
    ),
    "norm_ec_gd": (norm_ec_gd, {"alpha": [0.5, 2.0], "estimate_step": [0.2, 0.4]}),
    "dprox_clipped_shift": (
        dprox_clipped_shift,
        {"threshold": [0.5, 1.0], "shift_step": [0.1, 0.3]},
    ),
}


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_over_their_numbers(name):
    make, axes = SWEEPS[name]
    grid = {"step_size": [STEP, 2 * STEP], **axes}
    swept = sweep(
        make, PROBLEM, grid=grid, seeds=[3], num_workers=N, num_updates=10, num_rows=11
    )
    for index in np.ndindex(*map(len, grid.values())):
        numbers = {k: v[i] for (k, v), i in zip(grid.items(), index, strict=True)}
        ours, _ = measured(make(**numbers), jax.random.key(3), 10)
        found = [swept.columns[f"x{i}"][index][0] for i in range(ours[0].size)]
        expected = ours.reshape(len(ours), -1).T
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


# ------------------------------------------------------- theory, on random quadratics


def random_quadratics(n=20, d=12):
    """fᵢ = xᵀAᵢx/2 − bᵢᵀx."""
    rng = np.random.Generator(np.random.PCG64(1))
    matrices, vectors = [], []
    for _ in range(n):
        m = rng.standard_normal((d, d))
        matrices.append(m @ m.T / d + 0.1 * np.eye(d))
        vectors.append(rng.standard_normal(d))
    return np.array(matrices), np.array(vectors)


MATRICES, VECTORS = random_quadratics()
MEAN = MATRICES.mean(axis=0)
SMOOTHNESS = np.linalg.eigvalsh(MEAN)[-1]
SMOOTHNESS_MAX = max(np.linalg.eigvalsh(a)[-1] for a in MATRICES)
SOLUTION = np.linalg.solve(MEAN, VECTORS.mean(axis=0))
GAP = SOLUTION @ MEAN @ SOLUTION / 2  # f(0) − f*


def test_the_quadratics_are_those_of_the_numbers():
    found = [SMOOTHNESS, SMOOTHNESS_MAX, GAP]
    np.testing.assert_allclose(found, [1.5226, 4.5307, 0.4766], atol=5e-5)


def history(mechanism, optimizer, num_rounds):
    """xᵏ, ∇fᵢ(xᵏ), and the workers' estimates before and after the messages at xᵏ."""
    matrices, vectors = jnp.asarray(MATRICES), jnp.asarray(VECTORS)
    adapter = distribute(mechanism, len(VECTORS), key=KEY)
    chain = optax.chain(adapter, optimizer)

    def one_round(carry, _):
        x, state = carry
        grads = matrices @ x - vectors
        updates, new = chain.update(grads, state, x)
        row = (x, grads, state[0].worker, new[0].worker, new[0].server)
        return (optax.apply_updates(x, updates), new), row

    x0 = jnp.zeros(VECTORS.shape[1])
    scan = jax.jit(lambda s: jax.lax.scan(one_round, s, None, length=num_rounds))
    rows = scan((x0, chain.init(x0)))[1]
    return [np.asarray(row) for row in rows]


def test_clips_end_after_finitely_many_rounds_and_gradient_descent_follows():
    threshold, step_size = 0.5, 0.02
    x, grads, before, _, server = history(clip21(threshold), optax.sgd(step_size), 200)
    residuals = np.linalg.norm(grads - before, axis=-1)  # [T, n]
    drift = step_size * SMOOTHNESS_MAX * np.linalg.norm(server, axis=-1).max()
    assert drift <= threshold / 2  # the condition holds throughout
    bound = clip21_active_rounds(residuals[0].max(), threshold, drift=drift)
    active = (residuals > threshold).sum(axis=1)
    assert 0 < bound < 20
    assert active[0] > 10
    np.testing.assert_array_equal(active[bound:], 0)
    # From there on it is gradient descent.
    point = x[bound]
    for found in x[bound:]:
        np.testing.assert_allclose(found, point, rtol=0, atol=1e-13)
        point = point - step_size * (MEAN @ point - VECTORS.mean(axis=0))
    # A smaller step's bound is that of half the threshold, or better.
    assert bound <= clip21_active_rounds(
        residuals[0].max(), threshold, drift=threshold / 2
    )


def test_constant_vectors_are_averaged_exactly_after_finitely_many_messages():
    rounds, threshold = 12, 0.5
    vectors = np.random.default_rng(4).standard_normal((8, 3))
    grads = np.broadcast_to(vectors, (rounds, 8, 3))
    _, states = estimates_of(clip21(threshold), grads)
    longest = np.linalg.norm(vectors, axis=1)
    needed = np.ceil(longest / threshold).astype(int)
    assert needed.min() < needed.max() < rounds
    errors = np.linalg.norm(np.asarray(states.worker) - grads, axis=-1)
    for worker, count in enumerate(needed):
        np.testing.assert_allclose(errors[count - 1 :, worker], 0, atol=1e-14)
        left = longest[worker] - threshold * np.arange(1, count)
        np.testing.assert_allclose(errors[: count - 1, worker], left, atol=1e-13)
        clipped = clip21_active_rounds(longest[worker], threshold)
        assert clipped == count - 1


@pytest.mark.parametrize(
    ("residual", "threshold", "drift", "expected"),
    [(3.0, 1.0, 0.0, 2), (3.2, 1.0, 0.0, 3), (3.0, 1.0, 0.5, 4), (0.9, 1.0, 0.5, 0)],
)
def test_rounds_with_clips_by_hand(residual, threshold, drift, expected):
    assert clip21_active_rounds(residual, threshold, drift=drift) == expected


def test_norm_ec_constants_by_hand():
    # 1 · 2/((2 + 2) · 4) and 3/(0.1 · 60) + 2 · 2 + 10 · 0.1/2
    step_size = norm_ec_step_size(4.0, alpha=2.0, estimate_step=1.0, residual=2.0)
    assert step_size == 0.125
    bound = norm_ec_bound(
        60, step_size=0.1, smoothness=10.0, initial_gap=3.0, residual=2.0
    )
    assert bound == pytest.approx(5.0)


@pytest.mark.parametrize("estimate_step", [0.1, 1.0])
def test_norm_ec_keeps_its_residuals_and_its_bound(estimate_step):
    alpha, num_rounds = 1.0, 3000
    residual = np.linalg.norm(VECTORS, axis=1).max()  # ∇fᵢ(0) = −bᵢ
    step_size = norm_ec_step_size(
        SMOOTHNESS_MAX, alpha=alpha, estimate_step=estimate_step, residual=residual
    )
    optimizer = norm_ec_gd(
        step_size=step_size, alpha=alpha, estimate_step=estimate_step
    ).optimizer()
    x, grads, before, after, _ = history(
        norm_ec(alpha, estimate_step=estimate_step), optimizer, num_rounds
    )
    tight = residual * (1 + 1e-12)
    assert np.linalg.norm(grads - before, axis=-1).max() <= tight
    shrunk = (1 - estimate_step / (alpha + residual)) * tight
    assert np.linalg.norm(grads - after, axis=-1).max() <= shrunk
    np.testing.assert_allclose(np.linalg.norm(np.diff(x, axis=0), axis=1), step_size)
    least = np.linalg.norm(grads.mean(axis=1), axis=-1).min()
    assert least <= norm_ec_bound(
        num_rounds,
        step_size=step_size,
        smoothness=SMOOTHNESS,
        initial_gap=GAP,
        residual=residual,
    )


def test_clipped_shifts_solve_a_composite_problem():
    """f + |x|₁/5: where no ∇fᵢ is 0, the limit is that of proximal gradient descent."""
    matrices, vectors = jnp.asarray(MATRICES), jnp.asarray(VECTORS)
    method = dprox_clipped_shift(
        step_size=0.1, threshold=0.3, shift_step=0.3, prox=soft_threshold(0.2)
    )
    chain = optax.chain(
        distribute(method.mechanism(), len(VECTORS), key=KEY), method.optimizer()
    )

    def one_round(_, carry):
        x, state = carry
        updates, state = chain.update(matrices @ x - vectors, state, x)
        return optax.apply_updates(x, updates), state

    x0 = jnp.zeros(12)
    loop = jax.jit(lambda s: jax.lax.fori_loop(0, 3000, one_round, s))
    found = np.asarray(loop((x0, chain.init(x0)))[0])

    expected = np.zeros(12)
    for _ in range(3000):
        z = expected - 0.1 * (MEAN @ expected - VECTORS.mean(axis=0))
        expected = np.sign(z) * np.maximum(np.abs(z) - 0.02, 0)
    assert 0 < (expected == 0).sum() < 12
    np.testing.assert_allclose(found, expected, atol=1e-12)
