"""MVR with one gradient per sample. arXiv:2605.08871."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from .. import checks, tree
from ..types import Array, Tree


class InexactMVRState(NamedTuple):
    """State of `inexact_mvr`.

    Attributes:
      estimate: g, like the parameters.
      batch: h, the last stochastic gradient.
      started: has there been a gradient?
    """

    estimate: Tree
    batch: Tree
    started: Array


def inexact_mvr(
    momentum: Any, *, correction: Any = 0.025
) -> optax.GradientTransformationExtraArgs:
    """MVR whose gradient at the previous point is the one that was taken there.

        g⁰ = h⁰,   gᵏ = hᵏ + β (gᵏ⁻¹ − hᵏ) + cβ (hᵏ − hᵏ⁻¹),   hᵏ = ∇f(xᵏ; ξᵏ)

    `mvr` has c = 1 and takes ∇f(xᵏ⁻¹; ξᵏ), on the new sample, for hᵏ⁻¹: a second
    gradient. Here the samples of the difference do not match, so that it is not small,
    and c scales it down. c = 0 is momentum; with c = 1 all but hᵏ cancels, and β has no
    effect. β = 0 is SGD. Experimental.

    Args:
      momentum: β, the weight of the old estimate, in [0, 1]; may be traced.
      correction: c in [0, 1]; may be traced.

    Raises:
      ValueError: if one of them is a number outside [0, 1].

    Reference: the variant for neural networks of arXiv:2605.08871; c and its value are
      those of the approximate MARS, arXiv:2411.10438.
    Deviation: the precise rule of the former is not known here.
    """
    checks.in_unit_interval(momentum, "momentum")
    checks.in_unit_interval(correction, "correction")

    def init(params):
        zero = tree.zeros_like(params)
        return InexactMVRState(zero, zero, jnp.asarray(False))

    def update(updates, state, params=None, **extra):
        del params, extra
        old = tree.sub(state.estimate, updates)
        change = tree.scale(correction, tree.sub(updates, state.batch))
        estimate = tree.add_scaled(updates, momentum, tree.add(old, change))
        estimate = tree.select(state.started, estimate, updates)
        return estimate, InexactMVRState(
            estimate, updates, jnp.ones_like(state.started)
        )

    return optax.GradientTransformationExtraArgs(init, update)
