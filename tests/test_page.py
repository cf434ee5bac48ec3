"""PAGE's estimator against its recursion."""

import chex
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import fedjax_opt as fo
from fedjax_opt import needs


def test_page_adds_differences_until_the_next_full_gradient():
    estimator = fo.estimators.page()
    assert needs.inputs(estimator, jnp.zeros(3)) == {"previous_grads", "full"}
    assert estimator is fo.estimators.page()
    rng = np.random.default_rng(0)
    state, expected = estimator.init({"a": jnp.zeros(3)}), None
    for full in (True, False, False, True, False):
        new, old = rng.normal(size=(2, 3))
        expected = new if full else expected + new - old
        out, state = estimator.update(
            {"a": jnp.asarray(new)},
            state,
            previous_grads={"a": jnp.asarray(old)},
            full=jnp.asarray(full),
        )
        np.testing.assert_allclose(out["a"], expected, rtol=1e-14)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_page_keeps_dtype_and_structure(dtype):
    g = {"a": jnp.ones((2, 3), dtype), "b": jnp.ones((), dtype)}
    estimator = fo.estimators.page()
    state = estimator.init(g)
    out, new_state = estimator.update(g, state, previous_grads=g, full=False)
    chex.assert_trees_all_equal_shapes_and_dtypes(out, g)
    chex.assert_trees_all_equal_shapes_and_dtypes(new_state, state)


def test_page_in_a_chain():
    chained = optax.chain(fo.estimators.page(), optax.sgd(0.1))
    g = jnp.arange(3.0)
    updates, _ = chained.update(g, chained.init(g), previous_grads=g, full=True)
    np.testing.assert_allclose(updates, -0.1 * g, rtol=1e-14)


@pytest.mark.parametrize("given", [{"full": True}, {"previous_grads": jnp.ones(3)}, {}])
def test_page_says_what_is_missing(given):
    estimator, g = fo.estimators.page(), jnp.ones(3)
    with pytest.raises(TypeError, match=r"previous_grads=\.\.\., full="):
        estimator.update(g, estimator.init(g), **given)
