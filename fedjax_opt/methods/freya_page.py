"""Freya PAGE. arXiv:2405.15545."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..types import Method


def freya_page(
    *,
    step_size,
    batch_size=None,
    probability=None,
    cost_difference=2,
    stop: bool = False,
) -> Method:
    """PAGE whose gradients and differences are computed by whoever is fast.

        g^k = ∇f(x^k)                        for k = 0, and with probability p
        g^k = g^{k−1} + (1/S) Σ_{j∈S^k} (∇fⱼ(x^k) − ∇fⱼ(x^{k−1}))      otherwise
        x^{k+1} = x^k − γ g^k

    For finite sums f = (1/m) Σⱼ fⱼ; no bound on the variance is needed. A full
    gradient takes every component once, from any worker. Two models and one estimate
    are kept, and m numbers in the clock. `fo.theory` prescribes γ, S and p.

    Args:
      step_size: γ.
      batch_size: S, differences in a batch; ⌈√m⌉ by default.
      probability: p, of a full gradient; 1/√m by default.
      cost_difference: gradients that a difference costs in time, 1 or 2.
      stop: interrupt all workers at each step; otherwise late results are ignored.

    Reference: Tyurin, Gruntkowska, Richtárik (2024). arXiv:2405.15545.
    """
    return Method(
        schedule=events.freya(
            batch_size=batch_size,
            probability=probability,
            cost_difference=cost_difference,
            stop=stop,
        ),
        estimator=Partial(estimators.page),
        optimizer=Partial(optax.sgd, step_size),
        components=True,
        label="freya_page",
    )
