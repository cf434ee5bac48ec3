"""Equal matrices of a tree go through one iteration, and come out as if alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedjax_opt import geometry
from fedjax_opt.geometry.product import LARGE
from fedjax_opt.linalg import jordan
from fedjax_opt.transforms import lmo_step

SMALL, WIDE, TALL = (12, 8), (40, 110), (110, 40)
TREE = {
    "small": [SMALL] * 3,
    "wide": [WIDE] * 2,
    "tall": [TALL] * 3,
    "alone": (5, 7),
    "vectors": [(9,)] * 2,
    "number": (),
    "kernel": (2, 3, 4),
}


def draw(shapes, dtype="float64"):
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda shape: jnp.asarray(rng.standard_normal(shape), dtype),
        shapes,
        is_leaf=lambda x: isinstance(x, tuple),
    )


def polynomials(g):
    """Five steps of Jordan's polynomial in NumPy, as its page has them."""
    x = np.asarray(g, float)
    x = x / np.linalg.norm(x)
    for a, b, c in jordan():
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return -x


def polar(g):
    u, _, vt = np.linalg.svd(np.asarray(g, float), full_matrices=False)
    return -u @ vt


def unit(g):
    return -np.asarray(g, float) / np.linalg.norm(np.asarray(g, float).ravel())


def products(function, *args):
    """How many matrix products the program has, loops not unrolled."""
    return jax.jit(function).lower(*args).as_text().count("dot_general")


def test_both_ways_of_batching_are_tested():
    assert np.prod(SMALL) < LARGE <= np.prod(WIDE) == np.prod(TALL)


@pytest.mark.parametrize("kernel, exact", [("jordan", polynomials), ("svd", polar)])
@pytest.mark.parametrize("compiled", [True, False])
def test_a_mixed_tree_is_each_leaf(kernel, exact, compiled):
    norm, g = geometry.matrices(geometry.spectral(kernel), geometry.l2()), draw(TREE)
    found = (jax.jit(norm.lmo) if compiled else norm.lmo)(g)
    expected = jax.tree.map(lambda x: exact(x) if x.ndim == 2 else unit(x), g)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, atol=1e-12), found, expected
    )


@pytest.mark.parametrize("dtype, rounding", [("float32", 2e-6), ("bfloat16", 0.1)])
def test_leaves_keep_their_dtype(dtype, rounding):
    g = draw(TREE) | {
        "small": draw([SMALL] * 4, dtype),
        "wide": draw([WIDE] * 2, dtype),
    }
    found = jax.jit(geometry.matrices(geometry.spectral("jordan"), geometry.l2()).lmo)(
        g
    )
    jax.tree.map(lambda x, y: np.testing.assert_equal(x.dtype, y.dtype), found, g)
    for leaf in ("small", "wide"):
        for x, y in zip(found[leaf], g[leaf], strict=True):
            assert np.abs(np.asarray(x, float) - polynomials(y)).max() < rounding


def test_leaves_of_one_shape_and_two_dtypes():
    shapes = [WIDE] * 4
    g = [
        x.astype(t)
        for x, t in zip(draw(shapes), ["float32", "float64"] * 2, strict=True)
    ]
    found = jax.jit(geometry.per_leaf(geometry.spectral("jordan")).lmo)(g)
    assert [x.dtype for x in found] == [x.dtype for x in g]
    for x, y in zip(found, g, strict=True):
        np.testing.assert_allclose(x, polynomials(y), atol=1e-5)


def test_norms_and_radii_stay_with_their_leaves():
    g = dict(zip("abcd", draw([WIDE] * 4), strict=True))
    norm = geometry.by_label(
        {"hidden": geometry.spectral("svd"), "signs": geometry.linf()},
        {"a": "hidden", "b": "signs", "c": "hidden", "d": "signs"},
        radii={"hidden": 3.0},
    )
    found = jax.jit(norm.lmo)(g)
    for leaf in "ac":
        np.testing.assert_allclose(found[leaf], 3 * polar(g[leaf]), atol=1e-12)
    for leaf in "bd":
        np.testing.assert_array_equal(found[leaf], -np.sign(g[leaf]))


@pytest.mark.parametrize("shape", [SMALL, WIDE, TALL])
def test_equal_leaves_share_one_iteration(shape):
    lmo = geometry.per_leaf(geometry.spectral("jordan", 5)).lmo
    assert products(lmo, draw([shape])) == 15  # three products in each of five steps
    assert products(lmo, draw([shape] * 12)) == 15
    assert products(lmo, draw([shape, (3, 4)] * 6)) == 30


def test_equal_convolutions_share_one_iteration():
    lmo = geometry.per_leaf(
        geometry.spectral_conv(
            "jordan", 5, spatial_axes=(0, 1), input_axis=2, output_axis=3
        )
    ).lmo
    assert products(lmo, draw([(3, 3, 2, 4)] * 12)) == 15


def test_a_traced_factor_of_a_norm():
    g = draw([SMALL] * 3)

    def steps(factor):
        norm = geometry.scaled(geometry.spectral("jordan"), factor)
        return geometry.per_leaf(norm).lmo(g)

    found = jax.jit(jax.vmap(steps))(jnp.array([0.5, 2.0]))
    for x, y in zip(found, g, strict=True):
        np.testing.assert_allclose(x[0], 2 * polynomials(y), atol=1e-12)
        np.testing.assert_allclose(x[1], polynomials(y) / 2, atol=1e-12)


def test_a_traced_radius_and_workers_on_a_leading_axis():
    g = draw({"a": (3, *WIDE), "b": (3, *WIDE)})

    @jax.jit
    def steps(radius, g):
        norm = geometry.per_leaf(geometry.spectral("jordan"), radius)
        return jax.vmap(norm.lmo)(g)

    found = steps(0.5, g)
    for leaf in "ab":
        for x, y in zip(found[leaf], g[leaf], strict=True):
            np.testing.assert_allclose(x, 0.5 * polynomials(y), atol=1e-12)


def test_a_step_of_muon_on_a_mixed_tree():
    g = draw(TREE)
    optimizer = lmo_step(
        geometry.matrices(geometry.spectral("jordan"), geometry.l2()), 0.1, momentum=0.9
    )
    updates, _ = jax.jit(optimizer.update)(g, optimizer.init(g))
    for x, y in zip(updates["tall"], g["tall"], strict=True):
        np.testing.assert_allclose(x, 0.1 * polynomials(y), atol=1e-12)


def test_a_tree_without_leaves():
    assert geometry.per_leaf(geometry.spectral()).lmo({}) == {}
