"""MVR's family, Hessian-corrected momentum, implicit transport: paths and identities.

What every transformation promises is tested in contracts/test_transforms.py.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import momentum_loops as reference

from fedjax_opt import estimators, theory, transforms
from fedjax_opt.estimators.value_and_grads import value_and_grads
from fedjax_opt.geometry import whole_tree_l2
from fedjax_opt.needs import hessian_product, states

STEPS = 10
HESSIAN = np.array([[2.0, 0.5, 0.0], [0.5, 3.0, 1.0], [0.0, 1.0, 5.0]])
X0 = np.array([1.0, -2.0, 0.5])
RNG = np.random.default_rng(0)
SAMPLES = RNG.normal(size=(STEPS, 3))
STEP = 0.05
STEP_SIZES = STEP / np.sqrt(np.arange(STEPS) + 1)
KEY = jax.random.key(7)


def loss(x, xi):
    """½ xᵀHx + Σ sin(ξᵢ xᵢ): gradients and Hessians are noisy."""
    return x @ HESSIAN @ x / 2 + jnp.sum(jnp.sin(xi * x))


def grad(x, k):
    xi = SAMPLES[k]
    return HESSIAN @ x + xi * np.cos(xi * x)


def hvp(z, v, k):
    xi = SAMPLES[k]
    return HESSIAN @ v - xi**2 * np.sin(xi * z) * v


def quadratic(x, xi):
    """½ xᵀHx + ξᵀx: additive noise."""
    return x @ HESSIAN @ x / 2 + xi @ x


def by_transform(direction, step_size=STEP):
    return optax.chain(direction, optax.scale_by_learning_rate(step_size))


def by_lmo(direction):
    """Normalized steps of decreasing length."""

    def steps(k):
        return STEP / jnp.sqrt(k.astype(float) + 1)

    return optax.chain(direction, transforms.lmo_step(whole_tree_l2(), steps))


def trained(optimizer, loss, x, samples):
    """x⁰, ..., x^K, and the q of every update, if any are drawn."""
    optimizer, oracle = value_and_grads(loss, optimizer)

    def step(carry, sample):
        x, state = carry
        q = [n.mixture for _, n in states(state.optimizer) if n.mixture is not None]
        _, grads, extra = oracle(x, state, sample)
        updates, state = optimizer.update(grads, state, x, **extra)
        x = optax.apply_updates(x, updates)
        return (x, state), (x, q)

    x = jnp.asarray(x)
    _, (path, q) = jax.jit(lambda carry: jax.lax.scan(step, carry, samples))(
        (x, optimizer.init(x))
    )
    return np.concatenate([x[None], path]), np.array(q[0]) if q else None


def rising(k):
    """A β that varies."""
    return (k / (k + 3.0)) ** 0.5


RISING = [rising(k) for k in range(STEPS)]
MOVE = reference.plain(STEP)
NORMALIZED = reference.normalized(STEP_SIZES)
RUN = (X0, STEPS, MOVE)
NORMALIZED_RUN = (X0, STEPS, NORMALIZED)

# name: (the library's, the loop's, which is given the q that were drawn)
PATHS = {
    "mvr": (
        lambda: by_transform(estimators.mvr(0.7)),
        lambda _: reference.mvr(grad, *RUN, alpha=0.3),
    ),
    "normalized mvr": (
        lambda: by_lmo(estimators.mvr(0.7)),
        lambda _: reference.mvr(grad, *NORMALIZED_RUN, alpha=0.3),
    ),
    "storm": (
        lambda: estimators.storm(0.2, 3.0, 20.0),
        lambda _: reference.storm(grad, X0, STEPS, k=0.2, w=3.0, c=20.0),
    ),
    "storm, clipped": (
        lambda: estimators.storm(0.2, 3.0, 500.0),
        lambda _: reference.storm(grad, X0, STEPS, k=0.2, w=3.0, c=500.0),
    ),
    "gamma_mvr": (
        lambda: by_transform(estimators.gamma_mvr(0.7, 0.4)),
        lambda _: reference.gamma_mvr(grad, *RUN, new_weight=0.3, gamma=0.4),
    ),
    "mars": (
        lambda: by_transform(
            optax.chain(
                estimators.mars(0.8, 0.3),
                transforms.clip(4.0),
                transforms.momentum(0.8, from_first=True),
            )
        ),
        lambda _: reference.mars(grad, *RUN, beta=0.8, gamma=0.3, threshold=4.0),
    ),
    "gluon_mvr2": (
        lambda: by_lmo(estimators.gluon_mvr2(0.6, 0.8)),
        lambda _: reference.gluon_mvr(
            grad, *NORMALIZED_RUN, beta=0.6, q=0.2, variant=2
        ),
    ),
    "gluon_mvr3": (
        lambda: by_lmo(estimators.gluon_mvr3(0.6, 0.8)),
        lambda _: reference.gluon_mvr(
            grad, *NORMALIZED_RUN, beta=0.6, q=0.2, variant=3
        ),
    ),
    "hessian, at a random point": (
        lambda: by_lmo(transforms.hessian_momentum(0.7, KEY)),
        lambda q: reference.hessian_corrected(
            grad, hvp, *NORMALIZED_RUN, alphas=[0.3] * STEPS, qs=q[1:]
        ),
    ),
    "hessian, at x, with other weights": (
        lambda: by_transform(transforms.hessian_momentum(rising, coefficient=0.2)),
        lambda _: reference.hessian_corrected(
            grad, hvp, *RUN, alphas=1 - np.array(RISING[1:]), bs=[0.2] * STEPS
        ),
    ),
    "hessian, varying": (
        lambda: by_transform(transforms.hessian_momentum(rising)),
        lambda _: reference.hessian_corrected(
            grad, hvp, *RUN, alphas=1 - np.array(RISING[1:])
        ),
    ),
    "hessian, clipped": (
        lambda: optax.chain(
            transforms.clipped_hessian_momentum(0.7, STEP, 5.0, 3.0, KEY),
            transforms.lmo_step(whole_tree_l2(), STEP),
        ),
        lambda q: reference.clipped_nsgd_hess(
            grad, hvp, X0, STEPS, a=0.3, gamma=STEP, lam=5.0, lam_h=3.0, qs=q[1:]
        ),
    ),
    "nigt": (
        lambda: by_lmo(transforms.nigt(0.7)),
        lambda _: reference.nigt(grad, *NORMALIZED_RUN, betas=[0.7] * STEPS),
    ),
    "nigt, varying": (
        lambda: by_lmo(transforms.nigt(rising)),
        lambda _: reference.nigt(grad, *NORMALIZED_RUN, betas=RISING),
    ),
    "n_pg_igt": (
        lambda: transforms.n_pg_igt(0.4),
        lambda _: reference.n_pg_igt(
            lambda x, k: -grad(x, k), X0, STEPS, step_size=0.4
        ),
    ),
    "n_harpg": (
        lambda: transforms.n_harpg(lambda t: STEP / jnp.sqrt(t + 1.0), KEY),
        lambda q: reference.n_harpg(
            lambda x, k: -grad(x, k),
            lambda z, v, k: -hvp(z, v, k),
            X0,
            STEPS,
            step_sizes=STEP_SIZES,
            qs=q,
        ),
    ),
    "n_harpg is the hessian's": (
        lambda: transforms.n_harpg(lambda t: STEP / jnp.sqrt(t + 1.0), KEY),
        lambda q: reference.hessian_corrected(
            grad,
            hvp,
            *NORMALIZED_RUN,
            alphas=[2 / (k + 3) for k in range(STEPS)],
            qs=q[1:],
        ),
    ),
}


@pytest.mark.parametrize("name", PATHS)
def test_path(name):
    ours, theirs = PATHS[name]
    path, q = trained(ours(), loss, X0, SAMPLES)
    np.testing.assert_allclose(path, theirs(q)[0], rtol=1e-10, atol=1e-12)


def test_the_loops_above_clip():
    """Some gradients, products and weights, and not all."""
    x = PATHS["hessian, clipped"][1](np.full(STEPS + 1, 0.5))[0]
    lengths = [np.linalg.norm(grad(x[k], k)) for k in range(STEPS)]
    assert min(lengths) < 5.0 < max(lengths)
    products = [hvp(x[k], x[k] - x[k - 1], k) for k in range(1, STEPS)]
    per_length = np.linalg.norm(products, axis=1) / STEP
    assert min(per_length) < 3.0 < max(per_length)

    x = PATHS["storm, clipped"][1](None)[0]
    squares = [np.sum(grad(x[k], k) ** 2) for k in range(STEPS)]
    weights = 500.0 * 0.04 / (3.0 + np.cumsum(squares)) ** (2 / 3)
    assert min(weights) < 1 < max(weights)


# ---------------------------------------------------------------- identities


def estimates(estimator, grads, previous):
    """What it makes of gradients [K, d] and those at the points before."""

    def step(state, inputs):
        m, state = estimator.update(inputs[0], state, previous_grads=inputs[1])
        return state, m

    inputs = (jnp.asarray(grads), jnp.asarray(previous))
    start = estimator.init(inputs[0][0])
    return np.asarray(jax.jit(lambda i: jax.lax.scan(step, start, i)[1])(inputs))


def with_noise(points, noise):
    """∇f + ξ of the quadratic at xᵏ, and at xᵏ⁻¹."""
    before = np.concatenate([points[:1], points[:-1]])
    return points @ HESSIAN + noise, before @ HESSIAN + noise


POINTS = RNG.normal(size=(STEPS, 3))
PAIRS = (RNG.normal(size=(STEPS, 3)), RNG.normal(size=(STEPS, 3)))
PAIRS[1][0] = PAIRS[0][0]  # no point before the first
NOISY = with_noise(POINTS, SAMPLES)
EXACT = with_noise(POINTS, np.zeros((STEPS, 3)))

SAME = {
    "gamma 1 is mvr": (estimators.gamma_mvr(0.7, 1.0), estimators.mvr(0.7)),
    "gamma 0 is momentum": (estimators.gamma_mvr(0.7, 0.0), estimators.sgdm(0.7)),
    "mars and an average": (
        optax.chain(estimators.mars(0.7, 0.3), estimators.sgdm(0.7)),
        estimators.gamma_mvr(0.7, 0.3),
    ),
    "mars without momentum is sgd": (estimators.mars(0.0, 0.3), estimators.sgd()),
    "2 with q = 1 is momentum": (
        estimators.gluon_mvr2(0.7, 0.0),
        transforms.momentum(0.7, from_first=True),
    ),
    "2 without momentum is mvr": (
        estimators.gluon_mvr2(0.0, 0.7),
        estimators.mvr(0.7),
    ),
    "3 with q = 1 is mvr": (estimators.gluon_mvr3(0.7, 0.0), estimators.mvr(0.7)),
    "3 without momentum is mvr": (
        estimators.gluon_mvr3(0.0, 0.7),
        estimators.mvr(0.7),
    ),
    "both with neither are sgd": (estimators.gluon_mvr3(0.0, 0.0), estimators.sgd()),
}


@pytest.mark.parametrize("name", SAME)
def test_one_is_the_other(name):
    one, other = map(optax.with_extra_args_support, SAME[name])
    np.testing.assert_allclose(
        estimates(one, *PAIRS), estimates(other, *PAIRS), rtol=1e-11, atol=1e-12
    )


def test_all_of_the_old_estimate_is_sarah():
    """g⁰ + Σ (∇f(xᵏ; ξᵏ) − ∇f(xᵏ⁻¹; ξᵏ)), also from `gamma_mvr`."""
    changes = PAIRS[0] - PAIRS[1]
    changes[0] = PAIRS[0][0]
    for estimator in (estimators.mvr(1.0), estimators.gamma_mvr(1.0, 1.0)):
        np.testing.assert_allclose(
            estimates(estimator, *PAIRS), np.cumsum(changes, axis=0), rtol=1e-11
        )


def test_exact_without_noise():
    """MVR-3 is; MVR-2 lags behind, as γ < 1 does."""
    gradients = EXACT[0]
    found = estimates(estimators.gluon_mvr3(0.7, 0.8), *EXACT)
    np.testing.assert_allclose(found, gradients, rtol=1e-11, atol=1e-12)
    for estimator in (estimators.gluon_mvr2(0.7, 0.8), estimators.gamma_mvr(0.7, 0.5)):
        found = estimates(estimator, *EXACT)
        assert np.all(np.linalg.norm(found - gradients, axis=1)[1:] > 0.1)


def test_error_recursions_under_additive_noise():
    """γ-MVR: e ← β e + (1−β) ξ + β (γ−1) Δ∇f; MVR-2 and -3 average MVR's errors."""
    gradients = EXACT[0]
    drift = np.diff(gradients, axis=0)
    gamma = estimates(estimators.gamma_mvr(0.7, 0.4), *NOISY) - gradients
    second = estimates(estimators.gluon_mvr2(0.6, 0.8), *NOISY) - gradients
    third = estimates(estimators.gluon_mvr3(0.6, 0.8), *NOISY) - gradients
    e1 = inner = e2 = e3 = SAMPLES[0]
    for k in range(1, STEPS):
        e1 = 0.7 * (e1 + (0.4 - 1) * drift[k - 1]) + 0.3 * SAMPLES[k]
        inner = 0.8 * inner + 0.2 * SAMPLES[k]
        e2 = 0.6 * (e2 - drift[k - 1]) + 0.4 * inner
        e3 = 0.6 * e3 + 0.4 * inner
        np.testing.assert_allclose(gamma[k], e1, atol=1e-11)
        np.testing.assert_allclose(second[k], e2, atol=1e-11)
        np.testing.assert_allclose(third[k], e3, atol=1e-11)


