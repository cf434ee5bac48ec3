"""Distance-adaptive, scale-calibrated and distance-free steps: loops, facts, limits."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from lmo_problem import (
    CENTERS,
    CURVATURES,
    DUAL,
    LMO,
    NORM,
    UPDATES,
    X0,
    close,
    exact,
    noisy,
    norm,
    path,
    states_along,
    value,
)
from reference import lmo_loops as reference

from fedjax_opt import geometry, transforms
from fedjax_opt.estimators.value_and_grads import value_and_grads

step = optax.scale_by_learning_rate
SIGNS = [reference.sign_lmo] * 2


def entries(x):
    """The norm l∞ of the whole."""
    return max(np.abs(y).max() for y in x)


def values(points):
    return np.array([value(x) for x in zip(*points, strict=True)])


# ---------------------------------------------------------------- distance-adaptive


def test_distance_adaptive_trajectory():
    optimizer = transforms.distance_adaptive_style(NORM, scale=0.7, initial_radius=0.05)
    points, states = states_along(optimizer)
    expected, radii = reference.distance_adaptive(
        noisy,
        LMO,
        norm,
        X0,
        UPDATES,
        0.7,
        0.05,
        alpha=lambda k: (k + 1) ** -0.5,
        weight=lambda k: (k + 1) ** -0.75,
    )
    close(points, expected)
    np.testing.assert_allclose(states[2].radius, radii, rtol=1e-9)
    assert radii[-1] > 0.05
    assert np.all(np.diff(states[2].radius) >= 0)


def test_distance_adaptive_with_normalized_gradients_is_dog():
    l2 = geometry.whole_tree_l2()
    ours = transforms.distance_adaptive_style(
        l2, momentum=0.0, weight=lambda k: 1 / jnp.sqrt(k + 1.0)
    )
    dog = optax.chain(transforms.scale_by_lmo(l2), optax.contrib.dog(1.0, eps=0.0))
    for a, b in zip(path(ours), path(dog), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_a_radius_that_is_never_exceeded_is_a_step_size():
    ours = path(
        transforms.distance_adaptive_style(NORM, scale=1e-3, initial_radius=9.0)
    )
    plain = path(transforms.horizon_free_lmo(9e-3, NORM))
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_distance_adaptive_scales_with_the_parameters():
    """x → s x for f(x/s), whose gradients are g/s."""
    s, optimizers = 8.0, []
    for radius in (0.1, 0.8):
        optimizers.append(
            transforms.distance_adaptive_style(NORM, initial_radius=radius)
        )
    x, y = ([jnp.asarray(f * z) for z in X0] for f in (1.0, s))
    states = [o.init(z) for o, z in zip(optimizers, (x, y), strict=True)]
    for k in range(4):
        g = exact(x, k)
        u, states[0] = optimizers[0].update(g, states[0], x)
        v, states[1] = optimizers[1].update([a / s for a in g], states[1], y)
        x, y = optax.apply_updates(x, u), optax.apply_updates(y, v)
        for a, b in zip(x, y, strict=True):
            np.testing.assert_allclose(s * a, b, rtol=1e-9)


# ---------------------------------------------------------------- scale-calibrated


@pytest.mark.parametrize("l1", [None, 0.2])
def test_scale_calibrated_trajectory(l1):
    def smoothness(g):
        return 12.0 + (l1 or 0) * sum(f(x) for f, x in zip(DUAL, g, strict=True))

    optimizer = transforms.scale_calibrated_style(NORM, 12.0, l1, momentum=0.6)
    expected = reference.scale_calibrated(
        noisy, LMO, X0, UPDATES, smoothness, alpha=0.4
    )
    close(path(optimizer), expected)


@pytest.mark.parametrize("momentum", [0.0, 0.95])
def test_the_certificate_of_descent(momentum):
    """In l∞ a quadratic has L = Σ |Hᵢⱼ|; no step goes uphill, whatever the momentum."""
    total = sum(np.sum(h) for h in CURVATURES)
    optimizer = transforms.scale_calibrated_style(
        geometry.linf(), total, momentum=momentum
    )
    points = path(optimizer, exact, updates=60)
    found = values(points)
    lengths = np.max(
        [np.abs(np.diff(x, axis=0)).reshape(60, -1).max(1) for x in points], 0
    )
    promised = total * lengths**2 / 2  # c²/(2L), as the step is c/L
    assert np.all(found[1:] <= found[:-1] - promised + 1e-12)
    assert found[-1] < 0.5 * found[0]


def test_no_step_where_momentum_points_uphill():
    optimizer = transforms.scale_calibrated_style(NORM, 1.0, momentum=0.9)
    x = [jnp.asarray(y) for y in X0]
    _, state = optimizer.update(x, optimizer.init(x), x)
    out, _ = optimizer.update([-0.1 * y for y in x], state, x)
    assert not any(np.any(y) for y in out)


def test_scale_calibrated_without_momentum_is_steepest_descent():
    optimizer = transforms.scale_calibrated_style(geometry.linf(), 9.0, momentum=0.0)
    sharp = transforms.scale_by_clipped_lmo(geometry.linf(), np.inf)
    for a, b in zip(
        path(optimizer), path(optax.chain(sharp, step(1 / 9))), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-10)


# ---------------------------------------------------------------- distance-free


def test_recentred_trajectory_and_its_bound():
    distance = entries([a - b for a, b in zip(X0, CENTERS, strict=True)])
    radius, updates = 1.2 * distance, 60
    optimizer = transforms.recentred_lmo(geometry.linf(), radius)
    points = path(optimizer, exact, updates=updates)
    close(points, reference.recentred(exact, SIGNS, X0, updates, radius))
    for start, layer in zip(X0, points, strict=True):
        assert np.abs(layer - start).max() <= radius * (1 + 1e-12)
    k = np.arange(1, updates + 1)
    total = sum(np.sum(h) for h in CURVATURES)
    assert np.all(values(points)[1:] <= 2 * total * (2 * radius) ** 2 / (k + 2))


def test_recentred_steps_of_a_small_unit_ball():
    """By hand: the first goes to x⁰ + R lmo(g), also where squares of it underflow."""
    x, g = jnp.zeros(2, jnp.float32), jnp.array([3, -4], jnp.float32)
    optimizer = transforms.recentred_lmo(geometry.scaled(geometry.l2(), 1e30), 1.0)
    updates, _ = optimizer.update(g, optimizer.init(x), x)
    np.testing.assert_allclose(updates, [-0.6e-30, 0.8e-30], rtol=1e-6)


def test_distance_free_trajectory_and_certificate():
    updates, total = 60, sum(np.sum(h) for h in CURVATURES)
    optimizer = transforms.distance_free_style(
        geometry.linf(), total, initial_radius=0.02
    )
    points, states = states_along(optimizer, exact, updates)
    dual = lambda g: sum(np.abs(x).sum() for x in g)
    expected, lower, radii = reference.distance_free(
        value, lambda x, k: exact(x, k), SIGNS, dual, entries, X0, updates, total, 0.02
    )
    close(points, expected)
    np.testing.assert_allclose(states.distance, lower, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(states.radius, radii, rtol=1e-8)

    distance = entries([a - b for a, b in zip(X0, CENTERS, strict=True)])
    assert np.all(np.diff(states.distance) >= 0)
    assert 0 < states.distance[-1] <= distance
    away = max(np.abs(y - x).max() for x, y in zip(X0, points, strict=True))
    assert away <= np.max(states.radius)
    assert values(points)[-1] < 0.5 * values(points)[0]


def test_the_value_is_supplied():
    optimizer = transforms.distance_free_style(geometry.linf(), 20.0)
    oracle = value_and_grads(value, optimizer)
    x = [jnp.asarray(y) for y in X0]
    state = oracle.optimizer.init(x)
    found, grads, extra = oracle.value_and_grads(x, state)
    assert list(extra) == ["value"]
    assert float(extra["value"]) == pytest.approx(float(value(X0)))
    updates, _ = oracle.optimizer.update(grads, state, x, **extra)
    # x¹ = x⁰ + r lmo(g), r = 1e-6 (1 + |x⁰|)
    radius = 1e-6 * (1 + entries(X0))
    for u, g in zip(updates, exact(X0, 0), strict=True):
        np.testing.assert_allclose(u, -radius * np.sign(g), rtol=1e-9)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: transforms.distance_adaptive_style(initial_radius=0.0),
            "initial_radius must be positive",
        ),
        (
            lambda: transforms.scale_calibrated_style(NORM, -1.0),
            "l0 must not be negative",
        ),
        (
            lambda: transforms.scale_calibrated_style(NORM, 0.0),
            "scale_calibrated_style needs l0 > 0 or l1 > 0",
        ),
        (lambda: transforms.recentred_lmo(NORM, 0.0), "radius must be positive"),
        (
            lambda: transforms.distance_free_style(NORM, 0.0),
            "smoothness must be positive",
        ),
    ],
)
def test_mistakes_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    "optimizer",
    [
        transforms.distance_adaptive_style(NORM),
        transforms.recentred_lmo(NORM, 1.0),
        transforms.distance_free_style(NORM, 1.0),
    ],
)
def test_the_parameters_are_needed(optimizer):
    x = [jnp.asarray(y) for y in X0]
    with pytest.raises(TypeError, match="needs the parameters"):
        optimizer.update(x, jax.jit(optimizer.init)(x))
