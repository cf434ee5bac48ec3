"""Adding sparse messages without decoding them changes nothing but the work."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedjax_opt.aggregators import coordinate_median, mean
from fedjax_opt.compressors import identity, natural, rand_k, scaled_sign, top_k, wrap
from fedjax_opt.keys import in_round, public
from fedjax_opt.mechanisms import dcgd, diana, ef14, ef21
from fedjax_opt.simulate.distribute import distribute

KEY, N = jax.random.key(5), 6
SHAPES = {"bias": (7,), "weight": (4, 3)}
COMPRESSORS = {
    "top_k": top_k(2),
    "top_k of a share": top_k(fraction=0.5),
    "rand_k": rand_k(2),
    "scaled": wrap.scaled(rand_k(2)),
    "whole tree": wrap.whole_tree(top_k(5)),
    "scaled whole tree": wrap.scaled(wrap.whole_tree(rand_k(5))),
}


def draw(seed, *leading, dtype="float64"):
    rng = np.random.default_rng(seed)
    return {
        name: jnp.asarray(rng.standard_normal((*leading, *shape)), dtype)
        for name, shape in SHAPES.items()
    }


def messages_of(compressor, values):
    encode = lambda i, x: compressor.encode(in_round(KEY, i, N), x)
    return jax.vmap(encode)(jnp.arange(N), values)


def decoded_sum(compressor, onto, messages, weights):
    """onto + Σ weights · decode(messages), one after the other in NumPy."""
    total = {name: np.asarray(x, float) for name, x in onto.items()}
    for i, weight in enumerate(weights):
        one = jax.tree.map(lambda x, i=i: x[i], messages)
        dense = compressor.decode(public(in_round(KEY, i, N)), one, onto)
        total = {
            name: x + weight * np.asarray(dense[name]) for name, x in total.items()
        }
    return total


def close(a, b, tolerance=1e-14):
    assert set(a) == set(b)
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", COMPRESSORS)
def test_adding_is_decoding_and_adding(name):
    c = wrap.per_leaf(COMPRESSORS[name])
    onto, messages = draw(0), messages_of(c, draw(1, N))
    weights = np.array([1.0, -2.0, 0.5, 0.0, 3.0, 0.25])
    expected = decoded_sum(c, onto, messages, weights)
    close(jax.jit(c.add)(onto, messages, weights), expected)
    first = jax.tree.map(lambda x: x[0], messages)
    expected = decoded_sum(c, onto, messages, [-2.0])
    close(jax.jit(c.add)(onto, first, -2.0), expected)
    close(wrap.add_decoded(c, in_round(KEY, 0, N), onto, first, -2.0), expected)


def test_what_is_as_short_decoded_is_not_added():
    for c in (identity(), natural(), scaled_sign()):
        for lifted in (wrap.per_leaf(c), wrap.whole_tree(c)):
            assert lifted.add is None
            onto, message = draw(0), lifted.encode(in_round(KEY, 0, N), draw(1))
            expected = decoded_sum(
                lifted, onto, jax.tree.map(lambda x: x[None], message), [0.5]
            )
            close(
                wrap.add_decoded(lifted, in_round(KEY, 0, N), onto, message, 0.5),
                expected,
            )


def test_weight_zero_adds_nothing():
    message = top_k(1).encode(None, jnp.array([[jnp.nan, 1.0]]))
    onto = jnp.array([[2.0, 3.0]])
    np.testing.assert_array_equal(top_k(1).add(onto, message, 0), onto)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_summed_in_float32(dtype):
    n = 4096
    messages = jax.vmap(lambda x: top_k(1).encode(None, x))(jnp.ones((n, 1), dtype))
    total = top_k(1).add(jnp.zeros(1, dtype), messages, np.full(n, 1 / n))
    assert total.dtype == dtype
    assert total == 1


def test_scaled_rand_k_stays_within_the_range_of_float16():
    """Its two factors at once: 100 · 1000 is infinite in float16, 1000 is not."""
    c, x = wrap.scaled(rand_k(fraction=0.01)), jnp.full(1000, 1000.0, "float16")
    keys = in_round(KEY, 0, N)
    out = c.decode(public(keys), c.encode(keys, x), x)
    assert out.dtype == "float16"
    np.testing.assert_array_equal(np.sort(out), [0] * 990 + [1000] * 10)


def run(mechanism, aggregator, *, come=None, rounds=5):
    adapter = distribute(
        mechanism,
        N,
        key=KEY,
        aggregator=aggregator,
        participation=come and (lambda key, n, round: jnp.arange(n) < come),
    )
    update, state = jax.jit(adapter.update), adapter.init(draw(0))
    estimates = []
    for t in range(rounds):
        estimate, state = update(draw(t, N), state)
        estimates.append(estimate)
    return estimates, state


def random(make):
    return functools.partial(make, wrap.scaled(rand_k(2)))


MECHANISMS = {
    "dcgd": random(dcgd),
    "ef14": random(ef14),
    "ef21": random(ef21),
    "ef21 with Top-K of the tree": lambda: ef21(wrap.whole_tree(top_k(3))),
    "diana": lambda: diana(rand_k(2)),
}


@pytest.mark.parametrize("come", [None, 4])
@pytest.mark.parametrize("name", MECHANISMS)
def test_rounds_are_those_of_decoded_messages(name, come):
    mechanism = MECHANISMS[name]()
    assert mechanism.add is not None
    found, state = run(mechanism, mean(), come=come)
    expected, dense = run(mechanism._replace(add=None), mean(), come=come)
    for a, b in zip(found, expected, strict=True):
        close(a, b)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-14),
        (state.worker, state.server),
        (dense.worker, dense.server),
    )


def test_nonlinear_aggregators_see_the_messages():
    found, _ = run(dcgd(top_k(2)), coordinate_median(), rounds=1)
    grads = {name: np.asarray(x) for name, x in draw(0, N).items()}
    for name, x in grads.items():
        flat = x.reshape(N, -1)
        smallest = np.argsort(-np.abs(flat), axis=1)[:, 2:]
        sent = flat.copy()
        np.put_along_axis(sent, smallest, 0, axis=1)
        np.testing.assert_allclose(
            found[0][name], np.median(sent, axis=0).reshape(x.shape[1:]), atol=1e-15
        )


def temporary_rows(compressor, n=16, d=50_000):
    """What a round keeps beside its arguments and results, in units of n·d numbers."""
    adapter = distribute(ef21(compressor), n, key=KEY)
    grads = jax.ShapeDtypeStruct((n, d), "float32")
    state = jax.eval_shape(adapter.init, jax.ShapeDtypeStruct((d,), "float32"))
    program = jax.jit(adapter.update, donate_argnums=1).lower(grads, state).compile()
    memory = program.memory_analysis()
    assert memory.alias_size_in_bytes > 4 * n * d  # the states stay where they are
    return memory.temp_size_in_bytes / (4 * n * d)


def test_no_dense_message_is_made():
    assert (
        temporary_rows(top_k(10)) < temporary_rows(top_k(10)._replace(add=None)) - 0.9
    )
