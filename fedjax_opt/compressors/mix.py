"""mix-(k, k'): the largest entries and some of the others. arXiv:2205.04180."""

import jax.numpy as jnp

from .. import checks
from ..static import memoised
from ..types import Certificate, Compressor
from . import sparse
from .comp import enough
from .largest import largest
from .rand_k import rand_k


@memoised
def mix(k: int, k_prime: int) -> Compressor:
    """Keeps the k largest entries and k' of the others at random, as they are.

        C(x) = Σ_{i ∈ T ∪ S} xᵢ eᵢ,   T the k largest |xᵢ|, S a uniform k'-subset of
        the other d − k;
        η = (d − k − k')/√((d − k)d),   variance = k'(d − k − k')/((d − k)d),
        α = 1 − η² − variance = (k + k')/d

    With equality where all |xᵢ| are equal. Nothing is scaled: whatever is drawn, the
    error is part of x.

    Args:
      k: the largest entries that are sent.
      k_prime: k', the others that are sent; k + k' at most the size of the array.

    Returns:
      A Compressor; S is drawn from the private key of the worker. Its message is k + k'
      numbers and as many indices.

    Raises:
      ValueError: if k or k' is not positive; when encoding, if the array has fewer than
        k + k' entries.

    Reference: Condat, Yi, Richtárik (2022). arXiv:2205.04180; the constants for k = k'
      are those of the authors' code, the others are derived: the mean keeps T and
      k'/(d − k) of the rest, and |rest|² <= (1 − k/d)|x|².
    """
    checks.positive_integer(k, "k")
    checks.positive_integer(k_prime, "k_prime")
    label, kept = f"mix({k}, {k_prime})", k + k_prime

    def encode(keys, x):
        enough(label, kept, x.size)
        flat = x.ravel()
        top = largest(flat, k)
        rest = jnp.delete(jnp.arange(x.size), top, assume_unique_indices=True)
        others = rand_k(k_prime).encode(keys, rest).values
        indices = jnp.concatenate([top.astype(rest.dtype), others])
        return sparse.pack(flat[indices], indices, x.size)

    def certificate(d):
        enough(label, kept, d)
        others, dropped = d - k, d - kept
        return Certificate(
            alpha=kept / d,
            eta=dropped / (others * d) ** 0.5,
            variance=k_prime * dropped / (others * d),
        )

    return Compressor(
        encode, sparse.decode, sparse.bits, certificate, label, sparse.add
    )
