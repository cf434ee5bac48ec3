"""DASHA with full gradients. arXiv:2202.01268."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.dasha import dasha
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def dasha_gd(
    *, step_size, compressor: Compressor | TreeCompressor, tracking_step=None
) -> Method:
    """Gradient descent with compressed changes of gradients, and no full rounds.

        mᵢ = Qᵢ(∇fᵢ(x^k) − ∇fᵢ(x^{k−1}) − a (gᵢ − ∇fᵢ(x^{k−1})))
        gᵢ ← gᵢ + mᵢ,   g ← g + (1/n) Σᵢ mᵢ,   x^{k+1} = x^k − γg

    For heterogeneous data, in synchronous rounds, from gᵢ⁰ = ∇fᵢ(x⁰). 2n + 1 vectors
    are kept besides the model. `fo.theory` prescribes γ.

    Args:
      step_size: γ.
      compressor: unbiased.
      tracking_step: a; 1/(2ω + 1) by default.

    Reference: Tyurin, Richtárik (2022). arXiv:2202.01268.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(bind(dasha, compressor), tracking_step=tracking_step),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        first_gradients=True,
        label="dasha_gd",
    )
