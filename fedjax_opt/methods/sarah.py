"""SARAH on every worker. arXiv:1703.00102."""

import optax
from jax.tree_util import Partial

from .. import checks, estimators, events, mechanisms
from ..compressors import identity
from ..mechanisms.coins import every
from ..static import constant
from ..types import Method


def sarah(*, step_size, period) -> Method:
    """A full gradient every so many rounds; in between differences on samples add up.

        vᵢ = ∇fᵢ(x^k)                                    if T divides k, else
        vᵢ ← vᵢ + ∇fᵢ(x^k; ξᵢ) − ∇fᵢ(x^{k−1}; ξᵢ),     x^{k+1} = x^k − γ (1/n) Σᵢ vᵢ

    For heterogeneous data, in synchronous rounds. PAGE is the same with a coin. n + 1
    vectors are kept besides the model. T = 1 is gradient descent.
    `fo.theory.sarah_step_size` prescribes γ (derived).

    Args:
      step_size: γ.
      period: T rounds, one of them full: the inner loop.

    Raises:
      ValueError: if period is a number that is not 1, 2, ...

    Reference: Nguyen, Liu, Scheinberg, Takáč (2017). arXiv:1703.00102.
    Deviation: the next inner loop goes on from the last point of the one before, not
      from one drawn from them.
    """
    checks.counts("sarah", period=period)
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.page),
        mechanism=Partial(constant(mechanisms.dcgd(identity()))),
        optimizer=Partial(optax.sgd, step_size),
        refresh=Partial(every, period),
        label="sarah",
    )
