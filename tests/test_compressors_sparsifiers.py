"""Compressors that keep random entries: what is exact, and what is drawn."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedjax_opt.compressors import top_k, wrap
from fedjax_opt.compressors.bernoulli import bernoulli, lazy
from fedjax_opt.compressors.comp import comp
from fedjax_opt.compressors.mix import mix
from fedjax_opt.compressors.perm_k import group_perm_k, perm_k
from fedjax_opt.compressors.sparsifier import sparsifier
from fedjax_opt.keys import in_round, public
from fedjax_opt.mechanisms import dcgd
from fedjax_opt.simulate.distribute import distribute
from fedjax_opt.types import Joint

DRAWS = 10_000


def vector(d, seed=0):
    return np.random.default_rng(seed).standard_normal(d)


@functools.partial(jax.jit, static_argnums=0)
def apply(c, key, x, worker=0, num_workers=1):
    keys = in_round(key, worker, num_workers)
    return c.decode(public(keys), c.encode(keys, x), x)


def draws(c, x, num=DRAWS):
    """[num, d] decoded messages of one worker."""
    keys = jax.random.split(jax.random.key(1), num)
    return np.asarray(jax.vmap(lambda key: apply(c, key, jnp.asarray(x)))(keys))


@functools.partial(jax.jit, static_argnums=0)
def lengths(c, keys, x):
    """[draws, 3] bits of one worker's messages."""

    def one(key):
        own = in_round(key, 2, 5)
        return jnp.stack(c.bits(public(own), c.encode(own, x), x))

    return jax.vmap(one)(keys)


@functools.partial(jax.jit, static_argnums=0)
def everyone(c, keys, vectors):
    """[draws, n, d] decoded messages of all workers; vectors [n, d]."""
    n = len(vectors)

    def one(key, i, x):
        own = in_round(key, i, n)
        return c.decode(public(own), c.encode(own, x), x)

    in_one_round = jax.vmap(one, (None, 0, 0))
    return jax.vmap(lambda key: in_one_round(key, jnp.arange(n), vectors))(keys)


def rounds(c, vectors, num=DRAWS):
    keys = jax.random.split(jax.random.key(2), num)
    return np.asarray(everyone(c, keys, jnp.asarray(vectors)))


def margin(sample):
    """Six standard errors of the mean."""
    return 6 * np.std(sample, axis=0) / np.sqrt(len(sample)) + 1e-12


# ---------------------------------------------------------------- coins


@pytest.mark.parametrize(("make", "sent"), [(bernoulli, 5.0), (lazy, 1.0)])
def test_all_or_nothing(make, sent):
    x = vector(7)
    sample = draws(make(0.2), x)
    arrived = np.any(sample != 0, axis=1)
    np.testing.assert_allclose(sample[arrived], sent * np.tile(x, (sum(arrived), 1)))
    assert abs(np.mean(arrived) - 0.2) <= 6 * np.sqrt(0.2 * 0.8 / DRAWS)


def test_lazy_is_bernoulli_scaled():
    """Bit by bit where p is a power of two."""
    x = vector(7)
    scaled = wrap.scaled(bernoulli(0.25))
    np.testing.assert_array_equal(draws(scaled, x, 50), draws(lazy(0.25), x, 50))
    assert scaled.certificate(7)._asdict() == pytest.approx(
        lazy(0.25).certificate(7)._asdict()
    )


def test_lazy_sends_bit_by_bit():
    x = jnp.asarray(vector(7), jnp.bfloat16)
    sample = draws(lazy(0.3), x, 50)
    arrived = sample[np.any(sample != 0, axis=1)]
    np.testing.assert_array_equal(arrived, np.tile(np.asarray(x), (len(arrived), 1)))


@pytest.mark.parametrize("p", [1, 1.0])
@pytest.mark.parametrize("make", [bernoulli, lazy, sparsifier])
def test_certain_entries_are_the_identity(make, p, key):
    x = jnp.asarray(vector(7))
    np.testing.assert_array_equal(apply(make(p), key, x), x)


