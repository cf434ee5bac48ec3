"""TernGrad. arXiv:1705.07878."""

import math

from ..static import memoised
from ..types import Compressor
from .dithering import dithering


@memoised
def terngrad() -> Compressor:
    """Sends −, 0 or + for every entry, and the largest absolute value.

        C(x)ᵢ = ‖x‖_∞ sgn(xᵢ) with probability |xᵢ|/‖x‖_∞, else 0

        E|C(x) − x|² = ‖x‖_∞‖x‖₁ − |x|²,   ω = (√d − 1)/2

    This is `dithering(1, norm=math.inf)`. The ω cannot be improved: it is attained at
    x = (1, t, ..., t), t = 1/(1 + √d).

    Returns:
      A Compressor; it draws from the private key of the worker. Its message is one
      number, and two bits per entry; its entropy counts ⌈d log₂ 3⌉ for these.

    Reference: Wen, Xu, Yan, Wu, Wang, Chen, Li (2017). arXiv:1705.07878.
    """
    return dithering(1, norm=math.inf)._replace(label="terngrad()")
