"""Correlated one-bit quantization. arXiv:2203.04925."""

import math

import jax
import jax.numpy as jnp

from ..keys import required
from ..static import memoised
from ..types import Bits, Certificate, Compressor
from .payload import wire_bits


@memoised
def correlated_one_bit(low: float, high: float) -> Compressor:
    """Rounds every entry to one of two numbers, so that workers' errors cancel.

        yᵢ = (xᵢ − l)/(r − l),   U = (π(worker) + γ)/n:
        C(x)ᵢ = r if U < yᵢ, else l

    where π is a permutation of 0, ..., n − 1 that all workers share, another for each
    entry, and γ is uniform on [0, 1), of each worker and entry. U is uniform on
    [0, 1), so that E C(x) = x; of n workers exactly one has U in each interval of
    length 1/n. Where all hold the same x, the mean of their messages is therefore
    within (r − l)/n of it, always. The farther apart they are, the less cancels.

    All this is for entries in [l, r]; others are taken for its nearer end. A zero
    vector does not go to zero unless l or r is 0. It certifies an absolute error,
    for vectors in the range: Σ (r − xᵢ)(xᵢ − l) <= d (r − l)²/4.

    Deviation: the permutations are one random permutation of the workers, turned by a
    random number for each entry. Each is uniform, so the error of the mean is as large
    on average as with independent ones, and only n + d numbers are drawn.

    Args:
      low, high: l and r, numbers l < r that all workers know.

    Returns:
      A Compressor; π is drawn from the shared key, γ from the private key of the
      worker. Its message is d bits.

    Raises:
      ValueError: unless low < high, both finite.

    Reference: Suresh, Sun, Ro, Yu (2022). arXiv:2203.04925.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"low must be less than high, got {low} and {high}")

    def encode(keys, x):
        n, flat = keys.num_workers, x.ravel()
        wide = flat.astype(jnp.promote_types(x.dtype, jnp.float32))
        order_key, turn_key = jax.random.split(required(keys.shared))
        order = jax.random.permutation(order_key, n)[keys.worker]
        turns = jax.random.randint(turn_key, flat.shape, 0, n)
        gamma = jax.random.uniform(required(keys.private), flat.shape, wide.dtype)
        share = n * ((wide - low) / (high - low)) - (order + turns) % n
        return jnp.packbits(gamma < share)

    def decode(keys, message, like):
        chosen = jnp.unpackbits(message, count=like.size).astype(bool)
        return jnp.where(chosen, high, low).astype(like.dtype).reshape(like.shape)

    def bits(keys, message, like):
        return Bits(like.size, wire_bits(message), like.size)

    def certificate(d):
        return Certificate(absolute=d * (high - low) ** 2 / 4)

    label = f"correlated_one_bit({low}, {high})"
    return Compressor(encode, decode, bits, certificate, label)
