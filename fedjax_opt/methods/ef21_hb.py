"""EF21-HB, EF21 with heavy-ball momentum. arXiv:2110.03294."""

import optax
from jax.tree_util import Partial

from .. import checks, estimators, events, mechanisms
from ..static import constant
from ..types import Compressor, Method, TreeCompressor


def ef21_hb(
    *, step_size, compressor: Compressor | TreeCompressor, momentum=0.9
) -> Method:
    """EF21 whose server adds heavy-ball momentum.

        gᵢ ← gᵢ + C(∇fᵢ(x^k) − gᵢ),   v ← ηv + (1/n) Σᵢ gᵢ,   x^{k+1} = x^k − γv

    For heterogeneous data, in synchronous rounds; v starts at 0. In the long run a step
    is γ/(1−η). n + 2 vectors are kept besides the model.
    `fo.theory.ef21_hb_step_size` prescribes γ (derived); that of EF21 is larger, and a
    start for tuning.

    Args:
      step_size: γ.
      compressor: contractive.
      momentum: η in [0, 1); the paper tries 0.2, 0.4 and 0.9.

    Reference: Fatkhullin, Sokolov, Gorbunov, Li, Richtárik (2021). arXiv:2110.03294.
    """
    checks.in_unit_interval(momentum, "momentum", one=False)
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=Partial(constant(mechanisms.ef21(compressor))),
        optimizer=Partial(optax.sgd, step_size, momentum),
        full_gradients=True,
        label="ef21_hb",
    )
