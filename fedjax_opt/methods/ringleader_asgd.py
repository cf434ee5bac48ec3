"""Ringleader ASGD. arXiv:2509.22860."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..types import Method


def ringleader_asgd(*, step_size) -> Method:
    """Asynchronous rounds of n steps, in which every worker counts alike.

        gather:  until all bᵢ >= 1:   Gᵢ += ∇fᵢ(x^{k−δ}; ξ), bᵢ += 1       (no step)
        then, once for each worker i, as it arrives:
                 Gᵢ += ∇fᵢ(x^{k−δ}; ξ), bᵢ += 1,   x^{k+1} = x^k − γ (1/n) Σⱼ Gⱼ/bⱼ

    For heterogeneous data, however different. A worker's gradients after its step are
    kept for the next round; nothing is thrown away. n + 2 vectors are kept besides at
    most n models. `fo.theory.ringleader` prescribes γ.

    Args:
      step_size: γ.

    Reference: Maranjyan, Richtárik (2025). arXiv:2509.22860.
    """
    return Method(
        schedule=events.ringleader(),
        estimator=Partial(estimators.sgd),
        accumulator=Partial(estimators.ringleader),
        optimizer=Partial(optax.sgd, step_size),
        label="ringleader_asgd",
    )
