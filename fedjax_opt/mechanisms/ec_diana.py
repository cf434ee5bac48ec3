"""EC-SGD-DIANA. arXiv:2010.12292."""

from typing import Any, NamedTuple

from .. import checks, tree
from ..compressors.payload import wire_bits
from ..compressors.wrap import add_decoded, per_leaf
from ..keys import for_leaf
from ..static import memoised
from ..types import Bits, Compressor, Mechanism, Roles, Tree, TreeCompressor
from .shifts import first_or_zero, shift_step_for


class EcDianaState(NamedTuple):
    """What a worker remembers.

    Attributes:
      error: eᵢ, like the parameters.
      shift: hᵢ, likewise.
    """

    error: Tree
    shift: Tree


class EcDianaMessage(NamedTuple):
    """The two halves of a message, as they are sent; or decoded, trees like params.

    Attributes:
      step: C(eᵢ + ∇fᵢ(x) − hᵢ + h).
      shift: Q(∇fᵢ(x) − hᵢ).
    """

    step: Any
    shift: Any


@memoised
def ec_diana(
    compressor: Compressor | TreeCompressor,
    shift_compressor: Compressor | TreeCompressor,
    *,
    shift_step: Any = None,
) -> Mechanism:
    """Error feedback whose errors vanish, since shifts are learned besides.

        pᵢ = eᵢ + ∇fᵢ(x) − hᵢ + h,   vᵢ = C(pᵢ),   eᵢ ← pᵢ − vᵢ,   g = (1/n) Σᵢ vᵢ
        uᵢ = Q(∇fᵢ(x) − hᵢ),   hᵢ ← hᵢ + a uᵢ,   h ← h + a (1/n) Σᵢ uᵢ

    `ef14` stalls where workers differ, since its errors are as large as their
    gradients; here ∇fᵢ(x) − hᵢ + h tends to 0. The shifts start at 0, or at the first
    gradients where they are given. a = 0 from 0 is `ef14`.

    Args:
      compressor: C, contractive with α; applied to each leaf, or to the tree if it is
        on trees.
      shift_compressor: Q, unbiased with ω; likewise.
      shift_step: a, in [0, 1], may be traced; None stands for 1/(1 + ω).

    Returns:
      A Mechanism. Worker state: eᵢ and hᵢ, like params. Server state: h, like params,
      which workers know. Message cost: that of C and of Q per worker and round; the
      server sends the model and h.

    Raises:
      ValueError: if a compressor does not certify what is needed, or shift_step is out
        of range.

    Deviation: the errors are in units of the gradient, as those of `ef14`.

    Reference: Gorbunov, Kovalev, Makarenko, Richtárik (2020). arXiv:2010.12292.
    """
    c = checks.contractive(per_leaf(compressor), user="ec_diana")
    q = checks.unbiased(per_leaf(shift_compressor), user="ec_diana")
    step = shift_step_for(q, shift_step)

    def init(params, first_grad=None):
        shift = first_or_zero(params, first_grad)
        return Roles(EcDianaState(tree.zeros_like(params), shift), shift)

    def worker(keys, grad, state, *, announced):
        missing = tree.sub(grad, state.shift)
        corrected = tree.add(tree.add(state.error, missing), announced)
        of_step, of_shift = for_leaf(keys, 0), for_leaf(keys, 1)
        message = EcDianaMessage(
            c.encode(of_step, corrected), q.encode(of_shift, missing)
        )
        return message, EcDianaState(
            error=add_decoded(c, of_step, corrected, message.step, -1),
            shift=add_decoded(q, of_shift, state.shift, message.shift, step(grad)),
        )

    def decode(keys, message, like):
        return EcDianaMessage(
            c.decode(for_leaf(keys, 0), message.step, like),
            q.decode(for_leaf(keys, 1), message.shift, like),
        )

    def server(keys, aggregate, mask, h):
        return aggregate.step, tree.add_scaled(h, step(h), aggregate.shift)

    def bits(keys, message, like):
        sent = c.bits(for_leaf(keys, 0), message.step, like)
        moved = q.bits(for_leaf(keys, 1), message.shift, like)
        return Bits(*(a + b for a, b in zip(sent, moved, strict=True)))

    def bits_down(keys, h, like):
        length = wire_bits(like) + wire_bits(h)
        return Bits(length, length, length)

    return Mechanism(
        init,
        worker,
        decode,
        server,
        bits,
        announce=lambda h: h,
        bits_down=bits_down,
        linear=True,
    )
