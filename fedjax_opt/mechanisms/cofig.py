"""COFIG. arXiv:2112.13097."""

from typing import Any, NamedTuple

from .. import checks, tree
from ..compressors.wrap import per_leaf
from ..keys import for_leaf, public
from ..static import memoised
from ..types import Compressor, Mechanism, Roles, Tree, TreeCompressor
from .alternatives import NOTHING
from .coins import either, uniform_subset
from .shifts import first_or_zero, shift_step_for


class CofigParts(NamedTuple):
    """A message, decoded: two trees like params, 0 of workers that are not in the set.

    Attributes:
      estimate: uᵢ of the workers in S.
      shift: uᵢ of those in S̃.
    """

    estimate: Tree
    shift: Tree


@memoised
def cofig(
    compressor: Compressor | TreeCompressor, *, count: Any, shift_step: Any = None
) -> Mechanism:
    """DIANA with few workers at a time: some for the estimate, some for the shifts.

        uᵢ = Q(∇fᵢ(x) − hᵢ),   g = h + (1/s) Σ_{i∈S} uᵢ
        hᵢ ← hᵢ + a uᵢ for i ∈ S̃,   h ← h + (a/n) Σ_{i∈S̃} uᵢ

    S and S̃ are independent uniform sets of s workers; who is in one of them sends one
    uᵢ. The estimate g is unbiased. The shifts start at 0, or at the first gradients
    where they are given. s = n is `diana`. It takes no other participation: a worker
    knows from the shared key whether it is in a set.

    Args:
      compressor: Q, unbiased with ω; applied to each leaf, or to the tree if it is on
        trees.
      count: s, from 1 to n; may be traced.
      shift_step: a, in [0, 1], may be traced; None stands for 1/(1 + ω).

    Returns:
      A Mechanism. Worker state: hᵢ, like params. Server state: h, like params. Message
      cost: compressor.bits of the workers in S or S̃.

    Raises:
      ValueError: if the compressor certifies no ω, or a number is out of range.

    Reference: Zhao, Burlachenko, Li, Richtárik (2021). arXiv:2112.13097. The public
      code has S̃ = S.
    """
    c = checks.unbiased(per_leaf(compressor), user="cofig")
    checks.counts("cofig", count=count)
    step = shift_step_for(c, shift_step)

    def for_estimate(keys):
        return uniform_subset(for_leaf(keys, 0), count)

    def for_shift(keys):
        return uniform_subset(for_leaf(keys, 1), count)

    def init(params, first_grad=None):
        start = first_or_zero(params, first_grad)
        return Roles(worker=start, server=start)

    def worker(keys, grad, h_i):
        message = c.encode(keys, tree.sub(grad, h_i))
        u_i = decode(public(keys), message, grad).shift
        return message, tree.add_scaled(h_i, step(h_i), u_i)

    def decode(keys, message, like):
        u_i = c.decode(keys, message, like)
        nothing = tree.zeros_like(u_i)
        return CofigParts(
            estimate=tree.select(for_estimate(keys), u_i, nothing),
            shift=tree.select(for_shift(keys), u_i, nothing),
        )

    def server(keys, aggregate, mask, h):
        estimate = tree.add_scaled(h, keys.num_workers / count, aggregate.estimate)
        return estimate, tree.add_scaled(h, step(h), aggregate.shift)

    def bits(keys, message, like):
        sends = for_estimate(keys) | for_shift(keys)
        return either(sends, c.bits(keys, message, like), NOTHING)

    return Mechanism(init, worker, decode, server, bits, everybody=True, linear=True)
