"""Soviet GD: equal shares, everybody is waited for. arXiv:2405.15545."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..types import Method


def soviet_gd(*, step_size) -> Method:
    """Gradient descent, the components split equally between all workers.

        x^{k+1} = x^k − (γ/m) Σⱼ ∇fⱼ(x^k),   m/n components from each worker

    For finite sums f = (1/m) Σⱼ fⱼ. Every worker must live. One model is kept.

    Args:
      step_size: γ.

    Reference: baseline of arXiv:2405.15545.
    """
    return Method(
        schedule=events.soviet_gd(),
        estimator=Partial(estimators.sgd),
        optimizer=Partial(optax.sgd, step_size),
        components=True,
        label="soviet_gd",
    )
