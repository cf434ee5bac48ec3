"""What the tests know of a compressor."""

from collections.abc import Callable
from typing import NamedTuple

from fedjax_opt.types import Bits, Compressor


class Case(NamedTuple):
    """One compressor.

    Attributes:
      make: () -> Compressor.
      bits: of a message about 12 float32 numbers.
      omega: (d) -> the certified ω, or None.
      alpha: (d) -> the certified α, or None.
      eta, variance: (d) -> the certified bias and noise, or None.
      absolute: (d) -> the certified absolute error, or None.
      random: does it draw?
      varies: does the length of a message vary with the data or a coin? Then `bits` is
        that of the longest, and `wire` counts what is filled.
      shared: is it drawn alike by all workers?
    """

    make: Callable[[], Compressor]
    bits: Bits
    omega: Callable[[int], float] | None = None
    alpha: Callable[[int], float] | None = None
    random: bool = False
    eta: Callable[[int], float] | None = None
    variance: Callable[[int], float] | None = None
    absolute: Callable[[int], float] | None = None
    varies: bool = False
    shared: bool = False