def test_variance_that_stays():
    """α σ²/(2 − α) of MVR, whatever the steps; 4000 numbers with noise of their own."""
    alpha, size = 0.2, 4000
    noise = RNG.normal(size=(40, size))
    points = np.cumsum(RNG.normal(size=(41, 1)), axis=0)
    found = estimates(
        estimators.mvr(1 - alpha), 3 * points[1:] + noise, 3 * points[:-1] + noise
    )
    error = found[-1] - 3 * points[-1]
    assert np.var(error) == pytest.approx(alpha / (2 - alpha), rel=0.1)


# ---------------------------------------------------------------- Hessians


@functools.cache
def quadratic_path(name):
    direction = {
        "mvr": lambda: estimators.mvr(0.7),
        "at x": lambda: transforms.hessian_momentum(0.7),
        "at a random point": lambda: transforms.hessian_momentum(0.7, KEY),
        "never clipped": lambda: transforms.clipped_hessian_momentum(
            0.7, STEP, np.inf, np.inf, KEY
        ),
    }[name]()
    return trained(by_lmo(direction), quadratic, X0, SAMPLES)[0]


@pytest.mark.parametrize("name", ["at x", "at a random point", "never clipped"])
def test_hessian_momentum_is_mvr_where_the_hessian_is_constant(name):
    expected = reference.mvr(
        lambda x, k: HESSIAN @ x + SAMPLES[k], *NORMALIZED_RUN, alpha=0.3
    )[0]
    np.testing.assert_allclose(quadratic_path(name), expected, rtol=1e-11)


