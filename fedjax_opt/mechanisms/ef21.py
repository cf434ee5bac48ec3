"""EF21. arXiv:2106.05203."""

from .. import checks, tree
from ..compressors.wrap import add_decoded, per_leaf
from ..static import memoised
from ..types import Compressor, Mechanism, Roles, TreeCompressor
from .shifts import first_or_zero


@memoised
def ef21(compressor: Compressor | TreeCompressor) -> Mechanism:
    """Compresses the distance of the gradient from the estimate that both ends hold.

        mᵢ = C(∇fᵢ(x) − gᵢ),   gᵢ ← gᵢ + mᵢ,   g ← g + (1/n) Σᵢ mᵢ

    The estimate is the new g = (1/n) Σᵢ gᵢ. It starts at gᵢ = 0, so that the first
    one is the mean of C(∇fᵢ(x⁰)); or, given the first gradients, at gᵢ = ∇fᵢ(x⁰).
    With C = identity it returns the exact mean gradient.

    Args:
      compressor: contractive, α in (0, 1]; applied to each leaf, or to the tree if
        it is on trees.

    Returns:
      A Mechanism. Worker state: gᵢ, like params. Server state: g, like params.
      Message cost: compressor.bits per worker and round.

    Raises:
      ValueError: if the compressor certifies no α.

    Reference: Richtárik, Sokolov, Fatkhullin (2021). arXiv:2106.05203.
    """
    c = checks.contractive(per_leaf(compressor), user="ef21")

    def init(params, first_grad=None):
        start = first_or_zero(params, first_grad)
        return Roles(worker=start, server=start)

    def worker(keys, grad, g_i):
        message = c.encode(keys, tree.sub(grad, g_i))
        return message, add_decoded(c, keys, g_i, message)

    def server(keys, aggregate, mask, g):
        g = tree.add(g, aggregate)
        return g, g

    return Mechanism(
        init, worker, c.decode, server, c.bits, c.add, silent_start=True, linear=True
    )
