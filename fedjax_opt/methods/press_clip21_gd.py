"""Press-Clip21 with full gradients. arXiv:2305.18929."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.clip21 import press_clip21
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def press_clip21_gd(
    *, step_size, compressor: Compressor | TreeCompressor, threshold
) -> Method:
    """Clip21 with compressed messages.

        gᵢ ← gᵢ + C(clip(∇fᵢ(x^k) − gᵢ)),   x^{k+1} = x^k − (γ/n) Σᵢ gᵢ
        clip(u) = min(1, τ/|u|) u

    For heterogeneous data, in synchronous rounds, from gᵢ = 0. C = identity is
    `clip21_gd`, τ = ∞ is `ef21_gd`. n + 1 vectors are kept besides the model.
    Experimental: the paper's constants are not recorded here. `fo.theory.press_clip21`
    prescribes γ (derived); the step size of EF21 is larger, and a start for tuning.

    Args:
      step_size: γ.
      compressor: contractive.
      threshold: τ, in units of the gradient.

    Reference: Khirirat, Gorbunov, Horváth, Islamov, Karray, Richtárik (2023).
      arXiv:2305.18929.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(bind(press_clip21, compressor), threshold=threshold),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        label="press_clip21_gd",
    )
