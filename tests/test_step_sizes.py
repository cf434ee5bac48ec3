"""Polyak's step size, AdGD, gradient diversity, refined linear decay."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fedjax_opt import transforms

RNG = np.random.default_rng(0)
# Least squares with a solution, so f* = 0; the Hessian has eigenvalues from 1 to 10.
ORTHOGONAL = np.linalg.qr(RNG.normal(size=(40, 8)))[0] * np.sqrt(40)
FEATURES = ORTHOGONAL * np.sqrt(np.linspace(1, 10, 8))
SOLUTION = RNG.normal(size=8)


def least_squares(x):
    return jnp.mean((FEATURES @ (x - SOLUTION)) ** 2) / 2


def path(optimizer, loss, x, num_updates):
    """x⁰, ..., x^K, and the states after the updates."""
    x = jnp.asarray(x)

    def step(carry, _):
        x, state = carry
        value, grads = jax.value_and_grad(loss)(x)
        updates, state = optimizer.update(grads, state, x, value=value)
        x = optax.apply_updates(x, updates)
        return (x, state), (x, state)

    optimizer = optax.with_extra_args_support(optimizer)
    start = (x, optimizer.init(x))
    points, states = jax.jit(
        lambda start: jax.lax.scan(step, start, None, num_updates)[1]
    )(start)
    return np.concatenate([np.asarray(x)[None], points]), states


# ------------------------------------------------------------- Polyak


def polyak(f_min=0.0, factor=1.0):
    return optax.chain(
        transforms.scale_by_polyak_step(f_min), optax.scale_by_learning_rate(factor)
    )


def one_step(optimizer, g, value):
    x = jnp.zeros_like(g)
    return optimizer.update(g, optimizer.init(x), x, value=value)[0]


def test_polyak_step_by_hand():
    found = one_step(polyak(f_min=1.0), jnp.array([3.0, 4.0]), 11.0)
    np.testing.assert_allclose(found, [-0.4 * 3, -0.4 * 4], rtol=1e-14)
    below = one_step(polyak(f_min=1.0), jnp.array([3.0, 4.0]), 0.9)
    assert not np.any(below)


def test_polyak_step_differs_from_optax_in_cap_and_stall():
    """Elsewhere it is `optax.polyak_sgd` without a cap, "sps+"."""
    theirs = optax.polyak_sgd(max_learning_rate=jnp.inf, f_min=0.5, variant="sps+")
    g = jnp.array([3e-3, 4e-3])
    np.testing.assert_allclose(
        one_step(polyak(0.5), g, 0.7), one_step(theirs, g, 0.7), rtol=1e-12
    )
    # f = (L/2) x² at x = 1 asks for γ = 1/(2L): 50 with L = 0.01, optax caps at 1.
    flat, capped = jnp.array([0.01]), optax.polyak_sgd()
    np.testing.assert_allclose(one_step(polyak(), flat, 0.005), [-0.5], rtol=1e-12)
    np.testing.assert_allclose(one_step(capped, flat, 0.005), [-0.01], rtol=1e-12)
    # f = x²/2 at 1e-9: halved here, at rest there.
    tiny = jnp.array([1e-9])
    np.testing.assert_allclose(one_step(polyak(), tiny, 0.5e-18), [-0.5e-9], rtol=1e-12)
    assert one_step(theirs, tiny, 0.5 + 0.5e-18) == 0
    # The square of the length underflows.
    least = jnp.array([1e-200])
    np.testing.assert_allclose(one_step(polyak(), least, 1e-300), [-1e-100], rtol=1e-12)


@pytest.mark.parametrize("loss", [least_squares, lambda x: jnp.sum(x**4)])
def test_polyak_distance_never_grows(loss):
    solution = SOLUTION if loss is least_squares else np.zeros(8)
    x, _ = path(polyak(), loss, solution + RNG.normal(size=8), 100)
    distance = np.linalg.norm(x - solution, axis=1)
    assert np.all(np.diff(distance) <= 0)
    assert distance[-1] < 0.05 * distance[0]


def test_polyak_minimum_may_be_swept():
    g = jnp.array([3.0, 4.0])
    found = jax.vmap(lambda f_min: one_step(polyak(f_min), g, 25.0))(
        jnp.array([0.0, 5])
    )
    np.testing.assert_allclose(found, [[-3, -4], [-2.4, -3.2]], rtol=1e-12)


def test_gap_of_the_sample_may_be_given():
    """StoP and StoPS: a minimum that differs between samples is taken off the value."""
    g, value = jnp.array([3.0, 4.0]), 11.0
    for minimum in (1.0, -2.0):
        found = one_step(polyak(), g, value - minimum)
        np.testing.assert_allclose(found, one_step(polyak(minimum), g, value))


def test_smoothed_polyak_bound():
    """Steps that Polyak would take at once, grown into: 0.02, 0.04, ... until 0.5."""
    optimizer = optax.chain(
        transforms.scale_by_smoothed_polyak_step(first_bound=0.01, growth=2.0),
        optax.scale_by_learning_rate(1.0),
    )
    x, states = path(optimizer, lambda x: x**2 / 2, 1.0, 10)
    steps = np.minimum(0.01 * 2.0 ** np.arange(1, 11), 0.5)
    np.testing.assert_allclose(states[0].step_size, steps, rtol=1e-12)
    np.testing.assert_allclose(x[1:], np.cumprod(1 - steps), rtol=1e-12)


# ------------------------------------------------------------- AdGD


@pytest.mark.parametrize("optimizer", [transforms.adgd(), transforms.adgd2()])
def test_adgd_needs_no_tuning(optimizer):
    """To a gradient of 1e-12 in about a hundred steps."""
    x, _ = path(optimizer, least_squares, np.zeros(8), 200)
    gradients = np.linalg.norm((x - SOLUTION) @ FEATURES.T @ FEATURES / 40, axis=1)
    assert 0 < np.argmax(gradients < 1e-12) < 150


@pytest.mark.parametrize("smoothness", [0.01, 7.0])
def test_adgd_step_tends_to_half_the_inverse_curvature(smoothness):
    _, states = path(transforms.adgd(), lambda x: smoothness * x**2 / 2, 1.0, 60)
    steps = np.asarray(states.step_size)
    np.testing.assert_allclose(steps[-1], 1 / (2 * smoothness), rtol=1e-9)


def test_adgd2_ends_in_a_cycle_around_the_inverse_curvature():
    smoothness = 7.0
    _, states = path(transforms.adgd2(), lambda x: smoothness * x**2 / 2, 1.0, 70)
    steps = np.asarray(states.step_size)[-6:]
    np.testing.assert_allclose(steps[2:], steps[:-2], rtol=1e-4)
    assert steps.min() < 0.99 / smoothness < 1.01 / smoothness < steps.max()


@pytest.mark.parametrize("optimizer", [transforms.adgd(), transforms.adgd2()])
def test_adgd_on_a_quartic(optimizer):
    x, _ = path(optimizer, lambda x: jnp.sum(x**4), np.array([3.0, -1.0]), 300)
    assert np.abs(x[-1]).max() < 0.05


@pytest.mark.parametrize("optimizer", [transforms.adgd(), transforms.adgd2()])
def test_adgd_rests_where_it_has_converged(optimizer):
    """Long after the gradient has become exactly 0 λ has not grown to ∞."""
    x, states = path(optimizer, lambda x: jnp.sum(x**2), np.array([1.0, 2.0]), 4000)
    assert np.all(np.isfinite(x)) and np.all(x[-1] == 0)
    assert np.isfinite(states.step_size[-1])


@pytest.mark.parametrize("optimizer", [transforms.adgd(1e-10), transforms.adgd2(1e-10)])
def test_adgd_where_rounding_swallows_the_first_step(optimizer):
    """In float32 1 + 1e-10 is 1: the step doubles until the point moves."""
    start = np.array([1.0, 2.0], np.float32)
    x, _ = path(optimizer, lambda x: jnp.sum(x**2) / 200, start, 300)
    assert x.dtype == np.float32
    assert np.abs(x[-1]).max() < 1e-5


def test_adgd_on_a_line():
    """Equal gradients measure nothing: 2λ where θ = ∞, then the first branch."""
    _, states = path(transforms.adgd(0.5), lambda x: -x, 0.0, 4)
    expected = 0.5 * np.cumprod([1, 2, np.sqrt(3), np.sqrt(1 + np.sqrt(3))])
    np.testing.assert_allclose(states.step_size, expected, rtol=1e-12)


# ------------------------------------------------------------- gradient diversity


def diverse(grads, **extra):
    scale = transforms.scale_by_gradient_diversity()
    return scale.update(grads, scale.init(None), **extra)[0]


def test_gradient_diversity_by_hand():
    """(1, 0) and (0, 1): the mean (½, ½) has a square of ½, the squares a mean of 1."""
    np.testing.assert_allclose(diverse(jnp.eye(2)), [1, 1], rtol=1e-14)
    shifted = diverse(jnp.eye(2) + 1, solution_grads=jnp.ones((2, 2)))
    np.testing.assert_allclose(shifted, [3, 3], rtol=1e-14)


def test_equal_gradients_have_no_diversity():
    g = jnp.array([[1.0, -2.0, 3.0]])
    np.testing.assert_allclose(diverse(g), g[0], rtol=1e-14)
    np.testing.assert_allclose(diverse(jnp.tile(g, (5, 1))), g[0], rtol=1e-14)
    unchanged = diverse(g, solution_grads=jnp.zeros_like(g))
    np.testing.assert_allclose(unchanged, g[0], rtol=1e-14)
    opposite = diverse(jnp.concatenate([g, -g]))
    assert not np.any(opposite)


@pytest.mark.parametrize("scale", [1e-30, 1e-19, 1e19, 1e37, 1.2e38])
def test_gradient_diversity_at_every_scale_of_float32(scale):
    """By hand: D = 2 of the rows of the identity, so the mean (½, ½) becomes (1, 1)."""
    grads = {"a": jnp.asarray(scale * np.eye(2), jnp.float32)}
    np.testing.assert_allclose(diverse(grads)["a"], [scale, scale], rtol=1e-6)
    alike = {"a": jnp.full((2, 3), scale, jnp.float32)}
    np.testing.assert_allclose(diverse(alike)["a"], np.full(3, scale), rtol=1e-6)


@pytest.mark.parametrize("c", [0.5, 1.0, 1.9])
def test_grad_distance_never_grows_with_a_common_minimiser(c):
    """L is the largest curvature of an example; c < 2."""
    smoothness = np.sum(FEATURES**2, 1).max()
    optimizer = optax.chain(
        transforms.scale_by_gradient_diversity(),
        optax.scale_by_learning_rate(c / smoothness),
    )
    batches = jnp.asarray(np.random.default_rng(1).integers(40, size=(200, 5)))

    def step(x, rows):
        a = jnp.asarray(FEATURES)[rows]
        grads = a * (a @ (x - SOLUTION))[:, None]
        updates, _ = optimizer.update(grads, optimizer.init(x), x)
        return x + updates, jnp.linalg.norm(x - SOLUTION)

    _, distance = jax.lax.scan(step, jnp.zeros(8), batches)
    assert np.all(np.diff(distance) <= 1e-12)
    assert distance[-1] < 0.5 * distance[0]


# ------------------------------------------------------------- refined linear decay


@pytest.mark.parametrize("window", [None, 1, 4, 7])
def test_constant_lengths_give_linear_decay(window):
    schedule = transforms.refined_linear_decay(np.full(50, 3.7), window=window)
    found = [schedule(t) for t in range(50)]
    np.testing.assert_allclose(found, np.linspace(1, 0, 50), atol=1e-14)
    linear = optax.linear_schedule(1.0, 0.0, 49)
    np.testing.assert_allclose(found, [linear(t) for t in range(50)], atol=1e-6)
    assert schedule(1000) == 0


def test_long_gradients_at_first_give_a_warm_up():
    norms = np.concatenate([np.linspace(10, 1, 10), np.ones(90)])
    schedule = transforms.refined_linear_decay(norms, window=1)
    steps = np.array([schedule(t) for t in range(100)])
    assert steps[0] < 0.05 and np.argmax(steps) == 9
    assert np.all(np.diff(steps[9:]) < 0)


def test_schedule_may_be_stretched_and_used():
    schedule = transforms.refined_linear_decay(np.ones(11), num_steps=101)
    np.testing.assert_allclose(schedule(50), 0.5, rtol=1e-12)
    x, _ = path(optax.sgd(schedule), lambda x: x, 0.0, 101)
    np.testing.assert_allclose(x[-1], -50.5, rtol=1e-12)


# ------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: transforms.adgd(0.0), ValueError, "first_step must be positive"),
        (lambda: transforms.adgd2(-1.0), ValueError, "first_step must be positive"),
        (
            lambda: transforms.scale_by_smoothed_polyak_step(growth=0.5),
            ValueError,
            "growth must be at least 1",
        ),
        (
            lambda: transforms.scale_by_smoothed_polyak_step(first_bound=0),
            ValueError,
            "first_bound must be positive",
        ),
        (
            lambda: transforms.refined_linear_decay([1.0]),
            ValueError,
            "two lengths or more",
        ),
        (
            lambda: transforms.refined_linear_decay([1.0, 0.0]),
            ValueError,
            "positive finite",
        ),
        (
            lambda: transforms.refined_linear_decay([1.0, 1.0], window=0),
            ValueError,
            "window",
        ),
        (
            lambda: transforms.adgd().update(
                SOLUTION, transforms.adgd().init(SOLUTION)
            ),
            TypeError,
            r"adgd needs the point: update\(grads, state, params\)",
        ),
    ],
)
def test_mistakes_are_named(build, error, message):
    with pytest.raises(error, match=message):
        build()
