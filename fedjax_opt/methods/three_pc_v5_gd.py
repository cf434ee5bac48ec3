"""3PCv5 with full gradients. arXiv:2202.00998."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.three_point import three_point, v5_map
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def three_pc_v5_gd(
    *, step_size, compressor: Compressor | TreeCompressor, probability
) -> Method:
    """Compressed changes of gradients, and now and then gradients as they are.

        gᵢ ← ∇fᵢ(x^k)                                  with probability p, else
        gᵢ ← gᵢ + C(∇fᵢ(x^k) − ∇fᵢ(x^{k−1})),     x^{k+1} = x^k − (γ/n) Σᵢ gᵢ

    For heterogeneous data, in synchronous rounds, from gᵢ⁰ = ∇fᵢ(x⁰). With an unbiased
    C it is MARINA. 2n + 1 vectors are kept besides the model.
    `fo.theory.three_point_v5` and `fo.theory.three_point_step_size` prescribe γ.

    Args:
      step_size: γ.
      compressor: contractive.
      probability: p, of the coin that everybody sees alike.

    Reference: Richtárik, Sokolov, Fatkhullin, Gasanov, Li, Gorbunov (2022).
      arXiv:2202.00998.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(bind(_v5, compressor), probability),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        first_gradients=True,
        label="three_pc_v5_gd",
    )


def _v5(compressor, probability):
    return three_point(v5_map(compressor, probability=probability))
