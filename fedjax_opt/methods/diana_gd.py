"""DIANA with full gradients. arXiv:1901.09269."""

import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def diana_gd(
    *, step_size, compressor: Compressor | TreeCompressor, shift_step=None
) -> Method:
    """Gradient descent with unbiasedly compressed differences to learned shifts.

        mᵢ = Q(∇fᵢ(x^k) − hᵢ),   g = h + (1/n) Σᵢ mᵢ,   x^{k+1} = x^k − γg,
        hᵢ ← hᵢ + a mᵢ,   h ← h + (a/n) Σᵢ mᵢ

    For heterogeneous data, in synchronous rounds; shifts start at 0. n + 1 vectors are
    kept besides the model. `fo.theory` prescribes γ.

    Args:
      step_size: γ.
      compressor: unbiased.
      shift_step: a; 1/(1 + ω) by default.

    Reference: Mishchenko, Gorbunov, Takáč, Richtárik (2019). arXiv:1901.09269.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(bind(mechanisms.diana, compressor), shift_step=shift_step),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        label="diana_gd",
    )
