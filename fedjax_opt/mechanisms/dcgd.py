"""DCGD, distributed compressed gradient descent. arXiv:1806.06573."""

from ..compressors.wrap import per_leaf
from ..static import memoised
from ..types import Compressor, Mechanism, Roles, TreeCompressor


@memoised
def dcgd(compressor: Compressor | TreeCompressor) -> Mechanism:
    """Sends the compressed gradient and remembers nothing.

        mᵢ = C(∇fᵢ(x)),   g = (1/n) Σᵢ mᵢ

    With C = identity it returns the plain mean. Unbiased compressors converge to a
    neighbourhood of the solution, unless all ∇fᵢ(x*) = 0; biased ones may diverge
    with every step size where workers differ: use `ef21` or `ef14` for them.

    Args:
      compressor: any; applied to each leaf, or to the tree if it is on trees.

    Returns:
      A Mechanism without state. Message cost: compressor.bits per worker and round.

    Reference: Khirirat, Feyzmahdavian, Johansson (2018). arXiv:1806.06573; with the
      dithering compressor Alistarh, Grubic, Li, Tomioka, Vojnovic (2016).
      arXiv:1610.02132.
    """
    c = per_leaf(compressor)

    def init(params, first_grad=None):
        return Roles(worker=(), server=())

    def worker(keys, grad, state):
        return c.encode(keys, grad), state

    def server(keys, aggregate, mask, state):
        return aggregate, state

    return Mechanism(init, worker, c.decode, server, c.bits, c.add)
