"""EF21-PP, EF21 with partial participation. arXiv:2110.03294."""

import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..simulate import uniform_participation
from ..static import constant
from ..types import Compressor, Method, TreeCompressor


def ef21_pp(
    *, step_size, compressor: Compressor | TreeCompressor, participants: int
) -> Method:
    """EF21 where τ workers take part in a round, drawn anew each time.

        gᵢ ← gᵢ + C(∇fᵢ(x^k) − gᵢ) for participants,   x^{k+1} = x^k − γ (1/n) Σᵢ gᵢ

    For heterogeneous data, in synchronous rounds; all sets of τ workers are equally
    likely, in the first round too. n + 1 vectors are kept besides the model.
    `fo.theory` prescribes γ.

    Args:
      step_size: γ.
      compressor: contractive.
      participants: τ, from 1 to the number of workers.

    Reference: Fatkhullin, Sokolov, Gorbunov, Li, Richtárik (2021). arXiv:2110.03294.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=Partial(constant(mechanisms.ef21(compressor))),
        participation=Partial(constant(uniform_participation(participants))),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        label="ef21_pp",
    )
