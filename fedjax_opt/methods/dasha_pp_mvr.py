"""DASHA-PP-MVR. arXiv:2205.15580."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.dasha import dasha
from ..simulate.participation import independent_after_first_round
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def dasha_pp_mvr(
    *,
    step_size,
    compressor: Compressor | TreeCompressor,
    probability,
    momentum,
    tracking_step=None,
) -> Method:
    """DASHA-MVR with partial participation.

        kᵢ = ∇fᵢ(x^k; ξᵢ) − ∇fᵢ(x^{k−1}; ξᵢ) − b (hᵢ − ∇fᵢ(x^{k−1}; ξᵢ))
        hᵢ⁺ = hᵢ + kᵢ/p
        mᵢ = Qᵢ(hᵢ⁺ − hᵢ − a (gᵢ − hᵢ)),   gᵢ ← gᵢ + mᵢ     for participants,
        g ← g + (1/n) Σᵢ mᵢ,   x^{k+1} = x^k − γg

    For heterogeneous data, in synchronous rounds of two gradients each, from gᵢ⁰ = hᵢ⁰
    = ∇fᵢ(x⁰; ξᵢ⁰). Who comes as in `dasha_pp`. 3n + 1 vectors are kept besides two
    models. p = 1 is `dasha_mvr`. `fo.theory.dasha_pp_mvr` prescribes γ (derived).

    Args:
      step_size: γ.
      compressor: unbiased.
      probability: p.
      momentum: β = 1 − b, at least 1 − p/(2 − p) in the theory.
      tracking_step: a; 1/(2ω + 1) by default.

    Reference: Tyurin, Richtárik (2022). arXiv:2205.15580.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=checked(estimators.partial_mvr, probability, momentum),
        mechanism=checked(bind(dasha, compressor), tracking_step=tracking_step),
        optimizer=Partial(optax.sgd, step_size),
        participation=checked(independent_after_first_round, probability),
        first_gradients=True,
        label="dasha_pp_mvr",
    )
