"""RandSeqK: K entries in a row, from a random start. arXiv:2410.08760."""

import jax
import jax.numpy as jnp

from ..keys import of_worker
from ..static import memoised
from ..types import Bits, Certificate, Compressor
from . import sparse
from .payload import wire_bits


@memoised
def rand_seq_k(k: int | None = None, *, fraction: float | None = None) -> Compressor:
    """Keeps K entries that follow each other, scaled up so that the mean is right.

        C(x) = (d/K) Σ_{i ∈ S} xᵢ eᵢ,   S = {r, r + 1, ..., r + K − 1} modulo d,
        r uniform,   ω = d/K − 1

    The variance is ω|x|² exactly, as that of Rand-K; the memory is read in one piece.

    Args:
      k: K, at most the size of the array.
      fraction: K/d instead of K; K = max(1, round(fraction · d)).

    Returns:
      A Compressor; both ends draw r, one for each worker, so that it is not sent. Its
      message is K numbers, before the scaling.

    Raises:
      ValueError: unless exactly one of k and fraction is given, within its range;
        when encoding, if the array has fewer than k entries.

    Reference: Burlachenko, Richtárik (2024), in FedNL systems. arXiv:2410.08760 (read
      in public code).
    """
    label, num_kept = sparse.budget("rand_seq_k", k, fraction)

    def start(keys, d):
        return jax.random.randint(of_worker(keys), (), 0, d)

    def encode(keys, x):
        turned = jnp.roll(x.ravel(), -start(keys, x.size))
        return turned[: num_kept(x.size)]

    def decode(keys, message, like):
        at_least_float32 = jnp.promote_types(like.dtype, jnp.float32)
        scaling = like.size / num_kept(like.size)
        values = (message.astype(at_least_float32) * scaling).astype(like.dtype)
        padded = jnp.pad(values, (0, like.size - values.size))
        return jnp.roll(padded, start(keys, like.size)).reshape(like.shape)

    def bits(keys, message, like):
        length = wire_bits(message)
        return Bits(length, length, length)

    def certificate(d):
        return Certificate(omega=d / num_kept(d) - 1)

    return Compressor(encode, decode, bits, certificate, label)
