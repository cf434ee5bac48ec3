"""Picky SGD. arXiv:2106.10344."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..types import Method


def picky_sgd(*, step_size, radius) -> Method:
    """Asynchronous SGD that uses a gradient only if the model is still near its point.

        if |x^k − x^{k−δ}| <= r:  x^{k+1} = x^k − γ ∇f(x^{k−δ}; ξ),   else drop it

    For homogeneous data. What is accepted depends on the model, so that the clock runs
    together with the numbers, once for every step size: accepted gradients are
    evaluated there, and again for the trace. One model per running job is kept.

    Args:
      step_size: γ.
      radius: r = ε/(2L), with the target |∇f| <= ε.

    Reference: Cohen, Daniely, Drori, Koren, Schain (2021). arXiv:2106.10344.
    """
    return Method(
        schedule=events.picky(radius=radius),
        estimator=Partial(estimators.sgd),
        optimizer=Partial(optax.sgd, step_size),
        label="picky_sgd",
    )
