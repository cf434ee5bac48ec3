"""Compressors that send short numbers, and the facts about them by hand."""

import math

from contracts.compressor_case import Case

from fedjax_opt.compressors.casts import cast, stochastic_rounding
from fedjax_opt.compressors.dithering import dithering
from fedjax_opt.compressors.higgs import higgs
from fedjax_opt.compressors.natural_dithering import natural_dithering
from fedjax_opt.compressors.terngrad import terngrad
from fedjax_opt.types import Bits


def cast_case(dtype, length, squared):
    """`squared`: (d) -> η², from the widths of the mantissa and of the exponent."""
    return Case(
        make=lambda: cast(dtype),
        bits=Bits(length, length, length),
        alpha=lambda d: 1 - squared(d),
        eta=lambda d: math.sqrt(squared(d)),
        variance=lambda d: 0,
    )


CASES: dict[str, Case] = {
    # 12 entries of 4 bits, and a norm; ⌈12 log₂ 9⌉ = 39. Elias' code is longer.
    "dithering": Case(
        make=lambda: dithering(4),
        bits=Bits(values=32 + 48, wire=32 + 48, entropy=32 + 39),
        omega=lambda d: min((math.sqrt(d) - 1) / 4, d / 64),
        random=True,
    ),
    # 36 bits in 5 bytes; ⌈12 log₂ 7⌉ = 34.
    "dithering_max": Case(
        make=lambda: dithering(3, norm=math.inf),
        bits=Bits(values=32 + 36, wire=32 + 40, entropy=32 + 34),
        omega=lambda d: min((math.sqrt(d) - 1) / 6, d / 36),
        random=True,
    ),
    # ⌈12 log₂ 5⌉ = 28.
    "dithering_sum": Case(
        make=lambda: dithering(2, norm=1),
        bits=Bits(values=32 + 36, wire=32 + 40, entropy=32 + 28),
        omega=lambda d: min((d - 1) / 2, d**2 / 16),
        random=True,
    ),
    "natural_dithering": Case(
        make=lambda: natural_dithering(4),
        bits=Bits(values=32 + 48, wire=32 + 48, entropy=32 + 39),
        omega=lambda d: 1 / 8 + min(math.sqrt(d) / 8, d / 256),
        random=True,
    ),
    "natural_dithering_max": Case(
        make=lambda: natural_dithering(3, norm=math.inf),
        bits=Bits(values=32 + 36, wire=32 + 40, entropy=32 + 34),
        omega=lambda d: 1 / 8 + min(math.sqrt(d) / 4, d / 64),
        random=True,
    ),
    # ⌈12 log₂ 3⌉ = 20.
    "terngrad": Case(
        make=lambda: terngrad(),
        bits=Bits(values=32 + 24, wire=32 + 24, entropy=32 + 20),
        omega=lambda d: (math.sqrt(d) - 1) / 2,
        random=True,
    ),
    "cast_bfloat16": cast_case("bfloat16", 12 * 16 + 32, lambda d: 2**-16),
    "cast_e4m3": cast_case(
        "float8_e4m3fn", 12 * 8 + 32, lambda d: 2**-8 + (d - 1) * 2**-34
    ),
    "cast_e5m2": cast_case(
        "float8_e5m2", 12 * 8 + 32, lambda d: 2**-6 + (d - 1) * 2**-62
    ),
    # 1 + 8 + 2 bits: 132 in 17 bytes; ω = (1/16)/(4 · 5/4).
    "stochastic_rounding": Case(
        make=lambda: stochastic_rounding(2),
        bits=Bits(values=132, wire=136, entropy=132),
        omega=lambda d: 1 / 80,
        alpha=lambda d: 79 / 80,
        random=True,
    ),
    # One group of 16; 16 × 3.765 = 60.2.
    "higgs": Case(
        make=lambda: higgs(4),
        bits=Bits(values=16 + 64, wire=16 + 64, entropy=16 + 61),
        random=True,
        shared=True,
    ),
    # Three groups of 4; 12 × 2.825 = 33.9.
    "higgs_groups": Case(
        make=lambda: higgs(3, group=4),
        bits=Bits(values=48 + 36, wire=48 + 40, entropy=48 + 34),
        random=True,
        shared=True,
    ),
}
