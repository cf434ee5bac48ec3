"""Norm, dual norm and lmo of every geometry fit together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts.cases_geometry import CASES, MODEL

from fedjax_opt import geometry
from fedjax_opt.types import Geometry, TreeGeometry


def is_shape(x):
    return isinstance(x, tuple)


def draw(shape, seed, dtype=jnp.float64, scale=1.0):
    """Gaussian entries; a dict of shapes gives a dict."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda s: jnp.asarray(scale * rng.normal(size=s), dtype),
        shape,
        is_leaf=is_shape,
    )


def inner(a, b):
    products = jax.tree.map(lambda x, y: float(jnp.sum(x * y)), a, b)
    return sum(jax.tree.leaves(products))


def times(c, a):
    return jax.tree.map(lambda x: c * x, a)


def assert_close(a, b, rtol):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol, rtol), a, b)


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture
def compiled(case):
    """The geometry of the case with its functions compiled."""
    return Geometry(*map(jax.jit, case.make()))


def test_lmo_is_active_and_attains_the_dual_norm(case, compiled):
    draws = [draw(case.shape, seed) for seed in range(3)]
    with_zeros = jax.tree.map(lambda x: x.at[:1].set(0) if x.ndim else x, draws[0])
    for g in [*draws, with_zeros]:
        step, dual = compiled.lmo(g), float(compiled.dual(g))
        assert compiled.norm(step) == pytest.approx(1, abs=case.error)
        assert inner(g, step) == pytest.approx(-dual, rel=case.error)


def test_norms_equal_independent_ones(case, compiled):
    x = draw(case.shape, 3)
    assert compiled.norm(x) == pytest.approx(case.norm(jax.device_get(x)), rel=1e-10)
    assert compiled.dual(x) == pytest.approx(case.dual(jax.device_get(x)), rel=1e-10)


@pytest.mark.parametrize("scale", [1e-200, 1e-12, 1e12, 1e150])
def test_lmo_ignores_the_scale(case, compiled, scale):
    g = draw(case.shape, 5)
    assert_close(compiled.lmo(times(scale, g)), compiled.lmo(g), rtol=1e-9)


def test_lmo_is_odd(case, compiled):
    g = draw(case.shape, 6)
    assert_close(compiled.lmo(times(-1, g)), times(-1, compiled.lmo(g)), rtol=1e-12)


def test_hoelder(case, compiled):
    for seed in range(10):
        g, z = draw(case.shape, seed), draw(case.shape, 100 + seed)
        assert abs(inner(g, z)) <= compiled.dual(g) * compiled.norm(z) * (1 + 1e-12)


def test_sharp_operator_maximizes(case, compiled):
    """G# = -dual(G) lmo(G) maximizes <G, X> - norm(X)²/2; the value is dual(G)²/2."""
    g = draw(case.shape, 7)
    dual = float(compiled.dual(g))
    lifted = compiled if isinstance(case.shape, tuple) else TreeGeometry(*compiled)
    sharp = geometry.sharp(lifted, g)
    error = 3 * case.error
    assert compiled.norm(sharp) == pytest.approx(dual, rel=error)
    assert inner(g, sharp) == pytest.approx(dual**2, rel=error)
    for seed in range(10):
        x = times(dual, draw(case.shape, 200 + seed))
        assert inner(g, x) - compiled.norm(x) ** 2 / 2 <= dual**2 / 2 * (1 + 1e-12)


def test_scaled_norm(case, compiled):
    """A ball of radius r is the unit ball of norm / r."""
    ball, g = geometry.per_leaf(case.make(), 0.5), draw(case.shape, 8)
    assert ball.norm(g) == pytest.approx(2 * float(compiled.norm(g)))
    assert ball.dual(g) == pytest.approx(float(compiled.dual(g)) / 2)
    assert_close(ball.lmo(g), times(0.5, compiled.lmo(g)), rtol=1e-12)


def test_zero_gives_zero(case, compiled):
    zero = times(0, draw(case.shape, 9))
    assert compiled.norm(zero) == 0
    assert compiled.dual(zero) == 0
    assert all(not np.any(x) for x in jax.tree.leaves(compiled.lmo(zero)))


def test_nan_is_not_hidden(case, compiled):
    g = jax.tree.map(lambda x: x.at[(0,) * x.ndim].set(jnp.nan), draw(case.shape, 10))
    assert np.isnan(compiled.norm(g))
    assert np.isnan(compiled.dual(g))
    assert all(np.any(np.isnan(x)) for x in jax.tree.leaves(compiled.lmo(g)))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_dtype_is_kept_and_norms_are_float32(case, compiled, dtype):
    tolerance = case.error + (1e-5 if dtype == jnp.float32 else 0.05)
    for scale in (1e-30, 1e30):  # squares leave the range
        g = draw(case.shape, 11, dtype, scale)
        step = compiled.lmo(g)
        wide = jax.tree.map(lambda x: x.astype(jnp.float64), (g, step))
        norm, dual = float(compiled.norm(wide[0])), float(compiled.dual(wide[0]))
        assert {x.dtype for x in jax.tree.leaves(step)} == {jnp.dtype(dtype)}
        assert compiled.norm(g).dtype == compiled.dual(g).dtype == jnp.float32
        assert compiled.norm(g) == pytest.approx(norm, rel=1e-5, abs=0)
        assert compiled.dual(g) == pytest.approx(dual, rel=1e-5, abs=0)
        assert inner(*wide) == pytest.approx(-dual, rel=tolerance, abs=0)


