"""Step sizes, clipping and proximal points against independent loops in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial
from reference import step_sizes as reference

from fedjax_opt import transforms

K, D, B = 40, 4, 6
RNG = np.random.default_rng(5)
ROTATION = np.linalg.qr(RNG.normal(size=(D, D)))[0]
MATRIX = ROTATION @ np.diag([0.3, 1.0, 2.0, 4.0]) @ ROTATION.T
LINEAR, START = RNG.normal(size=D), 3 * RNG.normal(size=D)
NOISE = RNG.normal(size=(2 * K, D))
ROWS, TARGETS = RNG.normal(size=(K, D)), RNG.normal(size=K)
BATCHES = RNG.normal(size=(K, B, D))
FLAT = np.full((B, D), 2.0)
# Below the minimum, so that no step is one rounding error over another.
LOW = -LINEAR @ np.linalg.solve(MATRIX, LINEAR) / 2 - 1


def value(x, k=0):
    return x @ MATRIX @ x / 2 - LINEAR @ x


def grad(x):
    return MATRIX @ x - LINEAR


def noisy(x, k):
    return grad(x) + NOISE[k]


def batch(x, k):
    """Gradients of B different lengths; once all are equal."""
    return FLAT if k == 3 else grad(x) + BATCHES[k]


def chained(scale, step_size=1.0):
    return optax.chain(scale, optax.scale_by_learning_rate(step_size))


def path(optimizer, of_point, *, at=None, **extra):
    """x⁰, ..., x^K. The keywords are functions of (x, k), as the gradient is."""
    optimizer = optax.with_extra_args_support(optimizer)

    @jax.jit
    def step(x, state, grads, supplied):
        updates, state = optimizer.update(grads, state, x, **supplied)
        return optax.apply_updates(x, updates), state

    x = jnp.asarray(START)
    state, points = optimizer.init(x), [START]
    for k in range(K):
        point = np.asarray(x if at is None else at(state, x))
        supplied = {name: f(point, k) for name, f in extra.items()}
        x, state = step(x, state, jnp.asarray(of_point(point, k)), supplied)
        points.append(np.asarray(x))
    return np.array(points)


def exactly(x, k):
    return grad(x)


def mean_of_batch(x, k):
    return np.mean(batch(x, k), axis=0)


def of_residual(a, b, x):
    return (a @ x - b) ** 2 / 2


def residual(x, k):
    return Partial(of_residual, jnp.asarray(ROWS[k]), TARGETS[k])


def residual_grad(x, k):
    return ROWS[k] * (ROWS[k] @ x - TARGETS[k])


def skew(x, k):
    """A monotone operator with noise, which is not a gradient."""
    return grad(x) + np.roll(x, 1) - np.roll(x, -1) + 0.1 * NOISE[k]


def rate(k):
    return 0.5 / (k + 1.0) ** 0.5


def fraction(k):
    return 1 - 0.4 / (k + 1.0) ** 0.5


quadratic = Partial(lambda x: x @ MATRIX @ x / 2 - LINEAR @ x)
t, r = transforms, reference
GD, BATCH = (START, K), (batch, START, K)

# name: the path of the library, that of the loop
PATHS = {
    "(L0, L1)-GD": (
        lambda: path(
            chained(t.scale_by_generalized_smoothness(0.8, 0.3), 0.28), exactly
        ),
        lambda: r.generalized_smoothness_gd(grad, *GD, 0.8, 0.3, 0.28),
    ),
    "clipped GD": (
        lambda: path(chained(t.clip(1.3), 0.2), exactly),
        lambda: r.clipped_gd(grad, *GD, 0.2, 1.3),
    ),
    "GD-PS": (
        lambda: path(chained(t.scale_by_polyak_step(LOW)), exactly, value=value),
        lambda: r.gd_ps(value, grad, *GD, LOW)[0],
    ),
    "STM": (
        lambda: path(t.stm(4.0, 0.5, step_size=0.7), exactly, at=t.stm_eval_params),
        lambda: r.stm(grad, *GD, 4.0, 0.5, 0.7, False),
    ),
    "STM, Max": (
        lambda: path(
            t.stm(4.0, 0.5, step_size=0.7, largest=True), exactly, at=t.stm_eval_params
        ),
        lambda: r.stm(grad, *GD, 4.0, 0.5, 0.7, True),
    ),
    "clipped SSTM": (
        lambda: path(t.clipped_stm(1 / 8, 0.4), noisy, at=t.stm_eval_params),
        lambda: r.clipped_sstm(noisy, *GD, 1 / 8, 0.4),
    ),
    "AdGD": (
        lambda: path(t.adgd(0.02), exactly),
        lambda: r.adgd(grad, *GD, 0.02)[0],
    ),
    "AdGD2": (
        lambda: path(t.adgd2(0.02), exactly),
        lambda: r.adgd2(grad, *GD, 0.02)[0],
    ),
    "QC-SGD": (
        lambda: path(chained(t.quantile_clip(fraction), rate), batch),
        lambda: r.quantile_clipped_sgd(*BATCH, rate, fraction)[0],
    ),
    "tracked quantile": (
        lambda: path(chained(t.tracked_quantile_clip(0.6, 9.0, rate=0.3), 0.1), batch),
        lambda: r.tracked_quantile_sgd(*BATCH, 0.1, 0.6, 9.0, 0.3)[0],
    ),
    "SPS": (
        lambda: path(chained(t.scale_by_polyak_step(LOW), 1 / 2), noisy, value=value),
        lambda: r.sps_max(value, noisy, *GD, LOW, 2.0, np.inf)[0],
    ),
    "smoothed SPS": (
        lambda: path(
            chained(t.scale_by_smoothed_polyak_step(LOW, first_bound=0.01, growth=1.3)),
            noisy,
            value=value,
        ),
        lambda: r.smoothed_sps(value, noisy, *GD, LOW, 1.0, 0.013, 1.3)[0],
    ),
    "GraD": (
        lambda: path(chained(t.scale_by_gradient_diversity(), 0.5 / 8), batch),
        lambda: r.grad_diversity_sgd(*BATCH, 8.0, 0.5)[0],
    ),
    "StoP": (
        lambda: path(
            chained(t.scale_by_polyak_step(LOW), 1 / 3), mean_of_batch, value=value
        ),
        lambda: r.stop_sgd(value, *BATCH, 3.0, LOW)[0],
    ),
    "BPM": (
        lambda: path(
            t.bpm(0.4, t.prox_by_newton_step(D)),
            exactly,
            value_fn=lambda x, k: quadratic,
        ),
        lambda: r.bpm_quadratic(MATRIX, LINEAR, *GD, 0.4),
    ),
    "SPPM": (
        lambda: path(
            t.sppm(0.7, t.prox_by_newton_step(D)), residual_grad, value_fn=residual
        ),
        lambda: r.sppm_least_squares(ROWS, TARGETS, range(K), START, 0.7),
    ),
}
# GD-PS with a level that is never reached goes on in jumps, which enlarge rounding.
UPDATES = {"GD-PS": 12}


@pytest.mark.parametrize("name", PATHS)
def test_path(name):
    found, expected = (make() for make in PATHS[name])
    assert np.linalg.norm(expected[-1] - START) > 0.1
    rows = slice(UPDATES.get(name, K) + 1)
    np.testing.assert_allclose(found[rows], expected[rows], rtol=1e-10, atol=1e-10)


def test_clipped_extragradient():
    """A step of the method is two updates, ahead and back."""
    optimizer = optax.chain(transforms.clip(1.1), transforms.extragradient(0.1, 0.15))
    found = path(
        optimizer,
        skew,
        at=lambda state, x: transforms.extragradient_eval_params(state[1], x),
    )
    expected = reference.clipped_seg(skew, START, K // 2, 0.1, 0.15, 1.1)
    np.testing.assert_allclose(found[::2], expected, rtol=1e-10)


@pytest.mark.parametrize("power", [1, 2])
def test_refined_linear_decay(power):
    norms = RNG.uniform(0.5, 2, 23)
    schedule = transforms.refined_linear_decay(norms, power=power, window=5)
    found = jax.vmap(schedule)(jnp.arange(23))
    expected = reference.refined_linear_decay(norms, power, 5)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
