"""The ball-proximal and the stochastic proximal point method."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

from fedjax_opt import transforms

MATRIX = np.array([[3.0, 0.4, 0.1], [0.4, 1.0, 0.2], [0.1, 0.2, 0.3]])
VECTOR = np.array([1.0, -2.0, 0.5])
MINIMISER = np.linalg.solve(MATRIX, VECTOR)
START = np.array([4.0, 1.0, -3.0])
EXACT = transforms.prox_by_newton_step(3)


def quadratic(x):
    return x @ MATRIX @ x / 2 - VECTOR @ x


def path(optimizer, value_fn, x, num_updates):
    """x⁰, ..., x^K."""

    @jax.jit
    def step(x):
        grads = jax.grad(value_fn)(x)
        updates, _ = optimizer.update(grads, optimizer.init(x), x, value_fn=value_fn)
        return optax.apply_updates(x, updates)

    points = [jnp.asarray(x)]
    for _ in range(num_updates):
        points.append(step(points[-1]))
    return np.array(points)


# ------------------------------------------------------------- BPM


def soft_threshold(value_fn, point, step_size):
    """The proximal map of |x|."""
    del value_fn
    return jnp.sign(point) * jnp.maximum(jnp.abs(point) - step_size, 0)


def test_bpm_is_finite_on_the_absolute_value():
    """3.2, 2.7, ..., 0.2, and exactly 0 after seven steps of 0.5."""
    x = path(transforms.bpm(0.5, soft_threshold), jnp.abs, 3.2, 8)
    np.testing.assert_allclose(x[:7], 3.2 - 0.5 * np.arange(7), rtol=1e-12)
    assert x[7] == 0 and x[8] == 0


def test_bpm_facts_on_a_quadratic():
    """Steps of length t; d⁺² ≤ d² − t²; the gap shrinks by 1/(1 + t/d⁺) or more."""
    radius = 1.5
    x = path(transforms.bpm(radius, EXACT), quadratic, START, 8)
    distance = np.linalg.norm(x - MINIMISER, axis=1)
    lengths = np.linalg.norm(np.diff(x, axis=0), axis=1)
    gap = np.array([quadratic(y) for y in x]) - quadratic(MINIMISER)

    outside = np.flatnonzero(distance[:-1] > radius)
    np.testing.assert_allclose(lengths[outside], radius, rtol=1e-9)
    before, after = distance[outside], distance[outside + 1]
    assert np.all(after**2 <= before**2 - radius**2 + 1e-9)
    shrunk = gap[outside] / (1 + radius / np.maximum(after, 1e-12))
    assert np.all(gap[outside + 1] <= shrunk + 1e-9)

    # Finite: K ≤ ⌈d₀²/t²⌉; in fact as soon as the ball meets the minimiser.
    arrived = len(outside) + 1
    assert arrived <= np.ceil(distance[0] ** 2 / radius**2)
    np.testing.assert_allclose(x[arrived], MINIMISER, atol=1e-9)


def test_bpm_point_is_the_best_of_its_ball():
    """The gradient there points back at the centre; no sampled point is better."""
    x = path(transforms.bpm(0.7, EXACT), quadratic, START, 1)
    step, gradient = x[0] - x[1], MATRIX @ x[1] - VECTOR
    cosine = step @ gradient / np.linalg.norm(step) / np.linalg.norm(gradient)
    assert cosine == pytest.approx(1, abs=1e-12)
    directions = np.random.default_rng(0).normal(size=(1000, 3))
    ball = 0.7 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    assert all(quadratic(START + z) >= quadratic(x[1]) for z in ball)


def test_bpm_with_inner_gradient_steps_stays_in_the_ball():
    solver = transforms.prox_by_gradient_steps(40, 3.3)
    x = path(transforms.bpm(1.5, solver), quadratic, START, 8)
    assert np.linalg.norm(np.diff(x, axis=0), axis=1).max() <= 1.5 * (1 + 1e-12)
    assert np.linalg.norm(x[-1] - MINIMISER) < 0.5


# ------------------------------------------------------------- SPPM


@pytest.mark.parametrize("step_size", [0.1, 1.0, 1e6])
def test_sppm_is_exact_on_quadratics(step_size):
    x = path(transforms.sppm(step_size, EXACT), quadratic, START, 5)
    expected, inverse = [START], np.linalg.inv(np.eye(3) + step_size * MATRIX)
    for _ in range(5):
        expected.append(inverse @ (expected[-1] + step_size * VECTOR))
    np.testing.assert_allclose(x, expected, rtol=1e-9, atol=1e-9)


def test_inner_gradient_steps_find_the_proximal_point():
    """Their error shrinks by 1 − 1/(1 + γL) or more in a step."""
    step_size, smoothness = 2.0, np.linalg.eigvalsh(MATRIX).max()
    exact = np.linalg.solve(np.eye(3) + step_size * MATRIX, START + step_size * VECTOR)
    rate = 1 - 1 / (1 + step_size * smoothness)
    for steps in (1, 10, 150):
        solver = transforms.prox_by_gradient_steps(steps, smoothness)
        found = solver(quadratic, jnp.asarray(START), step_size)
        error = np.linalg.norm(found - exact)
        assert error <= rate**steps * np.linalg.norm(START - exact) + 1e-12
    pull = smoothness + 1 / step_size
    once = transforms.prox_by_gradient_steps(1, smoothness)
    expected = START - (MATRIX @ START - VECTOR) / pull
    np.testing.assert_allclose(once(quadratic, jnp.asarray(START), step_size), expected)


def residual_loss(a, b, x):
    return (a @ x - b) ** 2 / 2


def closed_form(value_fn, x, step_size):
    """Of `residual_loss`, whose sample the Partial holds."""
    a, b = value_fn.args
    return x - step_size * a * (a @ x - b) / (1 + step_size * (a @ a))


@pytest.mark.parametrize("solver", [transforms.prox_by_newton_step(2), closed_form])
def test_sppm_on_residuals_tends_to_kaczmarz_and_polyak(solver):
    a, b, x = jnp.array([1.0, -2.0, 0.5]), 0.7, jnp.asarray(START)
    value_fn = Partial(residual_loss, a, b)
    value, grads = jax.value_and_grad(value_fn)(x)

    @jax.jit
    def moved(step_size, value_fn):
        optimizer = transforms.sppm(step_size, solver)
        return x + optimizer.update(grads, optax.EmptyState(), x, value_fn=value_fn)[0]

    residual, square = 4 - 2 - 1.5 - 0.7, 1 + 4 + 0.25
    for step_size in (0.3, 5.0):
        expected = START - step_size * a * residual / (1 + step_size * square)
        np.testing.assert_allclose(moved(step_size, value_fn), expected, rtol=1e-12)
    kaczmarz = START - a * residual / square
    np.testing.assert_allclose(moved(1e12, value_fn), kaczmarz, rtol=1e-10)
    c = 1 / 2
    polyak = optax.chain(
        transforms.scale_by_polyak_step(0.0), optax.scale_by_learning_rate(1 / c)
    )
    updates, _ = polyak.update(grads, polyak.init(x), x, value=value)
    np.testing.assert_allclose(x + updates, kaczmarz, rtol=1e-12)


def test_sppm_step_size_may_be_a_schedule():
    scheduled = optax.inject_hyperparams(transforms.sppm, static_args="solver")(
        lambda k: 1.0 / (k + 1), EXACT
    )
    state = scheduled.init(jnp.asarray(START))
    x = START
    for k in range(3):
        step_size = 1.0 / (k + 1)
        expected = np.linalg.solve(
            np.eye(3) + step_size * MATRIX, x + step_size * VECTOR
        )
        grads = jnp.asarray(MATRIX @ x - VECTOR)
        updates, state = scheduled.update(
            grads, state, jnp.asarray(x), value_fn=quadratic
        )
        x = x + np.asarray(updates)
        np.testing.assert_allclose(x, expected, rtol=1e-6)


# ------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: transforms.bpm(0.0, EXACT), ValueError, "radius must be positive"),
        (lambda: transforms.sppm(-1.0, EXACT), ValueError, "step_size must be"),
        (
            lambda: transforms.prox_by_gradient_steps(2.5, 1.0),
            TypeError,
            "num_steps must be an integer",
        ),
        (lambda: transforms.prox_by_newton_step(0), ValueError, "num_products"),
        (
            lambda: transforms.sppm(1.0, EXACT).update(START, None, START),
            TypeError,
            r"update\(grads, state, params, value_fn=...\)",
        ),
        (
            lambda: transforms.bpm(1.0, EXACT).update(START, None, value_fn=quadratic),
            TypeError,
            "bpm needs the gradient, the point and the loss",
        ),
    ],
)
def test_mistakes_are_named(build, error, message):
    with pytest.raises(error, match=message):
        build()
