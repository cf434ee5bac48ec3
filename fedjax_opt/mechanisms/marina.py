"""MARINA, also with few workers at a time. arXiv:2102.07845."""

from typing import Any

from .. import checks, tree
from ..compressors.payload import wire_bits
from ..compressors.wrap import per_leaf
from ..static import memoised
from ..types import Bits, Compressor, Mechanism, Roles, TreeCompressor
from .alternatives import NOTHING, Full
from .coins import common_coin, either, uniform_subset
from .shifts import first_or_zero


@memoised
def marina(compressor: Compressor | TreeCompressor, *, probability: Any) -> Mechanism:
    """Now and then all gradients as they are, in between compressed changes add up.

        g = (1/n) Σᵢ ∇fᵢ(x)                          with probability p, else
        g ← g + (1/n) Σᵢ Qᵢ(∇fᵢ(x) − ∇fᵢ(x⁻))

    x⁻ is the point before x. The estimate is biased, and its error shrinks with the
    steps. It starts at 0, or at the mean of the first gradients: then the message at
    x⁰ changes nothing. With p = 1 or Q = identity it is the exact mean gradient.
    Compressors that are correlated between workers, such as Perm-K, keep what they
    promise together. With an aggregator that commutes with shifts, such as the
    coordinatewise median, it aggregates the estimates g + Qᵢ(...) of the workers, as
    Byz-VR-MARINA does.

    Args:
      compressor: Q, unbiased with ω; applied to each leaf, or to the tree if it is on
        trees.
      probability: p, in (0, 1]; may be traced. K/d for Rand-K makes both kinds of
        rounds cost the same on average.

    Returns:
      A Mechanism; everybody has to come in every round. The coin is drawn from the
      shared key and costs nothing. Worker state: the last ∇fᵢ, like params. Server
      state: g, like params. Message cost: d numbers, or compressor.bits; both are in
      the arrays, one is counted.

    Raises:
      ValueError: if the compressor certifies no ω, or probability is a Python number
        out of range.

    Reference: Gorbunov, Burlachenko, Li, Richtárik (2021). arXiv:2102.07845; with a
      robust aggregator Gorbunov, Horváth, Richtárik, Gidel (2022). arXiv:2206.00529.
    """
    c = checks.unbiased(per_leaf(compressor), user="marina")
    return _marina(c, probability)


@memoised
def pp_marina(
    compressor: Compressor | TreeCompressor, *, probability: Any, count: Any
) -> Mechanism:
    """MARINA in which r of n workers, drawn anew, send the compressed changes.

        g = (1/n) Σᵢ ∇fᵢ(x)                              with probability p, else
        g ← g + (1/r) Σ_{i∈S} Qᵢ(∇fᵢ(x) − ∇fᵢ(x⁻)),      S a uniform r-subset

    With r = n it is `marina`. It takes no other participation: all take part in rounds
    with full gradients, and the worker of a round knows from the shared key whether
    it is in S.

    Args:
      compressor: Q, unbiased with ω; as for `marina`.
      probability: p, in (0, 1]; may be traced.
      count: r, from 1 to n; may be traced.

    Returns:
      A Mechanism; states as those of `marina`. Message cost: d numbers, or
      compressor.bits of the workers in S.

    Raises:
      ValueError: if the compressor certifies no ω, or probability or count is a
        Python number out of range.

    Reference: Gorbunov, Burlachenko, Li, Richtárik (2021). arXiv:2102.07845.
    Deviation: S is drawn without replacement, where the theorem has r independent
      draws. The variance is not larger, so that the theorem's step size holds.
    """
    c = checks.unbiased(per_leaf(compressor), user="pp_marina")
    checks.counts("pp_marina", count=count)
    return _marina(_of_subset(c, count), probability)._replace(linear=True)


def _marina(c: TreeCompressor, probability) -> Mechanism:
    checks.in_unit_interval(probability, "probability", zero=False)

    def init(params, first_grad=None):
        start = first_or_zero(params, first_grad)
        return Roles(worker=start, server=start)

    def worker(keys, grad, last):
        return Full(grad, c.encode(keys, tree.sub(grad, last))), grad

    def decode(keys, message, like):
        change = c.decode(keys, message.difference, like)
        return tree.select(common_coin(keys, probability), message.full, change)

    def server(keys, aggregate, mask, g):
        coin = common_coin(keys, probability)
        g = tree.select(coin, aggregate, tree.add(g, aggregate))
        return g, g

    def bits(keys, message, like):
        dense = wire_bits(message.full)
        change = c.bits(keys, message.difference, like)
        return either(common_coin(keys, probability), Bits(dense, dense, dense), change)

    return Mechanism(
        init, worker, decode, server, bits, silent_start=True, everybody=True
    )


def _of_subset(c: TreeCompressor, count) -> TreeCompressor:
    """(n/r) C(x) on the r workers of a subset, 0 on the others."""

    def decode(keys, message, like):
        decoded = c.decode(keys, message, like)
        scaled = tree.scale(keys.num_workers / count, decoded)
        return tree.select(
            uniform_subset(keys, count), scaled, tree.zeros_like(decoded)
        )

    def bits(keys, message, like):
        return either(uniform_subset(keys, count), c.bits(keys, message, like), NOTHING)

    return c._replace(decode=decode, bits=bits, add=None)
