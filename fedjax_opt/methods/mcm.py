"""MCM, compression both ways with a preserved model. arXiv:2102.12528."""

import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def mcm(
    *,
    step_size,
    compressor: Compressor | TreeCompressor,
    model_compressor: Compressor | TreeCompressor,
    memory_step,
    shift_step=0.0,
) -> Method:
    """Gradients at a model sent down, unbiased, as its difference from a memory.

        mᵢ = Q(∇fᵢ(w^k) − hᵢ),   x^{k+1} = x^k − (γ/n) Σᵢ (hᵢ + mᵢ),   hᵢ ← hᵢ + a mᵢ
        w^{k+1} = H + c,   c = C(x^{k+1} − H),   H ← H + b c

    For heterogeneous data, in synchronous rounds; shifts start at 0, w⁰ = H⁰ = x⁰.
    Workers see w, whose errors never enter x; the trace measures at x. n + 3 vectors
    are kept besides the model. A broadcast counts once. In `ef21_p_diana` C is biased
    and b = 1. `fo.theory.mcm` prescribes γ, a and b (derived).

    Args:
      step_size: γ.
      compressor: Q of the workers, unbiased.
      model_compressor: C of the server, unbiased, with ω; identity gives DIANA.
      memory_step: b, in [0, 1]. The paper's bound is of the order 1/(8ω).
      shift_step: a; 0 sends gradients without shifts.

    Reference: Philippenko, Dieuleveut (2021). arXiv:2102.12528.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(bind(mechanisms.diana, compressor), shift_step=shift_step),
        downlink=checked(
            bind(mechanisms.diana, model_compressor), shift_step=memory_step
        ),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        label="mcm",
    )
