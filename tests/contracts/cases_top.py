"""Compressors that keep the largest entries, and the facts about them by hand."""

from contracts.compressor_case import Case

from fedjax_opt.compressors.block_norm_top import block_norm_top
from fedjax_opt.compressors.block_top_k import block_top_k
from fedjax_opt.compressors.threshold import hard_threshold, relative_threshold
from fedjax_opt.compressors.top_lek import top_lek
from fedjax_opt.types import Bits


def biased(alpha):
    """What a deterministic contraction certifies."""
    return {
        "alpha": alpha,
        "eta": lambda d: (1 - alpha(d)) ** 0.5,
        "variance": lambda d: 0,
    }


CASES: dict[str, Case] = {
    # 1 of each 4: 3 floats, 3 bytes, 2 bits for each index.
    "block_top_k": Case(
        make=lambda: block_top_k(1, block_size=4),
        bits=Bits(96, 96 + 24, 96 + 6),
        **biased(lambda d: 1 / 4),
    ),
    # Blocks of 5, 5 and 2: 2 of each; ⌈log₂ 10⌉ = 4 bits for a pair of five.
    "block_top_k_uneven": Case(
        make=lambda: block_top_k(2, block_size=5),
        bits=Bits(192, 192 + 48, 192 + 8),
        **biased(lambda d: min(1, 2 / min(d, 5))),
    ),
    # 1 of 3 blocks of 4.
    "block_norm_top": Case(
        make=lambda: block_norm_top(1, block_size=4),
        bits=Bits(128, 128 + 8, 128 + 2),
        **biased(lambda d: min(1, 4 / d)),
    ),
    # 2 of 4 blocks of 3; ⌈log₂ 6⌉ = 3 bits for the pair.
    "block_norm_top_of_four": Case(
        make=lambda: block_norm_top(2, num_blocks=4),
        smallest=(2,),
        bits=Bits(192, 192 + 16, 192 + 3),
        **biased(lambda d: 1 / 2),
    ),
    # Blocks of 5, 5 and 2.
    "block_norm_top_uneven": Case(
        make=lambda: block_norm_top(1, block_size=5),
        bits=Bits(160, 160 + 8, 160 + 2),
        **biased(lambda d: 1 / -(-d // 5)),
    ),
    # Of 12 entries all, and how many: 4 bits of an ideal code, a byte on the wire.
    "relative_threshold": Case(
        make=lambda: relative_threshold(0.25),
        bits=Bits(384, 384 + 96 + 8, 384 + 4),
        varies=True,
        **biased(lambda d: max(1 - d / 16, 1 / d)),
    ),
    "hard_threshold": Case(
        make=lambda: hard_threshold(0.5),
        bits=Bits(384, 384 + 96 + 8, 384 + 4),
        absolute=lambda d: d / 4,
        varies=True,
    ),
    # 2 of 12: 6.04 bits for the pair, 2 for how many.
    "top_lek": Case(
        make=lambda: top_lek(2),
        smallest=(2,),
        bits=Bits(64, 64 + 16 + 8, 64 + 9),
        alpha=lambda d: 2 / d,
        eta=lambda d: (1 - 2 / d) ** 0.5,
        variance=lambda d: 2 / d * (1 - 2 / d),
        random=True,
        varies=True,
    ),
}
