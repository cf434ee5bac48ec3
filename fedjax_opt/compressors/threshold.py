"""Entries above a threshold; how many, the data decide. arXiv:2206.03588."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betaln

from .. import checks
from ..static import memoised
from ..types import Array, Bits, Certificate, Compressor
from . import sparse
from .payload import bits_per_number


class Counted(NamedTuple):
    """Entries of an array, as many as the data, or a coin, decide.

    Attributes:
      values: [room] numbers; those after the first `count` are zero and not sent.
      indices: [room] positions in the raveled array, all different, so that the zeros
        that are not sent do no harm where they are put.
      count: how many are sent.
    """

    values: Array
    indices: Array
    count: Array


@memoised
def relative_threshold(theta: float) -> Compressor:
    """Keeps the entries that are not much smaller than the largest.

        C(x) = Σ_{i ∈ S} xᵢ eᵢ,   S = {i: |xᵢ| >= θ max |x|},   α = max{1 − dθ², 1/d}

    The largest entry is always kept, and what is dropped is below θ|x|: [derived], as
    the paper's max{1 − (dθ)², 1/d²} for a d × d matrix. Nothing is sent of zero.

    Args:
      theta: θ in (0, 1].

    Returns:
      A Compressor, deterministic. Its message has room for d numbers and d indices;
      counted are those that are kept, and how many they are.

    Raises:
      ValueError: if θ is out of range.

    Reference: Islamov, Qian, Hanzely, Safaryan, Richtárik (2022). arXiv:2206.03588.
    """
    checks.in_unit_interval(theta, "theta", zero=False)

    def encode(keys, x):
        magnitude = _magnitude(x)
        kept = magnitude >= theta * jnp.max(magnitude, initial=0)
        return _in_front(x.ravel(), kept & (magnitude > 0))

    def certificate(d):
        dropped = min(d * theta**2, 1 - 1 / d)
        return Certificate(alpha=1 - dropped, eta=dropped**0.5, variance=0.0)

    label = f"relative_threshold({theta})"
    return Compressor(encode, decode, bits, certificate, label)


@memoised
def hard_threshold(level: float) -> Compressor:
    """Keeps the entries that are not small.

        C(x) = Σ_{i ∈ S} xᵢ eᵢ,   S = {i: |xᵢ| >= λ},   |C(x) − x|² <= d λ²

    The error is bounded absolutely, and not relative to x: where a contraction is
    needed, take `relative_threshold`.

    Args:
      level: λ > 0, in the units of x.

    Returns:
      A Compressor, deterministic. Its message has room for d numbers and d indices;
      counted are those that are kept, and how many they are.

    Raises:
      ValueError: if λ is not positive.
    """
    checks.positive(level, "level")

    def encode(keys, x):
        return _in_front(x.ravel(), _magnitude(x) >= level)

    def certificate(d):
        return Certificate(absolute=d * level**2)

    return Compressor(encode, decode, bits, certificate, f"hard_threshold({level})")


def pack(flat, indices, count) -> Counted:
    """The message of the entries of `flat` at the first `count` of the indices."""
    room = indices.size
    values = jnp.where(jnp.arange(room) < count, flat[indices], 0)
    narrow = sparse.pack(values, indices, flat.size)
    return Counted(*narrow, count.astype(np.min_scalar_type(room)))


def decode(keys, message: Counted, like):
    """Puts the values in their places, zeros elsewhere."""
    return sparse.decode(keys, sparse.Sparse(*message[:2]), like)


def bits(keys, message: Counted, like) -> Bits:
    """What is filled: numbers; on the wire their indices and count, at best coded.

    The ideal code says the count and then which subset of that size it is, as a list
    or by its rank, or else has a bit per entry: min{log₂(room + 1) + log₂(d over
    count), d}, not rounded up to whole bits but for the count.
    """
    d, room = like.size, message.values.size
    count = message.count.astype(float)
    number, index = (bits_per_number(part) for part in message[:2])
    log_subsets = -jnp.log(d + 1.0) - betaln(d - count + 1, count + 1)
    which = jnp.minimum(count * (d - 1).bit_length(), log_subsets / np.log(2))
    values = count * number
    return Bits(
        values,
        values + count * index + bits_per_number(message.count),
        values + jnp.minimum(which + room.bit_length(), d),
    )


def _in_front(flat, kept) -> Counted:
    """The kept entries first, in order, then the others: a permutation."""
    position = jnp.arange(flat.size, dtype=jnp.int32)
    kept_before = jnp.cumsum(kept, dtype=jnp.int32)  # and here
    count = kept_before[-1]
    slot = jnp.where(kept, kept_before - 1, count + position - kept_before)
    indices = jnp.zeros_like(position).at[slot].set(position, unique_indices=True)
    return pack(flat, indices, count)


def _magnitude(x):
    """|x|, raveled; thresholds are compared in at least float32."""
    return jnp.abs(x).ravel().astype(jnp.promote_types(x.dtype, jnp.float32))
