"""comp-(k, k'): Rand-K among the largest entries. arXiv:2205.04180."""

import jax.numpy as jnp

from .. import checks
from ..static import memoised
from ..types import Certificate, Compressor
from . import sparse
from .largest import largest
from .rand_k import rand_k


@memoised
def comp(k: int, k_prime: int) -> Compressor:
    """Keeps k of the k' largest entries, chosen at random and scaled up.

        C(x) = (k'/k) Σ_{i ∈ S} xᵢ eᵢ,   S a uniform k-subset of the k' largest |xᵢ|;
        η = √(1 − k'/d),   variance = k'/k − 1,
        α = 1 − η² − variance = k'/d − (k' − k)/k, where that is positive

    Its mean is Top-k', whose bias it has; comp(k, k) is Top-k.

    Args:
      k: entries sent.
      k_prime: k', at least k, at most the size of the array.

    Returns:
      A Compressor; S is drawn from the private key of the worker. Its message is k
      numbers, before the scaling, and k indices.

    Raises:
      ValueError: if k' < k; when encoding, if the array has fewer than k' entries.

    Reference: Condat, Yi, Richtárik (2022). arXiv:2205.04180 (constants read in the
      authors' code).
    """
    checks.positive_integer(k, "k")
    checks.positive_integer(k_prime, "k_prime")
    if k > k_prime:
        raise ValueError(
            f"comp keeps k of the k_prime largest entries, got k={k} and "
            f"k_prime={k_prime}; swap them?"
        )
    label, scaling = f"comp({k}, {k_prime})", k_prime / k

    def encode(keys, x):
        enough(label, k_prime, x.size)
        flat = x.ravel()
        indices = rand_k(k).encode(keys, largest(flat, k_prime)).values
        return sparse.pack(flat[indices], indices, x.size)

    def decode(keys, message, like):
        return add(jnp.zeros(like.shape, like.dtype), message, 1)

    def add(onto, message, weight):
        return sparse.add(onto, message, weight * scaling)

    def certificate(d):
        enough(label, k_prime, d)
        gain = k_prime * k - (k_prime - k) * d  # of integers: its sign is exact
        return Certificate(
            alpha=gain / (k * d) if gain > 0 else None,
            eta=(1 - k_prime / d) ** 0.5,
            variance=scaling - 1,
        )

    return Compressor(encode, decode, sparse.bits, certificate, label, add)


def enough(label: str, needed: int, d: int) -> None:
    """Refuses an array with fewer entries than are kept.

    Raises:
      ValueError: if d < needed.
    """
    if d < needed:
        raise ValueError(
            f"{label} cannot choose {needed} of {d} entries. Use smaller numbers, or "
            f"treat all leaves as one vector: wrap.whole_tree({label})."
        )
