"""Compressors made of others, or of several workers, and the facts about them."""

from contracts.compressor_case import Case

from fedjax_opt.compressors import natural, rand_k, top_k
from fedjax_opt.compressors.constructions import averaged, composed, induced, switch
from fedjax_opt.types import Bits

# Three of twelve: 96, 120 and 104 bits; natural compression: 108, 192 and 108.
CASES: dict[str, Case] = {
    "composed": Case(
        make=lambda: composed(rand_k(3), natural()),
        bits=Bits(values=96, wire=120, entropy=104),
        omega=lambda d: d / 3 * 9 / 8 - 1,
        random=True,
    ),
    "composed, other way round": Case(
        make=lambda: composed(natural(), rand_k(3)),
        bits=Bits(values=108, wire=192, entropy=108),
        omega=lambda d: d / 3 * 9 / 8 - 1,
        random=True,
    ),
    "induced": Case(
        make=lambda: induced(top_k(3), rand_k(3)),
        bits=Bits(values=192, wire=240, entropy=208),
        omega=lambda d: (d / 3 - 1) * (1 - 3 / d),
        random=True,
    ),
    "averaged": Case(
        make=lambda: averaged(rand_k(3), 2),
        bits=Bits(values=192, wire=240, entropy=208),
        omega=lambda d: (d / 3 - 1) / 2,
        random=True,
    ),
    "switch": Case(
        make=lambda: switch((rand_k(3), natural()), (0.25, 0.75)),
        bits=Bits(values=108, wire=192, entropy=108),
        omega=lambda d: 0.25 * (d / 3 - 1) + 0.75 / 8,
        random=True,
        varies=True,
    ),
}
