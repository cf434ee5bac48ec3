"""PowerSGD. arXiv:1905.13727."""

import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..static import constant
from ..types import Method


def power_sgd(*, step_size, rank: int) -> Method:
    """SGD with error feedback whose messages are one factor of a matrix of rank R.

        Mᵢ = eᵢ + ∇fᵢ(x^k; ξ),   eᵢ ← Mᵢ − M̂,   x^{k+1} = x^k − γM̂,   M̂ = U Vᵀ
        U = (1/n) Σᵢ Mᵢ V in even rounds, V = (1/n) Σᵢ Mᵢᵀ U in odd ones

    For matrices; vectors go uncompressed. In synchronous rounds, for equal and for
    heterogeneous data. Nobody sends the model: the mean factor goes down. n vectors and
    a pair of factors are kept besides the model. There is no bound on γ: tune. The
    paper has momentum after it: `optax.sgd(step_size, momentum=...)` as the optimizer.

    Args:
      step_size: γ.
      rank: R, 1 to 4 in the paper.

    Reference: Vogels, Karimireddy, Jaggi (2019). arXiv:1905.13727.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=Partial(constant(mechanisms.power_sgd(rank))),
        optimizer=Partial(optax.sgd, step_size),
        label="power_sgd",
    )
