"""VR-MARINA. arXiv:2102.07845."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.coins import common
from ..mechanisms.marina import marina
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def vr_marina(
    *, step_size, compressor: Compressor | TreeCompressor, probability
) -> Method:
    """MARINA with gradients on samples, except in the full rounds.

        g = ∇f(x^k)                                           with probability p, else
        g ← g + (1/n) Σᵢ Qᵢ(∇fᵢ(x^k; ξᵢ) − ∇fᵢ(x^{k−1}; ξᵢ)),     x^{k+1} = x^k − γg

    Both gradients of a difference are on one sample. For heterogeneous data, in
    synchronous rounds, from g⁰ = ∇f(x⁰). 2n + 1 vectors are kept besides two models.
    It is `marina_gd` where the gradients have no noise. `fo.theory` prescribes γ.

    Args:
      step_size: γ.
      compressor: unbiased.
      probability: p, of the coin that everybody sees alike; about the smaller of
        bits(Q) over the bits of a gradient, and of the samples in a gradient over all.

    Reference: Gorbunov, Burlachenko, Li, Richtárik (2021). arXiv:2102.07845.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.page),
        mechanism=checked(bind(marina, compressor), probability=probability),
        optimizer=Partial(optax.sgd, step_size),
        refresh=checked(common, probability),
        first_gradients=True,
        label="vr_marina",
    )
