"""Top-K. arXiv:2002.12410."""

from ..static import memoised
from ..types import Certificate, Compressor
from . import sparse
from .largest import largest


@memoised
def top_k(k: int | None = None, *, fraction: float | None = None) -> Compressor:
    """Keeps the K entries that are largest in absolute value.

        C(x) = Σ_{i ∈ S} xᵢ eᵢ,   S the K largest |xᵢ|,   α = K/d

    Exactly K entries are sent; of equal ones those with the lowest index.

    Args:
      k: K, at most the size of the array.
      fraction: K/d instead of K; K = max(1, round(fraction · d)).

    Returns:
      A Compressor, deterministic. Its message is K numbers and K indices.

    Raises:
      ValueError: unless exactly one of k and fraction is given, within its range;
        when encoding, if the array has fewer than k entries.

    Reference: Beznosikov, Horváth, Richtárik, Safaryan (2020). arXiv:2002.12410.
    """
    label, num_kept = sparse.budget("top_k", k, fraction)

    def encode(keys, x):
        flat = x.ravel()
        indices = largest(flat, num_kept(x.size))
        return sparse.pack(flat[indices], indices, x.size)

    def certificate(d):
        dropped = 1 - num_kept(d) / d
        return Certificate(alpha=1 - dropped, eta=dropped**0.5, variance=0.0)

    return Compressor(
        encode, sparse.decode, sparse.bits, certificate, label, sparse.add
    )
