"""What every gradient transformation promises."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from contracts.cases_transforms import CASES, DTYPES

EXAMPLES = 3


def point(seed, dtype=jnp.float64):
    rng = np.random.default_rng(seed)
    shapes = {"bias": (4,), "kernel": (3, 4)}
    return {k: jnp.asarray(rng.normal(size=s), dtype) for k, s in shapes.items()}


def value_fn(x):
    """½|x − 1|²"""
    return sum(jnp.sum((leaf - 1) ** 2) for leaf in jax.tree.leaves(x)) / 2


def at(case, x):
    """The gradients of f at x, and the keyword arguments that the case needs."""
    grads = jax.tree.map(lambda leaf: leaf - 1, x)
    if case.per_example:
        sizes = jnp.array([0.5, 1.0, 1.5])
        grads = jax.tree.map(
            lambda g: jnp.stack([g * s.astype(g.dtype) for s in sizes]), grads
        )
    extra = {
        "value": value_fn(x),
        "value_fn": value_fn,
        "previous_grads": grads,  # of the first update: there is no point before
        "hvp": jax.tree.map(jnp.zeros_like, x),
        "read_params": jax.tree.map(lambda leaf: leaf + 2, x),
        "key": jax.random.key(0),
    }
    return grads, {name: extra[name] for name in case.needs}


def numbers(state):
    """The leaves of a state, without random keys."""
    leaves = jax.tree.leaves(state)
    return [x for x in leaves if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)]


def one_update(transform, case, x, **unknown):
    grads, extra = at(case, x)
    return transform.update(grads, transform.init(x), x, **extra, **unknown)


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


ONE_POINT = [
    name
    for name, c in CASES.items()
    if c.factor and not c.per_example and "value_fn" not in c.needs
]


@pytest.mark.parametrize("dtype", DTYPES)
def test_state_and_output_keep_structure_and_dtype(case, dtype):
    x = point(0, dtype)
    transform = case.make()
    out, state = one_update(transform, case, x)
    chex.assert_trees_all_equal_shapes_and_dtypes(out, x)
    chex.assert_trees_all_equal_shapes_and_dtypes(state, transform.init(x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_wider_hyperparameters_change_no_dtype(case, dtype):
    """float64 numbers of a sweep, over a model of less precision."""
    x, wide = point(0, dtype), dict(case.arguments)
    wide |= {k: jnp.float64(v) for k, v in wide.items() if type(v) is float}
    transform = case.factory(**wide)
    out, state = one_update(transform, case, x)
    chex.assert_trees_all_equal_shapes_and_dtypes(out, x)
    chex.assert_trees_all_equal_shapes_and_dtypes(state, transform.init(x))


def test_one_trace_and_a_scan(case):
    transform, traces = case.make(), 0
    points = [point(seed) for seed in range(4)]
    start = transform.init(points[0])

    def step(state, x):
        nonlocal traces
        traces += 1
        grads, extra = at(case, x)
        out, state = transform.update(grads, state, x, **extra)
        return state, out

    compiled, state, outputs = jax.jit(step), start, []
    for x in points:
        state, out = compiled(state, x)
        outputs.append(out)
    assert traces == 1

    stacked = jax.tree.map(lambda *leaf: jnp.stack(leaf), *points)
    _, scanned = jax.lax.scan(step, start, stacked)
    expected = jax.tree.map(lambda *leaf: jnp.stack(leaf), *outputs)
    chex.assert_trees_all_close(scanned, expected, rtol=1e-12)


def test_chains_with_unknown_extra_arguments(case):
    x, transform = point(0), case.make()
    chained = optax.chain(transform, optax.scale(1.0))
    others = {"previous_grads": x, "value": 1.0, "key": None}
    unknown = {k: v for k, v in others.items() if k not in case.needs}
    out, _ = one_update(chained, case, x, **unknown)
    chex.assert_trees_all_equal(out, one_update(transform, case, x)[0])


def test_what_is_missing_is_named(case):
    x, transform = point(0), case.make()
    grads, extra = at(case, x)
    for name in extra:
        others = {k: v for k, v in extra.items() if k != name}
        with pytest.raises(TypeError, match=f"needs .*update\\(.*{name}=") as caught:
            transform.update(grads, transform.init(x), x, **others)
        assert "\n" not in str(caught.value)


def test_init_needs_only_shapes(case):
    x, transform = point(0), case.make()
    shapes = jax.eval_shape(transform.init, x)
    chex.assert_trees_all_equal_shapes_and_dtypes(shapes, transform.init(x))


def test_the_state_says_which_of_it_is_like_the_parameters(case):
    x, transform = point(0), case.make()
    state = transform.init(x)
    counted = []

    def double(leaf, of_params):
        counted.append(leaf.shape)
        assert leaf.shape == of_params.shape
        return 2 * leaf

    mapped = optax.tree_utils.tree_map_params(transform, double, state, x)
    chex.assert_trees_all_equal_shapes_and_dtypes(mapped, state)
    numbers, numbers_by_leaf = (), (len(x),)
    shapes = [leaf.shape for leaf in jax.tree.leaves(state)]
    like_params = [s for s in shapes if s not in (numbers, numbers_by_leaf)]
    assert len(counted) == len(like_params)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.rests])
def test_the_minimiser_is_a_fixed_point(name):
    """The gradient is zero there, and nothing is divided by it."""
    case, x = CASES[name], jax.tree.map(jnp.ones_like, point(0))
    transform = case.make()
    out, state = one_update(transform, case, x)
    grads, extra = at(case, x)
    again, state = transform.update(grads, state, x, **extra)
    for tree in (out, again):
        assert not any(np.any(leaf) for leaf in jax.tree.leaves(tree))
    assert not any(np.any(np.isnan(leaf)) for leaf in numbers(state))


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.factor])
def test_converges_on_a_quadratic(name):
    case = CASES[name]
    transform = optax.chain(case.make(), optax.scale(case.factor))
    x = point(0, jnp.float32)

    def step(_, carry):
        x, state = carry
        grads, extra = at(case, case.eval_params(state[0], x))
        updates, state = transform.update(grads, state, x, **extra)
        return optax.apply_updates(x, updates), state

    loop = jax.jit(lambda *carry: jax.lax.fori_loop(0, case.updates, step, carry))
    end, state = loop(x, transform.init(x))
    assert float(value_fn(end)) < 1e-6 * float(value_fn(x))
    assert not any(np.any(np.isnan(leaf)) for leaf in numbers(state))


@pytest.mark.parametrize(
    "name", [n for n, c in CASES.items() if any(map(np.isscalar, c.arguments.values()))]
)
def test_hyperparameters_may_be_injected(name):
    case, x = CASES[name], point(0)
    static = [k for k, v in case.arguments.items() if type(v) is not float]
    injected = optax.inject_hyperparams(case.factory, static_args=static)
    found, state = one_update(injected(**case.arguments), case, x)
    chex.assert_trees_all_close(found, one_update(case.make(), case, x)[0], rtol=1e-12)
    assert set(case.arguments) - set(static) <= set(state.hyperparams)


@pytest.mark.parametrize("name", ONE_POINT)
def test_works_on_a_part_of_the_parameters(name):
    """Masked and partitioned it is the transformation of that part."""
    case, x = CASES[name], point(0)
    grads, extra = at(case, x)
    transform, part = case.make(), {"bias": x["bias"]}
    expected, _ = transform.update(
        {"bias": grads["bias"]}, transform.init(part), part, **extra
    )
    masked = optax.masked(transform, {"bias": True, "kernel": False})
    out, _ = masked.update(grads, masked.init(x), x, **extra)
    chex.assert_trees_all_close(out["bias"], expected["bias"], rtol=1e-12)
    chex.assert_trees_all_equal(out["kernel"], grads["kernel"])

    groups = {"here": transform, "rest": optax.set_to_zero()}
    split = optax.partition(groups, {"bias": "here", "kernel": "rest"})
    out, _ = split.update(grads, split.init(x), x, **extra)
    chex.assert_trees_all_close(out["bias"], expected["bias"], rtol=1e-12)
    assert not np.any(out["kernel"])


@pytest.mark.parametrize("name", ["clip", "adgd", "stm", "extragradient"])
def test_works_on_accumulated_gradients(name):
    """Two halves of a batch with MultiSteps are one update with their mean."""
    case, x = CASES[name], point(0)
    grads, extra = at(case, x)
    every = optax.MultiSteps(case.make(), 2)
    state = every.init(x)
    for factor in (0.5, 1.5):
        half = jax.tree.map(lambda g, factor=factor: factor * g, grads)
        out, state = every.update(half, state, x, **extra)
    expected, _ = one_update(case.make(), case, x)
    chex.assert_trees_all_close(out, expected, rtol=1e-7)
