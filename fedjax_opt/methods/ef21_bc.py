"""EF21-BC, compression both ways. arXiv:2110.03294."""

import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..static import constant
from ..types import Compressor, Method, TreeCompressor


def ef21_bc(
    *,
    step_size,
    compressor: Compressor | TreeCompressor,
    server_compressor: Compressor | TreeCompressor,
) -> Method:
    """EF21 whose server sends its estimate by EF21 as well.

        gᵢ ← gᵢ + C(∇fᵢ(x^k) − gᵢ),   g ← g + C'((1/n) Σᵢ gᵢ − g),   x^{k+1} = x^k − γg

    For heterogeneous data, in synchronous rounds; all estimates start at 0. Nobody
    sends the model. A broadcast counts once. n + 2 vectors are kept besides it.
    `fo.theory.ef21_bc_step_size` prescribes γ (derived; that of EF21 is larger, and a
    start for tuning).

    Args:
      step_size: γ.
      compressor: C of the workers, contractive.
      server_compressor: C' of the server, contractive; identity gives `ef21_gd`.

    Reference: Fatkhullin, Sokolov, Gorbunov, Li, Richtárik (2021). arXiv:2110.03294.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=Partial(constant(mechanisms.ef21_bc(compressor, server_compressor))),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        label="ef21_bc",
    )
