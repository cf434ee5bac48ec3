"""EF21-Prox, EF21 for composite objectives. arXiv:2110.03294."""

from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..static import bind, constant
from ..transforms.proximal import Prox, proximal_sgd
from ..types import Compressor, Method, TreeCompressor


def ef21_prox(
    *, step_size, compressor: Compressor | TreeCompressor, prox: Prox
) -> Method:
    """EF21 with a proximal step, for f + R where R is simple.

        gᵢ ← gᵢ + C(∇fᵢ(x^k) − gᵢ),   x^{k+1} = prox(x^k − γ (1/n) Σᵢ gᵢ, γ)

    For heterogeneous data, in synchronous rounds. n + 1 vectors are kept besides the
    model. The loss of a trace is f, without R. `fo.theory.ef21_step_size` prescribes
    γ for convex R (derived; see `fo.theory.ef21_lyapunov`).

    Args:
      step_size: γ.
      compressor: contractive.
      prox: (point, step size) -> argmin γR(x) + ½|x − point|²; see
        `transforms.proximal`.

    Reference: Fatkhullin, Sokolov, Gorbunov, Li, Richtárik (2021). arXiv:2110.03294.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=Partial(constant(mechanisms.ef21(compressor))),
        optimizer=Partial(bind(proximal_sgd, prox), step_size),
        full_gradients=True,
        label="ef21_prox",
    )
