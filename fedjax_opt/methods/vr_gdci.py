"""VR-GDCI, compressed iterates without their noise. arXiv:2206.10452."""

from .. import estimators, events, mechanisms, transforms
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def vr_gdci(
    *,
    step_size,
    compressor: Compressor | TreeCompressor,
    mixing,
    shift_step=None,
) -> Method:
    """Compressed iterates, less a shift for each worker: DIANA for points.

        δᵢ = Qᵢ(x^k − γ∇fᵢ(x^k) − hᵢ),   x^{k+1} = (1−η) x^k + (η/n) Σᵢ (hᵢ + δᵢ)
        hᵢ ← hᵢ + a δᵢ

    For heterogeneous data, in synchronous rounds; shifts start at 0 and learn
    x* − γ∇fᵢ(x*), so that the limit is exact. n + 1 vectors are kept besides the model.
    η = 1 and Q = identity is gradient descent, a = 0 is `gdci`. `fo.theory.vr_gdci`
    prescribes γ and η for strongly convex f.

    Args:
      step_size: γ.
      compressor: unbiased.
      mixing: η.
      shift_step: a; 1/(1 + ω) by default.

    Reference: Shulgin, Richtárik (2022). arXiv:2206.10452.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=checked(estimators.local_step, step_size),
        mechanism=checked(bind(mechanisms.diana, compressor), shift_step=shift_step),
        optimizer=checked(transforms.towards, mixing),
        full_gradients=True,
        label="vr_gdci",
    )
