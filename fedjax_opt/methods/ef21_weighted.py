"""EF21-W with full gradients. arXiv:2402.10774."""

import numpy as np
import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..static import bind, checked, constant
from ..types import Compressor, Method, TreeCompressor


def ef21_weighted(
    *, step_size, compressor: Compressor | TreeCompressor, weights=None
) -> Method:
    """EF21 whose workers compress in units of their own, larger for rougher ones.

        cᵢ = C((∇fᵢ(x^k) − gᵢ)/(n wᵢ)),   gᵢ ← gᵢ + n wᵢ cᵢ,   g ← g + Σᵢ wᵢ cᵢ,
        x^{k+1} = x^k − γg

    For heterogeneous data, in synchronous rounds. The first message is C of the
    gradient at x⁰ in these units. n + 1 vectors are kept besides the model.
    `fo.theory.ef21_weighted` prescribes γ and the weights.

    Args:
      step_size: γ.
      compressor: contractive.
      weights: wᵢ, one for each worker, divided by their sum, such as the Lᵢ; None:
        equal ones, which is `ef21_gd`.

    Reference: Richtárik, Gasanov, Burlachenko (2024). arXiv:2402.10774.
    """
    if weights is None:
        mechanism = Partial(constant(mechanisms.ef21(compressor)))
    else:
        numbers = np.asarray(weights, float)
        mechanism = checked(bind(mechanisms.ef21_weighted, compressor), numbers)
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=mechanism,
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        label="ef21_weighted",
    )
