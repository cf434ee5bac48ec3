"""Rand-DIANA. arXiv:2206.10452."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from .. import checks, tree
from ..compressors.payload import wire_bits
from ..compressors.wrap import per_leaf
from ..static import memoised
from ..types import Bits, Compressor, Mechanism, Roles, Tree, TreeCompressor
from .coins import common_coin
from .shifts import first_or_zero, omega


class RandDianaMessage(NamedTuple):
    """What a worker of `rand_diana` sends.

    Attributes:
      sent: the compressor's message.
      refresh: ∇fᵢ(x) − hᵢ, like params, where the coin says so; else zeros, not sent.
    """

    sent: Any
    refresh: Tree


class RandDianaParts(NamedTuple):
    """A message, decoded: two trees like params."""

    sent: Tree
    refresh: Tree


@memoised
def rand_diana(
    compressor: Compressor | TreeCompressor, *, refresh_probability: Any = None
) -> Mechanism:
    """DIANA whose shifts are set to the gradients now and then, not moved each round.

        mᵢ = C(∇fᵢ(x) − hᵢ),   g = h + (1/n) Σᵢ mᵢ
        with probability p:    hᵢ ← ∇fᵢ(x),   h ← h + (1/n) Σᵢ (∇fᵢ(x) − hᵢ)

    The coin is one for all workers, from the shared key. The shifts start at 0, or at
    the first gradients where they are given. p = 0 from 0 is `dcgd`; C = identity gives
    the exact mean gradient for every p.

    Args:
      compressor: unbiased, with ω; applied to each leaf, or to the tree if it is on
        trees.
      refresh_probability: p, in [0, 1], may be traced; None stands for 1/(1 + ω), with
        which both kinds of messages cost about the same.

    Returns:
      A Mechanism. Worker state: hᵢ, like params. Server state: h, like params.
      Message cost: compressor.bits per worker and round, and in the rounds of a refresh
      one number per parameter besides.

    Raises:
      ValueError: if the compressor certifies no ω, or p is out of range.

    Reference: Shulgin, Richtárik (2022). arXiv:2206.10452.
    """
    c = checks.unbiased(per_leaf(compressor), user="rand_diana")
    checks.in_unit_interval(refresh_probability, "refresh_probability")

    def coin(keys, like):
        p = refresh_probability
        if p is None:
            p = 1 / (1 + omega(c, like))
        return common_coin(keys, p)

    def init(params, first_grad=None):
        start = first_or_zero(params, first_grad)
        return Roles(worker=start, server=start)

    def worker(keys, grad, h_i):
        refreshing, missing = coin(keys, grad), tree.sub(grad, h_i)
        message = RandDianaMessage(
            sent=c.encode(keys, missing),
            refresh=tree.select(refreshing, missing, tree.zeros_like(missing)),
        )
        return message, tree.select(refreshing, grad, h_i)

    def decode(keys, message, like):
        return RandDianaParts(c.decode(keys, message.sent, like), message.refresh)

    def server(keys, aggregate, mask, h):
        return tree.add(h, aggregate.sent), tree.add(h, aggregate.refresh)

    def bits(keys, message, like):
        each = c.bits(keys, message.sent, like)
        refresh = jnp.where(coin(keys, like), float(wire_bits(message.refresh)), 0.0)
        return Bits(*(length + refresh for length in each))

    return Mechanism(init, worker, decode, server, bits, silent_start=True, linear=True)
