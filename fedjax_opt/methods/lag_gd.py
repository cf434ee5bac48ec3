"""LAG with full gradients. arXiv:1805.09965."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.lazy import lag_map
from ..mechanisms.three_point import three_point
from ..static import checked
from ..types import Method


def lag_gd(*, step_size, trigger) -> Method:
    """Gradient descent in which a worker is silent while its last gradient will do.

        gᵢ ← ∇fᵢ(x^k)   if |∇fᵢ(x^k) − gᵢ|² > ζ |∇fᵢ(x^k) − ∇fᵢ(x^{k−1})|²
        x^{k+1} = x^k − (γ/n) Σᵢ gᵢ

    For heterogeneous data, in synchronous rounds, from gᵢ⁰ = ∇fᵢ(x⁰). ζ = 0 is
    gradient descent. 2n + 1 vectors are kept besides the model. `fo.theory`
    prescribes γ.

    Args:
      step_size: γ.
      trigger: ζ.

    Reference: Chen, Giannakis, Sun, Yin (2018). arXiv:1805.09965; this rule
      arXiv:2202.00998.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(_lag, trigger),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        first_gradients=True,
        label="lag_gd",
    )


def _lag(trigger):
    return three_point(lag_map(trigger=trigger))
