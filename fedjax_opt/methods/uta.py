"""Uniform task allocation (UTA), a baseline of ATA. arXiv:2502.00775."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..types import Method


def uta(*, step_size, batch_size) -> Method:
    """Minibatch SGD with as many gradients from every worker, whatever its speed.

        x^{k+1} = x^k − (γ/B) Σᵢ Σ_{j=1}^{aᵢ} ∇f(x^k; ξᵢⱼ)

    with ⌊B/n⌋ gradients from each, and one more from random ones until there are B.
    For homogeneous data. One model is kept.

    Args:
      step_size: γ.
      batch_size: B.

    Reference: baseline of Maranjyan, Saad, Richtárik, Orabona (2025).
      arXiv:2502.00775.
    """
    return Method(
        schedule=events.uniform_allocation(batch_size=batch_size),
        estimator=Partial(estimators.sgd),
        optimizer=Partial(optax.sgd, step_size),
        label="uta",
    )
