"""Every entry is kept or not by a coin of its own. arXiv:1710.09854."""

import jax
import jax.numpy as jnp
import numpy as np

from ..keys import of_worker
from ..static import memoised
from ..types import Bits, Certificate, Compressor
from .payload import bits_per_number


@memoised
def sparsifier(probabilities) -> Compressor:
    """Keeps entry i with probability pᵢ, scaled up so that the mean is right.

        C(x)ᵢ = xᵢ/pᵢ with probability pᵢ, else 0, independently;   ω = max 1/pᵢ − 1

    The variance is Σ (1/pᵢ − 1) xᵢ², which is ω|x|² for equal probabilities. As many
    entries as Σ pᵢ are sent on average; `rand_k` always sends as many.

    Args:
      probabilities: one number in (0, 1], or one for each entry of the (raveled) array:
        a tuple or an array. The large entries deserve the large ones.

    Returns:
      A Compressor; both ends flip the coins, those of each worker, so that positions
      are not sent. Its message is the numbers that are kept, before the scaling; they
      stand in an array of d numbers, zeros elsewhere, which do not count as bits.

    Raises:
      ValueError: if a probability is not in (0, 1]; when encoding, if there are several
        probabilities, but not as many as entries.

    Reference: Wangni, Wang, Liu, Zhang (2017). arXiv:1710.09854, whose probabilities
      follow the gradient; here they are given.
    """
    p = np.asarray(probabilities, float).ravel()
    outside = p[~((0 < p) & (p <= 1))]
    if p.size == 0 or outside.size:
        found = outside[0] if p.size else "none"
        raise ValueError(f"sparsifier needs probabilities in (0, 1], got {found}")
    label = f"sparsifier({p[0] if p.size == 1 else f'{p.size} probabilities'})"

    def kept(keys, d):
        if p.size not in (1, d):
            raise ValueError(
                f"{label} cannot take an array of {d} entries. Give it one probability "
                "for all, or treat all leaves as one vector: wrap.whole_tree."
            )
        return jax.random.bernoulli(of_worker(keys), jnp.asarray(p), (d,))

    def encode(keys, x):
        return jnp.where(kept(keys, x.size).reshape(x.shape), x, 0)

    def decode(keys, message, like):
        at_least_float32 = jnp.promote_types(like.dtype, jnp.float32)
        each = jnp.broadcast_to(jnp.asarray(p, at_least_float32), (like.size,))
        values = message.astype(at_least_float32) / each.reshape(like.shape)
        return values.astype(like.dtype)

    def bits(keys, message, like):
        number = jnp.sum(kept(keys, like.size), dtype=float)
        length = number * bits_per_number(message)
        return Bits(length, length, length)

    def certificate(d):
        return Certificate(omega=float(1 / np.min(p) - 1))

    return Compressor(encode, decode, bits, certificate, label)
