"""DASHA. arXiv:2202.01268."""

from typing import Any, NamedTuple

from .. import checks, tree
from ..compressors.wrap import add_decoded, per_leaf
from ..static import memoised
from ..types import Compressor, Mechanism, Roles, Tree, TreeCompressor
from .shifts import first_or_zero, omega


class DashaState(NamedTuple):
    """What a worker remembers.

    Attributes:
      estimate: gᵢ, like the parameters, which the server knows as part of g.
      local: hᵢ, likewise: the gradient, or estimate of it, of the round before.
    """

    estimate: Tree
    local: Tree


@memoised
def dasha(
    compressor: Compressor | TreeCompressor, *, tracking_step: Any = None
) -> Mechanism:
    """Compresses changes of the gradient, and part of what earlier messages lost.

        mᵢ = Qᵢ(hᵢ⁺ − hᵢ − a (gᵢ − hᵢ)),   gᵢ ← gᵢ + mᵢ,   g ← g + (1/n) Σᵢ mᵢ

    hᵢ⁺ is the worker's gradient at the new point, hᵢ that of the round before. Like
    MARINA, but no round is synchronised or sent in full. DASHA-MVR is this mechanism
    on gradients from `estimators.mvr`. All start at 0; or, given the first gradients,
    at gᵢ = hᵢ = ∇fᵢ(x⁰), and then the message at x⁰ moves nothing. With Q = identity
    it is the exact mean gradient.

    Args:
      compressor: Q, unbiased with ω; applied to each leaf, or to the tree if it is on
        trees.
      tracking_step: a, in [0, 1], may be traced; None stands for 1/(2ω + 1).

    Returns:
      A Mechanism. Worker state: gᵢ and hᵢ, like params. Server state: g, like params.
      Message cost: compressor.bits per worker and round.

    Raises:
      ValueError: if the compressor certifies no ω, or tracking_step is out of range.

    Reference: Tyurin, Richtárik (2022). arXiv:2202.01268.
    """
    c = checks.unbiased(per_leaf(compressor), user="dasha")
    checks.in_unit_interval(tracking_step, "tracking_step")

    def step(like):
        if tracking_step is not None:
            return tracking_step
        return 1 / (2 * omega(c, like) + 1)

    def init(params, first_grad=None):
        start = first_or_zero(params, first_grad)
        return Roles(worker=DashaState(start, start), server=start)

    def worker(keys, local, state):
        behind = tree.sub(state.estimate, state.local)
        change = tree.add_scaled(tree.sub(local, state.local), -step(local), behind)
        message = c.encode(keys, change)
        estimate = add_decoded(c, keys, state.estimate, message)
        return message, DashaState(estimate, local)

    def server(keys, aggregate, mask, g):
        g = tree.add(g, aggregate)
        return g, g

    return Mechanism(
        init, worker, c.decode, server, c.bits, c.add, silent_start=True, linear=True
    )
