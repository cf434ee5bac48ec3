"""Vecna SGD. arXiv:2410.04285."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..types import Method


def vecna_sgd(*, step_size, trials, extra_time=None) -> Method:
    """MindFlayer for heterogeneous data: successes weigh by their worker's chances.

        x^{k+1} = x^k − (γ/n) Σᵢ 1/(pᵢ Bᵢ) Σ_{j=1}^{Bᵢ} 1[success] ∇fᵢ(x^k; ξᵢⱼ)

    Worker i makes Bᵢ trials of at most τᵢ + tᵢ seconds each, τᵢ being what no gradient
    can beat; one succeeds with probability pᵢ > 0. For heterogeneous data and random
    times. One model is kept. Experimental: no step size is known from theory.

    Args:
      step_size: γ.
      trials: Bᵢ >= 1, one number or [n].
      extra_time: tᵢ, seconds, one number or [n]; by default such that half of the
        trials succeed.

    Reference: Maranjyan, Shaikh Omar, Richtárik (2025). arXiv:2410.04285.
    Deviation: derived from unbiasedness; the paper's constants were not available.
    """
    return Method(
        schedule=events.vecna(trials=trials, extra_time=extra_time),
        estimator=Partial(estimators.sgd),
        optimizer=Partial(optax.sgd, step_size),
        label="vecna_sgd",
    )
