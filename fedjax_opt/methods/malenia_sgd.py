"""Malenia SGD. arXiv:2305.12387."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..types import Method


def malenia_sgd(*, step_size, batch_size, stop: bool = False) -> Method:
    """Minibatch SGD that waits for every worker, and uses what the fast do meanwhile.

        until  ((1/n) Σᵢ 1/Bᵢ)⁻¹ >= S/n:  collect ∇fᵢ(x^k; ξ) from whoever is ready
        x^{k+1} = x^k − γ (1/n) Σᵢ (1/Bᵢ) Σⱼ ∇fᵢ(x^k; ξᵢⱼ)

    For heterogeneous data, however different. One model and one batch mean are kept.
    `fo.theory.malenia` prescribes γ and S.

    Args:
      step_size: γ.
      batch_size: S; at most n: everybody once is enough.
      stop: interrupt all workers at each step; otherwise late gradients are ignored.

    Reference: Tyurin, Richtárik (2023). arXiv:2305.12387.
    """
    return Method(
        schedule=events.malenia(batch_size=batch_size, stop=stop),
        estimator=Partial(estimators.sgd),
        optimizer=Partial(optax.sgd, step_size),
        label="malenia_sgd",
    )
