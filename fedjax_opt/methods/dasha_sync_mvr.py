"""DASHA-SYNC-MVR. arXiv:2202.01268."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.coins import common
from ..mechanisms.dasha_sync import dasha_sync
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def dasha_sync_mvr(
    *,
    step_size,
    compressor: Compressor | TreeCompressor,
    probability,
    tracking_step=None,
) -> Method:
    """DASHA on samples, in which now and then all send full gradients as they are.

        gᵢ = hᵢ⁺ = ∇fᵢ(x^k),   g = (1/n) Σᵢ gᵢ                with probability p, else
        hᵢ⁺ = hᵢ + ∇fᵢ(x^k; ξᵢ) − ∇fᵢ(x^{k−1}; ξᵢ)
        mᵢ = Qᵢ(hᵢ⁺ − hᵢ − a (gᵢ − hᵢ)),   gᵢ ← gᵢ + mᵢ,   g ← g + (1/n) Σᵢ mᵢ
        x^{k+1} = x^k − γg

    For heterogeneous data, in synchronous rounds, from gᵢ⁰ = ∇fᵢ(x⁰). 3n + 1 vectors
    are kept besides two models. p = 1 is gradient descent, Q = identity PAGE at each
    worker. `fo.theory.dasha_sync_mvr` prescribes γ (derived).

    Args:
      step_size: γ.
      compressor: unbiased.
      probability: p, of the coin that everybody sees alike.
      tracking_step: a; 1/(2ω + 1) by default.

    Reference: Tyurin, Richtárik (2022). arXiv:2202.01268. Deviation: full local
      gradients stand for the large batches of the paper.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.page),
        mechanism=checked(
            bind(dasha_sync, compressor),
            probability=probability,
            tracking_step=tracking_step,
        ),
        optimizer=Partial(optax.sgd, step_size),
        refresh=checked(common, probability),
        first_gradients=True,
        label="dasha_sync_mvr",
    )
