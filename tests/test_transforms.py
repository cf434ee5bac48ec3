"""Clipping, normalization, momentum and lmo steps against NumPy and each other.

What every transformation promises is tested in contracts/test_transforms.py.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fedjax_opt import geometry, transforms


def gradients(seed, dtype=jnp.float64, scale=1.0):
    rng = np.random.default_rng(seed)
    shapes = {"bias": (4,), "kernel": (3, 4)}
    return {
        k: jnp.asarray(scale * rng.normal(size=s), dtype) for k, s in shapes.items()
    }


def flat(x):
    return np.concatenate([np.ravel(v) for v in jax.tree.leaves(x)])


def once(transform, g):
    return transform.update(g, transform.init(g))[0]


def all_of(transform, sequence):
    """The outputs for a sequence of gradients."""
    state, outputs = transform.init(sequence[0]), []
    for g in sequence:
        out, state = transform.update(g, state)
        outputs.append(out)
    return outputs


DTYPES = (jnp.float64, jnp.float32, jnp.bfloat16)


# ------------------------------------------------- clipping and normalization


@pytest.mark.parametrize("threshold", [0.5, 2.0, 100.0])
def test_clip_is_optax_clip(threshold):
    g = gradients(0)
    ours = once(transforms.clip(threshold), g)
    theirs = once(optax.clip_by_global_norm(threshold), g)
    chex.assert_trees_all_close(ours, theirs, rtol=1e-14)


def test_short_gradients_pass_clipping_unchanged():
    g = gradients(0)
    for threshold in (100.0, np.inf):
        chex.assert_trees_all_equal(once(transforms.clip(threshold), g), g)


@pytest.mark.parametrize("dtype", DTYPES)
def test_clip_threshold_may_be_swept(dtype):
    """In float64 beside narrower leaves, which optax's own clipping refuses."""
    g = gradients(0, dtype)
    thresholds = jnp.array([0.25, 0.5, 1.0])
    swept = jax.jit(jax.vmap(lambda c: once(transforms.clip(c), g)))(thresholds)
    squares = [
        np.sum(np.asarray(x, float).reshape(3, -1) ** 2, 1)
        for x in jax.tree.leaves(swept)
    ]
    lengths = np.sqrt(sum(squares))
    np.testing.assert_allclose(
        lengths, thresholds, rtol=5 * float(jnp.finfo(dtype).eps)
    )


@pytest.mark.parametrize("alpha", [0.0, 0.1, 3.0])
def test_smoothed_normalization_formula(alpha):
    g = gradients(0)
    expected = flat(g) / (alpha + np.linalg.norm(flat(g)))
    out = once(transforms.smoothed_normalization(alpha), g)
    np.testing.assert_allclose(flat(out), expected, rtol=1e-14)
    swept = jax.jit(lambda a: once(transforms.smoothed_normalization(a), g))(alpha)
    np.testing.assert_allclose(flat(swept), expected, rtol=1e-14)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_smoothed_normalization_facts(scale):
    """Shorter than 1; 1/α-Lipschitz; |g - b N(g)| = |1 - b / (α + |g|)| |g|."""
    alpha, b = 0.5, 0.3
    normalize = transforms.smoothed_normalization(alpha)
    g, h = gradients(0, scale=scale), gradients(1, scale=scale)
    image, other = flat(once(normalize, g)), flat(once(normalize, h))
    length = np.linalg.norm(flat(g))
    assert np.linalg.norm(image) < 1
    distance = np.linalg.norm(flat(g) - flat(h))
    assert np.linalg.norm(image - other) <= distance / alpha
    left = np.linalg.norm(flat(g) - b * image)
    assert left == pytest.approx(abs(1 - b / (alpha + length)) * length)


