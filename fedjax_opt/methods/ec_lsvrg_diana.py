"""EC-LSVRG-DIANA. arXiv:2010.12292."""

import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..mechanisms.coins import common
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def ec_lsvrg_diana(
    *,
    step_size,
    compressor: Compressor | TreeCompressor,
    shift_compressor: Compressor | TreeCompressor,
    probability,
    shift_step=None,
) -> Method:
    """EC-SGD-DIANA on gradients of samples whose noise vanishes, those of L-SVRG.

        ĝᵢ = ∇fᵢ(x^k; ξᵢ) − ∇fᵢ(w; ξᵢ) + ∇fᵢ(w),   w ← x^k with probability p
        vᵢ = C(eᵢ + ĝᵢ − hᵢ + h),   eᵢ ← eᵢ + ĝᵢ − hᵢ + h − vᵢ
        hᵢ ← hᵢ + a Q(ĝᵢ − hᵢ),   h = (1/n) Σᵢ hᵢ,   x^{k+1} = x^k − (γ/n) Σᵢ vᵢ

    For heterogeneous data, in synchronous rounds, from w = x⁰; errors and shifts start
    at 0. 4n + 1 vectors are kept besides the model. Without noise it is `ec_diana`.
    `fo.theory.ec_lsvrg_diana_step_size` prescribes γ (derived).

    Args:
      step_size: γ.
      compressor: C, contractive.
      shift_compressor: Q, unbiased.
      probability: p, of the coin that everybody sees alike; 1/m for m samples of a
        worker.
      shift_step: a; 1/(1 + ω) by default.

    Reference: Gorbunov, Kovalev, Makarenko, Richtárik (2020). arXiv:2010.12292.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.l_svrg),
        mechanism=checked(
            bind(mechanisms.ec_diana, compressor, shift_compressor),
            shift_step=shift_step,
        ),
        optimizer=Partial(optax.sgd, step_size),
        refresh=checked(common, probability),
        label="ec_lsvrg_diana",
    )
