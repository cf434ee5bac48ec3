"""Compressors made of others, or of several workers, and the facts about them."""

import math

import numpy as np
from contracts.compressor_case import Case

from fedjax_opt.compressors import natural, rand_k, top_k
from fedjax_opt.compressors.constructions import (
    averaged,
    composed,
    induced,
    shifted,
    switch,
)
from fedjax_opt.compressors.correlated import correlated_one_bit
from fedjax_opt.compressors.symmetric import symmetric, symmetric_rank_r
from fedjax_opt.types import Bits

SHIFT = np.linspace(-1, 1, 12).reshape(3, 4)
SHIFTED = shifted(rand_k(3), SHIFT)  # an array has no hash: each call is another one


def five_by_five(x):
    """A symmetric matrix; its triangle is x, and then x again."""
    row, column = np.triu_indices(5)
    matrix = np.zeros((5, 5))
    matrix[row, column] = matrix[column, row] = np.resize(x, 15)
    return matrix


def triangle(d):
    """n(n + 1)/2 for d = n²."""
    n = math.isqrt(d)
    return n * (n + 1) / 2


OF_MATRICES = {"embed": five_by_five, "shape": (5, 5), "sizes": (4, 25, 100)}
TRIANGLE = OF_MATRICES | {"rounding": 4e-16}  # of √2 · x/√2

# Three of twelve: 96, 120 and 104 bits; natural compression: 108, 192 and 108.
CASES: dict[str, Case] = {
    "composed": Case(
        make=lambda: composed(rand_k(3), natural()),
        smallest=(3,),
        bits=Bits(values=96, wire=120, entropy=104),
        omega=lambda d: d / 3 * 9 / 8 - 1,
        random=True,
    ),
    "composed, other way round": Case(
        make=lambda: composed(natural(), rand_k(3)),
        smallest=(3,),
        bits=Bits(values=108, wire=192, entropy=108),
        omega=lambda d: d / 3 * 9 / 8 - 1,
        random=True,
    ),
    "induced": Case(
        make=lambda: induced(top_k(3), rand_k(3)),
        smallest=(3,),
        bits=Bits(values=192, wire=240, entropy=208),
        omega=lambda d: (d / 3 - 1) * (1 - 3 / d),
        random=True,
    ),
    "averaged": Case(
        make=lambda: averaged(rand_k(3), 2),
        smallest=(3,),
        bits=Bits(values=192, wire=240, entropy=208),
        omega=lambda d: (d / 3 - 1) / 2,
        random=True,
    ),
    "switch": Case(
        make=lambda: switch((rand_k(3), natural()), (0.25, 0.75)),
        smallest=(3,),
        bits=Bits(values=108, wire=192, entropy=108),
        omega=lambda d: 0.25 * (d / 3 - 1) + 0.75 / 8,
        random=True,
        varies=True,
    ),
    "shifted": Case(  # C(h) = h
        make=lambda: SHIFTED,
        bits=Bits(values=96, wire=120, entropy=104),
        random=True,
        embed=lambda x: np.reshape(x, (3, 4)) + SHIFT,
        smallest=(3, 4),
    ),
    # 12 bits in two bytes; promises are about vectors in [0, 8].
    "correlated_one_bit": Case(
        make=lambda: correlated_one_bit(0.0, 8.0),
        bits=Bits(values=12, wire=16, entropy=12),
        absolute=lambda d: 16 * d,
        random=True,
        embed=lambda x: np.clip(np.abs(x), 0, 8),
    ),
    # 3 of 15 numbers: ⌈log₂ 455⌉ = 9 bits for the subset.
    "symmetric": Case(
        make=lambda: symmetric(top_k(3)),
        bits=Bits(values=96, wire=120, entropy=105),
        alpha=lambda d: 3 / triangle(d),
        eta=lambda d: (1 - 3 / triangle(d)) ** 0.5,
        variance=lambda d: 0,
        smallest=(2, 2),
        **TRIANGLE,
    ),
    "symmetric, at random": Case(
        make=lambda: symmetric(rand_k(3)),
        bits=Bits(values=96, wire=120, entropy=105),
        omega=lambda d: triangle(d) / 3 - 1,
        random=True,
        smallest=(2, 2),
        **TRIANGLE,
    ),
    "symmetric_rank_r": Case(  # two eigenvalues, two vectors of five
        make=lambda: symmetric_rank_r(2),
        bits=Bits(384, 384, 384),
        alpha=lambda d: 2 / math.isqrt(d),
        eta=lambda d: (1 - 2 / math.isqrt(d)) ** 0.5,
        variance=lambda d: 0,
        smallest=(2, 2),
        **OF_MATRICES,
    ),
}
