"""Greedy task allocation (GTA), a baseline of ATA. arXiv:2502.00775."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..types import Method


def gta(*, step_size, batch_size) -> Method:
    """Minibatch SGD in which all workers work until B gradients are there.

        x^{k+1} = x^k − (γ/B) Σ_{j=1}^{B} ∇f(x^k; ξⱼ)

    It is Rennala SGD that interrupts late gradients: the fastest round there is, and n
    seconds are spent in every second. For homogeneous data. One model is kept.

    Args:
      step_size: γ.
      batch_size: B.

    Reference: baseline of Maranjyan, Saad, Richtárik, Orabona (2025).
      arXiv:2502.00775.
    """
    return Method(
        schedule=events.rennala(batch_size=batch_size, stop=True),
        estimator=Partial(estimators.sgd),
        optimizer=Partial(optax.sgd, step_size),
        label="gta",
    )
