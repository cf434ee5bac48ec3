"""EF21-BC, EF21 in both directions. arXiv:2110.03294."""

from typing import Any, NamedTuple

from .. import checks, tree
from ..compressors.wrap import add_decoded, blank_message, per_leaf
from ..keys import public
from ..static import memoised
from ..types import Compressor, Mechanism, Roles, Tree, TreeCompressor


class EF21BCState(NamedTuple):
    """What the server remembers.

    Attributes:
      mean: (1/n) Σᵢ gᵢ, like the parameters.
      estimate: g, likewise, which everybody knows.
      sent: its last message.
    """

    mean: Tree
    estimate: Tree
    sent: Any


@memoised
def ef21_bc(
    compressor: Compressor | TreeCompressor,
    server_compressor: Compressor | TreeCompressor,
) -> Mechanism:
    """EF21 from the workers to the server, and of the estimate back to them.

        mᵢ = C(∇fᵢ(x) − gᵢ),   gᵢ ← gᵢ + mᵢ
        b = C'((1/n) Σᵢ gᵢ − g),   g ← g + b

    Everybody makes the step along g, so that the model is never sent. g starts at 0,
    gᵢ at 0, or at the first gradients where they are given. With C' = identity it is
    `ef21`. `simulate.downlink` compresses the model instead.

    Args:
      compressor: C of the workers, contractive; applied to each leaf, or to the tree
        if it is on trees.
      server_compressor: C' of the server, likewise.

    Returns:
      A Mechanism. Worker state: gᵢ, like params. Server state: two trees like params,
      and a message. Message cost: that of C per worker and round, that of C' down.

    Raises:
      ValueError: if a compressor certifies no α.

    Reference: Fatkhullin, Sokolov, Gorbunov, Li, Richtárik (2021). arXiv:2110.03294.
    """
    up = checks.contractive(per_leaf(compressor), user="ef21_bc")
    down = checks.contractive(per_leaf(server_compressor), user="ef21_bc")

    def init(params, first_grad=None):
        start = tree.zeros_like(params) if first_grad is None else first_grad
        nothing = tree.zeros_like(params)
        return Roles(start, EF21BCState(start, nothing, blank_message(down, params)))

    def worker(keys, grad, g_i):
        message = up.encode(keys, tree.sub(grad, g_i))
        return message, add_decoded(up, keys, g_i, message)

    def server(keys, aggregate, mask, state):
        mean = tree.add(state.mean, aggregate)
        message = down.encode(keys, tree.sub(mean, state.estimate))
        g = add_decoded(down, keys, state.estimate, message)
        return g, EF21BCState(mean, g, message)

    def bits_down(keys, state, like):
        return down.bits(public(keys), state.sent, like)

    return Mechanism(
        init, worker, up.decode, server, up.bits, up.add, bits_down=bits_down
    )
