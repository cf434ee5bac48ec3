"""3PCv2 with full gradients. arXiv:2202.00998."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.three_point import three_point, v2_map
from ..static import constant
from ..types import Compressor, Method, TreeCompressor


def three_pc_v2_gd(
    *,
    step_size,
    unbiased_compressor: Compressor | TreeCompressor,
    compressor: Compressor | TreeCompressor,
) -> Method:
    """An unbiased guess of the gradient, corrected by a contraction.

        bᵢ = gᵢ + Q(∇fᵢ(x^k) − ∇fᵢ(x^{k−1})),   gᵢ ← bᵢ + C(∇fᵢ(x^k) − bᵢ),
        x^{k+1} = x^k − (γ/n) Σᵢ gᵢ

    For heterogeneous data, in synchronous rounds, from gᵢ⁰ = ∇fᵢ(x⁰). The messages of
    Q and of C are sent. 2n + 1 vectors are kept besides the model.
    `fo.theory.three_point_v2` and `fo.theory.three_point_step_size` prescribe γ.

    Args:
      step_size: γ.
      unbiased_compressor: Q.
      compressor: C, contractive.

    Reference: Richtárik, Sokolov, Fatkhullin, Gasanov, Li, Gorbunov (2022).
      arXiv:2202.00998.
    """
    step = v2_map(unbiased_compressor, compressor)
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=Partial(constant(three_point(step))),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        first_gradients=True,
        label="three_pc_v2_gd",
    )
