"""The K entries of an array that are largest in absolute value, without sorting it."""

import math

import jax.numpy as jnp
import numpy as np
from jax import lax

from ..types import Array

# Sorting is faster for smaller arrays. Rows of 1 % sorted · counted on 2 CPU cores, in
# ms: float32, for which XLA has a top-k of its own, d = 10⁴ 0.03 · 0.06, 10⁵ 0.6 · 0.4,
# 10⁶ 9 · 3; float64 d = 5000 0.8 · 0.15, 10⁶ 315 · 6.
SMALLEST_FLOAT32 = 100_000
SMALLEST_OTHER = 5_000
# Every 61st entry is in the sample: a prime, so that it meets every column of a matrix
# whose rows are not a multiple of it.
STRIDE = 61
# Standard deviations of the sampling error that are allowed for.
DEVIATIONS = 5


def largest(x: Array, k: int) -> Array:
    """Indices [k] of the largest |xᵢ|, in falling order, ties to the lowest index.

    The same as `lax.top_k` of |x|, which sorts. A sample of a large array gives a
    threshold that a few more than K entries reach; one pass marks these, and only
    they are sorted. Should the sample mislead, the whole array is sorted after all.

    Args:
      x: [d]. NaN counts as larger than everything.
      k: K, at most d.
    """
    d, magnitude = x.size, _magnitude(x)
    is_float32 = magnitude.dtype == jnp.float32
    rank = math.ceil(_upper(k / STRIDE)) + 1
    room = math.ceil(STRIDE * _upper(rank))
    if d < max(4 * room, SMALLEST_FLOAT32 if is_float32 else SMALLEST_OTHER):
        return _by_sorting(x, k)

    sample = magnitude[::STRIDE].astype(jnp.float32)
    # Without the barrier XLA joins top_k and index, and sorts.
    highest = lax.optimization_barrier(lax.top_k(sample, rank)[0])
    threshold = highest[-1].astype(magnitude.dtype)
    marked = _bitmap(~(magnitude < threshold))  # NaN is marked
    count = jnp.sum(_ones(marked))
    candidates = _members(marked, room)
    values = jnp.where(jnp.arange(room) < count, magnitude[candidates], -1)
    found = candidates[lax.top_k(values, k)[1]]

    # A loop of at most one step: under vmap a cond would compute both sides. The
    # barrier keeps the sort inside.
    def sort_all(state):
        y, _ = lax.optimization_barrier((x, state))
        return _by_sorting(y, k), jnp.zeros((), bool)

    misled = (count < k) | (count > room)
    return lax.while_loop(lambda state: state[1], sort_all, (found, misled))[0]


def _by_sorting(x: Array, k: int) -> Array:
    return lax.top_k(_magnitude(x), k)[1]


def _magnitude(x: Array) -> Array:
    """|x|; XLA's CPU backend has a fast top-k for float32 alone, the cast is exact."""
    return jnp.abs(x).astype(jnp.promote_types(x.dtype, jnp.float32))


def _upper(mean: float) -> float:
    """What a Poisson count of this mean hardly ever exceeds."""
    return mean + DEVIATIONS * math.sqrt(mean)


def _bitmap(mask: Array) -> Array:
    """[⌈d/32⌉] words of 32 bits; of the first entry the lowest bit of the first."""
    rows = jnp.pad(mask, (0, -mask.size % 32)).reshape(-1, 32)
    bits = rows.astype(jnp.uint32) << jnp.arange(32, dtype=jnp.uint32)[None]
    return lax.reduce(bits, np.uint32(0), lax.bitwise_or, (1,))


def _ones(words: Array) -> Array:
    """The number of bits that are set in each word."""
    return lax.population_count(words).astype(jnp.int32)


def _members(words: Array, room: int) -> Array:
    """Positions [room] of the bits that are set, in order; anything after the last."""
    ones = _ones(words)
    ends = jnp.cumsum(ones, dtype=jnp.int32)
    slot = jnp.arange(room, dtype=jnp.int32)
    of_slot = jnp.searchsorted(ends, slot, side="right").astype(jnp.int32)
    of_slot = jnp.minimum(of_slot, words.size - 1)
    return 32 * of_slot + _select(words[of_slot], slot - (ends - ones)[of_slot])


def _select(word: Array, rank: Array) -> Array:
    """The position in a word of the set bit that has `rank` set bits below it."""
    position = jnp.zeros_like(rank)
    for width in (16, 8, 4, 2, 1):
        low = word & np.uint32(2**width - 1)
        below = _ones(low)
        high = rank >= below
        word = jnp.where(high, word >> np.uint32(width), low)
        rank = jnp.where(high, rank - below, rank)
        position = jnp.where(high, position + width, position)
    return position
