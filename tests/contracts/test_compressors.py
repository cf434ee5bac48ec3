"""Every compressor keeps what it certifies, and costs what it says."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from contracts.cases_compressors import CASES
from hypothesis import given, settings
from hypothesis import strategies as st

from fedjax_opt.compressors import (
    gaussian_sketch,
    identity,
    natural,
    rand_k,
    scaled_sign,
    sign,
    top_k,
    wrap,
)
from fedjax_opt.geometry import linf
from fedjax_opt.keys import in_round, public
from fedjax_opt.mechanisms import dcgd, ef21
from fedjax_opt.simulate import distribute
from fedjax_opt.transforms import scale_by_lmo
from fedjax_opt.types import Bits, Certificate

D = 12
CHUNK = 512
DRAWS = 40 * CHUNK
RANDOM = [name for name, case in CASES.items() if case.random]
UNBIASED = [name for name, case in CASES.items() if case.omega]

GAUSSIAN = np.random.default_rng(0).standard_normal(D)
VECTORS = {
    "equal": np.full(D, 4 / 3),  # the worst case of natural compression
    "spike": np.where(np.arange(D) == 7, 5.0, 0.0),
    "ties": np.resize([1.0, -2.0, 2.0, 0.0, 2.0], D),
    "geometric": 0.6 ** np.arange(D),
    "half zero": GAUSSIAN * (np.arange(D) % 2),
    "gaussian": GAUSSIAN,
    "tiny": 1e-30 * GAUSSIAN,
    "huge": 1e30 * GAUSSIAN,
    "zero": np.zeros(D),
}


def keys_of(key, worker=0):
    return in_round(key, worker, 8)


@functools.partial(jax.jit, static_argnums=0)
def exchange(c, key, x, worker):
    """The message and what it decodes to."""
    message = c.encode(keys_of(key, worker), x)
    return message, c.decode(public(keys_of(key, worker)), message, x)


def apply(c, key, x, worker=0):
    """decode ∘ encode."""
    return exchange(c, key, x, worker)[1]


@functools.partial(jax.jit, static_argnums=0)
def everyone(c, key, xs):
    """[n, …] vectors of the workers -> [n, …] decoded messages."""
    return jax.vmap(lambda worker, x: apply(c, key, x, worker))(jnp.arange(8), xs)


@functools.partial(jax.jit, static_argnums=0)
def chunk(c, keys, x):
    """[m] keys -> [m, d] decoded messages; one program for all samples."""
    return jax.vmap(lambda key: apply(c, key, x))(keys)


@functools.cache
def chunks_of_keys(num_draws):
    keys = jax.random.split(jax.random.key(1), num_draws)
    return [keys[i : i + CHUNK] for i in range(0, num_draws, CHUNK)]


def array(name, vector):
    """What the compressor is given of a vector."""
    return np.asarray(CASES[name].embed(VECTORS[vector]))


def draw(name, x, num_draws):
    """[draws, d] decoded messages."""
    case = CASES[name]
    keys = chunks_of_keys(num_draws if case.random else 1)
    sample = [chunk(case.make(), part, jnp.asarray(x)) for part in keys]
    return np.concatenate(sample).reshape(-1, x.size)


@functools.cache
def decoded(name):
    """{vector: [draws, d] decoded messages}."""
    return {vector: draw(name, array(name, vector), DRAWS) for vector in VECTORS}


def relative_errors(x, sample):
    """|C(x) − x|² / |x|² of every draw, safe from overflow; x ≠ 0."""
    peak = np.max(np.abs(x))
    x, sample = x / peak, sample / peak
    return np.sum((sample - x) ** 2, axis=-1) / np.sum(x**2)


def margin(sample):
    """Six standard errors of the mean."""
    return 6 * np.std(sample, axis=0) / np.sqrt(len(sample))


def bound(case, d):
    """The smallest relative error that is promised, inf for none."""
    promises = []
    if case.omega:
        promises.append(case.omega(d))
    if case.alpha:
        promises.append(1 - case.alpha(d))
    if case.eta:
        promises.append(case.eta(d) ** 2 + case.variance(d))
    return min(promises, default=np.inf)


PROMISING = [
    name for name, case in CASES.items() if bound(case, case.sizes[0]) < np.inf
]


# ---------------------------------------------------------------- certificates


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("name", CASES)
def test_certificate_is_the_papers(name, which):
    case = CASES[name]
    d = case.sizes[which]
    certificate = case.make().certificate(d)
    expected = {
        name: None if promise is None else pytest.approx(promise(d), abs=1e-12)
        for name in Certificate._fields
        for promise in [getattr(case, name)]
    }
    assert certificate._asdict() == expected


@pytest.mark.parametrize("vector", [v for v in VECTORS if v != "zero"])
@pytest.mark.parametrize("name", PROMISING)
def test_error_is_within_the_certificate(name, vector):
    x = array(name, vector).ravel()
    errors = relative_errors(x, decoded(name)[vector])
    assert np.mean(errors) <= bound(CASES[name], x.size) + margin(errors) + 1e-12


@pytest.mark.parametrize("name", PROMISING)
@settings(max_examples=12)
@given(
    x=st.lists(
        st.floats(-1e30, 1e30, allow_subnormal=False), min_size=D, max_size=D
    ).filter(any)
)
def test_error_is_within_the_certificate_anywhere(name, x):
    x = np.asarray(CASES[name].embed(np.array(x)))
    errors = relative_errors(x.ravel(), draw(name, x, CHUNK))
    assert np.mean(errors) <= bound(CASES[name], x.size) + margin(errors) + 1e-12


@pytest.mark.parametrize("vector", [v for v in VECTORS if v != "zero"])
@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case.eta])
def test_bias_and_noise_are_within_the_certificate(name, vector):
    x, sample = array(name, vector).ravel(), decoded(name)[vector]
    peak, case = np.max(np.abs(x)), CASES[name]
    x, sample = x / peak, sample / peak
    mean, size = np.mean(sample, axis=0), np.linalg.norm(x)
    bias = np.linalg.norm(mean - x)
    assert bias <= case.eta(x.size) * size + np.linalg.norm(margin(sample)) + 1e-12
    noise = np.sum((sample - mean) ** 2, axis=1)
    assert np.mean(noise) <= case.variance(x.size) * size**2 + margin(noise) + 1e-12


@pytest.mark.parametrize("vector", VECTORS)
@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case.absolute])
def test_absolute_error_is_within_the_certificate(name, vector):
    x = array(name, vector).ravel()
    errors = np.sum((decoded(name)[vector] - x) ** 2, axis=1)
    allowed = CASES[name].absolute(x.size) + 1e-12 * np.sum(x**2)
    assert np.mean(errors) <= allowed + margin(errors)


@pytest.mark.parametrize("vector", VECTORS)
@pytest.mark.parametrize("name", UNBIASED)
def test_mean_is_the_vector(name, vector):
    x, sample = array(name, vector).ravel(), decoded(name)[vector]
    peak = max(np.max(np.abs(x)), np.finfo(float).tiny)
    x, sample = x / peak, sample / peak
    assert np.all(np.abs(np.mean(sample, axis=0) - x) <= margin(sample) + 1e-12)


@pytest.mark.parametrize("vector", [v for v in VECTORS if v != "zero"])
def test_variance_of_rand_k_is_omega_exactly(vector):
    errors = relative_errors(VECTORS[vector], decoded("rand_k")[vector])
    assert abs(np.mean(errors) - 3) <= margin(errors) + 1e-12


def test_every_draw_of_rand_k_has_variance_omega_on_equal_entries():
    errors = relative_errors(VECTORS["equal"], decoded("rand_k")["equal"])
    np.testing.assert_allclose(errors, 3, rtol=1e-12)


def test_certificate_of_scaled_rand_k_is_attained_on_equal_entries():
    errors = relative_errors(VECTORS["equal"], decoded("scaled_rand_k")["equal"])
    np.testing.assert_allclose(errors, 1 - 3 / D, rtol=1e-12)


def test_certificate_of_natural_compression_is_attained():
    errors = relative_errors(VECTORS["equal"], decoded("natural")["equal"])
    assert abs(np.mean(errors) - 1 / 8) <= margin(errors)


# ---------------------------------------------------------------- shapes, dtypes, keys


@pytest.mark.parametrize("name", CASES)
def test_zero_goes_to_zero(name):
    """A shifted zero to itself."""
    zero = array(name, "zero").ravel()
    np.testing.assert_array_equal(decoded(name)["zero"] - zero, 0)


@pytest.mark.parametrize("name", CASES)
def test_the_smallest_array(name):
    """One number, or K of K, or equal ones: what is promised of 12 holds of them."""
    case = CASES[name]
    x = np.resize(case.embed(np.full(D, -1.7)), case.smallest)
    sample = draw(name, x, CHUNK)
    assert np.all(np.isfinite(sample))
    x, promised = x.ravel(), bound(case, x.size)
    errors = relative_errors(x, sample)
    assert np.mean(errors) <= promised + margin(errors) + 1e-12
    if case.omega:
        assert np.all(np.abs(np.mean(sample, axis=0) - x) <= margin(sample) + 1e-12)


@pytest.mark.parametrize(
    ("dtype", "scales"),
    [
        ("float64", [1, 1e30, 1e-30]),
        ("float32", [1, 1e30, 1e-30]),
        ("bfloat16", [1, 1e30, 1e-30]),
        ("float16", [1, 1e3, 1e-3]),
    ],
)
@pytest.mark.parametrize("name", CASES)
def test_shape_and_dtype_are_kept(name, dtype, scales, key):
    case = CASES[name]
    for scale in scales:
        x = jnp.asarray(case.embed(scale * GAUSSIAN), dtype).reshape(case.shape)
        out = apply(case.make(), key, x)
        assert (out.shape, out.dtype) == (x.shape, x.dtype)
        exact, out = np.asarray(x, float).ravel(), np.asarray(out, float).ravel()
        assert np.all(np.isfinite(out))
        if not case.random:
            rounding = 8 * float(jnp.finfo(dtype).eps)
            assert relative_errors(exact, out) <= bound(case, x.size) + rounding
    zero = jnp.asarray(case.embed(np.zeros(D)), dtype).reshape(case.shape)
    np.testing.assert_array_equal(apply(case.make(), key, zero), zero)


@pytest.mark.parametrize("name", ["identity", "scaled_sign", "top_k_fraction"])
def test_a_single_number_is_exact(name, key):
    for x in (jnp.array(-1.7), jnp.array([-1.7])):
        assert apply(CASES[name].make(), key, x) == x


@pytest.mark.parametrize("make", [top_k, rand_k])
def test_all_of_the_entries_is_the_identity(make, key):
    for x in (jnp.asarray(GAUSSIAN), jnp.array([-1.7])):
        np.testing.assert_array_equal(apply(make(x.size), key, x), x)
        np.testing.assert_array_equal(apply(make(fraction=1.0), key, x), x)


@pytest.mark.parametrize("name", [n for n in RANDOM if not CASES[n].shared])
def test_draws_belong_to_the_worker(name):
    case = CASES[name]
    x = np.reshape(case.embed(GAUSSIAN), case.shape)
    c, xs = case.make(), jnp.tile(x, (8, 1, 1))
    first = np.asarray(everyone(c, jax.random.key(2), xs))
    np.testing.assert_array_equal(everyone(c, jax.random.key(2), xs), first)
    assert len(np.unique(first, axis=0)) > 1
    assert not np.array_equal(everyone(c, jax.random.key(3), xs), first)


@pytest.mark.parametrize("name", CASES)
def test_vmap_over_workers_is_a_loop(name, key):
    case = CASES[name]
    c, rows = case.make(), np.random.default_rng(4).standard_normal((8, D))
    xs = jnp.stack([case.embed(row).reshape(case.shape) for row in rows])
    alone = [apply(c, key, x, i) for i, x in enumerate(xs)]
    together = everyone(c, key, xs)
    np.testing.assert_allclose(together, np.stack(alone), rtol=case.rounding, atol=0)


@pytest.mark.parametrize("name", CASES)
def test_equal_arguments_give_the_same_object(name):
    assert CASES[name].make() is CASES[name].make()


# ---------------------------------------------------------------- bits


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if not case.varies])
def test_bits_are_those_of_the_table(name, key):
    c = CASES[name].make()
    like = jax.ShapeDtypeStruct(CASES[name].shape, jnp.float32)
    message = jax.eval_shape(lambda x: c.encode(keys_of(key), x), like)
    bits = c.bits(public(keys_of(key)), message, like)
    assert bits == CASES[name].bits
    assert all(isinstance(length, int) for length in bits)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", CASES)
def test_wire_is_the_payload(name, dtype, key):
    case = CASES[name]
    x = jnp.asarray(case.embed(GAUSSIAN), dtype).reshape(case.shape)
    c = case.make()
    message, _ = exchange(c, key, x, 0)
    payload = sum(np.asarray(part).nbytes for part in jax.tree.leaves(message))
    wire = c.bits(public(keys_of(key)), message, x).wire
    assert wire <= 8 * payload if case.varies else wire == 8 * payload


@pytest.mark.parametrize(
    ("k", "d", "subset"),
    [
        (1, 1, 0),
        (1, 4, 2),
        (2, 4, 3),  # ⌈log₂ 6⌉
        (12, 12, 0),
        (1, 2**20, 20),  # a list
        (500, 1000, 995),  # ≈ 1000 − log₂(500π)/2
    ],
)
def test_entropy_of_a_subset(k, d, subset, key):
    c, like = top_k(k), jax.ShapeDtypeStruct((d,), jnp.float64)
    message = jax.eval_shape(lambda x: c.encode(keys_of(key), x), like)
    assert c.bits(public(keys_of(key)), message, like).entropy == 64 * k + subset


@pytest.mark.parametrize(
    ("d", "dtype"),
    [(256, "uint8"), (257, "uint16"), (2**16, "uint16"), (2**16 + 1, "uint32")],
)
def test_indices_are_as_narrow_as_they_can_be(d, dtype, key):
    x = jnp.zeros(d).at[-1].set(3.0)
    message = top_k(1).encode(keys_of(key), x)
    assert message.indices.dtype == dtype
    np.testing.assert_array_equal(top_k(1).decode(public(keys_of(key)), message, x), x)
    random = jax.eval_shape(lambda x: rand_k(1).encode(keys_of(key), x), x)
    assert random.indices.dtype == dtype


@pytest.mark.parametrize(
    ("dtype", "per_number", "code"),
    [
        ("float64", 12, "uint16"),
        ("float32", 9, "uint16"),
        ("bfloat16", 9, "uint16"),
        ("float16", 6, "uint8"),
    ],
)
def test_bits_of_natural_compression(dtype, per_number, code, key):
    x = jnp.ones(D, dtype)
    message = natural().encode(keys_of(key), x)
    length = D * per_number
    assert message.dtype == code
    assert natural().bits(public(keys_of(key)), message, x) == Bits(
        length, 8 * D * np.dtype(code).itemsize, length
    )


# ---------------------------------------------------------------- one by one


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("value", [0.0, -2.5])
def test_top_k_breaks_ties_by_the_lowest_index(value, dtype, key):
    x = jnp.full(1000, value, dtype).at[500].set(7)
    indices = np.sort(top_k(10).encode(keys_of(key), x).indices)
    np.testing.assert_array_equal(indices, [*range(9), 500])


def test_top_k_keeps_the_largest_and_is_idempotent(key):
    x = np.random.default_rng(5).standard_normal((10, 10))
    largest = np.argsort(-np.abs(x), axis=None)[:20]
    expected = np.zeros(100)
    expected[largest] = x.ravel()[largest]
    out = apply(top_k(fraction=0.2), key, jnp.asarray(x))
    np.testing.assert_array_equal(out, expected.reshape(10, 10))
    np.testing.assert_array_equal(apply(top_k(fraction=0.2), key, out), out)


@pytest.mark.parametrize(
    ("fraction", "d", "k"), [(0.05, 100, 5), (0.01, 10, 1), (0.26, 10, 3)]
)
def test_fraction_is_rounded_but_sends_something(fraction, d, k, key):
    message = top_k(fraction=fraction).encode(keys_of(key), jnp.ones(d))
    assert message.values.size == k


def test_rand_k_keeps_k_different_entries():
    counts = np.count_nonzero(decoded("rand_k")["gaussian"], axis=1)
    np.testing.assert_array_equal(counts, 3)


def test_rand_k_is_unbiased_even_if_all_scores_tie(monkeypatch):
    monkeypatch.setattr(jax.random, "uniform", lambda key, *of: jnp.zeros(*of))
    encode = rand_k(3).encode
    keys = jax.random.split(jax.random.key(6), DRAWS)
    draws = jax.jit(jax.vmap(lambda key: encode(keys_of(key), jnp.zeros(D)).indices))
    frequency = np.bincount(np.ravel(draws(keys)), minlength=D) / DRAWS
    assert np.all(np.abs(frequency - 3 / D) <= 6 * np.sqrt(1 / 4 * 3 / 4 / DRAWS))


@pytest.mark.parametrize("vector", ["gaussian", "half zero", "geometric", "spike"])
def test_error_of_scaled_sign_is_the_identity(vector):
    """|C(x) − x|² = |x|² − |x|₁²/d, zero entries or not."""
    x = VECTORS[vector]
    expected = 1 - np.sum(np.abs(x)) ** 2 / D / np.sum(x**2)
    errors = relative_errors(x, decoded("scaled_sign")[vector])
    np.testing.assert_allclose(errors, expected, rtol=1e-12)


def test_sign_values(key):
    x = jnp.array([[1.0, -2.0, 0.0], [0.5, -0.5, 2.0]])
    np.testing.assert_array_equal(apply(sign(), key, x), [[1, -1, 0], [1, -1, 1]])
    out = apply(scaled_sign(), key, x)
    np.testing.assert_array_equal(out, [[1, -1, 1], [1, -1, 1]])


def test_the_sign_of_the_mean_of_signs_is_the_majority():
    """As the docstring says: signSGD by parts that exist."""
    grads = np.random.default_rng(6).integers(-3, 4, (8, D)).astype(float)
    adapter = distribute(dcgd(sign()), 8, key=jax.random.key(1))
    voters = optax.chain(adapter, scale_by_lmo(linf()))
    steps, _ = voters.update(jnp.asarray(grads), voters.init(jnp.zeros(D)))
    votes = np.sum(grads > 0, axis=0) - np.sum(grads < 0, axis=0)
    np.testing.assert_array_equal(steps, np.sign(votes))


def test_mechanisms_with_a_memory_refuse_the_sign_without_a_scale():
    with pytest.raises(ValueError, match=r"ef21 .*sign\(\)"):
        ef21(sign())


def float_patterns(dtype):
    """All numbers of a 16-bit dtype; for the others a sample with every exponent."""
    width = 8 * jnp.dtype(dtype).itemsize
    if width == 16:
        patterns = np.arange(2**16, dtype=np.uint16)
    else:
        rng = np.random.default_rng(7)
        patterns = rng.integers(2**width, size=2**16, dtype=f"uint{width}")
    return patterns.view(jnp.dtype(dtype))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_natural_compression_bit_by_bit(dtype, key):
    x = float_patterns(dtype)
    out = np.asarray(apply(natural(), key, jnp.asarray(x)))
    np.testing.assert_array_equal(np.signbit(out), np.signbit(x))
    with np.errstate(invalid="ignore"):  # signalling NaN
        size, out = np.abs(x.astype(float)), np.abs(out.astype(float))
    layout = jnp.finfo(dtype)
    smallest, top = float(layout.tiny), 2.0 ** (layout.maxexp - 1)

    finite = np.isfinite(size)
    assert np.all(np.isinf(out[~finite]))
    assert np.all(out[finite & (size >= top)] == top)
    subnormal = size < smallest
    assert np.all(np.isin(out[subnormal], [0, smallest]))
    assert np.all(out[size == 0] == 0)

    middle = finite & (size < top) & ~subnormal
    size, out = size[middle], out[middle]
    lower = np.ldexp(0.5, np.frexp(size)[1])
    assert np.all((out == lower) | (out == 2 * lower))
    assert np.all(out[size == lower] == size[size == lower])
    up = size / lower - 1  # the probability of the upper one
    excess = np.sum(out == 2 * lower) - np.sum(up)
    assert abs(excess) <= 6 * np.sqrt(np.sum(up * (1 - up)))


@pytest.mark.parametrize("t", [1.5, 1.25, -7.0])
def test_natural_compression_rounds_up_with_the_mantissa(t):
    lower = 2.0 ** np.floor(np.log2(abs(t)))
    x = jnp.full(DRAWS, t, jnp.float32)
    out = np.abs(np.asarray(apply(natural(), jax.random.key(8), x)))
    up = abs(t) / lower - 1
    assert set(out) == {lower, 2 * lower}
    spread = np.sqrt(up * (1 - up) / DRAWS)
    assert abs(np.mean(out == 2 * lower) - up) <= 6 * spread


# ---------------------------------------------------------------- trees

TREE = {
    "bias": np.array([3.0, -1.0, 0.5, 2.0, -4.0]),
    "scale": np.array(0.25, "float32"),
    "weight": np.array([[6.0, -5.0, 0.125], [1.5, 2.5, -3.5]], "float32"),
}
JOINED = np.concatenate([np.ravel(x) for x in TREE.values()]).astype(float)


def tree_of(dtype=None):
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), TREE)


@pytest.mark.parametrize("lift", [wrap.per_leaf, wrap.whole_tree])
@pytest.mark.parametrize("make", [identity, lambda: top_k(fraction=1.0)])
def test_trees_keep_structure_shapes_and_dtypes(make, lift, key):
    tree = tree_of()
    tree["scale"] = tree["scale"].astype(jnp.bfloat16)
    out = apply(lift(make()), key, tree)
    assert jax.tree.structure(out) == jax.tree.structure(tree)
    for a, b in zip(jax.tree.leaves(out), jax.tree.leaves(tree), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_per_leaf_compresses_every_leaf(key):
    out = apply(wrap.per_leaf(top_k(1)), key, tree_of())
    np.testing.assert_array_equal(out["bias"], [0, 0, 0, 0, -4])
    np.testing.assert_array_equal(out["scale"], 0.25)
    np.testing.assert_array_equal(out["weight"], [[6, 0, 0], [0, 0, 0]])


def test_whole_tree_compresses_one_vector(key):
    out = apply(wrap.whole_tree(top_k(3)), key, tree_of())
    np.testing.assert_array_equal(out["bias"], [0, 0, 0, 0, -4])
    np.testing.assert_array_equal(out["scale"], 0)
    np.testing.assert_array_equal(out["weight"], [[6, -5, 0], [0, 0, 0]])


def test_certificate_of_a_tree():
    sizes = (5, 1, 6)
    half = wrap.per_leaf(rand_k(fraction=0.5)).certificate(sizes)  # K = 2, 1, 3
    assert (half.omega, half.alpha) == (1.5, None)
    half = wrap.per_leaf(top_k(fraction=0.5)).certificate(sizes)
    assert (half.omega, half.alpha) == (None, 0.4)
    assert wrap.whole_tree(rand_k(3)).certificate(sizes).omega == 3


def test_bits_of_a_tree(key):
    tree = tree_of()
    shapes = jax.eval_shape(lambda: tree)
    c = wrap.per_leaf(top_k(1))  # float64 and twice float32; 3, 0 and 3 index bits
    message = jax.eval_shape(lambda tree: c.encode(keys_of(key), tree), shapes)
    assert c.bits(public(keys_of(key)), message, shapes) == Bits(
        128, 128 + 3 * 8, 128 + 6
    )
    c = wrap.whole_tree(top_k(3))  # joined in float64
    message = jax.eval_shape(lambda tree: c.encode(keys_of(key), tree), shapes)
    assert c.bits(public(keys_of(key)), message, shapes) == Bits(
        192, 192 + 3 * 8, 192 + 8
    )


def test_leaves_draw_independently():
    c, x = wrap.per_leaf(rand_k(1)), jnp.arange(1.0, 13.0)
    keys = jax.random.split(jax.random.key(9), 200)
    out = jax.vmap(lambda key: apply(c, key, {"a": x, "b": x}))(keys)
    same = np.mean(np.argmax(out["a"], axis=1) == np.argmax(out["b"], axis=1))
    assert abs(same - 1 / 12) <= 6 * np.sqrt(1 / 12 * 11 / 12 / 200)


def test_per_leaf_is_idempotent():
    c = wrap.per_leaf(top_k(3))
    assert wrap.per_leaf(c) is c
    assert wrap.per_leaf(wrap.whole_tree(top_k(1))) is wrap.whole_tree(top_k(1))


def test_scaled_takes_tree_compressors_too(key):
    c = wrap.whole_tree(rand_k(3))
    certificate = wrap.scaled(c).certificate((5, 1, 6))
    assert (certificate.omega, certificate.alpha) == (None, 0.25)
    tree = tree_of("float64")
    out = jax.tree.leaves(apply(wrap.scaled(c), key, tree))
    out = np.concatenate([np.ravel(x) for x in out])
    assert np.count_nonzero(out) == 3
    np.testing.assert_allclose(out[out != 0], JOINED[out != 0], rtol=1e-15)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("make", [top_k, rand_k])
def test_a_leaf_that_is_too_small_is_named(make, key):
    c = make(6)
    encode = wrap.per_leaf(c).encode
    with pytest.raises(ValueError) as caught:
        jax.eval_shape(lambda tree: encode(keys_of(key), tree), tree_of())
    for phrase in (
        "leaf ['bias']:",
        "cannot keep 6 of 5 entries",
        "smaller k or fraction=",
        f"wrap.whole_tree({make.__name__}(k=6))",
    ):
        assert phrase in str(caught.value)
    wrap.whole_tree(c).encode(keys_of(key), tree_of())


@pytest.mark.parametrize("make", [top_k, rand_k])
@pytest.mark.parametrize(
    ("arguments", "error", "phrase"),
    [
        ({}, ValueError, "either k or fraction="),
        ({"k": 3, "fraction": 0.1}, ValueError, "either k or fraction="),
        ({"k": 0}, ValueError, "k must be at least 1"),
        ({"k": 0.1}, TypeError, "k must be an integer"),
        ({"fraction": 0.0}, ValueError, r"fraction must lie in \(0, 1\]"),
        ({"fraction": 3}, ValueError, r"fraction must lie in \(0, 1\]"),
    ],
)
def test_sizes_are_checked(make, arguments, error, phrase):
    with pytest.raises(error, match=phrase):
        make(**arguments)


def test_wrappers_refuse_what_they_cannot_wrap():
    with pytest.raises(ValueError, match=r"wrap.scaled needs an unbiased compressor"):
        wrap.scaled(top_k(3))
    with pytest.raises(TypeError, match="without calling it"):
        wrap.per_leaf(top_k)
    with pytest.raises(TypeError, match="needs a compressor of arrays"):
        wrap.whole_tree(wrap.whole_tree(sign()))


def test_what_is_promised_together_is_scaled_as_well():
    """Four rows, d = 12: ω = 13/4, so that the factor is 4/17."""
    joint = wrap.scaled(gaussian_sketch(4)).joint
    assert joint(12, 8) == (pytest.approx((4 / 17) ** 2 * 13 / 4), 0)
    assert wrap.scaled(rand_k(3)).joint is None
    leaves = wrap.scaled(wrap.per_leaf(gaussian_sketch(4)))
    assert leaves.joint((12, 5), 8).a == pytest.approx((4 / 17) ** 2 * 13 / 4)
