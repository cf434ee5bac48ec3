"""DIANA. arXiv:1901.09269."""

from typing import Any

from .. import checks, tree
from ..compressors.wrap import add_decoded, per_leaf
from ..static import memoised
from ..types import Compressor, Mechanism, Roles, TreeCompressor
from .shifts import first_or_zero, shift_step_for


@memoised
def diana(
    compressor: Compressor | TreeCompressor, *, shift_step: Any = None
) -> Mechanism:
    """Learns a shift hᵢ → ∇fᵢ(x*) for each worker, and compresses what differs from it.

        mᵢ = C(∇fᵢ(x) − hᵢ),   g = h + (1/n) Σᵢ mᵢ
        hᵢ ← hᵢ + a mᵢ,        h ← h + a (1/n) Σᵢ mᵢ

    The estimate g is unbiased, and its noise vanishes with ∇fᵢ(x) − hᵢ: the limit is
    exact. The shifts start at 0, or at the first gradients where they are given.
    a = 0 from 0 is `dcgd`; C = identity gives the exact mean gradient for every a.

    Args:
      compressor: unbiased, with ω; applied to each leaf, or to the tree if it is on
        trees.
      shift_step: a, in [0, 1], may be traced; None stands for 1/(1 + ω).

    Returns:
      A Mechanism. Worker state: hᵢ, like params. Server state: h, like params.
      Message cost: compressor.bits per worker and round.

    Raises:
      ValueError: if the compressor certifies no ω, or shift_step is out of range.

    Reference: Mishchenko, Gorbunov, Takáč, Richtárik (2019). arXiv:1901.09269.
    """
    c = checks.unbiased(per_leaf(compressor), user="diana")
    step = shift_step_for(c, shift_step)

    def init(params, first_grad=None):
        start = first_or_zero(params, first_grad)
        return Roles(worker=start, server=start)

    def worker(keys, grad, h_i):
        message = c.encode(keys, tree.sub(grad, h_i))
        return message, add_decoded(c, keys, h_i, message, step(h_i))

    def server(keys, aggregate, mask, h):
        return tree.add(h, aggregate), tree.add_scaled(h, step(h), aggregate)

    return Mechanism(
        init, worker, c.decode, server, c.bits, c.add, silent_start=True, linear=True
    )