def test_smoothed_normalization_times_alpha_tends_to_the_identity():
    g = gradients(0)
    out = once(transforms.smoothed_normalization(1e9), g)
    np.testing.assert_allclose(1e9 * flat(out), flat(g), rtol=1e-8)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_normalization_of_tiny_gradients(dtype):
    """Their squares underflow, their length after normalization is still 1."""
    tiny = gradients(0, dtype, scale=1e-30 if dtype == jnp.float32 else 1e-200)
    out = once(transforms.smoothed_normalization(0.0), tiny)
    assert np.linalg.norm(flat(out)) == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("scale", [1e-4, 0.1, 1.0, 10.0, 1e4])
def test_smoothed_clipping_is_clipping_within_a_factor_of_two(scale):
    """½ min(1/L0, 1/(L1 |g|)) <= 1/(L0 + L1 |g|) <= min(1/L0, 1/(L1 |g|))."""
    l0, l1 = 0.7, 1.9
    g = gradients(0, scale=scale)
    clipped = np.linalg.norm(flat(once(transforms.clip(l0 / l1), g))) / l0
    smoothed = np.linalg.norm(flat(once(transforms.smoothed_normalization(l0 / l1), g)))
    smoothed = smoothed / l1
    assert clipped / 2 * (1 - 1e-12) <= smoothed <= clipped * (1 + 1e-12)


# ------------------------------------------------- momentum


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("from_first", [False, True])
def test_momentum_against_numpy(nesterov, from_first):
    beta, sequence = 0.8, [gradients(seed) for seed in range(6)]
    transform = transforms.momentum(beta, nesterov=nesterov, from_first=from_first)
    outputs = all_of(transform, sequence)
    m = flat(sequence[0]) if from_first else 0 * flat(sequence[0])
    for g, out in zip(map(flat, sequence), map(flat, outputs), strict=True):
        m = beta * m + (1 - beta) * g
        expected = beta * m + (1 - beta) * g if nesterov else m
        np.testing.assert_allclose(out, expected, rtol=1e-13, atol=1e-15)


def test_momentum_zero_passes_gradients_on():
    sequence = [gradients(seed) for seed in range(3)]
    for nesterov in (False, True):
        outputs = all_of(transforms.momentum(0.0, nesterov=nesterov), sequence)
        chex.assert_trees_all_equal(outputs, sequence)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_is_heavy_ball_times_one_minus_beta(nesterov):
    beta, sequence = 0.9, [gradients(seed) for seed in range(5)]
    ours = all_of(transforms.momentum(beta, nesterov=nesterov), sequence)
    theirs = all_of(optax.trace(beta, nesterov=nesterov), sequence)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(
            flat(a), (1 - beta) * flat(b), rtol=1e-12, atol=1e-15
        )


def test_momentum_may_be_swept_and_scheduled():
    sequence = [gradients(seed) for seed in range(4)]

    @jax.jit
    @jax.vmap
    def last(beta):
        return all_of(transforms.momentum(beta, from_first=True), sequence)[-1]

    swept = last(jnp.array([0.0, 0.5]))
    alone = all_of(transforms.momentum(0.5, from_first=True), sequence)[-1]
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[0], swept), sequence[-1])
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[1], swept), alone)

    # β = 1 - 1/(k + 1) averages all gradients.
    scheduled = optax.inject_hyperparams(transforms.momentum)(lambda k: 1 - 1 / (k + 1))
    mean = jax.tree.map(lambda *x: sum(x) / len(x), *sequence)
    chex.assert_trees_all_close(all_of(scheduled, sequence)[-1], mean, rtol=1e-6)


def test_half_precision_momentum_is_rounded_once():
    """In bfloat16 arithmetic 0.99 becomes 0.988, and the weights do not add up to 1."""
    first, second = gradients(0, jnp.bfloat16), gradients(1, jnp.bfloat16)
    transform = transforms.momentum(0.99, from_first=True)
    out = all_of(transform, [first, second])[-1]
    exact = 0.99 * flat(first).astype(float) + 0.01 * flat(second).astype(float)
    np.testing.assert_array_equal(flat(out), exact.astype(jnp.bfloat16))


