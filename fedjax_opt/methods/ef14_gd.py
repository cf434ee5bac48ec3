"""EF14 with full gradients. arXiv:1809.07599."""

import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..static import constant
from ..types import Compressor, Method, TreeCompressor


def ef14_gd(*, step_size, compressor: Compressor | TreeCompressor) -> Method:
    """Gradient descent with compressed gradients and classical error feedback.

        pᵢ = eᵢ + ∇fᵢ(x^k),   eᵢ ← pᵢ − C(pᵢ),   x^{k+1} = x^k − γ (1/n) Σᵢ C(pᵢ)

    For heterogeneous data, in synchronous rounds; eᵢ starts at 0. n vectors are kept
    besides the model. With a constant γ it reaches a neighbourhood of the minimiser
    where workers differ; γ is of the order α/L, to be tuned.

    Args:
      step_size: γ.
      compressor: contractive, or with an absolute bound of its error.

    Raises:
      ValueError: if the compressor certifies neither.

    Reference: Stich, Cordonnier, Jaggi (2018). arXiv:1809.07599.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=Partial(constant(mechanisms.ef14(compressor))),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        label="ef14_gd",
    )
