"""EF-BV with full gradients. arXiv:2205.04180."""

import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def ef_bv_gd(
    *,
    step_size,
    compressor: Compressor | TreeCompressor,
    shift_step=None,
    estimate_step=None,
) -> Method:
    """Gradient descent with shifts that suit both the bias and the noise of C.

        dᵢ = C(∇fᵢ(x^k) − hᵢ),   g = h + ν (1/n) Σᵢ dᵢ,   x^{k+1} = x^k − γg,
        hᵢ ← hᵢ + λ dᵢ,   h ← h + (λ/n) Σᵢ dᵢ

    For heterogeneous data, in synchronous rounds; shifts start at 0. n + 1 vectors are
    kept besides the model. `fo.theory` prescribes γ.

    Args:
      step_size: γ.
      compressor: unbiased, or with a certified bias and noise.
      shift_step: λ; that of the theory by default.
      estimate_step: ν; that of the theory for independent compressors by default.

    Reference: Condat, Yi, Richtárik (2022). arXiv:2205.04180.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(
            bind(mechanisms.ef_bv, compressor),
            shift_step=shift_step,
            estimate_step=estimate_step,
        ),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        label="ef_bv_gd",
    )
