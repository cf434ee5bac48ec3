"""Delayed SGD. arXiv:1806.10188."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..types import Method


def delayed_sgd(*, step_size, delay) -> Method:
    """SGD with gradients that are exactly D steps old.

        x^{k+1} = x^k − γ ∇f(x^{k−D}; ξ),    xʲ = x⁰ for j < 0

    For homogeneous data: the model problem of asynchrony. Without noise, on a curvature
    λ, it is stable if and only if γλ < 2 sin(π / (4D + 2)). D + 1 models are kept.

    Args:
      step_size: γ; theory wants it of order 1/(DL).
      delay: D, a number of steps.

    Reference: Arjevani, Shamir, Srebro (2018). arXiv:1806.10188.
    """
    return Method(
        schedule=events.delayed(delay=delay),
        estimator=Partial(estimators.sgd),
        optimizer=Partial(optax.sgd, step_size),
        label="delayed_sgd",
    )
