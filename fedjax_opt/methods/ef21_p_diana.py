"""EF21-P + DIANA, compression both ways. arXiv:2209.15218."""

import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..static import bind, checked, constant
from ..types import Compressor, Method, TreeCompressor


def ef21_p_diana(
    *,
    step_size,
    compressor: Compressor | TreeCompressor,
    model_compressor: Compressor | TreeCompressor,
    shift_step=None,
) -> Method:
    """DIANA up, and the model down by error feedback.

        mᵢ = Q(∇fᵢ(w^k) − hᵢ),   g = h + (1/n) Σᵢ mᵢ,   x^{k+1} = x^k − γg,
        hᵢ ← hᵢ + a mᵢ,   h ← h + (a/n) Σᵢ mᵢ,   w^{k+1} = w^k + C(x^{k+1} − w^k)

    For heterogeneous data, in synchronous rounds; shifts start at 0, w⁰ = x⁰. Workers
    see w, the trace measures at x. A broadcast counts once. n + 2 vectors are kept
    besides the model. `fo.theory` prescribes γ.

    Args:
      step_size: γ.
      compressor: Q of the workers, unbiased; identity gives EF21-P.
      model_compressor: C of the server, contractive; identity gives DIANA.
      shift_step: a; 1/(1 + ω) by default.

    Reference: Gruntkowska, Tyurin, Richtárik (2022). arXiv:2209.15218.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(bind(mechanisms.diana, compressor), shift_step=shift_step),
        downlink=Partial(constant(mechanisms.ef21(model_compressor))),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        label="ef21_p_diana",
    )
