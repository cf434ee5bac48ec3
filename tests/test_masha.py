"""MASHA: points of evaluation, coins, bits both ways, and saddle points."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mechanism_draws import of_all, rand_k_draws, round_keys
from reference import variational
from trajectory import UPDATES, N

from fedjax_opt import keys, mechanisms, problems, run, theory
from fedjax_opt.compressors import identity, rand_k, top_k
from fedjax_opt.mechanisms.coins import common_coin
from fedjax_opt.methods.dcgd_gd import dcgd_gd
from fedjax_opt.methods.masha1 import masha1
from fedjax_opt.methods.masha2 import masha2
from fedjax_opt.simulate import distribute

HALF, KEY, STEP = 4, jax.random.key(21), 0.1
D = 2 * HALF
RANDOM = np.random.default_rng(4)
MATRICES = 0.3 * RANDOM.standard_normal((N, HALF, HALF)) + 1.5 * np.eye(HALF)
VECTORS = RANDOM.standard_normal((N, D))
PROBLEM = problems.bilinear(MATRICES, VECTORS, strong=0.1)
MONOTONE = problems.bilinear(MATRICES, VECTORS)
Z0 = np.ones(D)


def operator(worker, z, strong=0.1):
    """Fᵢ(z), by hand."""
    x, y, a = z[:HALF], z[HALF:], MATRICES[worker]
    return np.append(strong * x + a @ y, strong * y - a.T @ x) - VECTORS[worker]


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


# ---------------------------------------------------------------- trajectories


MECHANISM_KEY = jax.random.split(jax.random.split(KEY)[1])[1]  # that of a run
MASHA1 = masha1(
    step_size=STEP, compressor=rand_k(2), server_compressor=rand_k(3), momentum=0.5
).mechanism()
MASHA2 = masha2(
    step_size=STEP, compressor=top_k(2), server_compressor=top_k(3), momentum=0.75
).mechanism()


@functools.partial(jax.jit, static_argnames=("mechanism", "mesh"))
def rounds(mechanism, mesh=None):
    """Points of evaluation [T, d], states of the server [T, ...], accounts [T]."""
    adapter = distribute(
        mechanism, N, key=jax.random.split(jax.random.split(KEY)[1])[1]
    )

    def one_round(carry, _):
        z, state = carry
        value = lambda i: PROBLEM.grad(PROBLEM.data, z, i, None)
        way, state = adapter.update(jax.vmap(value)(jnp.arange(N)), state)
        return (z - way, state), (z, state.server, state.info)

    start = PROBLEM.init, adapter.init(PROBLEM.init)
    return jax.lax.scan(one_round, start, None, UPDATES)[1]


def coins_and_steps(momentum):
    """The coin of every round; which rounds are not at w: all but the first, and those
    that come after w has moved."""
    coins = of_all(lambda own: common_coin(own, 1 - momentum), round_keys(KEY))[:, 0]
    steps, refreshing = [], True
    for t, fell in enumerate(coins):
        if not refreshing:
            steps.append(t)
        refreshing = not refreshing and fell
    return coins, np.array(steps)


def server_draws(k):
    """Rand-K of the server, compress_down(round, vector), whose keys are part 1."""
    like = jnp.ones(D)

    def of_round(round_key):
        own = keys.in_round(round_key, keys.SERVER, N)
        own = keys.for_leaf(keys.for_leaf(own, 1), 0)
        compressor = rand_k(k)
        return compressor.decode(own, compressor.encode(own, like), like)

    kept = np.asarray(jax.jit(jax.vmap(of_round))(round_keys(KEY)))
    return lambda round_, vector: kept[round_] * vector


def top(vector, k):
    kept = np.zeros_like(vector)
    largest = np.argsort(-np.abs(vector), kind="stable")[:k]
    kept[largest] = vector[largest]
    return kept


def check_trajectory(loop, mechanism, up, down, momentum):
    """z of the rounds that are steps, and the points: w in the others, else z½."""
    coins, steps = coins_and_steps(momentum)
    assert 10 < len(steps) < 45
    expected = loop(
        operator,
        lambda worker, k, vector: up(worker, steps[k], vector),
        lambda k, vector: down(steps[k], vector),
        N,
        Z0,
        len(steps),
        STEP,
        mixing=momentum,
        coin=lambda k: coins[steps[k]],
    )
    points, states, _ = rounds(mechanism)
    close(states.z[steps], expected[1:])
    refreshes = np.setdiff1d(np.arange(UPDATES), steps)
    close(points[refreshes], states.w[refreshes])
    w, z = states.w[steps - 1], states.z[steps - 1]
    at_w = np.stack([np.mean([operator(i, p) for i in range(N)], axis=0) for p in w])
    close(points[steps], momentum * z + (1 - momentum) * w - STEP * at_w)


def test_masha1_trajectory():
    up = rand_k_draws(2, round_keys(KEY), (D,), part=0)
    check_trajectory(variational.masha1, MASHA1, up, server_draws(3), 0.5)


def test_masha2_trajectory():
    up, down = (lambda i, t, v: top(v, 2)), (lambda t, v: top(v, 3))
    check_trajectory(variational.masha2, MASHA2, up, down, 0.75)


@pytest.mark.parametrize("name", ["masha1", "masha2"])
def test_without_compression_and_momentum_it_is_extragradient(name):
    """Every second round is at w = z: two evaluations for every step."""
    make = {"masha1": masha1, "masha2": masha2}[name]
    options = {"compressor": identity(), "server_compressor": identity()}
    points, _, _ = rounds(make(step_size=STEP, momentum=0.0, **options).mechanism())
    mean = lambda z: sum(operator(i, z) for i in range(N)) / N
    z = Z0
    for at_z, at_half in points.reshape(-1, 2, D):
        half = z - STEP * mean(z)
        close(at_z, z)
        close(at_half, half)
        z = z - STEP * mean(half)


def test_without_compression_it_is_variance_reduced_extragradient():
    mechanism = mechanisms.masha(
        mechanisms.dcgd(identity()),
        mechanisms.dcgd(identity()),
        step_size=STEP,
        momentum=0.75,
    )
    nothing = lambda *arguments: arguments[-1]
    check_trajectory(variational.masha1, mechanism, nothing, nothing, 0.75)


# ---------------------------------------------------------------- convergence


def distances(method, num_updates):
    trace = run(method, MONOTONE, num_workers=N, key=KEY, num_updates=num_updates)
    return trace.distance_sq


def test_it_converges_where_simultaneous_descent_and_ascent_diverges():
    """F is monotone and no more: λ = 0."""
    known = MONOTONE.constants
    step = theory.masha_step_size(
        known["smoothness_mean_square"], N, omega=3, omega_server=3, momentum=0.75
    )
    unbiased = masha1(
        step_size=step,
        compressor=rand_k(2),
        server_compressor=rand_k(2),
        momentum=0.75,
    )
    contractive = masha2(
        step_size=step,
        compressor=top_k(4),
        server_compressor=top_k(4),
        momentum=0.75,
    )
    for method in (unbiased, contractive):
        found = distances(method, 4000)
        assert found[-1] < 1e-5 * found[0]
    for compressor in (identity(), rand_k(2)):
        found = distances(dcgd_gd(step_size=step, compressor=compressor), 4000)
        assert found[-1] > 1e3 * found[0]


def test_the_step_size_by_hand():
    """n = 2, q = 3, q_s = 2, L = (1, 2): C² = (2/4) (3·1 + 3·4 + 2·(5/2)) = 10."""
    arguments = {"omega": 2, "omega_server": 1, "momentum": 0.75}
    rough = np.sqrt(5 / 2)
    found = theory.masha_step_size(rough, 2, **arguments)
    assert found == pytest.approx(0.5 / (2 * np.sqrt(10)))
    strong = theory.masha_step_size(rough, 2, strong_monotonicity=10.0, **arguments)
    assert strong == pytest.approx(0.25 / 20)
    with pytest.raises(ValueError, match="momentum"):
        theory.masha_step_size(1.0, 2, omega=0, omega_server=0, momentum=1.0)


# ---------------------------------------------------------------- bits


def test_bits_by_hand():
    """Eight numbers of 64 bits; or two with an index of a byte up, and three down."""
    _, steps = coins_and_steps(0.75)
    _, _, info = rounds(MASHA2)
    up, down = np.full(UPDATES, 8 * 64), np.full(UPDATES, 8 * 64)
    up[steps], down[steps] = 2 * 72, 3 * 72
    np.testing.assert_array_equal(info.bits.wire, N * (up + 8))
    np.testing.assert_array_equal(info.down.wire, down)


# ---------------------------------------------------------------- arguments


def test_what_is_refused():
    good = {"step_size": STEP, "momentum": 0.5}
    for make, first, other in (
        (masha1, rand_k(2), top_k(2)),
        (masha2, top_k(2), rand_k(2)),
    ):
        for pair in ((first, other), (other, first)):
            with pytest.raises(ValueError, match=f"{make.__name__} needs"):
                make(compressor=pair[0], server_compressor=pair[1], **good)
    exact = mechanisms.dcgd(identity())
    for changed in ({"momentum": 1.0}, {"momentum": -0.1}, {"step_size": 0.0}):
        with pytest.raises(ValueError, match=next(iter(changed))):
            mechanisms.masha(exact, exact, **(good | changed))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_states_keep_the_dtype(dtype):
    adapter = distribute(MASHA2, N, key=KEY)
    grads = jnp.ones((N, D), dtype)
    state = jax.eval_shape(adapter.init, grads[0])
    estimate, after = jax.eval_shape(adapter.update, grads, state)
    assert jax.tree.map(lambda x: x.dtype, after) == jax.tree.map(
        lambda x: x.dtype, state
    )
    assert estimate.dtype == dtype


def test_stacked_is_sharded():
    stacked = rounds(MASHA1)
    sharded = rounds(MASHA1, mesh=jax.make_mesh((2,), ("workers",)))
    for one, other in zip(*map(jax.tree.leaves, (sharded, stacked)), strict=True):
        close(np.asarray(one), np.asarray(other))


# ---------------------------------------------------------------- the problem


def test_bilinear_is_the_operator_of_its_saddle_function():
    """F = (∇ₓ, −∇ᵧ) of xᵀAy + (λ/2)(|x|² − |y|²) − c·(x, −y)."""
    matrix, c, z = MATRICES[1], VECTORS[1], RANDOM.standard_normal(D)

    def saddle(x, y):
        quadratic = 0.05 * (x @ x - y @ y)
        return x @ matrix @ y + quadratic - c[:HALF] @ x + c[HALF:] @ y

    down, up = jax.grad(saddle, (0, 1))(z[:HALF], z[HALF:])
    found = PROBLEM.grad(PROBLEM.data, jnp.asarray(z), 1, None)
    close(found, np.append(down, -up))
    close(found, operator(1, z))


def test_constants_of_bilinear():
    """One worker, A = diag(3, 4), λ = 1, c = F(1, 1, 1, 1) = (4, 5, −2, −3)."""
    matrix, point = np.diag([3.0, 4.0])[None], np.ones(4)
    problem = problems.bilinear(matrix, [[4.0, 5, -2, -3]], strong=1.0, z0=0 * point)
    known = problem.constants
    assert known["smoothness"] == pytest.approx(np.sqrt(17))
    assert known["strong_convexity"] == 1.0
    close(known["x_star"], point)
    assert problem.loss(problem.data, known["x_star"]) == pytest.approx(0, abs=1e-28)
    # F(0) = −c, of squared length 16 + 25 + 4 + 9.
    assert problem.loss(problem.data, problem.init) == pytest.approx(27)
    assert problems.bilinear(np.zeros((1, 2, 2))).constants["x_star"] is None


def test_what_bilinear_refuses():
    for make, message in (
        (lambda: problems.bilinear(np.eye(3)), r"\[n, p, q\]"),
        (lambda: problems.bilinear(MATRICES, VECTORS[:2]), "vectors"),
        (lambda: problems.bilinear(MATRICES, strong=-1.0), "strong"),
        (lambda: problems.bilinear(MATRICES, z0=np.ones(3)), "z0"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
