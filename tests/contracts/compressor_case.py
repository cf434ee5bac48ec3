"""What the tests know of a compressor."""

from collections.abc import Callable
from typing import Any, NamedTuple

from fedjax_opt.types import Bits, Compressor


class Case(NamedTuple):
    """One compressor.

    Attributes:
      make: () -> Compressor.
      bits: of a message about float32 numbers, 12 unless `shape` says otherwise.
      omega: (d) -> the certified ω, or None.
      alpha: (d) -> the certified α, or None.
      eta, variance: (d) -> the certified bias and noise, or None.
      absolute: (d) -> the certified absolute error, or None.
      random: does it draw?
      varies: does the length of a message vary with the data or a coin? Then `bits` is
        that of the longest, and `wire` counts what is filled.
      shared: is it drawn alike by all workers?
      embed: (12 numbers) -> an array that the promises are about; of 0 one that is
        kept.
      shape: of the arrays, where they are not vectors.
      smallest: of those that it takes: one number, or K of K.
      sizes: (d, ...) at which certificates are compared.
      rounding: how far one by one may be from all at once, relatively.
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
    embed: Callable[[Any], Any] = lambda x: x
    shape: tuple[int, ...] = (3, 4)
    smallest: tuple[int, ...] = ()
    sizes: tuple[int, ...] = (4, 12, 1000)
    rounding: float = 0.0
