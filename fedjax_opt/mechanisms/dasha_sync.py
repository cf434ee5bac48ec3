"""DASHA with synchronised rounds. arXiv:2202.01268."""

from typing import Any

from .. import checks, tree
from ..compressors.wrap import per_leaf
from ..static import memoised
from ..types import Compressor, Mechanism, TreeCompressor
from .alternatives import Full
from .coins import common_coin
from .dasha import DashaState, dasha
from .marina import marina


@memoised
def dasha_sync(
    compressor: Compressor | TreeCompressor,
    *,
    probability: Any,
    tracking_step: Any = None,
) -> Mechanism:
    """DASHA in which now and then all send their gradients as they are.

        gᵢ = hᵢ⁺,   g = (1/n) Σᵢ hᵢ⁺                           with probability p, else
        mᵢ = Qᵢ(hᵢ⁺ − hᵢ − a (gᵢ − hᵢ)),   gᵢ ← gᵢ + mᵢ,   g ← g + (1/n) Σᵢ mᵢ

    hᵢ⁺ is the worker's gradient at the new point, hᵢ that of the round before. The
    messages and the server are those of `marina`, the other rounds those of `dasha`.
    DASHA-SYNC-MVR is this mechanism on gradients from `estimators.page`, whose batch is
    full where the coin says so. It starts as `dasha` does. p = 1 or Q = identity gives
    the exact mean gradient.

    Args:
      compressor: Q, unbiased with ω; applied to each leaf, or to the tree if it is on
        trees.
      probability: p, in (0, 1]; may be traced.
      tracking_step: a, in [0, 1], may be traced; None stands for 1/(2ω + 1).

    Returns:
      A Mechanism; everybody has to come in every round. The coin is drawn from the
      shared key and costs nothing. Worker state: gᵢ and hᵢ, like params. Server state:
      g, like params. Message cost: d numbers, or compressor.bits; both are in the
      arrays, one is counted.

    Raises:
      ValueError: if the compressor certifies no ω, or a number is out of range.

    Reference: Tyurin, Richtárik (2022). arXiv:2202.01268.
    """
    c = checks.unbiased(per_leaf(compressor), user="dasha_sync")
    plain = dasha(c, tracking_step=tracking_step)
    synchronised = marina(c, probability=probability)

    def worker(keys, local, state):
        message, moved = plain.worker(keys, local, state)
        coin = common_coin(keys, probability)
        return Full(local, message), tree.select(coin, DashaState(local, local), moved)

    return synchronised._replace(init=plain.init, worker=worker, linear=True)