def hessian_estimates(estimator, grads, products):
    def step(state, inputs):
        m, state = estimator.update(inputs[0], state, hvp=inputs[1])
        return state, m

    inputs = (jnp.asarray(grads), jnp.asarray(products))
    start = estimator.init(inputs[0][0])
    return np.asarray(jax.jit(lambda i: jax.lax.scan(step, start, i)[1])(inputs))


def test_limits_of_hessian_momentum():
    """β = 0 passes gradients on, b = 0 is momentum, no noise is the exact gradient."""
    grads, products = PAIRS
    passed = hessian_estimates(transforms.hessian_momentum(0.0), grads, products)
    np.testing.assert_allclose(passed, grads, rtol=1e-12)

    plain = transforms.hessian_momentum(0.7, coefficient=0.0)
    average = [grads[0]]
    for g in grads[1:]:
        average.append(0.7 * average[-1] + 0.3 * g)
    np.testing.assert_allclose(
        hessian_estimates(plain, grads, products), average, rtol=1e-11
    )

    exact, before = EXACT
    found = hessian_estimates(transforms.hessian_momentum(0.7), exact, exact - before)
    np.testing.assert_allclose(found, exact, rtol=1e-11, atol=1e-12)


def test_first_update_ignores_the_product():
    transform, g = transforms.hessian_momentum(0.7), jnp.asarray(X0)
    m, _ = transform.update(g, transform.init(g), hvp=jnp.full(3, jnp.nan))
    np.testing.assert_array_equal(m, g)


