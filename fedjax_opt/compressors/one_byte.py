"""One byte per gradient. arXiv:2306.10015."""

from typing import Any

import jax
import jax.numpy as jnp

from .. import checks
from ..keys import of_worker
from ..static import memoised
from ..types import Bits, Certificate, Compressor

_LEVELS = 127  # of each sign in a signed byte


@memoised
def one_byte(clip: Any) -> Compressor:
    """Sends the slope along a random direction that both ends draw, in one byte.

        s = ⟨x, z⟩,   z ~ N(0, I),   C(x) = (c/127) round(127 min{1, max{−1, s/c}}) z

    Without the rounding and the clipping it is the Gaussian sketch of one row, unbiased
    with ω = d + 1. Rounding moves s by at most c/254. Every worker has a z of its own,
    drawn anew in each round.

    Experimental: the code of a byte is ours; the paper does not say how it is done.

    Args:
      clip: c, the largest |s| that is kept, in units of |x|; may be traced. s is
        normal with the deviation |x|: of 3|x| one in 370 is clipped.

    Returns:
      A Compressor; it certifies nothing, since clipping is a bias that depends on |x|.
      Its message is one signed byte, whatever d is: give it the whole tree,
      `wrap.whole_tree(one_byte(c))`, or each leaf sends its own.

    Raises:
      ValueError: unless clip is positive.

    Reference: Zelikman, Huang, Liang, Haber, Goodman (2023). arXiv:2306.10015.
    Deviation: the paper has s = (f(x+εz) − f(x−εz))/(2ε), with E[s z] = ∇f + O(ε²), and
      no gradients; this is the limit ε → 0.
    """
    checks.positive(clip, "clip")

    def direction(keys, like, dtype):
        drawn = jax.random.normal(of_worker(keys), (like.size,), jnp.float32)
        return drawn.astype(dtype)

    def encode(keys, x):
        flat = x.ravel().astype(jnp.promote_types(x.dtype, jnp.float32))
        slope = jnp.sum(flat * direction(keys, x, flat.dtype))
        share = jnp.clip(slope / clip, -1, 1)
        return jnp.round(_LEVELS * share).astype(jnp.int8)

    def decode(keys, message, like):
        dtype = jnp.promote_types(like.dtype, jnp.float32)
        slope = message.astype(dtype) * jnp.asarray(clip / _LEVELS, dtype)
        decoded = slope * direction(keys, like, dtype)
        return decoded.reshape(like.shape).astype(like.dtype)

    def bits(keys, message, like):
        return Bits(8, 8, 8)

    def certificate(d):
        return Certificate()

    return Compressor(encode, decode, bits, certificate, f"one_byte(clip={clip})")
