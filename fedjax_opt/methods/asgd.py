"""Asynchronous SGD. arXiv:2206.07638."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..types import Method


def asgd(*, step_size) -> Method:
    """Vanilla asynchronous SGD: every arrival is a step, however late.

        x^{k+1} = x^k − γ ∇f(x^{k−δₖ}; ξ)

    For homogeneous data; on heterogeneous data it is biased towards fast workers.
    At most n models are kept.

    Args:
      step_size: γ; theory wants it of order 1/(nL).

    Reference: Mishchenko, Bach, Even, Woodworth (2022). arXiv:2206.07638;
      Koloskova, Stich, Jaggi (2022). arXiv:2206.08307.
    """
    return Method(
        schedule=events.asgd(),
        estimator=Partial(estimators.sgd),
        optimizer=Partial(optax.sgd, step_size),
        label="asgd",
    )
