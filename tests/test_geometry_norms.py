"""Norms of layers and of trees, against what they reduce to."""

import flax.linen
import flax.nnx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fedjax_opt import geometry


def draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def assert_close(a, b, tolerance=1e-12):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 0, tolerance), a, b)


def assert_equal(one, two, g, tolerance=1e-12):
    """The same norm, dual and lmo."""
    assert_close(jax.jit(one.norm)(g), jax.jit(two.norm)(g), tolerance)
    assert_close(jax.jit(one.dual)(g), jax.jit(two.dual)(g), tolerance)
    assert_close(jax.jit(one.lmo)(g), jax.jit(two.lmo)(g), tolerance)


# ------------------------------------------------- one leaf


def test_two_is_euclidean():
    g = draw(3, 4)
    assert_equal(geometry.lp(2), geometry.l2(), g)
    assert_equal(geometry.schatten(2), geometry.l2(), g)


def test_schatten_of_a_diagonal_matrix_is_lp_of_the_diagonal():
    v = draw(4)
    step = jax.jit(geometry.schatten(3).lmo)(jnp.diag(v))
    assert_close(step, jnp.diag(geometry.lp(3).lmo(v)))


def test_between_the_ends():
    """lp near 1 and near ∞ is nearly l1 and linf."""
    g = jnp.array([0.5, -2.0, 1.0])
    assert_close(geometry.lp(1.01).lmo(g), [0.0, 1.0, 0.0], 1e-6)
    assert_close(geometry.lp(1e6).lmo(g), [-1.0, 1.0, -1.0], 1e-5)


def test_lp_by_hand():
    """p = 3/2, q = 3: |g|² / (1 + 8 + 27)^(2/3)."""
    g = jnp.array([1.0, -2.0, 3.0])
    assert_close(geometry.lp(1.5).lmo(g), np.array([-1, 4, -9]) / 36 ** (2 / 3))


def test_p_may_be_traced():
    g = jnp.array([3.0, 4.0])
    norms = jax.jit(jax.vmap(lambda p: geometry.lp(p).norm(g)))(jnp.array([2.0, 4.0]))
    assert_close(norms, [5.0, 337**0.25])


def test_one_largest_entry_moves():
    """The first of them, where there are several."""
    g = jnp.array([[1.0, -3.0], [3.0, 0.0]])
    assert_close(geometry.l1().lmo(g), [[0.0, 1.0], [0.0, 0.0]], 0)
    by_rows = geometry.along(geometry.l1(), axis=1)
    assert_close(by_rows.lmo(g), [[0.0, 1.0], [-1.0, 0.0]], 0)


def test_rows_and_columns_by_hand():
    g = jnp.array([[3.0, 4.0], [0.0, 0.0]])
    rows = geometry.along(geometry.l2(), axis=1)
    columns = geometry.along(geometry.l2(), axis=0)
    assert_close(rows.lmo(g), [[-0.6, -0.8], [0.0, 0.0]])
    assert_close(columns.lmo(g), [[-1.0, -1.0], [0.0, 0.0]])
    assert (float(rows.dual(g)), float(columns.dual(g))) == (5, 7)


def test_along_an_axis_of_three():
    g = draw(2, 3, 4)
    step = geometry.along(geometry.l2(), axis=1).lmo(g)
    assert_close(step, -g / np.linalg.norm(g, axis=1, keepdims=True))


@pytest.mark.parametrize(
    "make, length_in, length_out",
    [
        (geometry.rms_to_rms, "rms", "rms"),
        (geometry.one_to_rms, "sum", "rms"),
        (geometry.rms_to_linf, "rms", "largest"),
        (geometry.scaled_sign, "mean", "largest"),
    ],
)
def test_operator_norms_bound_the_layer(make, length_in, length_out):
    """length(x W) <= ‖W‖ length(x), with equality for the best of many x."""
    length = {
        "rms": lambda v: np.sqrt((v**2).mean(-1)),
        "sum": lambda v: np.abs(v).sum(-1),
        "mean": lambda v: np.abs(v).mean(-1),
        "largest": lambda v: np.abs(v).max(-1),
    }
    w = np.asarray(draw(3, 4))
    _, _, right = np.linalg.svd(w.T)
    x = np.concatenate([draw(1000, 3), np.eye(3), w.T, right])
    gain = length[length_out](x @ w) / length[length_in](x)
    assert np.max(gain) == pytest.approx(float(make().norm(jnp.asarray(w))), rel=1e-10)


