"""SKELETON, what the paper calls the method. arXiv:<id>."""

from ..compressors.wrap import per_leaf
from ..static import memoised
from ..types import Compressor, Mechanism, Roles, TreeCompressor


@memoised
def skeleton(compressor: Compressor | TreeCompressor) -> Mechanism:
    """What is different about this method, in one line: sends the compressed gradient.

        mᵢ = C(∇fᵢ(x)),   g = (1/n) Σᵢ mᵢ

    What follows from it, and what it reduces to: with C = identity it returns the
    plain mean.

    Args:
      compressor: any; applied to each leaf, or to the tree if it is on trees.

    Returns:
      A Mechanism without state. Message cost: compressor.bits per worker and round.

    Reference: Authors (year). arXiv:<id>, the algorithm or equation that you read.
    """
    # If α or ω is needed: checks.contractive(per_leaf(compressor), user="skeleton").
    c = per_leaf(compressor)

    def init(params, first_grad=None):
        return Roles(worker=(), server=())  # what each role remembers; here nothing

    def worker(keys, grad, state):  # one worker: no worker axis in sight
        return c.encode(keys, grad), state

    def server(keys, aggregate, mask, state):  # mask [n] tells who came
        return aggregate, state  # the estimate of ∇f(x), and the new state

    # linear=True where the server's state adds up messages: a median of them is then
    # refused. everybody=True where nobody may be absent.
    return Mechanism(init, worker, c.decode, server, c.bits, c.add)
