"""MVR with one gradient per sample. arXiv:2605.08871."""

from typing import Any, NamedTuple

from .. import checks, tree
from ..types import Estimator, Tree


class InexactMVRState(NamedTuple):
    """State of `inexact_mvr`.

    Attributes:
      estimate: g, like the parameters.
      batch: h, the last stochastic gradient.
    """

    estimate: Tree
    batch: Tree


def inexact_mvr(momentum: Any) -> Estimator:
    """MVR whose gradient at the previous point is the one that was taken there.

        g⁰ = h⁰,   gᵏ = hᵏ + β (gᵏ⁻¹ − hᵏ⁻¹),   hᵏ = ∇f(xᵏ; ξᵏ)

    `mvr` takes ∇f(xᵏ⁻¹; ξᵏ), on the new sample, for hᵏ⁻¹: a second gradient. β = 0 is
    SGD; without noise gᵏ is the exact gradient for every β. Experimental: with noise
    the samples of the difference do not match, so that it is not small.

    Args:
      momentum: β, the weight of the old estimate, in [0, 1]; may be traced.

    Raises:
      ValueError: if momentum is a number outside [0, 1].

    Reference: the variant for neural networks of arXiv:2605.08871.
    Deviation: the precise rule is not known here; derived like the approximate MARS.
    """
    checks.in_unit_interval(momentum, "momentum")

    def init(params):
        return InexactMVRState(tree.zeros_like(params), tree.zeros_like(params))

    def update(updates, state, params=None, **extra):
        del params, extra
        correction = tree.sub(state.estimate, state.batch)
        estimate = tree.add_scaled(updates, momentum, correction)
        return estimate, InexactMVRState(estimate, updates)

    return Estimator(init, update)