@pytest.mark.parametrize("make", [bernoulli, lazy, sparsifier])
def test_what_is_not_sent_adds_nothing(make):
    out = draws(make(0.3), np.full(3, np.nan), 100)
    assert np.all(np.isnan(out) | (out == 0))
    assert np.any(out == 0)


@pytest.mark.parametrize("make", [bernoulli, lazy])
def test_bits_of_a_coin(make):
    x = jnp.ones((3, 2), jnp.float32)
    keys = jax.random.split(jax.random.key(3), 100)
    found = {tuple(row) for row in np.asarray(lengths(make(0.3), keys, x))}
    assert found == {(0, 8, 1), (192, 200, 193)}


def test_coin_is_one_byte(key):
    message = bernoulli(0.3).encode(in_round(key, 0, 1), jnp.ones(3))
    assert (message.sent.dtype, message.sent.shape) == (jnp.uint8, ())


def test_bits_of_large_messages_do_not_overflow(key):
    like = jax.ShapeDtypeStruct((2**30,), jnp.float32)
    with jax.enable_x64(False):
        message = bernoulli(1.0).encode(in_round(key, 0, 1), jnp.ones(1))
        message = message._replace(values=like)
        assert bernoulli(1.0).bits(None, message, like).values == 2.0**35


PROBABILITIES = (1.0, 0.5, 0.1, 0.25, 0.8)


def test_every_entry_has_its_probability():
    x = np.array([1.0, -2.0, 3.0, 0.5, 4.0])
    p = np.array(PROBABILITIES)
    sample = draws(sparsifier(PROBABILITIES), x)
    np.testing.assert_allclose(sample, (sample != 0) * (x / p)[None])
    frequency = np.mean(sample != 0, axis=0)
    assert np.all(abs(frequency - p) <= 6 * np.sqrt(p * (1 - p) / DRAWS))
    errors = np.sum((sample - x) ** 2, axis=1)
    # 0·1 + 1·4 + 9·9 + 3·0.25 + 0.25·16
    assert abs(np.mean(errors) - 89.75) <= margin(errors)
    assert sparsifier(PROBABILITIES).certificate(5).omega == pytest.approx(9)


def test_entries_are_independent():
    kept = draws(sparsifier(0.5), np.ones(3)) != 0
    patterns = np.bincount(kept @ [1, 2, 4], minlength=8) / DRAWS
    assert np.all(abs(patterns - 1 / 8) <= 6 * np.sqrt(1 / 8 * 7 / 8 / DRAWS))


def test_probabilities_follow_the_raveled_array(key):
    c = sparsifier((1.0, 1.0, 1e-6, 1.0, 1.0, 1e-6))
    x = jnp.ones((2, 3))
    np.testing.assert_array_equal(apply(c, key, x), [[1, 1, 0], [1, 1, 0]])


def test_bits_of_the_sparsifier_count_what_is_kept():
    x = jnp.ones(5, jnp.float32)
    keys = jax.random.split(jax.random.key(3), 200)
    found = np.asarray(lengths(sparsifier(PROBABILITIES), keys, x))

    def kept(key):
        own = in_round(key, 2, 5)
        return jnp.count_nonzero(sparsifier(PROBABILITIES).encode(own, x))

    expected = 32 * np.asarray(jax.vmap(kept)(keys))
    np.testing.assert_array_equal(found, np.stack([expected] * 3, axis=1))
    assert len(set(expected)) > 1


def test_bits_that_vary_reach_the_account(key):
    compressor = wrap.per_leaf(bernoulli(0.5))
    rule = distribute(dcgd(compressor), num_workers=4, key=key)
    grads = {"a": jnp.ones((4, 3)), "b": jnp.ones((4, 2))}
    params = {"a": jnp.ones(3), "b": jnp.ones(2)}
    state = rule.init(params)
    _, state = rule.update(grads, state, params)
    wire = float(state.info.bits.wire)
    # 8 coins of 8 bits, and arrays of 192 and 128 bits, up to four of each.
    possible = {64 + 192 * a + 128 * b for a in range(5) for b in range(5)}
    assert wire in possible
    assert wire != 64 + 4 * 320


