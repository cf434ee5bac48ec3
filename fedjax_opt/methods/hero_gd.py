"""Hero GD: only the fastest worker works, on full gradients. arXiv:2405.15545."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..types import Method


def hero_gd(*, step_size) -> Method:
    """Gradient descent on the worker with the smallest mean time; the others are idle.

        x^{k+1} = x^k − (γ/m) Σⱼ ∇fⱼ(x^k)

    For finite sums f = (1/m) Σⱼ fⱼ. A step costs its worker m gradients. One model is
    kept.

    Args:
      step_size: γ.

    Reference: baseline of arXiv:2405.15545.
    """
    return Method(
        schedule=events.hero_gd(),
        estimator=Partial(estimators.sgd),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        components=True,
        label="hero_gd",
    )
