"""Generalized smoothness, clipping at quantiles, similar triangles, heavy tails."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fedjax_opt import run, transforms
from fedjax_opt.methods import clipped_gd, dprox_clipped_shift
from fedjax_opt.types import Problem

NU = 0.5671432904097838  # ν = exp(−ν)
MATRIX = np.diag([10.0, 1.0, 0.1]) + 0.05


def path(optimizer, grad, x, num_updates, eval_params=None):
    """x⁰, ..., x^K."""
    x = jnp.asarray(x)

    def step(carry, _):
        x, state = carry
        point = x if eval_params is None else eval_params(state, x)
        updates, state = optimizer.update(grad(point), state, x)
        x = optax.apply_updates(x, updates)
        return (x, state), x

    start = (x, optimizer.init(x))
    loop = jax.jit(lambda start: jax.lax.scan(step, start, None, num_updates)[1])
    return np.concatenate([np.asarray(x)[None], loop(start)])


def gd(l0, l1, eta=NU / 2):
    return optax.chain(
        transforms.scale_by_generalized_smoothness(l0, l1),
        optax.scale_by_learning_rate(eta),
    )


# ------------------------------------------------------------- (L0, L1)-GD

# f, its gradient, (L0, L1). For x⁴ 12x² ≤ 12c² + (3/c) 4|x|³ with any c > 0.
CONVEX = {
    "x⁴": (lambda x: x**4, lambda x: 4 * x**3, 12.0, 3.0),
    "x⁴, c = 2": (lambda x: x**4, lambda x: 4 * x**3, 48.0, 1.5),
    "cosh": (lambda x: np.cosh(x) - 1, jnp.sinh, 1.0, 1.0),
    "quadratic": (lambda x: x**2, lambda x: 2 * x, 2.0, 0.0),
}


def test_nu():
    assert NU == pytest.approx(np.exp(-NU), rel=1e-15)


@pytest.mark.parametrize("name", CONVEX)
def test_distance_loss_and_gradient_never_grow(name):
    f, grad, l0, l1 = CONVEX[name]
    x = path(gd(l0, l1), grad, 5.0, 200)
    for sequence in (np.abs(x), f(x), np.abs(grad(x))):
        assert np.all(np.diff(sequence) <= 0)
    assert f(x[-1]) < 1e-3 * f(x[0])


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_relation_to_clipping_and_smoothed_normalization(scale):
    l0, l1 = 0.7, 1.9
    g = jnp.asarray(scale * np.random.default_rng(0).normal(size=5))
    found, _ = transforms.scale_by_generalized_smoothness(l0, l1).update(g, None)
    clipped, _ = transforms.clip(l0 / l1).update(g, None)
    smoothed, _ = transforms.smoothed_normalization(l0 / l1).update(g, None)
    ratio = np.asarray(found / (clipped / l0))
    assert np.all((1 / 2 <= ratio) & (ratio <= 1))
    np.testing.assert_allclose(found, smoothed / l1, rtol=1e-14)
    plain, _ = transforms.scale_by_generalized_smoothness(l0, 0.0).update(g, None)
    np.testing.assert_allclose(plain, g / l0, rtol=1e-14)


@pytest.mark.parametrize("name", ["x⁴", "cosh"])
def test_nothing_is_exponential_in_the_initial_distance(name):
    """Steps to a gap of 0.01: at most as R², where gradient descent takes as e^R."""
    f, grad, l0, l1 = CONVEX[name]
    starts = np.array([4.0, 8.0, 16.0, 32.0])

    def counted(start):
        return np.sum(f(path(gd(l0, l1), grad, start, 1000)) > 0.01)

    steps = np.array([counted(start) for start in starts])
    assert np.all(steps < 1000)
    # The first phase needs R L1 / η steps if it takes all of them at full length.
    assert np.all(steps >= starts * l1 / (NU / 2) / 2)
    assert np.all(steps[1:] / steps[:-1] < 4)

    if name == "cosh":
        with_the_largest_curvature = optax.sgd(1 / np.cosh(16.0))
        slow = path(with_the_largest_curvature, grad, 16.0, 1000)
        assert f(slow[-1]) > 100


# ------------------------------------------------------------- similar triangles


def quadratic_grad(x):
    return MATRIX @ x


X0 = np.array([1.0, -2.0, 3.0])


def test_stm_bound():
    """f(yᵏ) − f* ≤ 2LR²/(k(k+3)) with L1 = 0 and η = 1."""
    smoothness = np.linalg.eigvalsh(MATRIX).max()
    optimizer = transforms.stm(smoothness)
    y = path(optimizer, quadratic_grad, X0, 100, transforms.stm_eval_params)
    k = np.arange(1, 101)
    loss = np.einsum("ki,ij,kj->k", y, MATRIX, y)[1:] / 2
    assert np.all(loss <= 2 * smoothness * (X0 @ X0) / (k * (k + 3)))


# ------------------------------------------------------------- quantiles


def of_length(lengths):
    """Gradients [B] in two leaves, 3 : 4, of these lengths."""
    lengths = jnp.asarray(lengths, float)
    return {"a": 0.6 * lengths, "b": 0.8 * lengths[:, None]}


@pytest.mark.parametrize(
    ("quantile", "expected"),
    [
        (1.0, 5.5),  # the mean of 1, ..., 10
        (0.7, (1 + 2 + 3 + 4 + 5 + 6 + 4 * 7) / 10),
        (0.65, (1 + 2 + 3 + 4 + 5 + 6 + 4 * 7) / 10),
        (0.05, 1.0),
    ],
)
def test_quantile_clip_by_hand(quantile, expected):
    shuffled = np.random.default_rng(0).permutation(np.arange(1, 11))
    clip = transforms.quantile_clip(quantile)
    out, _ = clip.update(of_length(shuffled), clip.init(None))
    np.testing.assert_allclose(out["a"], 0.6 * expected, rtol=1e-14)
    np.testing.assert_allclose(out["b"], [0.8 * expected], rtol=1e-14)


def test_quantile_may_be_a_schedule_and_swept():
    clip = transforms.quantile_clip(lambda t: 1 - 0.5 / jnp.sqrt(t + 1.0))
    grads, state = of_length([1, 2, 3, 4]), clip.init(None)
    first, state = clip.update(grads, state)  # p = 1/2, τ = 2
    second, state = clip.update(grads, state)  # p = 0.646, τ = 3
    np.testing.assert_allclose([first["a"], second["a"]], [0.6 * 7 / 4, 0.6 * 9 / 4])
    assert state.count == 2

    def clipped(p):
        clip = transforms.quantile_clip(p)
        return clip.update(grads, clip.init(None))[0]["a"]

    swept = jax.vmap(clipped)(jnp.array([0.5, 0.75, 1.0]))
    np.testing.assert_allclose(swept, 0.6 * np.array([7, 9, 10]) / 4)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_a_traced_quantile_of_either_dtype_picks_the_same_length(dtype):
    """The k-th of ten lengths at p = k/10, where float32 rounds some k/10 up."""

    def clipped(p):
        clip = transforms.quantile_clip(p)
        lengths = jnp.arange(1.0, 11.0)
        return clip.update(lengths, clip.init(None))[0]

    found = jax.vmap(clipped)(jnp.asarray(np.arange(1, 11) / 10, dtype))
    expected = [np.minimum(np.arange(1, 11), k).mean() for k in range(1, 11)]
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_tracked_threshold_counts_in_its_own_precision():
    """By hand: one of three lengths is below τ = 1; ⅓ in float32 is off by 1e-8."""
    clip = transforms.tracked_quantile_clip(0.5, 1.0, rate=1.0)
    _, state = clip.update(of_length([0.5, 2, 3]), clip.init(None))
    assert state.threshold == pytest.approx(np.exp(1 / 6), rel=1e-14)


def test_tracked_threshold_is_the_quantile():
    """Of exponential lengths the p-quantile is −log(1 − p)."""
    p, batches = 0.8, 2000
    draws = np.random.default_rng(0).exponential(size=(batches, 20))
    clip = transforms.tracked_quantile_clip(p, 30.0, rate=0.05)

    def step(state, lengths):
        return clip.update(of_length(lengths), state)[1], state.threshold

    _, thresholds = jax.lax.scan(step, clip.init(None), jnp.asarray(draws))
    late = np.asarray(thresholds)[batches // 2 :]
    assert thresholds[1] == pytest.approx(30 * np.exp(-0.05 * (1 - p)))
    assert np.median(late) == pytest.approx(-np.log(1 - p), rel=0.05)
    below = np.mean(draws[batches // 2 :] <= late[:, None])
    assert below == pytest.approx(p, abs=0.01)


def test_quantile_clipping_is_unbiased_in_the_end():
    """Skewed noise, −1 nine times in ten and 9 else: constant p rests elsewhere.

    Clipped at the median length, the gradients x − 1 and x + 9 have the mean
    0.9 (x − 1) + 0.1 (1 − x), which is zero at x = 1 and not at 0.
    """
    rng = np.random.default_rng(0)
    draws = np.where(rng.random((3000, 20)) < 0.1, 9.0, -1.0)

    def end(quantile):
        optimizer = optax.chain(
            transforms.quantile_clip(quantile),
            optax.scale_by_learning_rate(lambda t: 0.5 / jnp.sqrt(t + 1.0)),
        )

        def step(carry, noise):
            x, state = carry
            updates, state = optimizer.update(x + noise, state, x)
            return (x + updates, state), x

        x = jnp.zeros(())
        return jax.lax.scan(step, (x, optimizer.init(x)), jnp.asarray(draws))[1][-500:]

    assert np.mean(end(0.5)) > 0.5
    assert abs(np.mean(end(lambda t: 1 - 0.5 / jnp.sqrt(t + 1.0)))) < 0.1


# ------------------------------------------------------------- heavy tails


def test_clipping_converges_with_high_probability_where_momentum_oscillates():
    """F = ½|x|², d = 10, two-sided Pareto noise of index 1.1: its variance is infinite.

    No step of the clipped and of the normalized method is longer than 0.05.
    """
    dim, updates, runs = 10, 1000, 32
    rng = np.random.default_rng(0)
    shape = (updates, runs, dim)
    noise = jnp.asarray(rng.choice([-1, 1], shape) * rng.pareto(1.1, shape))

    def distances(*transformations):
        optimizer = optax.chain(*transformations, optax.sgd(0.05))
        x = jnp.full((runs, dim), 3 / np.sqrt(dim))

        def step(carry, noise):
            x, state = carry
            updates, state = jax.vmap(optimizer.update)(x + noise, state, x)
            x = x + updates
            return (x, state), jnp.linalg.norm(x, axis=1)

        start = (x, jax.vmap(optimizer.init)(x))
        return np.asarray(jax.lax.scan(step, start, noise)[1])[-200:]

    clipped = distances(transforms.clip(1.0))
    normalized = distances(
        transforms.momentum(0.9), transforms.smoothed_normalization(0.0)
    )
    plain = distances()
    assert clipped.max() < 1  # every run, from 3
    assert np.median(normalized.max(0)) > 2
    assert np.median(np.ptp(normalized, axis=0)) > 3 * np.median(
        np.ptp(clipped, axis=0)
    )
    assert np.quantile(plain.max(0), 0.9) > 30


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (clipped_gd(step_size=0.05, threshold=1.0), -2.5),
        (dprox_clipped_shift(step_size=0.05, threshold=1.0, shift_step=0.1), 2.0),
    ],
)
def test_clipped_differences_remove_the_bias_of_clipping(method, expected):
    """(x − 12)²/2 and twice (x + 3)²/2: clipped, 2(x + 3) = 1 at −2.5, not at 2."""
    problem = Problem(
        data=jnp.array([12.0, -3.0, -3.0]),
        init=jnp.zeros(1),
        loss=lambda data, x: jnp.mean((x[0] - data) ** 2) / 2,
        draw=None,
        grad=lambda data, x, worker, sample: x - data[worker],
        num_workers=3,
        metrics={"x": lambda data, x: x[0]},
        constants={},
    )
    key = jax.random.key(0)
    options = dict(num_workers=3, num_updates=3000, record_every=3000)
    trace = run(method, problem, key=key, **options)
    np.testing.assert_allclose(trace.columns["x"][-1], expected, atol=1e-9)


# ------------------------------------------------------------- extragradient


def rotation(x):
    """Of min_u max_v uv: (v, −u)."""
    return jnp.array([x[1], -x[0]])


def test_extragradient_converges_on_a_bilinear_game():
    """|x|² shrinks by exactly 1 − γ² + γ⁴ in two updates; descent grows by 1 + γ²."""
    gamma = 0.3
    ahead = transforms.extragradient(gamma)
    x = path(ahead, rotation, [1.0, 2.0], 40, transforms.extragradient_eval_params)
    squares = np.sum(x**2, 1)
    np.testing.assert_array_equal(x[0:-1:2], x[1::2])
    ratio = 1 - gamma**2 + gamma**4
    np.testing.assert_allclose(squares[::2], 5 * ratio ** np.arange(21), rtol=1e-12)
    descent = path(optax.sgd(gamma), rotation, [1.0, 2.0], 5)
    growth = (1 + gamma**2) ** np.arange(6)
    np.testing.assert_allclose(np.sum(descent**2, 1), 5 * growth, rtol=1e-12)


# ------------------------------------------------------------- the diagnostic


def test_parametric_terms_along_a_trajectory():
    """A convex f has ⟨∇f(x), x − x*⟩ ≥ f(x) − f*; ½|x − 1|² has all terms in hand."""
    x = path(optax.sgd(0.1), lambda x: x - 1, X0, 10)
    squares = np.sum((x - 1) ** 2, 1)
    terms = jax.vmap(
        lambda x, value: transforms.parametric_terms(
            x - 1, x, jnp.ones(3), value=value, target_value=0.25
        )
    )(jnp.asarray(x), jnp.asarray(squares / 2 + 0.25))
    for found in (terms.alignment, terms.distance, terms.gradient):
        np.testing.assert_allclose(found, squares, rtol=1e-12)
    np.testing.assert_allclose(terms.gap, squares / 2, rtol=1e-12)
    assert np.all(terms.alignment >= terms.gap)


# ------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (
            lambda: transforms.scale_by_generalized_smoothness(-1.0, 1.0),
            ValueError,
            "l0 must not be negative",
        ),
        (
            lambda: transforms.scale_by_generalized_smoothness(0, 0.0),
            ValueError,
            "l0 > 0 or l1 > 0",
        ),
        (lambda: transforms.stm(1.0, step_size=1.5), ValueError, "step_size must lie"),
        (lambda: transforms.stm(-1.0), ValueError, "l0 must not be negative"),
        (lambda: transforms.stm(1.0, -1.0), ValueError, "l1 must not be negative"),
        (lambda: transforms.stm(0.0, 0.0), ValueError, "stm needs l0 > 0 or l1 > 0"),
        (lambda: transforms.clipped_stm(0.0, 1.0), ValueError, "step_size must be"),
        (lambda: transforms.clipped_stm(1.0, -1.0), ValueError, "level must be"),
        (lambda: transforms.quantile_clip(0.0), ValueError, "quantile must lie in"),
        (
            lambda: transforms.tracked_quantile_clip(0.5, 0.0),
            ValueError,
            "first_threshold must be",
        ),
        (lambda: transforms.extragradient(0.1, 0.0), ValueError, "extrapolation_step"),
        (
            lambda: transforms.stm(1.0).update(X0, transforms.stm(1.0).init(X0)),
            TypeError,
            r"stm needs the parameters: update\(grads, state, params\)",
        ),
    ],
)
def test_mistakes_are_named(build, error, message):
    with pytest.raises(error, match=message):
        build()
