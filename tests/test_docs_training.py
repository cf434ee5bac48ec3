"""The scripts of docs/geometry.md run, at a tiny size."""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

DOCS = pathlib.Path(__file__).parent.parent / "docs"


def load(name):
    """Executes a script up to its main."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


training, smoothness = load("training"), load("smoothness")
TWICE = {"Gluon-MVR-1", "Gluon-MVR-2", "Gluon-MVR-3", "HCM"}


@pytest.fixture(scope="module")
def few():
    """64 rows to train, and the same to test."""
    (pictures, labels), _ = training.digits()
    return ((pictures[:64], labels[:64]),) * 2


# ---------------------------------------------------------------- training


def test_sizes():
    (train, _), (test, _) = training.digits()
    assert train.shape == (1500, 8, 8, 1) and test.shape == (297, 8, 8, 1)
    leaves = jax.tree.leaves(training.first_params(0))
    assert sum(leaf.size for leaf in leaves) == 3818


@pytest.mark.parametrize("stride", [1, 2])
def test_the_product_is_the_convolution(stride):
    """The first and the last places, where the border is, included."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 8, 8, 3))
    layer = {"kernel": rng.normal(size=(3, 3, 3, 5)), "bias": rng.normal(size=5)}
    theirs = linen.Conv(5, (3, 3), stride, padding=1).apply({"params": layer}, x)
    ours = training.Conv(5, strides=stride).apply({"params": layer}, x)
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_what_an_update_costs(few):
    for name, method in training.METHODS.items():
        cost = training.gradients_per_update(method.make, few[0])
        assert cost == (2 if name in TWICE else 1), name


def test_batches_of_few_updates_are_the_first_of_many():
    short, long = (training.batches(1, updates, 1500) for updates in (3, 7))
    np.testing.assert_array_equal(short, long[:3])
    assert not np.array_equal(long, training.batches(2, 7, 1500))


@pytest.mark.parametrize("name", ["Muon (optax)", "HCM"])
def test_a_short_training(name, few):
    """Losses begin at that of the first parameters and fall; too long steps diverge."""
    method = training.METHODS[name]._replace(gradients=16)
    found = training.tuned(method, few, [0.01, 0.03, 1e30], seeds=1, records=2)
    assert found.losses.shape == (3, 1, 3) and found.accuracies.shape == (3, 1)
    np.testing.assert_array_equal(found.gradients, [0, 8, 16])
    first = training.loss(training.first_params(0), few[0])
    np.testing.assert_allclose(found.losses[:, 0, 0], first, rtol=1e-5)
    assert np.all(np.isfinite(found.ends[:2])) and np.all(found.ends[:2] < first)
    assert np.isinf(found.ends[2])
    assert np.all((0 <= found.accuracies) & (found.accuracies <= 1))


def test_within_a_factor():
    steps, ends = [1, 2, 4, 8, 16], np.array([3.0, 5.0, 2.0, 4.0, np.inf])
    assert training.within(steps, ends, 2.0) == (4, 8)
    assert training.within(steps, ends, 2.5) == (1, 8)


def test_decay():
    schedule = training.decay(0.5, 4)
    assert [schedule(k) for k in range(5)] == [0.5, 0.375, 0.25, 0.125, 0]


# ---------------------------------------------------------------- smoothness


def test_updates_are_counted():
    """Of a loop in NumPy, and 0 where nothing is to be done."""
    x, eta, count = 4 * smoothness.DIRECTION, 0.28, 0
    while np.sum(np.cosh(x) - 1) > 1e-3:
        g = np.sinh(x)
        x = x - eta * g / (1 + np.linalg.norm(g))
        count += 1
    name = "Σ (cosh xᵢ − 1)"
    found = smoothness.far_starts(name, [1e-3, 4.0], [1.0, 2.0], most=100)
    np.testing.assert_array_equal(found["(L₀, L₁)-GD"], [0, count])
    assert all(counts[0] == 0 < counts[1] < 100 for counts in found.values())


def test_too_many_updates_are_infinite():
    found = smoothness.far_starts("Σ xᵢ⁴", [32.0], [1.0], most=50)
    assert np.isinf(found["GD, best constant step"][0])
    assert np.isfinite(found["Polyak"][0])


@pytest.mark.parametrize("name", smoothness.PROBLEMS)
def test_curvature_is_within_l0_and_l1(name):
    f, l0, l1 = smoothness.PROBLEMS[name]
    points = jnp.asarray(np.random.default_rng(0).normal(size=(50, 10)) * 3)
    curvature = jax.vmap(lambda x: jnp.linalg.norm(jax.hessian(f)(x), 2))(points)
    lengths = jnp.linalg.norm(jax.vmap(jax.grad(f))(points), axis=1)
    assert np.all(curvature <= l0 + l1 * lengths)


def test_heavy_tails():
    samples = smoothness.pareto(runs=2, updates=5)
    assert samples.shape == (2, 5, 2, 10)
    for optimizer in smoothness.stochastic(jax.random.key(0)).values():
        found = smoothness.distances(optimizer, samples)
        assert found.shape == (2, 5) and np.all(np.isfinite(found))
