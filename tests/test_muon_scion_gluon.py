"""Muon, Scion, Gluon, NSGD-M, Drop-Muon, EF21-Muon: trajectories, reductions, facts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
from jax.tree_util import Partial
from lmo_problem import (
    DUAL,
    LMO,
    NORM,
    UPDATES,
    X0,
    close,
    exact,
    noisy,
    path,
    states_along,
)
from reference import lmo_loops as reference
from trajectory import X0 as MATRIX
from trajectory import N, measured
from trajectory import full_gradient as of_worker

from fedjax_opt import compressors, geometry, methods, static, transforms

KEY = jax.random.key(3)
SVD = geometry.spectral("svd")
step = optax.scale_by_learning_rate


def once(transform, g):
    return transform.update(g, transform.init(g))[0]


def scaled(factor, lmo):
    return lambda g: factor * lmo(g)


# ---------------------------------------------------------------- Muon


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("weight_decay", [None, 0.1])
def test_muon_trajectory(nesterov, weight_decay):
    """The kernel 3 × 4 has 3 inputs, 4 outputs: its steps are √(4/3) long."""
    norm = geometry.matrices(transforms.muon_norm(kernel="svd"), geometry.l2())
    found = path(
        transforms.muon(
            0.05, 0.8, geometry=norm, nesterov=nesterov, weight_decay=weight_decay
        )
    )
    expected = reference.muon(
        noisy,
        [scaled(np.sqrt(4 / 3), LMO[0]), LMO[1]],
        X0,
        UPDATES,
        0.05,
        beta=0.8,
        nesterov=nesterov,
        weight_decay=weight_decay or 0.0,
    )
    close(found, expected)


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (5, 5)])
@pytest.mark.parametrize("input_axis", [0, 1])
def test_muon_scales(shape, input_axis):
    """Singular values, and the RMS entry 0.2 of AdamW, for kernels of either layout."""
    g = jnp.asarray(np.random.default_rng(0).normal(size=shape))
    d_in, d_out = shape[input_axis], shape[1 - input_axis]
    largest = {
        "jordan": np.sqrt(max(1, d_out / d_in)),
        "rms": np.sqrt(d_out / d_in),
        "moonlight": 0.2 * np.sqrt(max(shape)),
    }
    for name, size in largest.items():
        norm = transforms.muon_norm(name, "svd", input_axis=input_axis)
        z = np.asarray(norm.lmo(g))
        singular = np.linalg.svd(z, compute_uv=False)
        np.testing.assert_allclose(singular, size, rtol=1e-12)
    assert np.sqrt(np.mean(z**2)) == pytest.approx(0.2, rel=1e-12)


def test_the_rms_scale_is_that_of_scion():
    g = X0[0]
    for axis in (0, 1):
        ours = transforms.muon_norm("rms", "svd", input_axis=axis).lmo(jnp.asarray(g))
        theirs = geometry.rms_to_rms("svd", input_axis=axis).lmo(jnp.asarray(g))
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def directions(transform, gradients):
    def update(state, g):
        out, state = transform.update({"w": g}, state)
        return state, jnp.ravel(out["w"])

    start = transform.init({"w": gradients[0]})
    return np.asarray(jax.jit(lambda g: jax.lax.scan(update, start, g)[1])(gradients))


def test_muon_and_that_of_optax():
    """Without Nesterov the same directions, with it similar ones, soon the same."""
    rng = np.random.default_rng(1)
    gradients = jnp.asarray(rng.normal(size=(21, 8, 12)))
    direction = transforms.scale_by_lmo(geometry.spectral("jordan", 5))
    cosines = {}
    for nesterov in (False, True):
        ours = directions(
            optax.chain(transforms.momentum(0.95, nesterov=nesterov), direction),
            gradients,
        )
        theirs = directions(
            optax.contrib.scale_by_muon(
                nesterov=nesterov,
                eps=1e-14,
                weight_dimension_numbers={"w": optax.contrib.MuonDimensionNumbers()},
            ),
            gradients,
        )
        cosines[nesterov] = [
            a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            for a, b in zip(ours, theirs, strict=True)
        ]
    np.testing.assert_allclose(cosines[False], 1, atol=1e-10)
    early = cosines[True]
    assert early[0] == pytest.approx(1, abs=1e-10)
    assert 0.97 < early[1] < 0.9999
    assert min(early[4:]) > 0.98
    assert min(early[19:]) > 0.9998


# ---------------------------------------------------------------- Scion


@pytest.mark.parametrize("constrained", [True, False])
def test_scion_trajectory(constrained):
    radii = [2.0, 3.0]
    norm = geometry.by_label(
        {"matrix": SVD, "vector": geometry.l2()},
        ["matrix", "vector"],
        radii={"matrix": 2.0, "vector": 3.0},
    )
    found = path(transforms.scion(0.1, norm, momentum=0.7, constrained=constrained))
    expected = reference.scion(
        noisy, LMO, X0, UPDATES, 0.1, radii, alpha=0.3, constrained=constrained
    )
    close(found, expected)


def test_scion_light_has_the_same_iterates():
    found = path(transforms.scion(0.1, NORM, radius=2.0, momentum=0.7))
    expected = reference.scion_light(
        noisy, LMO, X0, UPDATES, 0.1, [2.0, 2.0], alpha=0.3
    )
    close(found, expected)


def test_constrained_scion_stays_in_the_ball():
    rho, norm = 1.5, geometry.per_leaf(geometry.linf(), 1.5)
    like = [jnp.asarray(x) for x in X0]
    x = geometry.initial_point(KEY, geometry.linf(), like, rho)
    assert float(norm.norm(x)) == pytest.approx(1)
    optimizer = transforms.scion(0.3, geometry.linf(), radius=rho)
    state, largest = optimizer.init(x), []
    for k in range(UPDATES):
        updates, state = optimizer.update(noisy(x, k), state, x)
        x = optax.apply_updates(x, updates)
        largest.append(max(float(jnp.abs(y).max()) for y in x))
    assert max(largest) <= rho * (1 + 1e-12)
    assert min(largest) > 0.3 * rho


def test_unconstrained_scion_knows_only_the_product():
    a = path(transforms.scion(0.1, NORM, radius=0.6, constrained=False))
    b = path(transforms.scion(0.3, NORM, radius=0.2, constrained=False))
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


def test_scion_with_signs_is_signum():
    ours = path(transforms.scion(0.1, geometry.linf(), constrained=False))
    theirs = path(optax.signum(0.1, beta=0.9))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_clipped_scion_trajectory():
    for threshold, clipped in ((2.0, True), (1e3, False)):
        optimizer = optax.chain(
            transforms.momentum(0.7),
            transforms.scale_by_clipped_lmo(NORM, threshold),
            step(0.1),
        )
        expected = reference.clipped_scion(
            noisy, LMO, X0, UPDATES, 0.1, threshold, alpha=0.3
        )
        close(path(optimizer), expected)
        first = np.linalg.norm(expected[1][1] - X0[1])
        assert (first == pytest.approx(0.1 * threshold)) == clipped


def test_clipped_scion_in_its_limits():
    """The sharp operator; steps of one length; clipping of gradients."""
    g = [jnp.asarray(x) for x in noisy(X0, 0)]
    never = once(transforms.scale_by_clipped_lmo(NORM, np.inf), g)
    always = once(transforms.scale_by_clipped_lmo(NORM, 1e-3), g)
    total = reference.spectral_dual(g[0]) + reference.l2_dual(g[1])
    for a, b, f, x in zip(never, always, LMO, g, strict=True):
        np.testing.assert_allclose(a, -total * f(x), rtol=1e-10)
        np.testing.assert_allclose(b, -1e-3 * f(x), rtol=1e-10)
    for threshold in (0.5, 100.0):
        ours = transforms.scale_by_clipped_lmo(geometry.whole_tree_l2(), threshold)
        theirs = optax.clip_by_global_norm(threshold)
        for a, b in zip(once(ours, g), once(theirs, g), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10)


# ---------------------------------------------------------------- Gluon and NSGD-M


def test_gluon_trajectory():
    l0, l1 = [2.0, 0.5], [0.3, 1.0]
    optimizer = optax.chain(transforms.scale_by_gluon(NORM, l0, l1), step(1.0))
    expected = reference.gluon(exact, LMO, DUAL, X0, UPDATES, l0, l1)
    close(path(optimizer, exact), expected)


def test_gluon_in_its_limits():
    """L1 = 0: steepest descent with 1/L0 in each layer. L0 = 0: steps of 1/L1."""
    g = [jnp.asarray(x) for x in noisy(X0, 0)]
    linear = once(transforms.scale_by_gluon(NORM, 4.0, 0.0), g)
    constant = once(transforms.scale_by_gluon(NORM, 0.0, 4.0), g)
    for i, layer in enumerate(g):
        sharp = geometry.sharp(NORM, [x if i == j else 0 * x for j, x in enumerate(g)])
        np.testing.assert_allclose(linear[i], sharp[i] / 4, rtol=1e-10)
        np.testing.assert_allclose(constant[i], -LMO[i](layer) / 4, rtol=1e-10)
    zero = [0 * x for x in g]
    for l0 in (0.0, 1.0):
        out = once(transforms.scale_by_gluon(NORM, l0, 1.0), zero)
        assert not any(np.any(x) for x in out)


def test_gluon_where_dual_norms_overflow():
    """By hand: Σ|gᵢ| is 6e38 and 2, tᵢ is 1/L1 and 2/(1 + 4 · 2)."""
    g = [jnp.array([3e38, -3e38], jnp.float32), jnp.ones(2, jnp.float32)]
    out = once(transforms.scale_by_gluon(geometry.linf(), 1.0, 4.0), g)
    np.testing.assert_allclose(out[0], [0.25, -0.25], rtol=1e-6)
    np.testing.assert_allclose(out[1], [2 / 9, 2 / 9], rtol=1e-6)


@pytest.mark.parametrize("epsilon", [3.0, 0.5])
def test_gluon_keeps_the_bound_of_the_theorem(epsilon):
    """f = Σᵢ ½cᵢ‖Xᵢ‖²_F in l2, l∞ and the spectral norm, from X⁰ of normal numbers.

    With ‖Z‖₁ <= d‖Z‖∞ and the nuclear norm at most rank times the spectral one, L0 is
    c, 12c and 3c. With wᵢ = (1/L1ᵢ)/mean(1/L1), Σᵢ wᵢ ‖∇ᵢf(Xᵏ)‖* <= ε for some k < K,
    K = ⌈2Δ Σᵢ(L0ᵢ/L1ᵢ²)/(ε² mean(1/L1)²) + 2Δ/(ε mean(1/L1))⌉.
    """
    curvature, l1 = np.array([1.0, 3.0, 0.5]), np.array([0.5, 1.0, 2.0])
    l0 = curvature * np.array([1.0, 12.0, 3.0])
    rng = np.random.default_rng(6)
    start = [rng.normal(size=shape) for shape in ((5,), (12,), (3, 4))]
    gap = sum(c / 2 * np.sum(x**2) for c, x in zip(curvature, start, strict=True))
    inverse = np.mean(1 / l1)
    updates = 2 * gap * np.sum(l0 / l1**2) / (epsilon * inverse) ** 2
    updates = int(np.ceil(updates + 2 * gap / (epsilon * inverse)))

    norms = dict(zip("abc", (geometry.l2(), geometry.linf(), SVD), strict=True))
    gluon = optax.chain(
        transforms.scale_by_gluon(
            geometry.by_label(norms, {name: name for name in "abc"}),
            dict(zip("abc", l0, strict=True)),
            dict(zip("abc", l1, strict=True)),
        ),
        optax.scale(-1.0),
    )

    def one(carry, _):
        x, state = carry
        grads = {n: c * x[n] for n, c in zip("abc", curvature, strict=True)}
        duals = jnp.stack([norms[n].dual(grads[n]) for n in "abc"])
        moves, state = gluon.update(grads, state)
        return (optax.apply_updates(x, moves), state), duals

    x0 = {n: jnp.asarray(x) for n, x in zip("abc", start, strict=True)}
    _, duals = jax.jit(lambda x: jax.lax.scan(one, (x, gluon.init(x)), length=updates))(
        x0
    )
    weighted = np.asarray(duals) @ (1 / l1 / inverse)
    assert weighted[0] > 2 * epsilon
    assert weighted.min() <= epsilon


def test_layers_of_gluon_do_not_see_each_other():
    g = [jnp.asarray(x) for x in noisy(X0, 0)]
    transform = transforms.scale_by_gluon(NORM, 1.0, 0.5)
    here = once(transform, g)
    there = once(transform, [g[0], 100 * g[1]])
    np.testing.assert_array_equal(here[0], there[0])


@pytest.mark.parametrize("whole", [False, True])
def test_horizon_free_steps(whole):
    """Gluon with decreasing radii; in the norm of the whole tree, NSGD-M."""
    if whole:
        expected = nsgd_m(0.4)
        found = path(transforms.horizon_free_lmo(0.4, geometry.whole_tree_l2()))
    else:
        expected = reference.gluon_scheduled(noisy, LMO, X0, UPDATES, [0.4, 0.4])
        found = path(transforms.horizon_free_lmo(0.4, NORM))
    close(found, expected)


def nsgd_m(eta):
    """NSGD-M on all entries as one vector."""
    x, m, points = X0, [0 * y for y in X0], [X0]
    for k in range(UPDATES):
        alpha = (k + 1) ** -0.5
        m = [(1 - alpha) * a + alpha * b for a, b in zip(m, noisy(x, k), strict=True)]
        length = np.sqrt(sum(np.sum(a**2) for a in m))
        x = [y - eta * (k + 1) ** -0.75 * a / length for y, a in zip(x, m, strict=True)]
        points.append(x)
    return points


# ---------------------------------------------------------------- smoothness


def test_smoothness_is_measured():
    optimizer = optax.chain(transforms.measure_smoothness(NORM), step(0.1))
    points, (found, *_) = states_along(optimizer)
    for k in range(1, UPDATES):
        before, after = ([x[j] for x in points] for j in (k - 1, k))
        g = noisy(before, k - 1), noisy(after, k)
        for i, primal in enumerate((lambda a: np.linalg.norm(a, 2), np.linalg.norm)):
            expected = DUAL[i](g[1][i] - g[0][i]) / primal(after[i] - before[i])
            assert found.smoothness[k, i] == pytest.approx(expected)
            assert found.dual_norms[k, i] == pytest.approx(DUAL[i](g[1][i]))
    assert not np.any(found.smoothness[0])
    np.testing.assert_allclose(path(step(0.1))[0], points[0], rtol=1e-14)
    single, (alone, *_) = states_along(
        optax.chain(transforms.measure_smoothness(geometry.l2()), step(0.1))
    )
    assert alone.smoothness.shape == found.smoothness.shape
    np.testing.assert_allclose(alone.smoothness[:, 1], found.smoothness[:, 1])


def test_smoothness_is_fitted():
    duals = np.linspace(0.5, 4, 20)
    exactly = transforms.fit_smoothness(0.7 + 1.9 * duals, duals)
    np.testing.assert_allclose(exactly, (0.7, 1.9), rtol=1e-9)

    noise = np.random.default_rng(0).normal(size=20)
    series = np.maximum(0.2 + duals + noise, 0)

    def objective(parameters, penalty):
        fit = parameters[0] + parameters[1] * duals
        over = np.maximum(0, series - fit)
        return np.sum((fit - series) ** 2 + penalty * over**2)

    for penalty in (0.0, 10.0):
        found = transforms.fit_smoothness(series, duals, penalty=penalty)
        best = scipy.optimize.minimize(
            objective, (1, 1), penalty, bounds=[(0, None)] * 2, tol=1e-12
        )
        np.testing.assert_allclose(found, best.x, atol=1e-4)
        assert objective(found, penalty) <= best.fun * (1 + 1e-9)
    falling = transforms.fit_smoothness(5 - duals, duals)
    assert falling[1] == 0
    with pytest.raises(ValueError, match="two series of one length"):
        transforms.fit_smoothness(series, duals[1:])


# ---------------------------------------------------------------- Drop-Muon


def by_draw(starts, key, num_layers):
    """Layers from the start that the key stands for."""
    index = jax.random.randint(key, (), 0, len(starts))
    return jnp.arange(num_layers) >= jnp.asarray(starts)[index]


@pytest.mark.parametrize("sharp", [True, False])
def test_drop_muon_trajectory(sharp):
    direction = (
        transforms.scale_by_gluon(NORM) if sharp else transforms.scale_by_lmo(NORM)
    )
    optimizer = optax.chain(
        transforms.layer_dropping_momentum(0.6, KEY), direction, step(0.1)
    )
    key, starts = KEY, []
    for _ in range(UPDATES):
        key, drawn = jax.random.split(key)
        starts.append(int(jax.random.randint(drawn, (), 0, 2)))
    assert set(starts) == {0, 1}
    expected = reference.drop_muon(
        noisy, LMO, DUAL, X0, UPDATES, 0.1, beta=0.6, starts=starts, sharp=sharp
    )
    close(path(optimizer), expected)


def test_drop_muon_with_all_layers_is_gluon():
    everything = lambda key, num_layers: jnp.ones(num_layers, bool)
    ours = transforms.layer_dropping_momentum(0.6, KEY, law=everything)
    rest = transforms.scale_by_gluon(NORM), step(0.1)
    expected = path(optax.chain(transforms.momentum(0.6), *rest))
    for a, b in zip(path(optax.chain(ours, *rest)), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_start_is_uniform_and_layers_may_be_named():
    law = transforms.progressive()
    moves = jax.vmap(lambda k: law(k, 4))(jax.random.split(KEY, 4000))
    shares = np.mean(np.asarray(moves), axis=0)
    assert np.all(np.diff(np.asarray(moves).astype(int), axis=1) >= 0)  # s, ..., b
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.75, 1], atol=0.03)  # 4 deviations

    g = {"w": jnp.ones(2), "b": jnp.ones(2), "head": jnp.ones(2)}
    second = lambda key, num_layers: jnp.arange(num_layers) == 1
    for layers in ({"w": 0, "b": 0, "head": 1}, lambda x: dict(w=0, b=0, head=1)):
        out = once(
            transforms.layer_dropping_momentum(0.5, KEY, law=second, layers=layers), g
        )
        assert [bool(np.any(out[k])) for k in ("w", "b", "head")] == [0, 0, 1]


# ---------------------------------------------------------------- EF21-Muon


def drawn(worker, x, k):
    return of_worker(worker, x)


def top(k):
    """The k largest entries, by a stable sort."""

    def compress(worker, round_, vector):
        flat = vector.ravel()
        kept = np.argsort(-np.abs(flat), kind="stable")[:k]
        sparse = np.zeros_like(flat)
        sparse[kept] = flat[kept]
        return sparse.reshape(vector.shape)

    return compress


def ef21_muon(compressor, server_compressor, **options):
    method = methods.ef21_muon(
        step_size=0.05,
        compressor=compressor,
        server_compressor=server_compressor,
        geometry=SVD,
        **options,
    )
    return dataclasses.replace(method, full_gradients=True)


def test_ef21_muon_both_ways_trajectory():
    method = ef21_muon(compressors.top_k(2), compressors.top_k(3), momentum=0.7)
    found, _ = measured(method, KEY, 15)
    x, w, total, table = reference.ef21_muon(
        drawn,
        reference.spectral_lmo,
        top(2),
        lambda k, v: top(3)(None, k, v),
        N,
        MATRIX,
        15,
        0.05,
        beta=0.7,
    )
    np.testing.assert_allclose(found, x, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(total, table.mean(axis=1), atol=1e-13)  # G = mean Gⱼ
    assert np.abs(x - w).max() > 1e-3


def test_identity_down_is_the_model_itself():
    compressor = compressors.top_k(2)
    a, one = measured(ef21_muon(compressor, None), KEY, 6)
    b, two = measured(ef21_muon(compressor, compressors.identity()), KEY, 6)
    np.testing.assert_allclose(a, b, rtol=1e-12)


def test_identity_both_ways_is_gluon():
    found, _ = measured(
        ef21_muon(compressors.identity(), compressors.identity(), momentum=0.7), KEY, 6
    )
    x, m, points = MATRIX, None, [MATRIX]
    for _ in range(6):
        g = sum(of_worker(i, x) for i in range(N)) / N
        m = g if m is None else 0.7 * m + 0.3 * g
        x = x + 0.05 * reference.spectral_lmo(m)
        points.append(x)
    np.testing.assert_allclose(found, np.stack(points), rtol=1e-9, atol=1e-12)


def test_ef21_muon_with_sharp_l2_steps_is_ef21():
    """β = 0 and t = γ‖G‖."""
    method = ef21_muon(compressors.top_k(2), None, momentum=0.0)
    descent = Partial(static.bind(sharp_l2, 0.05))
    ours, _ = measured(dataclasses.replace(method, optimizer=descent), KEY, 10)
    plain, _ = measured(
        methods.ef21_gd(step_size=0.05, compressor=compressors.top_k(2)), KEY, 10
    )
    np.testing.assert_allclose(ours, plain, rtol=1e-10, atol=1e-13)


def sharp_l2(step_size):
    return optax.chain(transforms.scale_by_gluon(geometry.l2()), step(step_size))


# ---------------------------------------------------------------- a server's optimizer


OPTIMIZERS = {
    "muon": lambda: transforms.muon(0.01),
    "scion": lambda: transforms.scion(0.01, SVD, radius=5.0),
    "clipped scion": lambda: optax.chain(
        transforms.scale_by_clipped_lmo(SVD, 1.0), step(0.05)
    ),
    "gluon": lambda: optax.chain(transforms.scale_by_gluon(SVD, 5.0, 1.0), step(1.0)),
    "horizon-free": lambda: transforms.horizon_free_lmo(0.05),
    "drop-muon": lambda: optax.chain(
        transforms.layer_dropping_momentum(0.5, KEY),
        transforms.scale_by_gluon(SVD),
        step(0.02),
    ),
    "distance-adaptive": lambda: transforms.distance_adaptive_style(
        initial_radius=0.01
    ),
    "scale-calibrated": lambda: transforms.scale_calibrated_style(SVD, 20.0),
    "recentred": lambda: transforms.recentred_lmo(SVD, 1.0),
    "local lmo": lambda: transforms.local_lmo(
        transforms.sets.box(-2, 2), transforms.radii.proportional(0.05)
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_server_may_use_it(name):
    method = methods.ringmaster_asgd(step_size=0.1, delay_threshold=4)
    optimizer = Partial(OPTIMIZERS[name])
    method = dataclasses.replace(method, optimizer=optimizer, label=name)
    points, trace = measured(method, KEY, 6)
    assert np.all(np.isfinite(points))
    moved = np.abs(np.diff(points, axis=0)).max(axis=(1, 2))
    assert np.all(moved > 0)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: transforms.muon_norm("adam"), ValueError, "unknown scale 'adam'"),
        (lambda: transforms.muon_norm(input_axis=2), ValueError, "input_axis"),
        (lambda: transforms.scale_by_clipped_lmo(SVD, 0.0), ValueError, "threshold"),
        (lambda: transforms.horizon_free_lmo(0.0), ValueError, "step_size"),
        (lambda: transforms.lmo_step(None, -0.1), ValueError, "step_size must be pos"),
        (
            lambda: transforms.lmo_step(None, 0.1, weight_decay=-1.0),
            ValueError,
            "weight_decay must not be negative",
        ),
        (
            lambda: transforms.scale_by_gluon(SVD, -1.0),
            ValueError,
            "l0 must not be negative",
        ),
        (
            lambda: transforms.scale_by_gluon(SVD, 1.0, {"kernel": -1.0}),
            ValueError,
            "l1 must not be negative",
        ),
        (
            lambda: transforms.scale_by_gluon(SVD, 0.0),
            ValueError,
            "scale_by_gluon needs l0 > 0 or l1 > 0",
        ),
        (lambda: transforms.muon(-1.0), ValueError, "step_size must be positive"),
        (lambda: transforms.scion(2.0, SVD), ValueError, "step_size must lie in"),
        (
            lambda: transforms.scion(-1.0, SVD, constrained=False),
            ValueError,
            "step_size must be positive",
        ),
        (lambda: transforms.scion(0.1, geometry.l2), TypeError, "constructor"),
        (
            lambda: once(transforms.measure_smoothness(SVD), X0),
            TypeError,
            "needs the parameters",
        ),
    ],
)
def test_mistakes_are_named(build, error, message):
    with pytest.raises(error, match=message):
        build()
