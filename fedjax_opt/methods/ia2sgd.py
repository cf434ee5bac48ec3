"""IA²SGD. arXiv:2509.22860."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..types import Method


def ia2sgd(*, step_size) -> Method:
    """Asynchronous steps with the mean of every worker's latest gradient.

        Gᵢ ← ∇fᵢ(x^{k−δ}; ξ),   x^{k+1} = x^k − γ (1/n) Σⱼ Gⱼ

    For heterogeneous data. The first step comes one arrival after everybody has
    delivered once. n + 1 vectors are kept besides at most n models.

    Args:
      step_size: γ.

    Reference: baseline of arXiv:2509.22860 (the authors' code).
    """
    return Method(
        schedule=events.ia2sgd(),
        estimator=Partial(estimators.sgd),
        accumulator=Partial(estimators.latest),
        optimizer=Partial(optax.sgd, step_size),
        label="ia2sgd",
    )