# ------------------------------------------------- lmo steps


def test_chain_steps_along_the_lmo():
    """x + η lmo(m), with m from momentum."""
    eta, x, g = 0.1, gradients(1), gradients(0)
    optimizer = optax.chain(
        transforms.momentum(0.9),
        transforms.scale_by_lmo(geometry.l2()),
        optax.scale_by_learning_rate(eta),
    )
    updates, _ = optimizer.update(g, optimizer.init(x), x)
    for k, moved in optax.apply_updates(x, updates).items():
        expected = x[k] - eta * g[k] / np.linalg.norm(g[k])
        np.testing.assert_allclose(moved, expected, rtol=1e-14)


def test_sign_step_is_signum():
    sequence = [gradients(seed) for seed in range(5)]
    ours = optax.chain(
        transforms.momentum(0.7), transforms.scale_by_lmo(geometry.linf())
    )
    for k, out in enumerate(all_of(ours, sequence)):
        weights = 0.3 * 0.7 ** np.arange(k, -1, -1)
        m = sum(w * flat(g) for w, g in zip(weights, sequence, strict=False))
        np.testing.assert_array_equal(flat(out), np.sign(m))


def test_muon_on_diagonal_gradients_is_sign():
    g = {"w": jnp.diag(jnp.array([0.5, -2.0, 1e-2]))}
    out = once(transforms.scale_by_lmo(geometry.spectral()), g)
    np.testing.assert_allclose(out["w"], np.diag([1.0, -1.0, 1.0]), atol=1e-12)


def test_muon_on_a_row_is_normalized_momentum():
    sequence = [{"w": gradients(seed)["bias"][None, :]} for seed in range(4)]
    muon = optax.chain(
        transforms.momentum(0.5), transforms.scale_by_lmo(geometry.spectral())
    )
    outputs, m = all_of(muon, sequence), 0
    for g, out in zip(sequence, outputs, strict=True):
        m = 0.5 * m + 0.5 * np.asarray(g["w"])
        np.testing.assert_allclose(out["w"], m / np.linalg.norm(m), rtol=1e-12)


def test_muon_does_not_care_for_the_form_of_momentum():
    """Nesterov of the average and of the heavy ball point in one direction."""
    sequence = [{"kernel": gradients(seed)["kernel"]} for seed in range(4)]
    step = transforms.scale_by_lmo(geometry.spectral("jordan"))
    ours = optax.chain(transforms.momentum(0.95, nesterov=True), step)
    jordan = optax.chain(optax.trace(0.95, nesterov=True), step)
    chex.assert_trees_all_close(
        all_of(ours, sequence), all_of(jordan, sequence), rtol=1e-8
    )


@pytest.mark.parametrize("kernel_steps", [1, 5])
def test_first_direction_of_optax_muon(kernel_steps):
    g = {"kernel": gradients(0)["kernel"]}
    theirs = optax.contrib.scale_by_muon(
        ns_steps=kernel_steps,
        eps=1e-12,
        weight_dimension_numbers={"kernel": optax.contrib.MuonDimensionNumbers()},
    )
    ours = once(transforms.scale_by_lmo(geometry.spectral("jordan", kernel_steps)), g)
    chex.assert_trees_all_close(ours, once(theirs, g), rtol=1e-9)


@pytest.mark.parametrize(
    "build, error, message",
    [
        (lambda: transforms.clip(-1.0), ValueError, "threshold"),
        (lambda: transforms.smoothed_normalization(-1), ValueError, "alpha"),
        (lambda: transforms.momentum(1.0), ValueError, "old buffer"),
        (lambda: transforms.momentum(-0.1), ValueError, "old buffer"),
        (lambda: transforms.scale_by_lmo(geometry.l2), TypeError, "constructor"),
    ],
)
def test_mistakes_are_named(build, error, message):
    with pytest.raises(error, match=message):
        build()
