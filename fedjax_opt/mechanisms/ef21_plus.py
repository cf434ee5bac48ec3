"""EF21+. arXiv:2106.05203."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .. import checks, tree
from ..compressors.payload import wire_bits
from ..compressors.wrap import add_decoded, per_leaf
from ..keys import public
from ..static import memoised
from ..types import Array, Bits, Compressor, Mechanism, Roles, Tree, TreeCompressor
from .shifts import first_or_zero


class PlusMessage(NamedTuple):
    """What a worker of `ef21_plus` sends.

    Attributes:
      sent: the compressor's message.
      fresh: is it that of the gradient itself? uint8.
      change: of gᵢ, like params. The server of the paper, which keeps every gᵢ, makes
        it of the other two.
    """

    sent: Any
    fresh: Array
    change: Tree


@memoised
def ef21_plus(compressor: Compressor | TreeCompressor) -> Mechanism:
    """EF21 or the compressed gradient itself, whichever is closer to the gradient.

        bᵢ = C(∇fᵢ(x)),   aᵢ = gᵢ + C(∇fᵢ(x) − gᵢ),   g = (1/n) Σᵢ gᵢ
        gᵢ ← bᵢ if |bᵢ − ∇fᵢ(x)| < |aᵢ − ∇fᵢ(x)|, else aᵢ

    It starts at gᵢ = 0, or at the first gradients where they are given. A random
    compressor makes both messages of one draw.

    Args:
      compressor: contractive, α in (0, 1]; applied to each leaf, or to the tree if
        it is on trees. The choice is one for the whole tree.

    Returns:
      A Mechanism. Worker state: gᵢ, like params. Server state: g, like params.
      Message cost: compressor.bits and one flag per worker and round.

    Raises:
      ValueError: if the compressor certifies no α.

    Reference: Richtárik, Sokolov, Fatkhullin (2021). arXiv:2106.05203.
    Deviation: the server here keeps the mean of the gᵢ only, so that a message holds
      the change of gᵢ besides, which the bits do not count.
    """
    c = checks.contractive(per_leaf(compressor), user="ef21_plus")

    def init(params, first_grad=None):
        start = first_or_zero(params, first_grad)
        return Roles(worker=start, server=start)

    def worker(keys, grad, g_i):
        difference = c.encode(keys, tree.sub(grad, g_i))
        corrected = add_decoded(c, keys, g_i, difference)
        itself = c.encode(keys, grad)
        fresh = c.decode(public(keys), itself, grad)
        closer = _shorter(tree.sub(fresh, grad), tree.sub(corrected, grad))
        new = tree.select(closer, fresh, corrected)
        message = PlusMessage(
            sent=tree.select(closer, itself, difference),
            fresh=closer.astype(jnp.uint8),
            change=tree.sub(new, g_i),
        )
        return message, new

    def decode(keys, message, like):
        return message.change

    def server(keys, aggregate, mask, g):
        g = tree.add(g, aggregate)
        return g, g

    def bits(keys, message, like):
        sent = c.bits(keys, message.sent, like)
        wire = sent.wire + wire_bits(message.fresh)
        return Bits(sent.values, wire, sent.entropy + 1)

    return Mechanism(init, worker, decode, server, bits, silent_start=True, linear=True)


def _shorter(a: Tree, b: Tree) -> Array:
    """Is |a| < |b|, over all leaves? The peak divides, so that no square overflows."""
    leaves = jax.tree.leaves((a, b))
    wide = jnp.result_type(*leaves, jnp.float32)
    peaks = [jnp.max(jnp.abs(x), initial=0).astype(wide) for x in leaves]
    peak = jnp.max(jnp.stack(peaks))
    unit = jnp.where(peak > 0, peak, 1)

    def relative(x):
        return tree.squared_norm(jax.tree.map(lambda y: y.astype(wide) / unit, x))

    return relative(a) < relative(b)
