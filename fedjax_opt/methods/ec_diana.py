"""EC-SGD-DIANA. arXiv:2010.12292."""

import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def ec_diana(
    *,
    step_size,
    compressor: Compressor | TreeCompressor,
    shift_compressor: Compressor | TreeCompressor,
    shift_step=None,
) -> Method:
    """Classical error feedback on gradients shifted as DIANA shifts them.

        vᵢ = C(eᵢ + ∇fᵢ(x^k) − hᵢ + h),   eᵢ ← eᵢ + ∇fᵢ(x^k) − hᵢ + h − vᵢ
        hᵢ ← hᵢ + a Q(∇fᵢ(x^k) − hᵢ),   h = (1/n) Σᵢ hᵢ,   x^{k+1} = x^k − (γ/n) Σᵢ vᵢ

    For heterogeneous data, in synchronous rounds; errors and shifts start at 0. Where
    f is strongly convex the limit is exact, which that of `ef14_gd` is not. 2n + 1
    vectors are kept besides the model. `fo.theory.ec_diana_step_size` prescribes γ
    (derived).

    Args:
      step_size: γ.
      compressor: C, contractive.
      shift_compressor: Q, unbiased.
      shift_step: a; 1/(1 + ω) by default; 0 gives `ef14_gd`.

    Reference: Gorbunov, Kovalev, Makarenko, Richtárik (2020). arXiv:2010.12292.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(
            bind(mechanisms.ec_diana, compressor, shift_compressor),
            shift_step=shift_step,
        ),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        label="ec_diana",
    )
