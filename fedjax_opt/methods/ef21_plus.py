"""EF21+ with full gradients. arXiv:2106.05203."""

import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..static import constant
from ..types import Compressor, Method, TreeCompressor


def ef21_plus(*, step_size, compressor: Compressor | TreeCompressor) -> Method:
    """EF21, or the compressed gradient itself where that is closer to the gradient.

        bᵢ = C(∇fᵢ(x^k)),   aᵢ = gᵢ + C(∇fᵢ(x^k) − gᵢ),   x^{k+1} = x^k − (γ/n) Σᵢ gᵢ
        gᵢ ← bᵢ if |bᵢ − ∇fᵢ(x^k)| < |aᵢ − ∇fᵢ(x^k)|, else aᵢ

    For heterogeneous data, in synchronous rounds. The first message is C(∇fᵢ(x⁰)).
    n + 1 vectors are kept besides the model. γ of EF21 holds, whose error is never
    exceeded: `fo.theory.ef21_step_size`.

    Args:
      step_size: γ.
      compressor: contractive.

    Reference: Richtárik, Sokolov, Fatkhullin (2021). arXiv:2106.05203.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=Partial(constant(mechanisms.ef21_plus(compressor))),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        label="ef21_plus",
    )
