"""Compressors that send linear images and factors, and the facts about them by hand."""

from contracts.compressor_case import Case

from fedjax_opt.compressors.count_sketch import count_sketch
from fedjax_opt.compressors.gaussian_sketch import gaussian_sketch
from fedjax_opt.compressors.one_byte import one_byte
from fedjax_opt.compressors.rank_r import rank_r
from fedjax_opt.types import Bits


def numbers(count):
    """So many numbers of float32, and nothing else."""
    return Bits(32 * count, 32 * count, 32 * count)


# The most square matrices of 4, 12 and 1000 entries are 2 × 2, 3 × 4 and 25 × 40; at
# rank 1 the factors of the first are as long as itself, and it is sent as it is.
KEPT_AT_RANK_1 = {1: 1, 4: 1, 12: 1 / 3, 1000: 1 / 25}
KEPT_AT_RANK_2 = {1: 1, 4: 1, 12: 1, 1000: 2 / 25}


CASES: dict[str, Case] = {
    "rank_r": Case(
        make=lambda: rank_r(1),
        bits=numbers(3 + 4),
        alpha=lambda d: KEPT_AT_RANK_1[d],
        eta=lambda d: (1 - KEPT_AT_RANK_1[d]) ** 0.5,
        variance=lambda d: 0,
    ),
    "rank_r, dense": Case(
        make=lambda: rank_r(2),
        bits=numbers(12),
        alpha=lambda d: KEPT_AT_RANK_2[d],
        eta=lambda d: (1 - KEPT_AT_RANK_2[d]) ** 0.5,
        variance=lambda d: 0,
    ),
    "gaussian_sketch": Case(
        make=lambda: gaussian_sketch(5),
        bits=numbers(5),
        omega=lambda d: (d + 1) / 5,
        random=True,
        shared=True,
    ),
    "one_byte": Case(make=lambda: one_byte(100.0), bits=Bits(8, 8, 8), random=True),
    "count_sketch": Case(
        make=lambda: count_sketch(4),
        bits=numbers(4),
        omega=lambda d: (d - 1) / 4,
        random=True,
        shared=True,
    ),
    "count_sketch, rows": Case(
        make=lambda: count_sketch(3, rows=2),
        bits=numbers(6),
        omega=lambda d: (d - 1) / 6,
        random=True,
        shared=True,
    ),
}
