"""DASHA-PP. arXiv:2205.15580."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.dasha import dasha
from ..simulate.participation import independent_after_first_round
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def dasha_pp(
    *,
    step_size,
    compressor: Compressor | TreeCompressor,
    probability,
    momentum=None,
    tracking_step=None,
) -> Method:
    """DASHA with partial participation: gradients, however long ago a worker came.

        kᵢ = ∇fᵢ(x^k) − ∇fᵢ(x^{k−1}) − b (hᵢ − ∇fᵢ(x^{k−1})),   hᵢ⁺ = hᵢ + kᵢ/p
        mᵢ = Qᵢ(hᵢ⁺ − hᵢ − a (gᵢ − hᵢ)),   gᵢ ← gᵢ + mᵢ     for participants,
        g ← g + (1/n) Σᵢ mᵢ,   x^{k+1} = x^k − γg

    For heterogeneous data, in synchronous rounds of two full gradients each, from gᵢ⁰ =
    hᵢ⁰ = ∇fᵢ(x⁰): everybody comes in the first round, in which nothing moves, and then
    each with probability p. For sets of τ workers replace `participation` by
    `after_first_round(uniform_participation(τ))`, with p = τ/n. 3n + 1 vectors are kept
    besides two models. p = 1 is `dasha_gd`. `fo.theory.dasha_pp` prescribes γ for
    workers who come independently.

    Args:
      step_size: γ.
      compressor: unbiased.
      probability: p.
      momentum: β = 1 − b; b = p/(2 − p) by default.
      tracking_step: a; 1/(2ω + 1) by default.

    Reference: Tyurin, Richtárik (2022). arXiv:2205.15580.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=checked(estimators.partial_mvr, probability, momentum),
        mechanism=checked(bind(dasha, compressor), tracking_step=tracking_step),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        participation=checked(independent_after_first_round, probability),
        first_gradients=True,
        label="dasha_pp",
    )
