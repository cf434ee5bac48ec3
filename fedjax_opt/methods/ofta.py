"""Optimal fixed task allocation (OFTA), a baseline of ATA. arXiv:2502.00775."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..types import Method


def ofta(*, step_size, batch_size) -> Method:
    """Minibatch SGD with the numbers of gradients that are best for the mean times.

        x^{k+1} = x^k − (γ/B) Σᵢ Σ_{j=1}^{aᵢ} ∇f(x^k; ξᵢⱼ),   a = argmin maxᵢ aᵢ μᵢ

    over Σᵢ aᵢ = B. It knows the means μᵢ, which ATA has to learn. For homogeneous data.
    One model is kept.

    Args:
      step_size: γ.
      batch_size: B.

    Reference: baseline of Maranjyan, Saad, Richtárik, Orabona (2025).
      arXiv:2502.00775.
    """
    return Method(
        schedule=events.optimal_allocation(batch_size=batch_size),
        estimator=Partial(estimators.sgd),
        optimizer=Partial(optax.sgd, step_size),
        label="ofta",
    )