# ---------------------------------------------------------------- comp and mix


def test_comp_keeps_k_of_the_largest():
    x = np.array([0.1, -5.0, 3.0, 0.2, 4.0, -0.3, 2.0])
    sample = draws(comp(2, 4), x)
    kept = sample != 0
    np.testing.assert_array_equal(np.sum(kept, axis=1), 2)
    np.testing.assert_allclose(sample, 2 * x * kept)
    subsets = [tuple(np.flatnonzero(row)) for row in kept]
    among = list(itertools.combinations([1, 2, 4, 6], 2))
    frequency = np.array([subsets.count(s) for s in among]) / DRAWS
    assert np.sum(frequency) == pytest.approx(1)
    assert np.all(abs(frequency - 1 / 6) <= 6 * np.sqrt(1 / 6 * 5 / 6 / DRAWS))


def test_error_of_comp_on_equal_entries():
    """Every draw is √(k'/k − 1) |Top-k'(x)| away from the mean, which is Top-k'."""
    x = np.ones(8)
    sample = draws(comp(2, 4), x)
    errors = np.sum((sample - x) ** 2, axis=1)
    np.testing.assert_allclose(errors, 8)  # two entries 2 instead of 1, six 0
    noise = np.sum((sample - np.repeat([1, 0], 4)) ** 2, axis=1)
    np.testing.assert_allclose(noise, 4)  # k'/k − 1 = 1, of |Top-k'(x)|² = 4


@pytest.mark.parametrize(
    ("k", "k_prime", "d", "alpha"),
    [
        (3, 4, 4, 2 / 3),
        (3, 4, 6, 1 / 3),
        (3, 4, 12, None),  # 1/3 − 1/3: no contraction
        (2, 4, 12, None),
        (3, 3, 12, 1 / 4),
    ],
)
def test_comp_certifies_alpha_where_it_is_positive(k, k_prime, d, alpha):
    found = comp(k, k_prime).certificate(d).alpha
    assert found is None if alpha is None else found == pytest.approx(alpha)


def test_mix_keeps_the_largest_and_some_others():
    x = np.array([0.1, -5.0, 3.0, 0.2, 4.0, -0.3, 2.0])
    sample = draws(mix(2, 3), x)
    kept = sample != 0
    np.testing.assert_array_equal(np.sum(kept, axis=1), 5)
    np.testing.assert_array_equal(sample, x * kept)
    assert np.all(kept[:, [1, 4]])
    frequency = np.mean(kept[:, [0, 2, 3, 5, 6]], axis=0)
    assert np.all(abs(frequency - 3 / 5) <= 6 * np.sqrt(0.6 * 0.4 / DRAWS))


def test_certificate_of_mix_is_attained_on_equal_entries():
    x = np.ones(10)
    sample = draws(mix(2, 3), x)
    np.testing.assert_array_equal(np.sum((sample - x) ** 2, axis=1), 5)  # (1 − α)·10
    mean = np.array([3 / 8] * 10)
    mean[:2] = 1  # ties go to the lowest index
    noise = np.sum((sample - mean) ** 2, axis=1)
    np.testing.assert_allclose(noise, 8 * 3 / 8 * 5 / 8)
    promise = mix(2, 3).certificate(10)
    assert promise.alpha == pytest.approx(1 / 2)
    assert promise.eta**2 * 10 == pytest.approx(8 * (5 / 8) ** 2)
    assert promise.variance * 10 == pytest.approx(8 * 3 / 8 * 5 / 8)


