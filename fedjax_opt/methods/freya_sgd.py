"""Freya SGD. arXiv:2405.15545."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..types import Method


def freya_sgd(*, step_size, batch_size, stop: bool = False) -> Method:
    """SGD on a finite sum, each batch filled by whoever is fast.

        x^{k+1} = x^k − (γ/S) Σ_{j∈S^k} ∇fⱼ(x^k),   j uniform on all m

    For finite sums f = (1/m) Σⱼ fⱼ: Rennala SGD whose samples are single components,
    drawn with replacement. One model is kept.

    Args:
      step_size: γ.
      batch_size: S.
      stop: interrupt all workers at each step; otherwise late gradients are ignored.

    Reference: Tyurin, Gruntkowska, Richtárik (2024). arXiv:2405.15545.
    """
    rennala = events.rennala(batch_size=batch_size, stop=stop)
    return Method(
        schedule=events.with_components(rennala),
        estimator=Partial(estimators.sgd),
        optimizer=Partial(optax.sgd, step_size),
        components=True,
        label="freya_sgd",
    )