def test_mean_over_q_is_the_change_of_the_gradient():
    """∫₀¹ ∇²f(q x + (1−q) x⁻)(x − x⁻) dq = ∇f(x) − ∇f(x⁻); midpoints of a grid."""
    x, before = jnp.asarray(X0), jnp.array([0.3, -1.0, 0.9])
    gradient = jax.grad(lambda z: loss(z, 2 * SAMPLES[0]))
    grid = (jnp.arange(1000) + 0.5) / 1000
    products = jax.vmap(lambda q: hessian_product(gradient, x, before, q))(grid)
    change = gradient(x) - gradient(before)
    np.testing.assert_allclose(products.mean(0), change, rtol=1e-5)
    assert np.linalg.norm(products[0] - change) > 0.05


def test_q_is_uniform_and_drawn_anew():
    """Mean ½ ± 4 standard errors, as many in each quarter; others with another key."""
    transform, g = transforms.hessian_momentum(0.5, KEY), jnp.zeros(1)

    def drawn(key):
        def step(state, _):
            q = state.needs.mixture
            return transform.update(g, state, hvp=g)[1], q

        start = transforms.hessian_momentum(0.5, key).init(g)
        return jax.lax.scan(step, start, None, 2000)[1]

    q, others = jax.jit(jax.vmap(drawn))(jnp.stack([KEY, jax.random.key(8)]))
    assert abs(q.mean() - 0.5) < 4 / np.sqrt(12 * 2000)
    counts = np.histogram(q, bins=4, range=(0, 1))[0]
    assert np.all(np.abs(counts - 500) < 4 * np.sqrt(2000 * 3 / 16))
    assert len(np.unique(q)) == 2000 and not np.any(q == others)