@pytest.mark.parametrize(("c", "k"), [(comp(3, 3), 3), (mix(3, 4), 7)])
def test_without_a_choice_they_are_top_k(c, k, key):
    x = jnp.asarray(vector(7).reshape(7, 1))
    np.testing.assert_array_equal(apply(c, key, x), apply(top_k(k), key, x))


@pytest.mark.parametrize("c", [comp(2, 4), mix(2, 3)])
def test_adding_is_decoding_and_adding(c, key):
    x, onto = jnp.asarray(vector(9)), jnp.asarray(vector(9, seed=1))
    keys = in_round(key, 0, 1)
    message = c.encode(keys, x)
    dense = np.asarray(c.decode(public(keys), message, x))
    np.testing.assert_allclose(c.add(onto, message, 0.5), onto + 0.5 * dense)


# ---------------------------------------------------------------- Perm-K

# By hand: d >= n has A = B = 1; n = qd has (d − 1)/(n − 1); 7 = 2·3 + 1 has
# π = (3·2 + 2·2·1)/42 = 5/21, so A = 3 (1 − 5/21)/7 = 16/49 and B = 1 − 3·5/21 = 2/7;
# 5 = 1·3 + 2 has π = 2·2/20 = 1/5, so A = 3·4/25 = 12/25 and B = 2/5.
CONSTANTS = {
    (1, 4): (1, 1),
    (4, 12): (1, 1),
    (5, 5): (1, 1),
    (5, 12): (1, 1),
    (6, 3): (2 / 5, 2 / 5),
    (4, 1): (0, 0),
    (7, 3): (16 / 49, 2 / 7),
    (5, 3): (12 / 25, 2 / 5),
}
SIZES = list(CONSTANTS)
EXACT = [(n, d) for n, d in SIZES if n <= d or n % d == 0]
VARIANTS = ["permuted", "fixed"]


@functools.cache
def permuted(n, d, variant):
    """[n, d] vectors and [draws, n, d] decoded messages."""
    vectors = np.random.default_rng(3).standard_normal((n, d)) + 1
    return vectors, rounds(perm_k(n, variant=variant), vectors)


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_joint_constants_of_perm_k(n, d):
    assert perm_k(n).joint(d, n) == pytest.approx(Joint(*CONSTANTS[n, d]), abs=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("n", "d"), SIZES)
def test_joint_inequality_is_an_equality(n, d, variant):
    vectors, sample = permuted(n, d, variant)
    mean = np.mean(vectors, axis=0)
    errors = np.sum((np.mean(sample, axis=1) - mean) ** 2, axis=1)
    a, b = CONSTANTS[n, d]
    expected = a * np.sum(vectors**2) / n - b * np.sum(mean**2)
    assert abs(np.mean(errors) - expected) <= margin(errors)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("n", "d"), SIZES)
def test_every_worker_has_every_entry_equally_often(n, d, variant):
    vectors, sample = permuted(n, d, variant)
    kept, p = sample != 0, 1 / min(n, d)
    np.testing.assert_allclose(sample, kept * vectors * min(n, d), rtol=1e-12)
    frequency = np.mean(kept, axis=0)
    assert np.all(abs(frequency - p) <= 6 * np.sqrt(p * (1 - p) / DRAWS))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("n", "d"), SIZES)
