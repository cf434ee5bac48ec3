"""Soviet PAGE: equal shares, everybody is waited for. arXiv:2405.15545."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..types import Method


def soviet_page(
    *, step_size, batch_size=None, probability=None, cost_difference=2
) -> Method:
    """PAGE, the jobs of every round split equally between all workers.

        g^k = ∇f(x^k)                        for k = 0, and with probability p
        g^k = g^{k−1} + (1/S) Σ_{j∈S^k} (∇fⱼ(x^k) − ∇fⱼ(x^{k−1}))      otherwise
        x^{k+1} = x^k − γ g^k

    For finite sums f = (1/m) Σⱼ fⱼ. Every worker must live. Two models and one
    estimate are kept.

    Args:
      step_size: γ.
      batch_size: S, differences in a batch; ⌈√m⌉ by default.
      probability: p, of a full gradient; S/(S + m) by default.
      cost_difference: gradients that a difference costs in time, 1 or 2; the same for
        all PAGE methods that are compared.

    Reference: baseline of arXiv:2405.15545; PAGE is arXiv:2008.10898.
    """
    return Method(
        schedule=events.soviet_page(
            batch_size=batch_size,
            probability=probability,
            cost_difference=cost_difference,
        ),
        estimator=Partial(estimators.page),
        optimizer=Partial(optax.sgd, step_size),
        components=True,
        label="soviet_page",
    )