# ---------------------------------------------------------------- transport


@pytest.mark.parametrize("beta", [0.8, rising], ids=["constant", "varying"])
def test_transport_is_exact_on_quadratics(beta):
    """Without noise m is the gradient: the path is that of normalized descent."""
    path, _ = trained(by_lmo(transforms.nigt(beta)), quadratic, X0, 0 * SAMPLES)
    x = X0
    for k in range(STEPS):
        x = NORMALIZED(x, HESSIAN @ x, k)
        np.testing.assert_allclose(path[k + 1], x, rtol=1e-11)


def test_transport_of_noise():
    """The path of MVR, on quadratics with additive noise: e ← β e + (1−β) ξ."""
    path, _ = trained(by_lmo(transforms.nigt(0.7)), quadratic, X0, SAMPLES)
    np.testing.assert_allclose(path, quadratic_path("mvr"), rtol=1e-11)


def test_transport_without_momentum_is_normalized_sgd():
    path, _ = trained(by_lmo(transforms.nigt(0.0)), loss, X0, SAMPLES)
    x = X0
    for k in range(STEPS):
        x = NORMALIZED(x, grad(x, k), k)
        np.testing.assert_allclose(path[k + 1], x, rtol=1e-11)


def test_schedules_of_policy_gradients():
    """1 − (2/3)^(4/5) and 1 − 2/3 after one update, 0 before; ½ after two and six."""
    counts = jnp.array([0, 1, 2, 6])
    igt = transforms.n_pg_igt_momentum(counts)
    np.testing.assert_allclose(
        igt, [0, 0.2770188, 1 - 0.5**0.8, 1 - 0.25**0.8], atol=1e-6
    )
    harpg = transforms.n_harpg_momentum(counts)
    np.testing.assert_allclose(harpg, [0, 1 / 3, 1 / 2, 3 / 4], rtol=1e-12)


# ---------------------------------------------------------------- through the oracle


