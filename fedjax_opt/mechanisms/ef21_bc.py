"""EF21-BC, EF21 in both directions. arXiv:2110.03294."""

from typing import Any, NamedTuple

from .. import checks, tree
from ..compressors.wrap import add_decoded, blank_message, per_leaf
from ..keys import for_leaf, public
from ..static import memoised
from ..types import Compressor, Mechanism, Roles, Tree, TreeCompressor
from .shifts import first_or_zero

_UP, _DOWN = 0, 1  # parts of the keys


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
    gᵢ at 0, or at the first gradients where they are given. C and C' draw from keys of
    their own, the shared ones too. With C' = identity it is `ef21`.
    `simulate.downlink` compresses the model instead.

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
        start = first_or_zero(params, first_grad)
        nothing = tree.zeros_like(params)
        return Roles(start, EF21BCState(start, nothing, blank_message(down, params)))

    def worker(keys, grad, g_i):
        own = for_leaf(keys, _UP)
        message = up.encode(own, tree.sub(grad, g_i))
        return message, add_decoded(up, own, g_i, message)

    def decode(keys, message, like):
        return up.decode(for_leaf(keys, _UP), message, like)

    def server(keys, aggregate, mask, state):
        mean = tree.add(state.mean, aggregate)
        own = for_leaf(keys, _DOWN)
        message = down.encode(own, tree.sub(mean, state.estimate))
        g = add_decoded(down, own, state.estimate, message)
        return g, EF21BCState(mean, g, message)

    def bits(keys, message, like):
        return up.bits(for_leaf(keys, _UP), message, like)

    def bits_down(keys, state, like):
        return down.bits(public(for_leaf(keys, _DOWN)), state.sent, like)

    return Mechanism(
        init, worker, decode, server, bits, up.add, bits_down=bits_down, linear=True
    )
