"""Compressors that keep random entries, and the facts about them by hand."""

from contracts.compressor_case import Case

from fedjax_opt.compressors.bernoulli import bernoulli, lazy
from fedjax_opt.compressors.comp import comp
from fedjax_opt.compressors.mix import mix
from fedjax_opt.compressors.perm_k import group_perm_k, perm_k
from fedjax_opt.compressors.sparsifier import sparsifier
from fedjax_opt.types import Bits

DENSE, TWO = Bits(384, 384, 384), Bits(64, 64, 64)
# The coin is a byte on the wire and a bit in an ideal code.
DENSE_OR_NOTHING = Bits(values=384, wire=392, entropy=385)
GROUPS = (0, 1, 0, 1, 0, 0, 0, 0)  # 6 workers and 2

CASES: dict[str, Case] = {
    "bernoulli": Case(
        make=lambda: bernoulli(0.25),
        bits=DENSE_OR_NOTHING,
        omega=lambda d: 3,
        random=True,
        varies=True,
    ),
    "lazy": Case(
        make=lambda: lazy(0.25),
        bits=DENSE_OR_NOTHING,
        alpha=lambda d: 1 / 4,
        eta=lambda d: 3 / 4,
        variance=lambda d: 3 / 16,
        random=True,
        varies=True,
    ),
    "sparsifier": Case(
        make=lambda: sparsifier(0.2),
        bits=DENSE,
        omega=lambda d: 4,
        random=True,
        varies=True,
    ),
    "comp": Case(  # 1 of 12: one float, one byte of index, ⌈log₂ 12⌉ = 4 bits of it
        make=lambda: comp(1, 3),
        smallest=(3,),
        bits=Bits(values=32, wire=40, entropy=36),
        eta=lambda d: (1 - 3 / d) ** 0.5,
        variance=lambda d: 2,
        random=True,
    ),
    "mix": Case(  # 3 of 12, ⌈log₂ 220⌉ = 8 bits for the subset
        make=lambda: mix(2, 1),
        smallest=(3,),
        bits=Bits(values=96, wire=120, entropy=104),
        alpha=lambda d: 3 / d,
        eta=lambda d: (d - 3) / ((d - 2) * d) ** 0.5,
        variance=lambda d: (d - 3) / ((d - 2) * d),
        random=True,
    ),
    "perm_k": Case(  # for 8 workers, with parts of 1 and 2 of 12 entries
        make=lambda: perm_k(8),
        bits=TWO,
        omega=lambda d: min(8, d) - 1,
        random=True,
    ),
    "perm_k_fixed": Case(
        make=lambda: perm_k(8, variant="fixed"),
        bits=TWO,
        omega=lambda d: min(8, d) - 1,
        random=True,
    ),
    "group_perm_k": Case(  # ⌈12/2⌉ numbers
        make=lambda: group_perm_k(GROUPS),
        bits=Bits(192, 192, 192),
        omega=lambda d: min(6, d) - 1,
        random=True,
    ),
}