@pytest.mark.parametrize(
    "make", [geometry.one_to_rms, geometry.rms_to_linf, geometry.scaled_sign]
)
def test_the_other_layout_is_the_transpose(make):
    g = draw(3, 4)
    assert_close(make(input_axis=1).lmo(g.T), make(input_axis=0).lmo(g).T)


def test_a_convolution_is_a_matrix():
    """In the layout (out, in, height, width) against the rows of outputs."""
    g = draw(5, 2, 3, 3)
    norm = geometry.spectral_conv(
        "svd", spatial_axes=(2, 3), input_axis=1, output_axis=0
    )
    u, _, vt = np.linalg.svd(g.reshape(5, 18), full_matrices=False)
    expected = -np.sqrt(5 / 2) / 9 * u @ vt
    assert_close(jax.jit(norm.lmo)(g), expected.reshape(g.shape))


def test_a_convolution_without_places_is_a_dense_layer():
    flat = geometry.spectral_conv("svd", spatial_axes=(), input_axis=0, output_axis=1)
    assert_equal(flat, geometry.rms_to_rms("svd"), draw(3, 4))


def test_a_flattened_vector_is_one_row():
    row = geometry.flattened(
        geometry.spectral("svd"), reduction_axes=(), output_axes=-1
    )
    assert_equal(row, geometry.l2(), draw(5))


def test_flattened_has_the_axes_of_optax():
    """A step of optax's Muon on a convolution, scaled as optax does."""
    g = {"kernel": draw(3, 2, 4, 6)}
    reduction, output = (0, 1, 2), 3
    muon = optax.contrib.scale_by_muon(
        beta=0.0,
        eps=0.0,
        nesterov=False,
        weight_dimension_numbers={
            "kernel": optax.contrib.MuonDimensionNumbers(reduction, output)
        },
    )
    theirs, _ = jax.jit(muon.update)(g, muon.init(g), g)
    ours = geometry.flattened(
        geometry.spectral("jordan"), reduction_axes=reduction, output_axes=output
    )
    step = -jax.jit(ours.lmo)(g["kernel"])
    cosine = jnp.vdot(step, theirs["kernel"]) / (
        jnp.linalg.norm(step) * jnp.linalg.norm(theirs["kernel"])
    )
    assert cosine == pytest.approx(1, abs=1e-9)


# ------------------------------------------------- trees


def test_euclidean_leaves_across_l2_are_the_whole_tree():
    g = {"a": draw(3), "b": draw(2, 4, seed=1), "c": draw(2, 2, 2, seed=2)}
    product = geometry.per_leaf(geometry.l2(), across=geometry.l2())
    assert_equal(product, geometry.whole_tree_l2(), g)


def test_lengths_of_leaves_across_l2():
    """Dual norms 3 and 4 give lengths 3/5 and 4/5, times the radii."""
    g = {"a": jnp.array([1.0, -2.0]), "b": jnp.array([4.0, 0.0])}
    norm = geometry.by_label(
        {"sign": geometry.linf(), "unit": geometry.l2()},
        {"a": "sign", "b": "unit"},
        radii={"unit": 0.5},
        across=geometry.l2(),
    )
    length = np.hypot(3, 2)
    expected = {"a": np.array([-1, 1]) * 3 / length, "b": np.array([-1, 0]) / length}
    assert_close(jax.jit(norm.lmo)(g), expected)


def test_across_linf_is_the_default():
    one, two = geometry.linf(), geometry.l2()
    assert geometry.per_leaf(two, across=one) == geometry.per_leaf(two)


@pytest.mark.parametrize("make", [geometry.l2, geometry.scaled_sign, geometry.nuclear])
def test_sharp_on_a_tree_is_of_the_product(make):
    g = {"a": draw(3, 4), "b": draw(4, 2, seed=1)}
    step = geometry.sharp(make(), g)
    norm = geometry.per_leaf(make())
    assert norm.norm(step) == pytest.approx(float(norm.dual(g)))
    assert sum(jnp.vdot(g[k], step[k]) for k in g) == pytest.approx(
        float(norm.dual(g)) ** 2
    )


