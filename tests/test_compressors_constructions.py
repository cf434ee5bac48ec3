"""Compressors made of compressors: what is kept, what is equal, what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedjax_opt.compressors import identity, natural, rand_k, scaled_sign, top_k, wrap
from fedjax_opt.compressors.constructions import (
    averaged,
    composed,
    induced,
    shifted,
    switch,
)
from fedjax_opt.compressors.gaussian_sketch import gaussian_sketch
from fedjax_opt.keys import in_round, public
from fedjax_opt.mechanisms import dcgd, diana, ef21
from fedjax_opt.simulate.distribute import distribute
from fedjax_opt.types import Bits, Certificate, Joint

X = np.array([5.0, -1.0, 0.5, 2.0, -4.0, 0.25, 3.0, -0.75, 1.5, -2.5, 0.125, 1.0])
DRAWS = 5_000


def keys_of(key, worker=0):
    return in_round(key, worker, 8)


@functools.partial(jax.jit, static_argnums=0)
def apply(c, key, x, worker=0):
    return c.decode(public(keys_of(key, worker)), c.encode(keys_of(key, worker), x), x)


def draw(c, x=X, draws=DRAWS):
    """[draws, d]."""
    keys = jax.random.split(jax.random.key(2), draws)
    return np.asarray(jax.vmap(lambda key: apply(c, key, jnp.asarray(x)))(keys))


def is_mean_of(values, expected):
    margin = 6 * np.std(values) / np.sqrt(len(values))
    return abs(np.mean(values) - expected) <= margin + 1e-12 * abs(expected)


def squared_errors(c, x=X):
    return np.sum((draw(c, x) - x) ** 2, axis=1)


# ---------------------------------------------------------------- composed


def test_the_outer_compressor_has_the_last_word():
    out = draw(composed(rand_k(3), natural()), draws=500)
    np.testing.assert_array_equal(np.count_nonzero(out, axis=1), 3)
    mantissas, _ = np.frexp(np.abs(out[out != 0]) / 4)  # scaled by 12/3
    np.testing.assert_array_equal(mantissas, 0.5)


def test_the_inner_compressor_is_seen_by_the_outer():
    out = draw(composed(natural(), rand_k(3)), draws=500)
    np.testing.assert_array_equal(np.count_nonzero(out, axis=1), 3)
    ratio = out / (4 * X[None, :])
    assert np.all((ratio == 0) | ((0.5 < ratio) & (ratio < 2)))
    assert len(np.unique(ratio[:, 6])) == 3  # 12 is rounded to 8 and 16, or not kept


@pytest.mark.parametrize("pair", [(rand_k(3), natural()), (natural(), rand_k(3))])
def test_variance_of_a_composition_is_attained(pair):
    """(12/3)(1 + 1/8) − 1 = 3.5 where natural compression is at its worst."""
    x = np.full(12, 4 / 3)
    assert is_mean_of(squared_errors(composed(*pair), x) / np.sum(x**2), 3.5)


def test_parts_of_a_composition_draw_independently():
    """One entry of one entry: kept if both choose it, with probability 1/12."""
    out = draw(composed(rand_k(1), rand_k(1)))
    kept = np.any(out != 0, axis=1)
    assert is_mean_of(1.0 * kept, 1 / 12)
    row, column = np.nonzero(out)
    np.testing.assert_array_equal(out[row, column], 144 * X[column])


def test_composing_with_the_identity_changes_the_keys_only(key):
    assert composed(identity(), identity()).certificate(5).omega == 0
    for c in (composed(identity(), rand_k(3)), composed(rand_k(3), identity())):
        out = np.asarray(apply(c, key, jnp.asarray(X)))
        assert np.count_nonzero(out) == 3
        np.testing.assert_array_equal(out[out != 0], 4 * X[out != 0])
        assert c.certificate(12).omega == 3


# ---------------------------------------------------------------- induced


def test_what_the_contraction_keeps_is_exact():
    out = draw(induced(top_k(2), rand_k(1)), draws=500)
    np.testing.assert_array_equal(out[:, [0, 4]], np.tile([5.0, -4.0], (500, 1)))
    rest = np.delete(out, [0, 4], axis=1)
    assert np.all(np.count_nonzero(rest, axis=1) <= 1)
    row, column = np.nonzero(rest)
    np.testing.assert_array_equal(rest[row, column], 12 * np.delete(X, [0, 4])[column])


def test_variance_of_an_induced_compressor_is_that_of_the_rest():
    """Rand-1 of 12: ω = 11, of |x|² without the two largest."""
    rest = np.sum(X**2) - 25 - 16
    assert is_mean_of(squared_errors(induced(top_k(2), rand_k(1))), 11 * rest)


def test_induced_certificate_is_attained_on_equal_entries():
    x = np.ones(12)
    c = induced(top_k(2), rand_k(1))
    assert c.certificate(12).omega == pytest.approx(11 * 10 / 12)
    assert is_mean_of(squared_errors(c, x) / 12, 11 * 10 / 12)


def test_an_exact_part_makes_the_whole_exact(key):
    for c in (induced(scaled_sign(), identity()), induced(identity(), rand_k(1))):
        np.testing.assert_allclose(apply(c, key, jnp.asarray(X)), X, rtol=1e-15)
        assert c.certificate(12).omega == 0


def test_induced_signs_cost_a_byte_and_a_half_more_than_the_rest(key):
    c, x = induced(scaled_sign(), rand_k(3)), jnp.asarray(X, jnp.float32)
    message = c.encode(keys_of(key), x)
    # 12 signs and a number; three numbers, three indices, 8 bits for the subset.
    expected = Bits(values=44 + 96, wire=48 + 120, entropy=44 + 104)
    assert c.bits(public(keys_of(key)), message, x) == expected
    assert c.add is None  # signs are as short decoded


# ---------------------------------------------------------------- averaged


def test_every_copy_adds_its_share():
    out = draw(averaged(rand_k(1), 3), draws=2000)
    copies = out / X[None, :] / (12 / 3)  # how many chose it
    np.testing.assert_allclose(copies, np.round(copies), atol=1e-12)
    np.testing.assert_allclose(np.sum(copies, axis=1), 3, atol=1e-12)
    assert set(np.unique(np.round(copies))) == {0, 1, 2, 3}


@pytest.mark.parametrize("copies", [1, 2, 5])
def test_variance_is_divided_by_the_number_of_copies(copies):
    errors = squared_errors(averaged(rand_k(1), copies)) / np.sum(X**2)
    assert is_mean_of(errors, 11 / copies)


def test_the_mean_of_huge_numbers_does_not_overflow(key):
    x = jnp.array([3e38, -3e38], jnp.float32)
    np.testing.assert_allclose(apply(averaged(identity(), 4), key, x), x, rtol=1e-6)


# ---------------------------------------------------------------- added, not decoded


@pytest.mark.parametrize(
    "c",
    [
        induced(top_k(2), rand_k(1)),
        averaged(rand_k(2), 3),
        composed(rand_k(2), natural()),
        induced(top_k(2), averaged(rand_k(1), 2)),
    ],
)
def test_adding_is_decoding_and_adding(c, key):
    x = np.random.default_rng(0).standard_normal((3, 12))
    onto = np.arange(12.0)
    encode = jax.jit(jax.vmap(lambda i, x: c.encode(keys_of(key, i), x)))
    messages = encode(jnp.arange(3), jnp.asarray(x))
    weights = np.array([0.5, 0.0, -2.0])
    expected = onto + sum(
        w * np.asarray(apply(c, key, jnp.asarray(x[i]), i))
        for i, w in enumerate(weights)
    )
    out = jax.jit(c.add)(jnp.asarray(onto), messages, weights)
    np.testing.assert_allclose(out, expected, atol=1e-12)
    one = jax.tree.map(lambda leaf: leaf[2], messages)
    expected = onto - 2 * np.asarray(apply(c, key, jnp.asarray(x[2]), 2))
    np.testing.assert_allclose(
        c.add(jnp.asarray(onto), one, -2.0), expected, atol=1e-12
    )


# ---------------------------------------------------------------- switch


def which(out):
    """0: all entries are as they were; 1: one is kept, twelve-fold."""
    exact = np.all(out == X, axis=-1)
    kept = np.count_nonzero(out, axis=-1) == 1
    assert np.all(exact | (kept & np.any(out == 12 * X, axis=-1)))
    return 1 - exact


def test_one_of_them_is_used_with_its_probability():
    chosen = which(draw(switch((identity(), rand_k(1)), (0.3, 0.7))))
    assert is_mean_of(chosen, 0.7)


def test_variance_of_a_switch_is_the_mean_of_the_variances():
    errors = squared_errors(switch((identity(), rand_k(1)), (0.3, 0.7)))
    assert is_mean_of(errors / np.sum(X**2), 0.7 * 11)


def test_workers_choose_on_their_own(key):
    c = switch((identity(), rand_k(1)), (0.5, 0.5))
    out = [np.asarray(apply(c, key, jnp.asarray(X), worker)) for worker in range(64)]
    chosen = which(np.stack(out))
    assert 8 <= np.sum(chosen) <= 56  # 6 standard deviations of 4


@pytest.mark.parametrize("certain", [0, 1])
def test_probability_one_is_certain(certain):
    probabilities = (1.0, 0.0) if certain == 0 else (0.0, 1.0)
    chosen = which(draw(switch((identity(), rand_k(1)), probabilities), draws=1000))
    np.testing.assert_array_equal(chosen, certain)


def test_bits_are_those_of_the_one_that_is_used():
    c, x = switch((identity(), rand_k(1)), (0.5, 0.5)), jnp.asarray(X)

    @jax.jit
    def sent(key):
        message = c.encode(keys_of(key), x)
        out = c.decode(public(keys_of(key)), message, x)
        return out, c.bits(public(keys_of(key)), message, x)

    out, bits = jax.vmap(sent)(jax.random.split(jax.random.key(3), 100))
    chosen = which(np.asarray(out))
    assert set(chosen) == {0, 1}
    # 12 numbers of 64 bits; or one, its index in a byte, or in ⌈log₂ 12⌉ bits.
    np.testing.assert_array_equal(bits.values, np.where(chosen, 64, 768))
    np.testing.assert_array_equal(bits.wire, np.where(chosen, 72, 768))
    np.testing.assert_array_equal(bits.entropy, np.where(chosen, 68, 768))


def test_the_adapter_counts_the_ones_that_are_used():
    c = switch((identity(), rand_k(1)), (0.5, 0.5))
    adapter = distribute(dcgd(c), 8, key=jax.random.key(4))
    grads = jnp.ones((8, 12))
    totals = set()
    update, state = jax.jit(adapter.update), adapter.init(jnp.zeros(12))
    for _ in range(5):
        estimate, state = update(grads, state)
        wire = float(state.info.bits.wire)
        sparse = (8 * 768 - wire) / (768 - 72)
        assert sparse == int(sparse) and 0 <= sparse <= 8
        # Each of either kind sends entries that add up to 12.
        np.testing.assert_allclose(np.sum(estimate), 12, rtol=1e-12)
        totals.add(wire)
    assert len(totals) > 1


# ---------------------------------------------------------------- shifted


def test_the_shift_is_taken_off_and_put_back(key):
    shift = np.arange(12.0)
    out = apply(shifted(top_k(2), shift), key, jnp.asarray(X))
    kept = np.argsort(-np.abs(X - shift))[:2]
    expected = shift.copy()
    expected[kept] = X[kept]
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(
        apply(shifted(top_k(2), shift), key, jnp.asarray(shift)), shift
    )


def test_shifted_compressors_are_unbiased_with_the_variance_of_the_difference():
    shift = X + np.array([1.0, -1.0] * 6)
    c = shifted(rand_k(3), shift)
    errors = squared_errors(c)
    np.testing.assert_allclose(errors, 3 * 12, rtol=1e-12)  # all differences equal
    sample = draw(c)
    margin = 6 * np.std(sample, axis=0) / np.sqrt(DRAWS)
    assert np.all(np.abs(np.mean(sample, axis=0) - X) <= margin)


def test_a_shift_certifies_nothing_and_is_refused():
    c = shifted(identity(), np.zeros(12))
    assert c.certificate(12) == Certificate()
    with pytest.raises(ValueError, match=r"ef21 .*shifted\(identity\(\)\)"):
        ef21(c)
    with pytest.raises(ValueError, match=r"diana .*shifted\(identity\(\)\)"):
        diana(c)


def test_a_shift_has_the_messages_of_its_compressor(key):
    c, x = shifted(top_k(3), X), jnp.zeros(12, jnp.float32)
    message = c.encode(keys_of(key), x)
    expected = Bits(values=96, wire=120, entropy=104)
    assert c.bits(public(keys_of(key)), message, x) == expected


def test_a_shift_of_another_shape_is_refused(key):
    with pytest.raises(ValueError, match=r"shape \(12,\) and the array \(3, 4\)"):
        shifted(top_k(3), X).encode(keys_of(key), jnp.zeros((3, 4)))


# ---------------------------------------------------------------- promises, lifting


def test_parts_that_workers_share_weaken_the_joint_promise():
    sketch = gaussian_sketch(5)  # ω = 13/5 for 12 numbers, alike on all workers
    assert composed(rand_k(3), natural()).joint is None
    assert induced(top_k(3), rand_k(3)).joint is None
    assert averaged(rand_k(3), 2).joint is None
    assert switch((rand_k(3), natural()), (0.5, 0.5)).joint is None
    assert averaged(sketch, 2).joint(12, 8) == Joint(1.3, 0.0)
    for c, omega in [
        (composed(sketch, natural()), 18 / 5 * 9 / 8 - 1),
        (induced(top_k(3), sketch), 13 / 5 * 9 / 12),
        (switch((sketch, rand_k(3)), (0.5, 0.5)), (13 / 5 + 3) / 2),
    ]:
        joint = c.joint(12, 8)
        assert (joint.a, joint.b) == (pytest.approx(omega), 0)


@pytest.mark.parametrize(
    "c",
    [
        composed(rand_k(1), natural()),
        induced(top_k(1), rand_k(1)),
        averaged(rand_k(1), 2),
        switch((identity(), rand_k(1)), (0.5, 0.5)),
    ],
)
@pytest.mark.parametrize("lift", [wrap.per_leaf, wrap.whole_tree])
def test_constructions_are_lifted_to_trees(lift, c, key):
    tree = {"a": jnp.asarray(X), "b": jnp.asarray(X[:6], jnp.float32).reshape(2, 3)}
    out = apply(lift(c), key, tree)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), out) == jax.tree.map(
        lambda x: (x.shape, x.dtype), tree
    )
    assert lift(c).certificate((12, 6)).omega >= 0


def test_leaves_too_small_for_a_part_are_named(key):
    c = wrap.per_leaf(induced(top_k(3), rand_k(3)))
    with pytest.raises(ValueError, match=r"leaf \['b'\]: top_k\(k=3\) cannot keep 3"):
        c.encode(keys_of(key), {"a": jnp.asarray(X), "b": jnp.zeros(2)})


# ---------------------------------------------------------------- errors


def test_parts_of_the_wrong_kind_are_refused():
    for make, user in [
        (lambda: composed(top_k(2), rand_k(2)), "composed"),
        (lambda: composed(rand_k(2), top_k(2)), "composed"),
        (lambda: induced(top_k(2), top_k(2)), "induced"),
        (lambda: averaged(top_k(2), 2), "averaged"),
        (lambda: switch((rand_k(2), top_k(2)), (0.5, 0.5)), "switch"),
    ]:
        with pytest.raises(ValueError, match=f"{user} needs an unbiased compressor"):
            make()
    with pytest.raises(ValueError, match="induced needs a contractive compressor"):
        induced(rand_k(2), rand_k(2))


def test_compressors_of_trees_and_constructors_are_refused():
    lifted = wrap.whole_tree(rand_k(2))
    for make in (
        lambda: composed(lifted, rand_k(2)),
        lambda: induced(top_k(2), lifted),
        lambda: averaged(lifted, 2),
        lambda: switch((lifted, rand_k(2)), (0.5, 0.5)),
        lambda: shifted(lifted, X),
    ):
        with pytest.raises(TypeError, match="takes compressors of arrays"):
            make()
    with pytest.raises(TypeError, match="without calling it"):
        composed(rand_k, natural())


@pytest.mark.parametrize(
    ("probabilities", "phrase"),
    [
        ((0.5, 0.6), "2 probabilities that sum to 1"),
        ((0.5, 0.25, 0.25), "2 probabilities that sum to 1"),
        ((1.5, -0.5), "a probability must lie in"),
    ],
)
def test_probabilities_are_checked(probabilities, phrase):
    with pytest.raises(ValueError, match=phrase):
        switch((identity(), rand_k(2)), probabilities)


def test_the_number_of_copies_is_checked():
    with pytest.raises(ValueError, match="copies must be at least 1"):
        averaged(rand_k(2), 0)


def test_equal_parts_give_the_same_object():
    assert switch((identity(), rand_k(2)), (0.5, 0.5)) is switch(
        (identity(), rand_k(2)), (0.5, 0.5)
    )
    assert shifted(top_k(2), X) is not shifted(top_k(2), X)
