"""SAGA on every worker. arXiv:1407.0202."""

import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..compressors import identity
from ..simulate import uniform_order
from ..types import Method


def saga(*, step_size) -> Method:
    """Gradients of single rows, whose noise is taken off by the last ones of all rows.

        gᵢ = ∇fᵢⱼ(x^k) − Tᵢⱼ + (1/m) Σₗ Tᵢₗ,   x^{k+1} = x^k − γ (1/n) Σᵢ gᵢ,
        Tᵢⱼ ← ∇fᵢⱼ(x^k)

    with j uniform, for each worker its own. For heterogeneous data, in synchronous
    rounds; every worker must hold m rows, of which it takes one at a time, whatever
    `samples_per_gradient` is. No gradient is full: n (m + 1) vectors are kept besides
    the model. Tables start at 0. m = 1 is gradient descent. `fo.theory.saga_step_size`
    prescribes γ for strongly convex f (derived).

    Args:
      step_size: γ.

    Reference: Defazio, Bach, Lacoste-Julien (2014). arXiv:1407.0202.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.saga),
        mechanism=Partial(_mean),
        optimizer=Partial(optax.sgd, step_size),
        order=Partial(uniform_order),
        label="saga",
    )


def _mean(num_components):
    return mechanisms.dcgd(identity())