def test_sharp_of_l2_is_the_gradient():
    assert_close(geometry.sharp(geometry.l2(), draw(3, 4)), draw(3, 4))


# ------------------------------------------------- points to start at


def test_initial_points_lie_on_the_boundary():
    like = {"a": jnp.zeros((3, 4)), "b": jnp.zeros((3, 4)), "c": jnp.zeros((2, 6))}
    norm = geometry.rms_to_rms("svd")
    point = geometry.initial_point(jax.random.key(0), norm, like, 2.0)
    for x in jax.tree.leaves(point):
        assert norm.norm(x) == pytest.approx(2)
    gram = np.asarray(point["a"] @ point["a"].T)
    np.testing.assert_allclose(gram, 4 * (4 / 3) * np.eye(3), atol=1e-12)
    assert np.any(point["a"] != point["b"])


def test_initial_signs_are_fair_and_keep_their_dtype():
    like = jax.ShapeDtypeStruct((50, 200), jnp.float32)
    point = geometry.initial_point(jax.random.key(1), geometry.scaled_sign(), like)
    assert point.dtype == jnp.float32
    np.testing.assert_array_equal(np.unique(np.abs(point)), np.float32(1 / 50))
    assert abs(np.mean(np.sign(point))) < 0.05  # 5 standard deviations


# ------------------------------------------------- names of layers


def shapes(**leaves):
    return jax.tree.map(jnp.zeros, leaves, is_leaf=lambda x: isinstance(x, tuple))


def names(module, *inputs):
    return jax.eval_shape(module.init, jax.random.key(0), *inputs)


def gaussian(tree):
    return jax.tree.map(lambda x: draw(*x.shape), tree)


def test_labels_by_name():
    labels = geometry.by_name({"head/kernel": "a", "Conv_*/kernel": "b", "kernel": "c"})
    dense, one = {"kernel": 0}, {"kernel": 1}
    tree = {"head": dense, "body": {"head": one, "Conv_1": one, "MyConv_1": one}}
    assert labels(tree) == {
        "head": {"kernel": "a"},
        "body": {
            "head": {"kernel": "a"},
            "Conv_1": {"kernel": "b"},
            "MyConv_1": {"kernel": "c"},
        },
    }


class Net(flax.linen.Module):
    @flax.linen.compact
    def __call__(self, x):
        return flax.linen.Dense(2, name="head")(flax.linen.Dense(4)(x))


def test_dense_layers_of_linen():
    g = gaussian(names(Net(), jnp.zeros((1, 3))))
    norm = geometry.mlp(
        head="head", radii={"hidden": 50.0, "head": 3000.0}, kernel="svd"
    )
    step, hidden = jax.jit(norm.lmo)(g)["params"], g["params"]["Dense_0"]["kernel"]
    u, _, vt = np.linalg.svd(hidden, full_matrices=False)
    assert_close(step["Dense_0"]["kernel"], -50 * np.sqrt(4 / 3) * u @ vt, 1e-11)
    assert_close(
        step["head"]["kernel"], -3000 / 4 * np.sign(g["params"]["head"]["kernel"])
    )
    for layer in ("Dense_0", "head"):
        bias = step[layer]["bias"]
        assert np.mean(bias**2) == pytest.approx(1)


class Attention(flax.nnx.Module):
    def __init__(self, rngs):
        self.words = flax.nnx.Embed(5, 4, rngs=rngs)
        self.norm = flax.nnx.LayerNorm(4, rngs=rngs)
        self.attention = flax.nnx.MultiHeadAttention(2, 4, decode=False, rngs=rngs)
        self.last = flax.nnx.Linear(4, 3, rngs=rngs)


