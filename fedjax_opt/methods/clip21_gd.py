"""Clip21 with full gradients. arXiv:2305.18929."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.clip21 import clip21
from ..static import checked
from ..types import Method


def clip21_gd(*, step_size, threshold) -> Method:
    """Gradient descent with clipped gradient changes and error feedback.

        gᵢ ← gᵢ + clip(∇fᵢ(x^k) − gᵢ),   x^{k+1} = x^k − (γ/n) Σᵢ gᵢ
        clip(u) = min(1, τ/|u|) u

    For heterogeneous data, in synchronous rounds, from gᵢ = 0. After finitely many
    rounds with small enough steps nothing is clipped any more, and it is gradient
    descent; τ = ∞ is gradient descent at once. n + 1 vectors are kept besides the
    model. The bound of the paper on γ is not recorded here: that of
    `fo.theory.press_clip21` with α = 1 is derived; or begin with 1/L and tune.

    Args:
      step_size: γ.
      threshold: τ, in units of the gradient.

    Reference: Khirirat, Gorbunov, Horváth, Islamov, Karray, Richtárik (2023).
      arXiv:2305.18929.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(clip21, threshold),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        label="clip21_gd",
    )
