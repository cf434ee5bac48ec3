"""The compressors and the facts about them, from the papers' tables by hand."""

from contracts import (
    cases_constructions,
    cases_quantizers,
    cases_sketches,
    cases_sparsifiers,
    cases_top,
)
from contracts.compressor_case import Case

from fedjax_opt.compressors import (
    identity,
    natural,
    rand_k,
    rand_seq_k,
    scaled_sign,
    sign,
    top_k,
    wrap,
)
from fedjax_opt.types import Bits

# 3 of 12: 3 floats; with 3 bytes of indices; with ⌈log₂ 220⌉ = 8 bits for the subset.
THREE_OF_TWELVE = Bits(values=96, wire=120, entropy=104)
NINE_PER_NUMBER = Bits(values=108, wire=192, entropy=108)

SIMPLE = {
    "identity": Case(
        make=lambda: identity(),
        bits=Bits(384, 384, 384),
        omega=lambda d: 0,
        alpha=lambda d: 1,
    ),
    "top_k": Case(
        make=lambda: top_k(3),
        smallest=(3,),
        bits=THREE_OF_TWELVE,
        alpha=lambda d: 3 / d,
        eta=lambda d: (1 - 3 / d) ** 0.5,
        variance=lambda d: 0,
    ),
    "top_k_fraction": Case(
        make=lambda: top_k(fraction=0.25),
        bits=THREE_OF_TWELVE,
        alpha=lambda d: 1 / 4,
        eta=lambda d: 0.75**0.5,
        variance=lambda d: 0,
    ),
    "sign": Case(  # 12 digits, five in a byte; ⌈12 log₂ 3⌉ = 20
        make=lambda: sign(),
        bits=Bits(24, 24, 20),
    ),
    "scaled_sign": Case(
        make=lambda: scaled_sign(),
        bits=Bits(44, 48, 44),
        alpha=lambda d: 1 / d,
        eta=lambda d: (1 - 1 / d) ** 0.5,
        variance=lambda d: 0,
    ),
    "rand_k": Case(
        make=lambda: rand_k(3),
        smallest=(3,),
        bits=THREE_OF_TWELVE,
        omega=lambda d: d / 3 - 1,
        random=True,
    ),
    "natural": Case(
        make=lambda: natural(),
        bits=NINE_PER_NUMBER,
        omega=lambda d: 1 / 8,
        alpha=lambda d: 7 / 8,
        random=True,
    ),
    "scaled_rand_k": Case(
        make=lambda: wrap.scaled(rand_k(3)),
        smallest=(3,),
        bits=THREE_OF_TWELVE,
        alpha=lambda d: 3 / d,
        eta=lambda d: 1 - 3 / d,
        variance=lambda d: 3 / d * (1 - 3 / d),
        random=True,
    ),
    "scaled_natural": Case(
        make=lambda: wrap.scaled(natural()),
        bits=NINE_PER_NUMBER,
        alpha=lambda d: 8 / 9,
        eta=lambda d: 1 / 9,
        variance=lambda d: 8 / 81,
        random=True,
    ),
    "rand_seq_k": Case(
        make=lambda: rand_seq_k(3),
        smallest=(3,),
        bits=Bits(96, 96, 96),
        omega=lambda d: d / 3 - 1,
        random=True,
    ),
}

CASES = (
    SIMPLE
    | cases_sparsifiers.CASES
    | cases_top.CASES
    | cases_quantizers.CASES
    | cases_sketches.CASES
    | cases_constructions.CASES
)
