"""TopLEK: K entries or fewer. arXiv:2410.08760."""

import jax
import jax.numpy as jnp

from ..keys import required
from ..static import memoised
from ..types import Certificate, Compressor
from . import sparse, threshold
from .largest import largest


@memoised
def top_lek(k: int | None = None, *, fraction: float | None = None) -> Compressor:
    """Top-"less or equal"-K: sends no more than the contraction of Top-K asks for.

        eⱼ = |x − Topⱼ(x)|²,   j <= K the first with eⱼ <= (1 − K/d) |x|²,
        C(x) = Topⱼ₋₁(x) with probability p = ((1 − K/d)|x|² − eⱼ)/(eⱼ₋₁ − eⱼ),
        else Topⱼ(x);   E|C(x) − x|² = (1 − K/d) |x|² exactly,   α = K/d

    The noise is at most (K/d)(1 − K/d) |x|² [derived: with a = eⱼ₋₁ − (1 − α)|x|² and
    b = (1 − α)|x|² − eⱼ it is ab/(a + b), where a <= α|x|², b <= (1 − α)|x|²].

    Deviation: the public code allows both comparisons a slack of 0.1 |x|²; here the
    errors are sums of the sorted squares, from the smallest up, without slack.

    Args:
      k: K, at most the size of the array.
      fraction: K/d instead of K; K = max(1, round(fraction · d)).

    Returns:
      A Compressor; it draws from the private key of the worker. Its message has room
      for K numbers and K indices; counted are those that are kept, and how many.

    Raises:
      ValueError: unless exactly one of k and fraction is given, within its range;
        when encoding, if the array has fewer than k entries.

    Reference: Burlachenko, Richtárik (2024), in FedNL systems. arXiv:2410.08760 (read
      in public code).
    """
    label, num_kept = sparse.budget("top_lek", k, fraction)

    def encode(keys, x):
        flat = x.ravel()
        indices = largest(flat, num_kept(x.size))
        errors = _errors(flat, indices)
        count = _draw_count(required(keys.private), errors, dropped_share(x.size))
        return threshold.pack(flat, indices, count)

    def add(onto, message, weight):
        return sparse.add(onto, sparse.Sparse(*message[:2]), weight)

    def dropped_share(d):
        return 1 - num_kept(d) / d

    def certificate(d):
        dropped = dropped_share(d)
        noise = dropped * (1 - dropped)
        return Certificate(alpha=1 - dropped, eta=dropped**0.5, variance=noise)

    return Compressor(encode, threshold.decode, threshold.bits, certificate, label, add)


def _errors(flat, indices):
    """[K + 1] e₀, ..., e_K in units of max|x|²; summed from the smallest up."""
    wide = flat.astype(jnp.promote_types(flat.dtype, jnp.float32))
    peak = jnp.max(jnp.abs(wide), initial=0)
    squares = jnp.square(wide / jnp.where(peak > 0, peak, 1))
    rest = jnp.sum(squares.at[indices].set(0, unique_indices=True))
    return jnp.cumsum(jnp.append(rest, squares[indices][::-1]))[::-1]


def _draw_count(key, errors, dropped):
    """How many entries are sent: j, or j − 1 with probability p."""
    allowed = dropped * errors[0]
    within = errors <= allowed
    j = jnp.where(jnp.any(within), jnp.argmax(within), errors.size - 1)
    before, after = errors[jnp.maximum(j - 1, 0)], errors[j]
    gap = before - after  # 0 at x = 0, where j = 0; and where rounding found no j
    p = jnp.where(gap > 0, (allowed - after) / jnp.where(gap > 0, gap, 1), 0)
    return j - (jax.random.uniform(key, (), errors.dtype) < p)
