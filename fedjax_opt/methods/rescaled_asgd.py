"""Rescaled ASGD. arXiv:2605.13434."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..types import Method


def rescaled_asgd(*, step_size, observed: bool = False) -> Method:
    """Asynchronous SGD with longer steps for slower workers, so that all count alike.

        x^{k+1} = x^k − γ (τᵢ / mean(τ)) ∇fᵢ(x^{k−δₖ}; ξ)

    For heterogeneous data: the mean drift is along ∇f, where plain asynchronous SGD
    weighs fᵢ by 1/τᵢ. At most n models are kept.

    Args:
      step_size: γ; the longest step is γ max(τ)/mean(τ).
      observed: τᵢ are the mean durations seen so far instead of the known ones.

    Reference: Mahran, Maranjyan, Richtárik (2026). arXiv:2605.13434 (abstract).
    Deviation: the paper's normalisation was not available; with this one equal times
      give plain asynchronous SGD. `observed` is not in the paper.
    """
    return Method(
        schedule=events.rescaled_asgd(observed=observed),
        estimator=Partial(estimators.sgd),
        optimizer=Partial(optax.sgd, step_size),
        label="rescaled_asgd",
    )
