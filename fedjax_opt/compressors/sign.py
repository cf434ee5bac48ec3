"""Sign, without a scale. arXiv:1802.04434."""

import math

import jax.numpy as jnp
import numpy as np

from ..static import memoised
from ..types import Bits, Certificate, Compressor
from .payload import wire_bits

_DIGITS = 5  # 3⁵ = 243 fit into a byte


@memoised
def sign() -> Compressor:
    """Sends the signs alone, whatever the entries' size.

        C(x)ᵢ = sgn(xᵢ),   sgn(0) = 0

    It certifies nothing: it is biased, and |C(x) − x| is bounded neither by |x| nor
    absolutely, so that mechanisms with a memory refuse it; `scaled_sign` is their
    compressor. It belongs into signSGD: `mechanisms.dcgd(sign())` has the mean of the
    workers' signs as its estimate, and the sign of that, such as the step of
    `transforms.scale_by_lmo(geometry.linf())`, is the majority vote.

    Returns:
      A Compressor, deterministic. Its message is d digits −1, 0, 1, five in a byte;
      as its entropy counts ⌈d log₂ 3⌉. One bit per entry would have no zero.

    Reference: Bernstein, Wang, Azizzadenesheli, Anandkumar (2018). arXiv:1802.04434.
    """
    powers = np.array([3**i for i in range(_DIGITS)], np.uint8)

    def encode(keys, x):
        digits = jnp.sign(x.ravel()).astype(jnp.int8) + 1
        rows = jnp.pad(digits, (0, -x.size % _DIGITS)).reshape(-1, _DIGITS)
        return jnp.sum(rows.astype(jnp.uint8) * powers[None], axis=1, dtype=jnp.uint8)

    def decode(keys, message, like):
        digits = message[:, None] // powers[None] % 3
        signs = digits.ravel()[: like.size].astype(jnp.int8) - 1
        return signs.astype(like.dtype).reshape(like.shape)

    def bits(keys, message, like):
        length = wire_bits(message)
        return Bits(length, length, math.ceil(like.size * math.log2(3)))

    def certificate(d):
        return Certificate()

    return Compressor(encode, decode, bits, certificate, "sign()")