@pytest.mark.parametrize("largest", [1e38, 3.3e38])
def test_the_largest_numbers_of_float32(case, compiled, largest):
    """The lmo is right where norms overflow; norms are right or inf."""
    g = draw(case.shape, 12)
    size = max(float(jnp.max(jnp.abs(x))) for x in jax.tree.leaves(g))
    g = times(largest / size, g)
    low = jax.tree.map(lambda x: x.astype(jnp.float32), g)
    step = jax.tree.map(lambda x: x.astype(jnp.float64), compiled.lmo(low))
    assert compiled.norm(step) == pytest.approx(1, abs=case.error + 1e-5)
    expected = -case.dual(jax.device_get(g))
    assert inner(g, step) == pytest.approx(expected, rel=case.error + 1e-5)
    for found, of in ((compiled.norm, case.norm), (compiled.dual, case.dual)):
        expected = of(jax.device_get(g))
        overflows = expected > 1e37 and np.isinf(found(low))
        assert overflows or found(low) == pytest.approx(expected, rel=1e-5)


def test_infinite_entries_have_an_infinite_norm():
    g = draw((3, 4), 0).at[1, 2].set(-jnp.inf)
    for one in (geometry.l1(), geometry.l2(), geometry.linf(), geometry.lp(3)):
        assert one.norm(g) == one.dual(g) == np.inf
    assert geometry.whole_tree_l2().norm({"a": g, "b": g[0]}) == np.inf


def test_equal_arguments_give_the_same_functions(case):
    assert case.make() == case.make()


def test_defaults_written_out_give_the_same_functions():
    assert geometry.spectral() == geometry.spectral("polar_express", 8)
    assert geometry.rms_to_rms() == geometry.rms_to_rms(input_axis=0)
    assert geometry.spectral("svd") != geometry.spectral()


# ------------------------------------------------- small cases, by hand


def test_tiny_matrix():
    g = jnp.array([[3.0, 0.0], [0.0, -4.0]])
    assert_close(geometry.l2().lmo(g), [[-0.6, 0.0], [0.0, 0.8]], 1e-15)
    assert_close(geometry.linf().lmo(g), [[-1.0, 0.0], [0.0, 1.0]], 0)
    for norm in (geometry.l1(), geometry.nuclear()):
        assert_close(norm.lmo(g), [[0.0, 0.0], [0.0, 1.0]], 1e-15)
        assert norm.dual(g) == pytest.approx(4, rel=1e-14)
        assert norm.norm(g) == pytest.approx(7, rel=1e-14)
    assert_close(geometry.spectral().lmo(g), [[-1.0, 0.0], [0.0, 1.0]], 1e-14)
    assert geometry.spectral().dual(g) == pytest.approx(7, rel=1e-14)
    assert geometry.spectral().norm(g) == pytest.approx(4, rel=1e-14)


def test_spectral_of_one_row_is_l2():
    g = draw((1, 7), 0)
    for kernel in ("svd", "polar_express", "cubic", "quintic"):
        assert_close(geometry.spectral(kernel).lmo(g), geometry.l2().lmo(g), 1e-12)


def test_spectral_takes_coefficients():
    g = draw((3, 5), 0)
    own = geometry.spectral(((1.5, -0.5, 0.0),) * 30)
    assert_close(own.lmo(g), geometry.spectral("cubic").lmo(g), 0)


def test_rms_to_rms_of_a_kernel_and_of_its_transpose():
    g = draw((3, 12), 0)
    by_columns = geometry.rms_to_rms("svd").lmo(g)
    by_rows = geometry.rms_to_rms("svd", input_axis=1).lmo(g.T)
    assert_close(by_columns, by_rows.T, 1e-12)
    assert np.linalg.norm(by_columns, 2) == pytest.approx(2)  # sqrt(12 / 3)


def test_product_of_l2_is_not_the_whole_tree_unless_there_is_one_leaf():
    one, two = draw({"a": (3,)}, 0), draw({"a": (3,), "b": (4,)}, 0)
    per_leaf, whole = geometry.per_leaf(geometry.l2()), geometry.whole_tree_l2()
    assert_close(per_leaf.lmo(one), whole.lmo(one), 1e-15)
    lengths = [np.linalg.norm(x) for x in jax.tree.leaves(whole.lmo(two))]
    assert np.hypot(*lengths) == pytest.approx(1)
    assert max(lengths) < 0.99
    for x in jax.tree.leaves(per_leaf.lmo(two)):
        assert np.linalg.norm(x) == pytest.approx(1)


# ------------------------------------------------- composition


def test_per_leaf_leaves_a_tree_geometry_alone():
    lifted = geometry.per_leaf(geometry.linf())
    assert isinstance(lifted, TreeGeometry)
    assert geometry.per_leaf(lifted) is lifted


