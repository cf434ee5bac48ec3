"""Rennala MVR. arXiv:2605.08871."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..static import checked
from ..types import Method


def rennala_mvr(
    *,
    step_size,
    batch_size,
    momentum=0.9,
    first_batch_size=None,
    stop: bool = False,
    inexact: bool = False,
    correction=0.025,
) -> Method:
    """Momentum variance reduction on Rennala's batches of gradient pairs.

        g⁰ = mean of B₀ gradients at x⁰,   x^{k+1} = x^k − γ g^k,
        g^{k+1} = (1/B) Σⱼ ∇f(x^{k+1}; ξⱼ) + β (g^k − (1/B) Σⱼ ∇f(x^k; ξⱼ))

    For homogeneous data. A pair is one job that costs two gradients. Two models and
    one estimate are kept.

    Args:
      step_size: γ.
      batch_size: B, pairs in a batch.
      momentum: β = 1 − a; 0 gives the iterates of Rennala SGD.
      first_batch_size: B₀; B by default.
      stop: interrupt all workers at each step; otherwise late pairs are ignored.
      inexact: take the mean of the last batch for (1/B) Σⱼ ∇f(x^k; ξⱼ), and of the
        difference the c-th part, so that a job is one gradient and costs one; see
        `estimators.inexact_mvr`. Experimental.
      correction: c of the inexact variant; 1 would give back Rennala SGD.

    Reference: Tovmasyan, Maranjyan, Richtárik (2026). arXiv:2605.08871.
    Deviation: derived as standard MVR on Rennala's collector; the paper's constants
      were not available, nor was the precise rule of the inexact variant.
    """
    if inexact:
        estimator = checked(_inexact, momentum, correction)
    else:
        estimator = checked(estimators.mvr, momentum)
    return Method(
        schedule=events.rennala(
            batch_size=batch_size,
            stop=stop,
            first_batch_size=first_batch_size,
            pairs=not inexact,
        ),
        estimator=estimator,
        optimizer=Partial(optax.sgd, step_size),
        label="rennala_mvr",
    )


def _inexact(momentum, correction):
    return estimators.inexact_mvr(momentum, correction=correction)
