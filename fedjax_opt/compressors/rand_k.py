"""Rand-K. arXiv:2002.12410."""

import jax
import jax.numpy as jnp
from jax import lax

from ..keys import required
from ..static import memoised
from ..types import Certificate, Compressor
from . import sparse


@memoised
def rand_k(k: int | None = None, *, fraction: float | None = None) -> Compressor:
    """Keeps K entries chosen at random, scaled up so that the mean is right.

        C(x) = (d/K) Σ_{i ∈ S} xᵢ eᵢ,   S a uniform K-subset,   ω = d/K − 1

    The variance is ω|x|² exactly, for every x. It certifies ω only: where a
    contraction is needed, `wrap.scaled(rand_k(...))` has α = K/d.

    Args:
      k: K, at most the size of the array.
      fraction: K/d instead of K; K = max(1, round(fraction · d)).

    Returns:
      A Compressor; S is drawn from the private key of the worker. Its message is
      K numbers, before the scaling, and K indices.

    Raises:
      ValueError: unless exactly one of k and fraction is given, within its range;
        when encoding, if the array has fewer than k entries.

    Reference: Beznosikov, Horváth, Richtárik, Safaryan (2020). arXiv:2002.12410.
    """
    label, num_kept = sparse.budget("rand_k", k, fraction)

    def encode(keys, x):
        flat = x.ravel()
        indices = _subset(required(keys.private), num_kept(x.size), x.size)
        return sparse.pack(flat[indices], indices, x.size)

    def scaling(like):
        return like.size / num_kept(like.size)

    def decode(keys, message, like):
        at_least_float32 = jnp.promote_types(like.dtype, jnp.float32)
        values = message.values.astype(at_least_float32) * scaling(like)
        return sparse.decode(keys, message._replace(values=values), like)

    def add(onto, message, weight):
        return sparse.add(onto, message, weight * scaling(onto))

    def certificate(d):
        return Certificate(omega=d / num_kept(d) - 1)

    return Compressor(encode, decode, sparse.bits, certificate, label, add)


def _subset(key, k: int, d: int):
    """[k] different indices below d.

    The k largest of d uniform numbers: much faster than a shuffle. float32 has few
    values, and ties go to low indices; the random rotation gives every index the
    same probability k/d all the same, on which mean and variance depend alone.
    """
    score_key, shift_key = jax.random.split(key)
    _, indices = lax.top_k(jax.random.uniform(score_key, (d,), jnp.float32), k)
    return (indices - jax.random.randint(shift_key, (), 0, d, indices.dtype)) % d