FACTORIES = {
    "gamma_mvr": lambda beta: estimators.gamma_mvr(beta, 0.4),
    "mars": lambda beta: estimators.mars(beta, 0.4),
    "gluon_mvr2": lambda beta: estimators.gluon_mvr2(beta, 0.5),
    "gluon_mvr3": lambda beta: estimators.gluon_mvr3(beta, 0.5),
    "hessian_momentum": lambda beta: transforms.hessian_momentum(beta, KEY),
    "clipped_hessian_momentum": lambda beta: transforms.clipped_hessian_momentum(
        beta, STEP, 2.0, 2.0, KEY
    ),
    "nigt": transforms.nigt,
}


@pytest.mark.parametrize("name", FACTORIES)
def test_injected_numbers_reach_the_oracle(name):
    make = FACTORIES[name]
    injected = optax.inject_hyperparams(lambda momentum: make(momentum))(momentum=0.6)
    path, _ = trained(by_transform(injected), loss, X0, SAMPLES[:4])
    expected, _ = trained(by_transform(make(0.6)), loss, X0, SAMPLES[:4])
    np.testing.assert_allclose(path, expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["mars", "gluon_mvr3", "hessian_momentum"])
def test_a_part_for_some_of_the_leaves(name):
    """The others see plain gradients."""
    inner = optax.partition(
        {"ours": by_transform(FACTORIES[name](0.6)), "sgd": optax.sgd(STEP)},
        {"a": "ours", "b": "sgd"},
        mask_compatible_extra_args=True,
    )
    optimizer, oracle = value_and_grads(
        lambda p, xi: loss(p["a"], xi) + loss(p["b"], xi), inner
    )
    params = {"a": jnp.asarray(X0), "b": jnp.asarray(X0)}

    def step(carry, sample):
        params, state = carry
        _, grads, extra = oracle(params, state, sample)
        updates, state = optimizer.update(grads, state, params, **extra)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    start = (params, optimizer.init(params))
    _, found = jax.jit(lambda s: jax.lax.scan(step, s, SAMPLES[:4]))(start)
    alone, _ = trained(by_transform(FACTORIES[name](0.6)), loss, X0, SAMPLES[:4])
    np.testing.assert_allclose(found["a"], alone[1:], rtol=1e-12)
    x = X0
    for k in range(4):
        x = x - STEP * grad(x, k)
        np.testing.assert_allclose(found["b"][k], x, rtol=1e-12)


@pytest.mark.parametrize("name", [n for n in FACTORIES if n != "nigt"] + ["storm"])
def test_averages_over_minibatches_are_refused(name):
    make = FACTORIES.get(name, lambda _: estimators.storm(0.1, 1.0, 1.0))
    optimizer, _ = value_and_grads(loss, optax.MultiSteps(make(0.6), 2))
    with pytest.raises(ValueError, match="averages gradients over minibatches"):
        optimizer.init(jnp.asarray(X0))


def test_transport_takes_minibatches():
    """Both at y: two with one sample are one update."""
    averaged = optax.MultiSteps(by_transform(transforms.nigt(0.7)), 2)
    path, _ = trained(averaged, loss, X0, np.repeat(SAMPLES[:4], 2, axis=0))
    expected, _ = trained(by_transform(transforms.nigt(0.7)), loss, X0, SAMPLES[:4])
    np.testing.assert_allclose(path[::2], expected, rtol=1e-6)


def test_momenta_may_be_swept():
    """One program; each β has the path of its own."""
    betas = jnp.array([0.0, 0.6])

    def end(beta):
        m = optax.chain(transforms.hessian_momentum(beta), estimators.mars(beta, 0.4))
        optimizer, oracle = value_and_grads(loss, by_transform(m))
        x = jnp.asarray(X0)
        state = optimizer.init(x)
        for sample in SAMPLES[:2]:
            _, grads, extra = oracle(x, state, sample)
            updates, state = optimizer.update(grads, state, x, **extra)
            x = optax.apply_updates(x, updates)
        return x

    swept = jax.jit(jax.vmap(end))(betas)
    x = X0 - STEP * grad(X0, 0)
    np.testing.assert_allclose(swept[0], x - STEP * grad(x, 1), rtol=1e-12)
    assert np.linalg.norm(swept[1] - swept[0]) > 1e-3


# ---------------------------------------------------------------- γ-similarity

