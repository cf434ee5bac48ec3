"""EF14, classical error feedback. arXiv:1809.07599."""

from .. import checks, tree
from ..compressors.wrap import add_decoded, per_leaf
from ..static import memoised
from ..types import Compressor, Mechanism, Roles, TreeCompressor


@memoised
def ef14(compressor: Compressor | TreeCompressor) -> Mechanism:
    """Keeps what the compressor dropped and adds it to the next gradient.

        pᵢ = eᵢ + ∇fᵢ(x),   mᵢ = C(pᵢ),   eᵢ ← pᵢ − mᵢ,   g = (1/n) Σᵢ mᵢ

    With a constant step size γ the virtual iterate x − γ (1/n) Σᵢ eᵢ makes exact
    steps along the mean gradient. With C = identity it returns the plain mean.

    Args:
      compressor: contractive, α in (0, 1], or with an absolute bound of its error, as
        `hard_threshold`; applied to each leaf, or to the tree if it is on trees. The
        errors of unbiased ones with ω > 1 would grow without bound.

    Returns:
      A Mechanism. Worker state: eᵢ, like params, from 0. Server state: none.
      Message cost: compressor.bits per worker and round.

    Raises:
      ValueError: if the compressor certifies neither an α nor an absolute error.

    Deviation: the memory is in units of the gradient, not of γ times it, so that the
      step size comes after it. For constant γ and C(tu) = t C(u), t > 0, the iterates
      are those of the papers; for natural compression or a varying γ they are not.

    Reference: Seide, Fu, Droppo, Li, Yu (2014), Interspeech; Stich, Cordonnier, Jaggi
      (2018). arXiv:1809.07599; with absolute errors Sahu, Dutta, Abdelmoniem,
      Banerjee, Canini, Kalnis (2021). arXiv:2108.00951.
    """
    c = checks.contractive(per_leaf(compressor), user="ef14", or_absolute=True)

    def init(params, first_grad=None):
        return Roles(worker=tree.zeros_like(params), server=())

    def worker(keys, grad, error):
        corrected = tree.add(error, grad)
        message = c.encode(keys, corrected)
        return message, add_decoded(c, keys, corrected, message, -1)

    def server(keys, aggregate, mask, state):
        return aggregate, state

    return Mechanism(init, worker, c.decode, server, c.bits, c.add)
