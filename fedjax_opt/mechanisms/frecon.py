"""FRECON. arXiv:2112.13097."""

from typing import Any, NamedTuple

from .. import checks, tree
from ..compressors.wrap import per_leaf
from ..keys import for_leaf, public
from ..static import memoised
from ..types import Bits, Compressor, Mechanism, Roles, Tree, TreeCompressor
from .alternatives import NOTHING
from .coins import either, uniform_subset
from .shifts import first_or_zero, omega, shift_step_for


class FreconWorker(NamedTuple):
    """What a worker remembers.

    Attributes:
      gradient: the last ∇fᵢ, like the parameters.
      shift: hᵢ, likewise.
    """

    gradient: Tree
    shift: Tree


class FreconServer(NamedTuple):
    """What the server remembers: g and h, like the parameters."""

    estimate: Tree
    shift: Tree


class FreconMessage(NamedTuple):
    """What a worker of S sends, or it decoded.

    Attributes:
      change: Q(∇fᵢ(x) − ∇fᵢ(x⁻)).
      shift: Q'(∇fᵢ(x⁻) − hᵢ).
    """

    change: Any
    shift: Any


@memoised
def frecon(
    compressor: Compressor | TreeCompressor,
    *,
    count: Any,
    momentum: Any = None,
    shift_step: Any = None,
) -> Mechanism:
    """Few workers at a time send compressed changes, and learn shifts besides.

        qᵢ = Q(∇fᵢ(x) − ∇fᵢ(x⁻)),   uᵢ = Q'(∇fᵢ(x⁻) − hᵢ),   i ∈ S
        g ← (1/s) Σ_{i∈S} qᵢ + (1−λ) g + λ ((1/s) Σ_{i∈S} uᵢ + h)
        hᵢ ← hᵢ + a uᵢ for i ∈ S,   h ← h + (a/n) Σ_{i∈S} uᵢ

    x⁻ is the point before x, S a uniform set of s workers, Q and Q' two draws of one
    compressor. All start at 0; or, given the first gradients, at hᵢ = ∇fᵢ(x⁰) and
    g = h, and then the message at x⁰ moves nothing. With s = n, Q = identity and the
    first gradients it is the exact mean gradient for every λ and a. It takes no other
    participation: all compute the gradients, and a worker knows from the shared key
    whether it sends.

    Args:
      compressor: Q, unbiased with ω; applied to each leaf, or to the tree if it is on
        trees.
      count: s, from 1 to n; may be traced.
      momentum: λ, in [0, 1], may be traced; None stands for s/(2(1 + ω)n).
      shift_step: a, in [0, 1], may be traced; None stands for 1/(1 + ω).

    Returns:
      A Mechanism. Worker state: the last ∇fᵢ and hᵢ, like params. Server state: g and
      h, like params. Message cost: compressor.bits, twice, of the workers in S.

    Raises:
      ValueError: if the compressor certifies no ω, or a number is out of range.

    Reference: Zhao, Burlachenko, Li, Richtárik (2021). arXiv:2112.13097. One public
      implementation has the new gradient in uᵢ. Deviation: hᵢ⁰ is not recorded; the
      first gradients, which are sent anyhow, make it exact.
    """
    c = checks.unbiased(per_leaf(compressor), user="frecon")
    checks.counts("frecon", count=count)
    checks.in_unit_interval(momentum, "momentum")
    step = shift_step_for(c, shift_step)

    def weight(keys, like):
        if momentum is not None:
            return momentum
        return count / (2 * (1 + omega(c, like)) * keys.num_workers)

    def init(params, first_grad=None):
        start = first_or_zero(params, first_grad)
        return Roles(FreconWorker(start, start), FreconServer(start, start))

    def worker(keys, grad, state):
        change = tree.sub(grad, state.gradient)
        missing = tree.sub(state.gradient, state.shift)
        message = FreconMessage(
            change=c.encode(for_leaf(keys, 0), change),
            shift=c.encode(for_leaf(keys, 1), missing),
        )
        u_i = decode(public(keys), message, grad).shift
        shift = tree.add_scaled(state.shift, step(grad), u_i)
        return message, FreconWorker(grad, shift)

    def decode(keys, message, like):
        decoded = FreconMessage(
            change=c.decode(for_leaf(keys, 0), message.change, like),
            shift=c.decode(for_leaf(keys, 1), message.shift, like),
        )
        sends = uniform_subset(keys, count)
        return tree.select(sends, decoded, tree.zeros_like(decoded))

    def server(keys, aggregate, mask, state):
        mean = tree.scale(keys.num_workers / count, aggregate)
        seen = tree.add(mean.shift, state.shift)
        correction = tree.sub(seen, state.estimate)
        moved = tree.add(state.estimate, mean.change)
        g = tree.add_scaled(moved, weight(keys, moved), correction)
        h = tree.add_scaled(state.shift, step(moved), aggregate.shift)
        return g, FreconServer(g, h)

    def bits(keys, message, like):
        pairs = zip(
            c.bits(for_leaf(keys, 0), message.change, like),
            c.bits(for_leaf(keys, 1), message.shift, like),
            strict=True,
        )
        both = Bits(*(a + b for a, b in pairs))
        return either(uniform_subset(keys, count), both, NOTHING)

    return Mechanism(
        init,
        worker,
        decode,
        server,
        bits,
        silent_start=True,
        everybody=True,
        linear=True,
    )