NUM, STEEP = 4, 4.0  # fᵢ(x) = ½ STEEP xᵢ², i uniform: L = 1, δ² = 3
SIMILARITY = np.sqrt(3.0)


def component_grad(x, i):
    return STEEP * x * (jnp.arange(NUM) == i)


def test_constants_of_the_components():
    """γ* = 1/n, δ² is n times δ_γ*², and the bound on δ_γ² is an equality."""
    assert theory.best_gamma(1.0, SIMILARITY) == pytest.approx(1 / NUM)
    least = theory.gamma_similarity(1 / NUM, 1.0, SIMILARITY) ** 2
    assert SIMILARITY**2 / least == pytest.approx(NUM)
    v = RNG.normal(size=NUM)
    for gamma in (0.0, 0.25, 0.6, 1.0):
        samples = gamma * STEEP * np.diag(v)  # row i: γ (∇fᵢ(x) − ∇fᵢ(y)), x − y = v
        square = np.mean(np.sum((samples - STEEP / NUM * v) ** 2, axis=1))
        bound = theory.gamma_similarity(gamma, 1.0, SIMILARITY) ** 2
        assert square == pytest.approx(bound * np.sum(v**2))


def test_guarantee_of_gamma_mvr():
    """E|∇f(x̂)|² <= 4ε², over 200 runs; |x| <= 1 bounds the variance by δ²."""
    accuracy, start = 0.3, np.full(NUM, 0.5)
    gamma = theory.best_gamma(1.0, SIMILARITY)
    found = theory.gamma_mvr(
        1.0,
        SIMILARITY**2,
        gamma=gamma,
        gamma_similarity=theory.gamma_similarity(gamma, 1.0, SIMILARITY),
        accuracy=accuracy,
        initial_gap=np.sum(start**2) / 2,
    )
    estimator = estimators.gamma_mvr(found.momentum, gamma)

    def run(key):
        first, rest = jax.random.split(key)
        x = jnp.asarray(start)
        batch = jax.random.randint(first, (found.first_batch_size,), 0, NUM)
        grads = jax.vmap(component_grad, (None, 0))(x, batch).mean(0)
        g, state = estimator.update(grads, estimator.init(x), previous_grads=grads)

        def step(carry, i):
            x, g, state = carry
            new = x - found.step_size * g
            g, state = estimator.update(
                component_grad(new, i), state, previous_grads=component_grad(x, i)
            )
            return (new, g, state), x

        draws = jax.random.randint(rest, (found.num_updates,), 0, NUM)
        return jax.lax.scan(step, (x, g, state), draws)[1]

    points = jax.jit(jax.vmap(run))(jax.random.split(KEY, 200))
    squares = np.sum(np.asarray(points) ** 2, axis=2)  # of x, and of ∇f = x
    assert squares.max() <= 1.1
    assert squares[:, 0] == pytest.approx(np.ones(200))
    assert squares.mean() <= 4 * accuracy**2
    assert squares[:, -1].mean() < 0.1


def test_parameters_of_gamma_mvr_by_hand():
    """σ² = 4ε²: b = ¼, a = 4 (9/16 + 9/16) = 4.5, T = ⌈16 (1 + √4.5) + 4⌉."""
    found = theory.gamma_mvr(
        1.0,
        1.0,
        gamma=0.5,
        gamma_similarity=np.sqrt(0.5),
        accuracy=0.5,
        initial_gap=2.0,
    )
    assert found.momentum == 0.75 and found.first_batch_size == 4
    assert found.step_size == pytest.approx(1 / (1 + np.sqrt(4.5)))
    assert found.num_updates == 54
    free = theory.gamma_mvr(2.0, 0.0, gamma=0.5, gamma_similarity=1.0, accuracy=0.5)
    assert free == (0.5, 0.0, 1, None)


