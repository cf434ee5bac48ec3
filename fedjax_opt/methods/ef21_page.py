"""EF21-PAGE. arXiv:2110.03294."""

import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..mechanisms.coins import common
from ..static import checked, constant
from ..types import Compressor, Method, TreeCompressor


def ef21_page(
    *, step_size, compressor: Compressor | TreeCompressor, probability
) -> Method:
    """EF21 on gradients of samples, with a full local gradient now and then.

        vᵢ = ∇fᵢ(x^k)   with probability p,   else vᵢ + ∇fᵢ(x^k; ξᵢ) − ∇fᵢ(x^{k−1}; ξᵢ)
        cᵢ = C(vᵢ − gᵢ),   gᵢ ← gᵢ + cᵢ,   g ← g + (1/n) Σᵢ cᵢ,   x^{k+1} = x^k − γg

    For heterogeneous data, in synchronous rounds. The first message is C(∇fᵢ(x⁰)).
    2n + 1 vectors are kept besides two models. p = 1 is `ef21_gd`.
    `fo.theory.ef21_page_step_size` prescribes γ (derived).

    Args:
      step_size: γ.
      compressor: contractive.
      probability: p, of the coin that everybody sees alike; B/(m + B) for B samples in
        a gradient and m in all.

    Reference: Fatkhullin, Sokolov, Gorbunov, Li, Richtárik (2021). arXiv:2110.03294.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.page),
        mechanism=Partial(constant(mechanisms.ef21(compressor))),
        optimizer=Partial(optax.sgd, step_size),
        refresh=checked(common, probability),
        label="ef21_page",
    )
