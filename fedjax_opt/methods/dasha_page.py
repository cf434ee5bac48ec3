"""DASHA-PAGE. arXiv:2202.01268."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.coins import common
from ..mechanisms.dasha import dasha
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def dasha_page(
    *,
    step_size,
    compressor: Compressor | TreeCompressor,
    probability,
    tracking_step=None,
) -> Method:
    """DASHA on gradients of samples, with a full local gradient now and then.

        hᵢ⁺ = ∇fᵢ(x^k)                                        with probability p, else
        hᵢ⁺ = hᵢ + ∇fᵢ(x^k; ξᵢ) − ∇fᵢ(x^{k−1}; ξᵢ)
        mᵢ = Qᵢ(hᵢ⁺ − hᵢ − a (gᵢ − hᵢ)),   gᵢ ← gᵢ + mᵢ,   g ← g + (1/n) Σᵢ mᵢ
        x^{k+1} = x^k − γg

    Messages are compressed in every round. For heterogeneous data, in synchronous
    rounds, from gᵢ⁰ = ∇fᵢ(x⁰). 3n + 1 vectors are kept besides two models. p = 1 is
    `dasha_gd`. `fo.theory` prescribes γ.

    Args:
      step_size: γ.
      compressor: unbiased.
      probability: p, of the coin that everybody sees alike; B/(m + B) for B samples in
        a gradient and m in all.
      tracking_step: a; 1/(2ω + 1) by default.

    Reference: Tyurin, Richtárik (2022). arXiv:2202.01268.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.page),
        mechanism=checked(bind(dasha, compressor), tracking_step=tracking_step),
        optimizer=Partial(optax.sgd, step_size),
        refresh=checked(common, probability),
        first_gradients=True,
        label="dasha_page",
    )
