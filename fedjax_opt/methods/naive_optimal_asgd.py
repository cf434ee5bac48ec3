"""Naive Optimal ASGD. arXiv:2501.16168."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..types import Method


def naive_optimal_asgd(*, step_size, noise_ratio) -> Method:
    """Asynchronous SGD on the m* fastest workers; the others stay idle.

        m* = argmin_m (m + s) / Σ_{i<=m} 1/τᵢ,    x^{k+1} = x^k − γ ∇f(x^{k−δₖ}; ξ)

    For homogeneous data, and for mean times τᵢ that are known and do not change.
    At most m* models are kept.

    Args:
      step_size: γ.
      noise_ratio: s = σ²/ε, with the target E|∇f|² <= ε.

    Reference: Maranjyan, Tyurin, Richtárik (2025). arXiv:2501.16168.
    """
    return Method(
        schedule=events.naive_optimal_asgd(noise_ratio=noise_ratio),
        estimator=Partial(estimators.sgd),
        optimizer=Partial(optax.sgd, step_size),
        label="naive_optimal_asgd",
    )