def test_parameters_of_a_horizon_by_hand():
    """LΔ/(σ²T) = 1/16, γ = ½, δ_γ = 2: b = √(1/32) + 2^(−1/3) (1/8)^(2/3)."""
    found = theory.gamma_mvr_of_horizon(
        1.0, 1.0, gamma=0.5, gamma_similarity=2.0, initial_gap=1.0, num_updates=16
    )
    b = 0.1767767 + 0.7937005 / 4
    assert found.momentum == pytest.approx(1 - b, rel=1e-6)
    assert found.step_size == pytest.approx(
        1 / (1 + 0.5 / b + np.sqrt(8 / b)), rel=1e-6
    )
    assert found.first_batch_size == 3 and found.num_updates == 16
    short = theory.gamma_mvr_of_horizon(
        1.0, 1.0, gamma=0.5, gamma_similarity=2.0, initial_gap=9.0, num_updates=1
    )
    assert short.momentum == 0


# ---------------------------------------------------------------- heavy tails


def test_hessians_under_heavy_tails():
    """½‖x‖² with Pareto noise, tail index 1.1, on gradients and Hessians; d = 10.

    Momentum lags and is thrown about; Hessians take off the lag; clipping also calms.
    Distances in the second half of 400 steps, in 64 runs: at first they are 3.2.
    """
    runs, steps, size, eta, beta = 64, 400, 10, 0.02, 0.98
    rng = np.random.default_rng(3)
    shape = (2, runs, steps, size)
    pareto = rng.choice([-1, 1], shape) * (rng.random(shape) ** (-1 / 1.1) - 1)
    noise, curvature = 0.03 * pareto

    def noisy(x, sample):
        return jnp.sum((1 + sample[1]) * x**2) / 2 + sample[0] @ x

    def distances(direction):
        optimizer = optax.chain(direction, transforms.lmo_step(whole_tree_l2(), eta))
        optimizer, oracle = value_and_grads(noisy, optimizer)

        def step(carry, sample):
            x, state = carry
            _, grads, extra = oracle(x, state, sample)
            updates, state = optimizer.update(grads, state, x, **extra)
            x = optax.apply_updates(x, updates)
            return (x, state), jnp.linalg.norm(x)

        start = jnp.ones(size)
        carry = (start, optimizer.init(start))
        one = jax.vmap(lambda samples: jax.lax.scan(step, carry, samples)[1])
        return np.asarray(jax.jit(one)((noise, curvature)))[:, steps // 2 :]

    plain = distances(transforms.momentum(beta, from_first=True))
    hessian = distances(transforms.hessian_momentum(beta, KEY))
    clipped = distances(transforms.clipped_hessian_momentum(beta, eta, 5.0, 2.0, KEY))
    medians = [np.median(d.mean(axis=1)) for d in (plain, hessian, clipped)]
    assert medians[1] < 0.75 * medians[0]
    assert medians[2] < 0.6 * medians[1]
    assert clipped.max() < 0.5 * plain.max()


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    "build, match",
    [
        (lambda: estimators.gamma_mvr(0.9, 1.5), "gamma"),
        (lambda: estimators.gamma_mvr(-0.1, 0.5), "old estimate"),
        (lambda: estimators.mars(1.0), "momentum"),
        (lambda: estimators.mars(0.9, -1.0), "gamma must not be negative"),
        (lambda: estimators.gluon_mvr2(1.1, 0.5), "momentum"),
        (lambda: estimators.gluon_mvr3(0.5, -1.0), "old estimate"),
        (lambda: estimators.storm(0.0, 1.0, 1.0), "step_scale"),
        (lambda: estimators.storm(1.0, 0.0, 1.0), "offset"),
        (lambda: transforms.hessian_momentum(1.0), "old buffer"),
        (lambda: transforms.clipped_hessian_momentum(0.9, 0.0, 1.0, 1.0), "step_size"),
        (lambda: transforms.clipped_hessian_momentum(0.9, 0.1, 1.0, -1.0), "threshold"),
        (lambda: transforms.nigt(1.0), "old buffer"),
        (lambda: transforms.n_pg_igt(0.0), "step_size"),
        (lambda: transforms.n_harpg(-1.0, KEY), "step_size"),
        (lambda: theory.gamma_similarity(1.5, 1.0, 1.0), "gamma"),
        (lambda: theory.best_gamma(0.0, 1.0), "smoothness"),
    ],
)
def test_numbers_out_of_range_are_refused(build, match):
    with pytest.raises(ValueError, match=match):
        build()
