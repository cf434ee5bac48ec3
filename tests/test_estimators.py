"""Estimators against their recursions."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fedjax_opt import estimators, needs

STEPS = 8
HESSIAN = np.diag([1.0, 3.0, 10.0])


def tree_of(vector):
    return {"a": jnp.asarray(vector[:1]), "b": jnp.asarray(vector[1:])}


def flat(x):
    return np.concatenate([np.ravel(v) for v in jax.tree.leaves(x)])


def points(seed=0):
    """x⁰, x¹, ... wherever an optimizer may have taken them."""
    return np.random.default_rng(seed).normal(size=(STEPS, 3))


def estimates(estimator, x, noise):
    """What the estimator makes of ∇f(x) + ξ on a quadratic f."""
    state, outputs = estimator.init(tree_of(x[0])), []
    for k in range(STEPS):
        grads = tree_of(HESSIAN @ x[k] + noise[k])
        previous = tree_of(HESSIAN @ x[max(k - 1, 0)] + noise[k])
        out, state = estimator.update(grads, state, previous_grads=previous)
        outputs.append(flat(out))
    return np.array(outputs)


def test_sgd_passes_gradients_on():
    estimator, g = estimators.sgd(), tree_of(points()[0])
    out, _ = estimator.update(g, estimator.init(g), g, value=1.0)
    chex.assert_trees_all_equal(out, g)


def test_estimators_say_what_they_need():
    params = tree_of(points()[0])
    assert needs.inputs(estimators.sgd(), params) == set()
    for wrapped in (lambda t: t, lambda t: optax.chain(optax.clip(1.0), t)):
        asked = needs.inputs(wrapped(estimators.mvr(0.9)), params)
        assert asked == {"previous_grads"}
    assert estimators.sgd() is estimators.sgd()


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 1.0])
def test_mvr_is_exact_without_noise(beta):
    x = points()
    outputs = estimates(estimators.mvr(beta), x, np.zeros((STEPS, 3)))
    np.testing.assert_allclose(outputs, x @ HESSIAN, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 1.0])
def test_mvr_error_recursion(beta):
    """With additive noise: e ← β e + (1 - β) ξ, wherever the points go; e⁰ = ξ⁰."""
    noise = np.random.default_rng(1).normal(size=(STEPS, 3))
    error = noise[0]
    for seed in (0, 5):
        x = points(seed)
        errors = estimates(estimators.mvr(beta), x, noise) - x @ HESSIAN
        error = noise[0]
        np.testing.assert_allclose(errors[0], error, atol=1e-13)
        for k in range(1, STEPS):
            error = beta * error + (1 - beta) * noise[k]
            np.testing.assert_allclose(errors[k], error, atol=1e-12)


def test_mvr_without_momentum_is_sgd():
    x, noise = points(), np.random.default_rng(1).normal(size=(STEPS, 3))
    np.testing.assert_array_equal(
        estimates(estimators.mvr(0.0), x, noise),
        estimates(estimators.sgd(), x, noise),
    )


def test_mvr_without_the_difference_is_momentum():
    """Gradients that do not depend on the point: g ← β g + (1 - β) ∇f."""
    beta, noise = 0.7, np.random.default_rng(1).normal(size=(STEPS, 3))
    outputs = estimates(estimators.mvr(beta), np.zeros((STEPS, 3)), noise)
    expected = noise[0]
    for k in range(1, STEPS):
        expected = beta * expected + (1 - beta) * noise[k]
        np.testing.assert_allclose(outputs[k], expected, rtol=1e-12)


def test_first_update_ignores_the_previous_gradient():
    estimator, g = estimators.mvr(0.9), tree_of(points()[0])
    nothing = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), g)
    out, _ = estimator.update(g, estimator.init(g), previous_grads=nothing)
    chex.assert_trees_all_equal(out, g)


def test_mvr_in_one_program_with_a_swept_momentum():
    x, noise = points(), np.random.default_rng(1).normal(size=(STEPS, 3))
    grads = jax.vmap(tree_of)(jnp.asarray(x @ HESSIAN + noise))
    before = np.concatenate([x[:1], x[:-1]])
    previous = jax.vmap(tree_of)(jnp.asarray(before @ HESSIAN + noise))

    @jax.jit
    @chex.assert_max_traces(n=1)
    def run(beta):
        estimator = estimators.mvr(beta)

        def body(state, inputs):
            out, state = estimator.update(
                inputs[0], state, previous_grads=inputs[1], value=0.0
            )
            return state, out

        start = estimator.init(tree_of(jnp.asarray(x[0])))
        return jax.lax.scan(body, start, (grads, previous))[1]

    for beta in (0.3, 0.9):
        out = run(beta)
        joined = np.concatenate([out["a"], out["b"]], axis=1)
        expected = estimates(estimators.mvr(beta), x, noise)
        np.testing.assert_allclose(joined, expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("make", [estimators.sgd, lambda: estimators.mvr(0.9)])
def test_dtype_and_structure_are_kept(make, dtype):
    g = {"a": jnp.ones((2, 3), dtype), "b": jnp.ones((), dtype)}
    estimator = make()
    state = estimator.init(g)
    out, new_state = estimator.update(g, state, previous_grads=g)
    chex.assert_trees_all_equal_shapes_and_dtypes(out, g)
    chex.assert_trees_all_equal_shapes_and_dtypes(new_state, state)
    chex.assert_trees_all_equal_shapes_and_dtypes(
        jax.eval_shape(estimator.init, g), state
    )


def test_mvr_in_a_chain():
    chained = optax.chain(estimators.mvr(0.9), optax.sgd(0.1))
    g, state = tree_of(points()[0]), chained.init(tree_of(points()[0]))
    updates, _ = chained.update(g, state, previous_grads=g)
    np.testing.assert_allclose(flat(updates), -0.1 * flat(g), rtol=1e-14)


def test_missing_previous_gradient_is_an_error():
    estimator, g = estimators.mvr(0.9), tree_of(points()[0])
    with pytest.raises(TypeError, match="previous_grads="):
        estimator.update(g, estimator.init(g))


def test_wrapper_that_drops_the_previous_gradient_is_an_error():
    g = tree_of(points()[0])
    accumulate = optax.MultiSteps(estimators.mvr(0.9), every_k_schedule=2)
    chained = optax.chain(accumulate.gradient_transformation(), optax.sgd(0.1))
    with pytest.raises(TypeError, match="MultiSteps"):
        chained.update(g, chained.init(g), previous_grads=g)


@pytest.mark.parametrize("beta", [-0.1, 1.1])
def test_momentum_out_of_range_is_an_error(beta):
    with pytest.raises(ValueError, match="old estimate"):
        estimators.mvr(beta)