def test_labels_may_be_a_function_or_a_prefix():
    parts = {"sign": geometry.linf(), "unit": geometry.l2()}
    g = {"embed": draw(MODEL, 0), "head": draw(MODEL, 1)}
    by_prefix = geometry.by_label(parts, {"embed": "sign", "head": "unit"})
    by_function = geometry.by_label(parts, top_level)
    expected = {
        "embed": jax.tree.map(geometry.linf().lmo, g["embed"]),
        "head": jax.tree.map(geometry.l2().lmo, g["head"]),
    }
    assert_close(by_prefix.lmo(g), expected, 0)
    assert_close(by_function.lmo(g), expected, 0)


def top_level(x):
    label = {"embed": "sign", "head": "unit"}
    return {k: jax.tree.map(lambda _, k=k: label[k], v) for k, v in x.items()}


def test_radii_may_be_traced():
    g = draw((3,), 0)

    def length(radius):
        uniform = geometry.per_leaf(geometry.linf(), radius)
        labelled = geometry.by_label({"a": geometry.linf()}, "a", radii={"a": radius})
        return uniform.norm(uniform.lmo(g)), jnp.max(jnp.abs(labelled.lmo(g)))

    norms, largest = jax.jit(jax.vmap(length))(jnp.array([0.5, 2.0]))
    np.testing.assert_array_equal(norms, [1, 1])
    np.testing.assert_array_equal(largest, [0.5, 2])


def test_second_call_does_not_compile():
    count = 0

    def lmo(which, g):
        nonlocal count
        count += 1
        return which(g)

    compiled = jax.jit(lmo, static_argnums=0)
    for _ in range(2):
        muon = geometry.matrices(geometry.spectral("jordan", 5), geometry.l2())
        compiled(muon.lmo, draw(MODEL, 0))
    assert count == 1


@pytest.mark.parametrize(
    "wrap",
    [
        lambda one, c: geometry.scaled(one, c),
        lambda one, c: geometry.along(geometry.scaled(one, c), axis=0),
        lambda one, c: geometry.flattened(
            geometry.scaled(one, c), reduction_axes=1, output_axes=0
        ),
    ],
)
def test_a_norm_with_another_array_does_not_compile(wrap):
    """Made anew for each array, it still is one program, with the array's number."""
    count = 0
    largest, total, sign = geometry.linf()

    def lmo(g):
        nonlocal count
        count += 1
        return sign(g)

    one, g = Geometry(largest, total, lmo), draw({"a": (3, 2), "b": (3, 2)}, 0)
    for factor in (2.0, 4.0):
        norm = geometry.per_leaf(wrap(one, jnp.asarray(factor)))
        expected = jax.tree.map(lambda x, c=factor: -jnp.sign(x) / c, g)
        assert_close(norm.lmo(g), expected, 1e-15)
        if factor == 2:
            first = count
    assert count == first


def test_traced_powers_of_matrices_may_be_swept():
    g = draw((4, 3), 0)

    def step(p):
        return [
            geometry.per_leaf(norm).lmo(g)
            for norm in (geometry.lp(p), geometry.schatten(p))
        ]

    swept = jax.jit(jax.vmap(step))(jnp.array([1.5, 3.0]))
    for i, p in enumerate((1.5, 3.0)):
        alone = geometry.lp(p).lmo(g), geometry.schatten(p).lmo(g)
        assert_close([x[i] for x in swept], list(alone), 1e-12)


@pytest.mark.parametrize(
    "build, error, message",
    [
        (lambda: geometry.spectral("newton"), ValueError, "unknown kernel 'newton'"),
        (lambda: geometry.spectral("svd", 5), ValueError, "steps=5"),
        (lambda: geometry.spectral("cubic", 0), ValueError, "steps=0"),
        (lambda: geometry.rms_to_rms(input_axis=2), ValueError, "input_axis"),
        (lambda: geometry.spectral().lmo(jnp.ones(3)), ValueError, "by_label"),
        (lambda: geometry.spectral().dual(jnp.ones((2, 2, 2))), ValueError, "by_label"),
        (lambda: geometry.rms_to_rms().norm(jnp.ones(3)), ValueError, "by_label"),
        (lambda: geometry.per_leaf(geometry.l2), TypeError, "l2()"),
        (lambda: geometry.per_leaf(geometry.l2(), 0), ValueError, "positive"),
        (lambda: geometry.by_label({"a": geometry.l2}, "a"), TypeError, "'a'"),
        (
            lambda: geometry.by_label({"a": geometry.l2()}, "b").lmo(
                {"w": jnp.ones(2)}
            ),
            ValueError,
            r"\['w'\] has the label 'b'",
        ),
        (
            lambda: geometry.by_label({"a": geometry.l2()}, "a", radii={"b": 1.0}),
            ValueError,
            "radius for 'b'",
        ),
        (
            lambda: geometry.by_label({"a": geometry.l2()}, "a", radii={"a": -1.0}),
            ValueError,
            "positive",
        ),
    ],
)
def test_mistakes_are_named(build, error, message):
    with pytest.raises(error, match=message):
        build()
