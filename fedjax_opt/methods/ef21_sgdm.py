"""EF21-SGDM and EF21-SGD2M. arXiv:2305.15155."""

import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..static import bind, checked, constant
from ..types import Compressor, Method, TreeCompressor


def ef21_sgdm(
    *,
    step_size,
    compressor: Compressor | TreeCompressor,
    momentum=0.9,
    folds: int = 1,
) -> Method:
    """SGD with EF21 on the workers' momenta, which needs no large batches.

        vᵢ ← βvᵢ + (1−β) ∇fᵢ(x^k; ξ),   gᵢ ← gᵢ + C(vᵢ − gᵢ),
        x^{k+1} = x^k − γ (1/n) Σᵢ gᵢ

    For heterogeneous data, in synchronous rounds; vᵢ starts at the first gradient, the
    first message is C(vᵢ). With two folds (EF21-SGD2M) vᵢ is averaged in the same way
    once more. 2n + 1 vectors are kept besides the model, n more with two folds. In the
    paper β = 1 − η; β = 0 is EF21 on stochastic gradients, which stalls.

    Args:
      step_size: γ.
      compressor: contractive.
      momentum: β, the weight of the old momentum.
      folds: how many times to average, 1 or 2.

    Reference: Fatkhullin, Tyurin, Richtárik (2023). arXiv:2305.15155.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=checked(bind(_sgdm, folds), momentum),
        mechanism=Partial(constant(mechanisms.ef21(compressor))),
        optimizer=Partial(optax.sgd, step_size),
        label="ef21_sgdm",
    )


def _sgdm(folds, momentum):
    return estimators.sgdm(momentum, folds=folds)
