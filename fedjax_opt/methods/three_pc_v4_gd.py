"""3PCv4 with full gradients. arXiv:2202.00998."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.three_point import three_point, v4_map
from ..static import constant
from ..types import Compressor, Method, TreeCompressor


def three_pc_v4_gd(
    *,
    step_size,
    inner_compressor: Compressor | TreeCompressor,
    compressor: Compressor | TreeCompressor,
) -> Method:
    """EF21 with two contractions, one after the other.

        bᵢ = gᵢ + C₂(∇fᵢ(x^k) − gᵢ),   gᵢ ← bᵢ + C₁(∇fᵢ(x^k) − bᵢ),
        x^{k+1} = x^k − (γ/n) Σᵢ gᵢ

    For heterogeneous data, in synchronous rounds, from gᵢ⁰ = ∇fᵢ(x⁰). The messages of
    both are sent. 2n + 1 vectors are kept besides the model. `fo.theory.three_point_v4`
    and `fo.theory.three_point_step_size` prescribe γ.

    Args:
      step_size: γ.
      inner_compressor: C₂, contractive.
      compressor: C₁, contractive.

    Reference: Richtárik, Sokolov, Fatkhullin, Gasanov, Li, Gorbunov (2022).
      arXiv:2202.00998.
    """
    step = v4_map(inner_compressor, compressor)
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=Partial(constant(three_point(step))),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        first_gradients=True,
        label="three_pc_v4_gd",
    )
