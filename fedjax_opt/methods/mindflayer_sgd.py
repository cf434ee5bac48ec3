"""MindFlayer SGD. arXiv:2410.04285."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..types import Method


def mindflayer_sgd(*, step_size, batch_size, extra_time=None) -> Method:
    """Minibatch SGD whose workers give up a gradient that takes too long.

        x^{k+1} = x^k − (γ/B) Σᵢ Σ_{j=1}^{Bᵢ} 1[success] ∇f(x^k; ξᵢⱼ),   B = Σᵢ pᵢ Bᵢ

    Worker i makes Bᵢ trials of at most τᵢ + tᵢ seconds each, τᵢ being what no gradient
    can beat; one succeeds with probability pᵢ. For homogeneous data and random times,
    heavy-tailed or infinite ones too. One model is kept. `fo.theory.mindflayer`
    prescribes γ; S is max {1, σ²/ε}.

    Args:
      step_size: γ.
      batch_size: S, the successes that the Bᵢ are to give on average, at least.
      extra_time: tᵢ, seconds, one number or [n]; by default such that half of the
        trials succeed.

    Reference: Maranjyan, Shaikh Omar, Richtárik (2025). arXiv:2410.04285.
    """
    return Method(
        schedule=events.mindflayer(batch_size=batch_size, extra_time=extra_time),
        estimator=Partial(estimators.sgd),
        optimizer=Partial(optax.sgd, step_size),
        label="mindflayer_sgd",
    )
