"""ATA. arXiv:2502.00775."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..types import Method


def ata(*, step_size, batch_size, alpha=None, bound: str = "empirical") -> Method:
    """Minibatch SGD that learns how many of its B gradients to ask of each worker.

        x^{k+1} = x^k − (γ/B) Σᵢ Σ_{j=1}^{aᵢ} ∇f(x^k; ξᵢⱼ),   Σᵢ aᵢ = B

    For homogeneous data and workers of unknown speeds. Only who has a task computes,
    so that the seconds spent in all do not grow with n. One model is kept.
    `fo.theory.ata` gives α, and what it is relative to the means.

    Args:
      step_size: γ.
      batch_size: B.
      alpha: factor of the confidence widths: with the bound "empirical" relative to a
        worker's mean, 2 by default, which takes some 10⁴ tasks per worker to learn;
        with "theory" in seconds.
      bound: "empirical" or "theory".

    Reference: Maranjyan, Saad, Richtárik, Orabona (2025). arXiv:2502.00775.
    """
    return Method(
        schedule=events.ata(batch_size=batch_size, alpha=alpha, bound=bound),
        estimator=Partial(estimators.sgd),
        optimizer=Partial(optax.sgd, step_size),
        label="ata",
    )
