"""VR-DIANA. arXiv:1904.05115."""

import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..mechanisms.coins import common
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def vr_diana(
    *,
    step_size,
    compressor: Compressor | TreeCompressor,
    probability,
    shift_step=None,
) -> Method:
    """DIANA on gradients of samples whose noise vanishes, those of L-SVRG.

        ĝᵢ = ∇fᵢ(x^k; ξᵢ) − ∇fᵢ(w; ξᵢ) + ∇fᵢ(w),   w ← x^k with probability p
        mᵢ = Q(ĝᵢ − hᵢ),   g = h + (1/n) Σᵢ mᵢ,   x^{k+1} = x^k − γg,
        hᵢ ← hᵢ + a mᵢ,   h ← h + (a/n) Σᵢ mᵢ

    For heterogeneous data, in synchronous rounds, from w = x⁰; shifts start at 0. It
    converges to x* itself, though neither the samples nor the messages are exact.
    3n + 1 vectors are kept besides the model. Without noise it is `diana_gd`, without
    compression `l_svrg`. `fo.theory.vr_diana` prescribes γ for strongly convex f.

    Args:
      step_size: γ.
      compressor: unbiased.
      probability: p, of the coin that everybody sees alike; 1/m for m samples of a
        worker.
      shift_step: a; 1/(1 + ω) by default.

    Reference: Horváth, Kovalev, Mishchenko, Stich, Richtárik (2019). arXiv:1904.05115.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.l_svrg),
        mechanism=checked(bind(mechanisms.diana, compressor), shift_step=shift_step),
        optimizer=Partial(optax.sgd, step_size),
        refresh=checked(common, probability),
        label="vr_diana",
    )
