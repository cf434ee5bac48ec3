"""Rand-DIANA with full gradients. arXiv:2206.10452."""

import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def rand_diana_gd(
    *, step_size, compressor: Compressor | TreeCompressor, refresh_probability=None
) -> Method:
    """Gradient descent with compressed differences to shifts that are refreshed.

        mᵢ = Q(∇fᵢ(x^k) − hᵢ),   x^{k+1} = x^k − γ (h + (1/n) Σᵢ mᵢ),
        hᵢ ← ∇fᵢ(x^k) with probability p, all workers at once

    For heterogeneous data, in synchronous rounds; shifts start at 0. n + 1 vectors are
    kept besides the model. `fo.theory.rand_diana_step_size` prescribes γ (derived).

    Args:
      step_size: γ.
      compressor: unbiased.
      refresh_probability: p; 1/(1 + ω) by default.

    Reference: Shulgin, Richtárik (2022). arXiv:2206.10452.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(
            bind(mechanisms.rand_diana, compressor),
            refresh_probability=refresh_probability,
        ),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        label="rand_diana_gd",
    )
