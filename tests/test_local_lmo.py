"""Local LMO: closed forms against bisection, feasibility, reductions, edge cases."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import lmo_loops as reference

from fedjax_opt import transforms
from fedjax_opt.estimators.value_and_grads import value_and_grads
from fedjax_opt.transforms import radii, sets

D, CASES = 5, 24
RNG = np.random.default_rng(8)
NORMALS, OFFSETS = RNG.normal(size=(2, D)), RNG.normal(size=2)
NORMAL, CENTER = RNG.normal(size=D), RNG.normal(size=D)
LOWER, UPPER = -RNG.uniform(0.3, 1.5, D), RNG.uniform(0.3, 1.5, D)
HALF_BOUNDED = np.where(np.arange(D) < 2, np.inf, UPPER)

# name: the set, and its projection in NumPy
SETS = {
    "whole space": (sets.whole_space(), lambda x: x),
    "affine": (
        sets.affine(NORMALS, OFFSETS),
        functools.partial(reference.project_affine, normals=NORMALS, offsets=OFFSETS),
    ),
    "half-space": (
        sets.half_space(NORMAL, 0.4),
        functools.partial(reference.project_half_space, normal=NORMAL, offset=0.4),
    ),
    "ball": (
        sets.ball(1.3, CENTER),
        functools.partial(reference.project_ball, center=CENTER, radius=1.3),
    ),
    "box": (
        sets.box(LOWER, UPPER),
        functools.partial(reference.project_box, lower=LOWER, upper=UPPER),
    ),
    "box, partly open": (
        sets.box(LOWER, HALF_BOUNDED),
        functools.partial(reference.project_box, lower=LOWER, upper=HALF_BOUNDED),
    ),
    "simplex": (
        sets.simplex(1.5),
        functools.partial(reference.project_simplex, total=1.5),
    ),
    "l1 ball": (
        sets.l1_ball(1.5),
        functools.partial(reference.project_l1_ball, radius=1.5),
    ),
}
BOUNDED = ("ball", "box", "simplex", "l1 ball")
DIAMETERS = {
    "ball": 2.6,
    "box": np.linalg.norm(UPPER - LOWER),
    "simplex": 1.5 * np.sqrt(2),
    "l1 ball": 3.0,
}


def cases(name):
    """Points of the set, some on its boundary; unit gradients; radii."""
    rng = np.random.default_rng(1)
    project = SETS[name][1]
    x = np.stack([project(s * rng.normal(size=D)) for s in np.linspace(0.1, 2, CASES)])
    g = rng.normal(size=(CASES, D))
    g /= np.linalg.norm(g, axis=1, keepdims=True)
    return x, g, rng.uniform(0.05, 3.5, CASES)


@functools.cache
def steps(name):
    """The step of a set, for many cases at once."""
    return jax.jit(jax.vmap(SETS[name][0].step))


@pytest.mark.parametrize("name", SETS)
def test_closed_forms_against_bisection(name):
    x, g, t = cases(name)
    project = SETS[name][1]
    z = np.asarray(steps(name)(x, g, t))
    expected = [
        reference.local_step(project, *case) for case in zip(x, g, t, strict=True)
    ]
    np.testing.assert_allclose(z, np.stack(expected), atol=1e-6)
    lengths = np.linalg.norm(z - x, axis=1)
    assert np.all(lengths <= t * (1 + 1e-9))
    for point in z:
        np.testing.assert_allclose(project(point), point, atol=1e-9)
    if name in BOUNDED:
        assert np.any(lengths < 0.99 * t)  # the ball is inactive in some
    assert np.any(lengths > 0.99 * t)


@pytest.mark.parametrize("name", SETS)
def test_projections(name):
    x = np.random.default_rng(2).normal(size=(8, D)) * 2
    found = jax.jit(jax.vmap(SETS[name][0].project))(x)
    expected = np.stack([SETS[name][1](y) for y in x])
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("name", BOUNDED)
def test_beyond_the_diameter_it_is_a_frank_wolfe_step(name):
    x, g, _ = cases(name)
    z = np.asarray(steps(name)(x, g, np.full(CASES, 1.01 * DIAMETERS[name])))
    k = np.argmax(np.abs(g), axis=1)
    rows = np.arange(CASES)
    vertices = {
        "ball": CENTER - 1.3 * g,
        "box": np.where(g > 0, LOWER, UPPER),
        "simplex": 1.5 * np.eye(D)[np.argmin(g, axis=1)],
        "l1 ball": -1.5 * np.sign(g[rows, k])[:, None] * np.eye(D)[k],
    }
    np.testing.assert_allclose(z, vertices[name], atol=1e-12)


def test_of_a_face_the_nearest_point():
    """By hand: g is constant on a face, and the ball is large."""

    def one(name, x, g):
        x, g = (np.tile(v, (CASES, 1)) for v in (x, g))
        return np.asarray(steps(name)(x, g, np.full(CASES, 9.0)))[0]

    equal = functools.partial(np.testing.assert_allclose, atol=1e-12)
    g = np.array([-1.0, -1.0, 0.0, 0.0, 0.0]) / np.sqrt(2)
    equal(one("simplex", [0.5, 0.2, 0.3, 0.5, 0.0], g), [0.9, 0.6, 0.0, 0.0, 0.0])
    equal(one("l1 ball", [0.5, -0.2, 0.1, 0.0, 0.0], -g), [-0.4, -1.1, 0.0, 0.0, 0.0])
    equal(one("box", np.zeros(D), g), [*UPPER[:2], 0.0, 0.0, 0.0])
    unit = NORMAL / np.linalg.norm(NORMAL)
    equal(one("half-space", -unit, -unit), 0.4 / np.linalg.norm(NORMAL) * unit)
    x = SETS["affine"][1](np.ones(D))
    equal(one("affine", x, NORMALS[0] / np.linalg.norm(NORMALS[0])), x)


# ---------------------------------------------------------------- the transformation


HESSIAN = np.diag([1.0, 2.0, 4.0, 0.5, 3.0])


def value(x):
    away = ravelled(x) - CENTER
    return away @ HESSIAN @ away / 2


def ravelled(x):
    return jnp.concatenate([x["a"].ravel(), x["b"]])


def tree_of(vector):
    return {"a": jnp.asarray(vector[:2])[None, :], "b": jnp.asarray(vector[2:])}


def path(optimizer, start, updates=30):
    """Points of a run on the quadratic, as vectors."""
    optimizer = optax.with_extra_args_support(optimizer)

    def step(carry, _):
        x, state = carry
        f, g = jax.value_and_grad(value)(x)
        change, state = optimizer.update(g, state, x, value=f)
        x = optax.apply_updates(x, change)
        return (x, state), ravelled(x)

    @jax.jit
    def loop(x):
        return jax.lax.scan(step, (x, optimizer.init(x)), None, updates)[1]

    return np.concatenate([[start], loop(tree_of(start))])


def descent(start, step_size, project=lambda x: x, updates=30):
    x, points = start, [start]
    for _ in range(updates):
        x = project(x - step_size * HESSIAN @ (x - CENTER))
        points.append(x)
    return np.stack(points)


START = np.array([0.2, -0.1, 0.25, -0.2, 0.1])


def test_without_constraints_it_is_gradient_descent():
    optimizer = transforms.local_lmo(sets.whole_space(), radii.proportional(0.2))
    found = path(optimizer, START)
    np.testing.assert_allclose(found, descent(START, 0.2), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["half-space", "ball", "box", "simplex"])
def test_the_radius_of_a_projected_step(name):
    convex_set, project = SETS[name]
    start = project(START)
    optimizer = transforms.local_lmo(convex_set, radii.of_projected_gradient(0.2))
    found = path(optimizer, start)
    np.testing.assert_allclose(found, descent(start, 0.2, project), atol=2e-7)


def test_polyak_comes_nearer_to_the_minimiser_by_its_steps():
    """|x⁺ − x*|² <= |x − x*|² − t², fact 2."""
    best = LOWER.max() / 2 * np.ones(D)  # inside the box

    def loss(x):
        away = ravelled(x) - best
        return away @ HESSIAN @ away / 2

    optimizer = transforms.local_lmo(sets.box(LOWER, UPPER), radii.polyak(0.0))
    optimizer, oracle = value_and_grads(loss, optimizer)
    x = tree_of(UPPER)
    state = optimizer.init(x)

    @jax.jit
    def step(x, state):
        _, grads, extra = oracle(x, state)
        updates, state = optimizer.update(grads, state, x, **extra)
        return optax.apply_updates(x, updates), state, ravelled(grads), extra["value"]

    for _ in range(12):
        before = np.asarray(ravelled(x))
        x, state, g, f = step(x, state)
        after, t = np.asarray(ravelled(x)), float(f) / np.linalg.norm(g)
        left = np.sum((after - best) ** 2)
        assert left <= np.sum((before - best) ** 2) - t**2 + 1e-12
    assert left < 1e-3 * np.sum((UPPER - best) ** 2)


def test_a_constant_radius_has_its_rate():
    """min f − f* <= R G/√K on the G-Lipschitz |x − c|₁ in a box."""
    updates = 40
    inside = np.clip(CENTER, LOWER, UPPER) * 0.5
    distance = np.linalg.norm(UPPER - inside)
    t = distance / np.sqrt(updates)
    optimizer = transforms.local_lmo(sets.box(LOWER, UPPER), radii.constant(t))

    def step(x, _):
        gap, g = jax.value_and_grad(lambda y: jnp.abs(y - inside).sum())(x)
        change, _ = optimizer.update(g, optimizer.init(x), x)
        return x + change, gap

    _, gaps = jax.jit(lambda x: jax.lax.scan(step, x, None, updates))(
        jnp.asarray(UPPER)
    )
    assert gaps.min() <= distance * np.sqrt(D) / np.sqrt(updates)


def test_radii_by_hand():
    x, g = jnp.array([1.0, 1.0]), jnp.array([3.0, -4.0])
    project = sets.box(0.0, 2.0).project
    expected = {
        radii.constant(0.7): 0.7,
        radii.proportional(0.1): 0.5,
        radii.polyak(1.0): 0.4,
        radii.generalized(2.0, 0.5): 5 / 4.5,
        radii.of_projected_gradient(1.0): np.sqrt(2),
    }
    for radius, t in expected.items():
        assert float(radius.of(project, x, g, 3.0)) == pytest.approx(t)
        assert radius.inputs == (("value",) if t == 0.4 else ())
    assert float(radii.polyak(1.0).of(project, x, 0 * g, 0.5)) == 0
    assert float(radii.generalized(0.0, 1.0).of(project, x, 0 * g, None)) == 0


@pytest.mark.parametrize("name", SETS)
def test_it_stays_where_there_is_no_gradient_and_no_radius(name):
    convex_set, project = SETS[name]
    x = tree_of(project(START))
    ones = jax.tree.map(jnp.ones_like, x)
    for g, t in ((0.0, 1.0), (1.0, 0.0)):
        optimizer = transforms.local_lmo(convex_set, radii.constant(jnp.asarray(t)))
        grads = jax.tree.map(lambda y, g=g: g * y, ones)
        updates, _ = optimizer.update(grads, optimizer.init(x), x)
        assert not any(np.any(u) for u in jax.tree.leaves(updates))  # nor NaN


@pytest.mark.parametrize("upper", [100.0, np.inf])
@pytest.mark.parametrize(
    ("dtype", "small"),
    [
        *[(jnp.float32, s) for s in (1e-3, 1e-12, 1e-19, 1e-25, 1e-37)],
        *[(jnp.float64, s) for s in (1e-12, 1e-170, 1e-300)],
    ],
)
def test_a_box_with_small_entries_of_the_gradient(dtype, small, upper):
    """By hand: from 0 the first goes to −1 and stops, the others take √(t² − 1)."""
    step = jax.jit(sets.box(-1.0, upper).step)
    x, t = jnp.zeros(2, dtype), jnp.asarray(5.0, dtype)
    found = step(x, jnp.array([1.0, -small], dtype), t)
    np.testing.assert_allclose(found, [-1, np.sqrt(24)], rtol=1e-6)
    g = jnp.array([1.0, -3 * small, 0.0, -4 * small], dtype)
    found = step(jnp.zeros(4, dtype), g, t)
    expected = [-1, 0.6 * np.sqrt(24), 0, 0.8 * np.sqrt(24)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(jnp.linalg.norm(found), 5, rtol=1e-6)


def test_a_box_with_entries_that_stop_one_after_the_other():
    """By hand: −1, then 10, the last takes √(500² − 101); or all, where t is long."""
    step = jax.jit(sets.box(-1.0, jnp.array([1.0, 10.0, 1000.0], jnp.float32)).step)
    x, g = jnp.zeros(3, jnp.float32), jnp.array([1, -2e-38, -2e-38], jnp.float32)
    found = step(x, g, jnp.float32(500))
    np.testing.assert_allclose(found, [-1, 10, np.sqrt(500**2 - 101)], rtol=1e-6)
    np.testing.assert_array_equal(step(x, g, jnp.float32(1001)), [-1, 10, 1000])


@pytest.mark.parametrize("t", [1e-30, 1e30])
def test_the_scale_of_a_box_does_not_matter(t):
    step = sets.box(-t, 10 * t).step
    g = jnp.array([0.6, -0.8], jnp.float32)
    found = step(jnp.zeros(2, jnp.float32), g, jnp.float32(2 * t))
    np.testing.assert_allclose(found / t, [-1, np.sqrt(3)], rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", SETS)
def test_leaves_keep_their_dtype(name, dtype):
    """Also where the numbers of the set and the radius are float64; traced or not."""
    convex_set, project = SETS[name]
    x, g = project(START), CENTER / np.linalg.norm(CENTER)
    expected = reference.local_step(project, x, g, 0.2) - x
    x, g = (jax.tree.map(lambda y: y.astype(dtype), tree_of(y)) for y in (x, g))
    assert convex_set.project(jnp.asarray(START, dtype)).dtype == dtype

    def change(t):
        optimizer = transforms.local_lmo(convex_set, radii.constant(t))
        return optimizer.update(g, optimizer.init(x), x)[0]

    for found in (change(0.2), jax.jit(change)(jnp.asarray(0.2))):
        assert {y.dtype for y in jax.tree.leaves(found)} == {jnp.dtype(dtype)}
        tolerance = 0.02 if dtype == jnp.bfloat16 else 1e-6
        np.testing.assert_allclose(ravelled(found), expected, atol=tolerance)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("name", ["simplex", "l1 ball"])
def test_a_traced_total_may_have_another_dtype(name, dtype):
    make = {"simplex": sets.simplex, "l1 ball": sets.l1_ball}[name]
    found = jax.jit(lambda total, x: make(total).project(x))
    x = jnp.asarray(START + 1, jnp.float32)
    point = found(jnp.asarray(1.5, dtype), x)
    assert point.dtype == jnp.float32
    np.testing.assert_allclose(point, SETS[name][1](START + 1), atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_scale_of_the_gradient_does_not_matter(scale):
    optimizer = transforms.local_lmo(sets.box(LOWER, UPPER), radii.constant(0.4))
    x, g = jnp.asarray(START), jnp.asarray(CENTER)
    one, _ = optimizer.update(g, optimizer.init(x), x)
    other, _ = optimizer.update(scale * g, optimizer.init(x), x)
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_mistakes_are_named():
    with pytest.raises(TypeError, match=r"a set and a radius, such as local_lmo"):
        transforms.local_lmo(sets.whole_space, radii.constant(1.0))
    with pytest.raises(TypeError, match=r"got ConvexSet and float"):
        transforms.local_lmo(sets.whole_space(), 1.0)
    optimizer = transforms.local_lmo(sets.whole_space(), radii.polyak(0.0))
    with pytest.raises(TypeError, match=r"needs update.*value="):
        optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)), jnp.ones(2))
    with pytest.raises(ValueError, match="radius must be positive"):
        radii.constant(0.0)
    with pytest.raises(ValueError, match="the radius of a ball must be positive"):
        sets.ball(-1.0)