def test_entries_are_shared_out(n, d, variant):
    """Each entry has one owner, or q or q + 1; parts are ⌊d/n⌋ or ⌈d/n⌉ large."""
    _, sample = permuted(n, d, variant)
    kept = sample != 0
    owners, parts = np.sum(kept, axis=1), np.sum(kept, axis=2)
    assert np.all((owners == max(n // d, 1)) | (owners == -(-n // d)))
    assert np.all((parts == max(d // n, 1)) | (parts == -(-d // n)))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("n", "d"), EXACT)
def test_equal_vectors_are_averaged_exactly(n, d, variant):
    x = vector(d)
    sample = rounds(perm_k(n, variant=variant), np.tile(x, (n, 1)), 20)
    found = np.mean(sample, axis=1)
    np.testing.assert_allclose(found, np.tile(x, (20, 1)), rtol=1e-12)


def test_a_fixed_part_is_in_one_piece():
    _, sample = permuted(5, 12, "fixed")
    parts = {tuple(np.flatnonzero(row)) for row in sample[:, 0] != 0}
    assert parts == {(0, 1, 2), (3, 4, 5), (6, 7), (8, 9), (10, 11)}


def test_a_permuted_part_is_any_subset():
    _, sample = permuted(4, 12, "permuted")
    parts = {tuple(np.flatnonzero(row)) for row in sample[:, 0] != 0}
    assert parts == set(itertools.combinations(range(12), 3))  # 220 of them


def test_messages_of_perm_k_have_no_positions(key):
    x = jnp.asarray(vector(13), jnp.float32)
    assert perm_k(4).encode(in_round(key, 0, 4), x).shape == (4,)
    assert perm_k(20).encode(in_round(key, 0, 20), x).shape == (1,)


def test_perm_k_in_a_round(key):
    """DCGD of equal workers is gradient descent."""
    rule = distribute(dcgd(perm_k(4)), num_workers=4, key=key)
    params = {"a": jnp.asarray(vector(7)), "b": jnp.asarray(vector(2))}
    grads = jax.tree.map(lambda x: jnp.tile(x, (4, 1)), params)
    found, state = rule.update(grads, rule.init(params), params)
    for name in params:
        np.testing.assert_allclose(found[name], params[name], rtol=1e-12)
    assert float(state.info.bits.wire) == 4 * 64 * (2 + 1)  # ⌈7/4⌉ and one number


# ---------------------------------------------------------------- groups

GROUPS = (0, 1, 0, 1, 0)


@functools.cache
def grouped(variant):
    vectors = np.random.default_rng(3).standard_normal((5, 7)) + 1
    return vectors, rounds(group_perm_k(GROUPS, variant=variant), vectors)


@pytest.mark.parametrize("variant", VARIANTS)
def test_groups_share_the_entries_out(variant):
    vectors, sample = grouped(variant)
    kept, sizes = sample != 0, np.array([3, 2, 3, 2, 3])
    np.testing.assert_allclose(sample, kept * vectors * sizes[:, None], rtol=1e-12)
    np.testing.assert_array_equal(np.sum(kept[:, [0, 2, 4]], axis=1), 1)
    np.testing.assert_array_equal(np.sum(kept[:, [1, 3]], axis=1), 1)
    p = 1 / np.repeat(sizes[:, None], 7, axis=1)
    frequency = np.mean(kept, axis=0)
    assert np.all(abs(frequency - p) <= 6 * np.sqrt(p * (1 - p) / DRAWS))


@pytest.mark.parametrize("variant", VARIANTS)
def test_groups_draw_independently(variant):
    _, sample = grouped(variant)
    together = np.mean((sample[:, 0] != 0) & (sample[:, 1] != 0), axis=0)
    assert np.all(abs(together - 1 / 6) <= 6 * np.sqrt(1 / 6 * 5 / 6 / DRAWS))


def test_vectors_equal_in_groups_are_averaged_exactly():
    two = np.stack([vector(7), vector(7, seed=1)])
    vectors = two[list(GROUPS)]
    found = np.mean(rounds(group_perm_k(GROUPS), vectors, 20), axis=1)
    np.testing.assert_allclose(found, np.tile(np.mean(vectors, axis=0), (20, 1)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_error_of_groups(variant):
    """Σ (nᵧ/n)² (meanᵧ|aᵢ|² − |āᵧ|²) with equality; it is within A and B."""
    vectors, sample = grouped(variant)
    mean, expected = np.mean(vectors, axis=0), 0
    for group in ([0, 2, 4], [1, 3]):
        own = vectors[group]
        spread = np.sum(own**2) / len(group) - np.sum(np.mean(own, axis=0) ** 2)
        expected += (len(group) / 5) ** 2 * spread
    errors = np.sum((np.mean(sample, axis=1) - mean) ** 2, axis=1)
    assert abs(np.mean(errors) - expected) <= margin(errors)
    a, b = group_perm_k(GROUPS).joint(7, 5)
    assert (a, b) == pytest.approx((3 / 5, 1 / 2))
    assert expected <= a * np.sum(vectors**2) / 5 - b * np.sum(mean**2)


def test_joint_constants_of_groups():
    assert group_perm_k((0, 1, 2)).joint(7, 3) == pytest.approx(Joint(1 / 3, 1 / 3))
    assert group_perm_k((0, 0, 0, 1, 1, 1)).joint(3, 6) == pytest.approx(
        Joint(1 / 2, 1 / 2)
    )
    # One entry: all workers have it, nothing is lost, whatever they hold.
    assert group_perm_k((0, 0, 1, 1)).joint(1, 4) == Joint(0, 0)
    # Groups of 4 and 2 with 2 entries: A = B = 1/3 and 1; 4/6·1/3 < 2/6·1, 1/(3 + 1).
    assert group_perm_k((0, 0, 0, 0, 1, 1)).joint(2, 6) == pytest.approx(
        Joint(1 / 3, 1 / 4)
    )


def test_one_group_is_perm_k():
    vectors = np.random.default_rng(3).standard_normal((4, 9))
    alone = rounds(perm_k(4), vectors, 20)
    np.testing.assert_array_equal(rounds(group_perm_k((0,) * 4), vectors, 20), alone)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("make", "error", "phrase"),
    [
        (lambda: bernoulli(0.0), ValueError, r"p must lie in \(0, 1\], got 0.0"),
        (lambda: lazy(1.5), ValueError, r"p must lie in \(0, 1\], got 1.5"),
        (lambda: sparsifier(0), ValueError, r"in \(0, 1\], got 0"),
        (lambda: sparsifier((0.5, 1.5)), ValueError, r"in \(0, 1\], got 1.5"),
        (lambda: sparsifier(np.array([np.nan])), ValueError, r"in \(0, 1\], got nan"),
        (lambda: sparsifier(()), ValueError, r"in \(0, 1\], got none"),
        (lambda: comp(4, 3), ValueError, "k=4 and k_prime=3; swap them"),
        (lambda: comp(0, 3), ValueError, "k must be at least 1"),
        (lambda: mix(1, 0), ValueError, "k_prime must be at least 1"),
        (lambda: mix(1, 0.5), TypeError, "k_prime must be an integer"),
        (lambda: perm_k(0), ValueError, "num_workers must be at least 1"),
        (lambda: perm_k(2, variant="odd"), ValueError, "'permuted' or 'fixed'"),
        (lambda: group_perm_k((0, 2)), ValueError, r"0, 1, ..., got \(0, 2\)"),
        (lambda: group_perm_k(()), ValueError, "the group of each worker"),
        (lambda: perm_k(2).joint(4, 3), ValueError, "for 2 workers, there are 3"),
    ],
)
def test_arguments_are_checked(make, error, phrase):
    with pytest.raises(error, match=phrase):
        make()


@pytest.mark.parametrize(
    ("c", "phrase"),
    [
        (comp(2, 4), r"cannot choose 4 of 3 entries.*wrap.whole_tree\(comp\(2, 4\)\)"),
        (mix(2, 2), r"cannot choose 4 of 3 entries.*wrap.whole_tree\(mix\(2, 2\)\)"),
        (sparsifier((0.5, 0.5)), "cannot take an array of 3 entries"),
        (perm_k(5), "for 5 workers, and one of 4 uses it. Build it for 4"),
        (group_perm_k((0, 0, 1)), "for 3 workers, and one of 4 uses it"),
    ],
)
def test_arrays_and_workers_are_checked(c, phrase, key):
    with pytest.raises(ValueError, match=phrase):
        c.encode(in_round(key, 0, 4), jnp.ones(3))