def test_attention_of_nnx():
    model = flax.nnx.eval_shape(lambda: Attention(flax.nnx.Rngs(0)))
    g = gaussian(flax.nnx.state(model, flax.nnx.Param))
    norm = geometry.transformer(attention="attention", head="last", kernel="svd")
    step = jax.jit(norm.lmo)(g)
    query = step["attention"]["query"]["kernel"][...].reshape(4, 4)
    result = step["attention"]["out"]["kernel"][...].reshape(4, 4)
    for matrix in (query, result):
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(np.abs(step["words"]["embedding"][...]), 1 / 4)
    np.testing.assert_allclose(np.abs(step["last"]["kernel"][...]), 1 / 4)
    assert np.mean(step["norm"]["scale"][...] ** 2) == pytest.approx(1)
    assert np.mean(step["attention"]["key"]["bias"][...] ** 2) == pytest.approx(1)


CONV = {"spatial_axes": (0, 1), "input_axis": 2, "output_axis": 3}


def test_convolutions_before_a_dense_layer():
    g = gaussian(
        shapes(
            Conv_0={"kernel": (3, 3, 2, 4), "bias": (4,)},
            Dense_0={"kernel": (8, 3), "bias": (3,)},
        )
    )
    norm = geometry.convolutional(
        convolutions="Conv_*", head="Dense_0", kernel="svd", **CONV
    )
    step = jax.jit(norm.lmo)(g)
    matrix = step["Conv_0"]["kernel"].reshape(18, 4)
    np.testing.assert_allclose(matrix.T @ matrix, 2 / 81 * np.eye(4), atol=1e-12)
    np.testing.assert_allclose(np.abs(step["Dense_0"]["kernel"]), 1 / 8)


def test_equal_choices_are_one_object():
    assert geometry.mlp(head="a") == geometry.mlp(head="a")
    assert geometry.mlp(head="a") != geometry.mlp(head="b")


@pytest.mark.parametrize(
    "build, error, message",
    [
        (lambda: geometry.lp(1), ValueError, "l1()"),
        (lambda: geometry.schatten(float("inf")), ValueError, "linf()"),
        (lambda: geometry.scaled(geometry.l2(), 0), ValueError, "positive"),
        (lambda: geometry.scaled(geometry.l2, 1.0), TypeError, "l2()"),
        (lambda: geometry.scaled(geometry.whole_tree_l2(), 1.0), TypeError, "per_leaf"),
        (lambda: geometry.along(geometry.l2, axis=0), TypeError, "l2()"),
        (
            lambda: geometry.along(geometry.l2(), axis=1).lmo(jnp.ones(3)),
            ValueError,
            r"axis 1, got a leaf of shape \(3,\)",
        ),
        (lambda: geometry.nuclear().lmo(jnp.ones(3)), ValueError, "by_label"),
        (lambda: geometry.schatten(3).norm(jnp.ones(3)), ValueError, "by_label"),
        (lambda: geometry.scaled_sign().lmo(jnp.ones(3)), ValueError, "by_label"),
        (lambda: geometry.one_to_rms(input_axis=2), ValueError, "input_axis"),
        (
            lambda: geometry.flattened(
                geometry.l2(), reduction_axes=0, output_axes=0
            ).norm(jnp.ones((2, 2))),
            ValueError,
            r"\(0,\) and \(0,\) are not those",
        ),
        (
            lambda: geometry.spectral_conv(**CONV).lmo(jnp.ones((2, 2))),
            ValueError,
            r"not those of a leaf of shape \(2, 2\)",
        ),
        (
            lambda: geometry.flattened(
                geometry.spectral, reduction_axes=0, output_axes=1
            ),
            TypeError,
            "spectral()",
        ),
        (
            lambda: geometry.per_leaf(geometry.whole_tree_l2(), across=geometry.l2()),
            ValueError,
            "across",
        ),
        (
            lambda: geometry.mlp(head="b").lmo({"a": {"gain": jnp.ones(2)}}),
            ValueError,
            "no rule for the leaf a/gain",
        ),
        (
            lambda: geometry.mlp(head="b").lmo({"a": {"kernel": jnp.ones((2, 2, 2))}}),
            ValueError,
            "by_label",
        ),
        (
            lambda: geometry.mlp(head="b", radii={"biases": 1.0}),
            ValueError,
            "radius for 'biases'",
        ),
    ],
)
def test_mistakes_are_named(build, error, message):
    with pytest.raises(error, match=message):
        build()
