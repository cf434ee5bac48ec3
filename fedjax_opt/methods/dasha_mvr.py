"""DASHA-MVR. arXiv:2202.01268."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.dasha import dasha
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def dasha_mvr(
    *,
    step_size,
    compressor: Compressor | TreeCompressor,
    momentum,
    tracking_step=None,
) -> Method:
    """DASHA on stochastic gradients with momentum variance reduction at each worker.

        hᵢ⁺ = ∇fᵢ(x^k; ξᵢ) + β (hᵢ − ∇fᵢ(x^{k−1}; ξᵢ))
        mᵢ = Qᵢ(hᵢ⁺ − hᵢ − a (gᵢ − hᵢ)),   gᵢ ← gᵢ + mᵢ,   g ← g + (1/n) Σᵢ mᵢ
        x^{k+1} = x^k − γg

    For heterogeneous data, in synchronous rounds of two gradients each, from gᵢ⁰ =
    hᵢ⁰ = ∇fᵢ(x⁰; ξᵢ⁰). 3n + 1 vectors are kept besides two models. β = 0 and Q =
    identity is minibatch SGD. `fo.theory` prescribes γ.

    Args:
      step_size: γ.
      compressor: unbiased.
      momentum: β = 1 − b.
      tracking_step: a; 1/(2ω + 1) by default.

    Reference: Tyurin, Richtárik (2022). arXiv:2202.01268.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=checked(estimators.mvr, momentum),
        mechanism=checked(bind(dasha, compressor), tracking_step=tracking_step),
        optimizer=Partial(optax.sgd, step_size),
        first_gradients=True,
        label="dasha_mvr",
    )
