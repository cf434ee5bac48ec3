"""3PCv3 with full gradients. arXiv:2202.00998."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.three_point import ThreePointMap, three_point, v3_map
from ..static import constant
from ..types import Compressor, Method, TreeCompressor


def three_pc_v3_gd(
    *, step_size, inner: ThreePointMap, compressor: Compressor | TreeCompressor
) -> Method:
    """Any three-point map, corrected by a contraction.

        bᵢ = C¹(∇fᵢ(x^k)) from gᵢ and ∇fᵢ(x^{k−1}),   gᵢ ← bᵢ + C(∇fᵢ(x^k) − bᵢ),
        x^{k+1} = x^k − (γ/n) Σᵢ gᵢ

    For heterogeneous data, in synchronous rounds, from gᵢ⁰ = ∇fᵢ(x⁰). The messages of
    C¹ and of C are sent. 2n + 1 vectors are kept besides the model.
    `fo.theory.three_point_v3` and `fo.theory.three_point_step_size` prescribe γ.

    Args:
      step_size: γ.
      inner: C¹, such as `fo.mechanisms.lag_map(trigger=1.0)`.
      compressor: C, contractive.

    Reference: Richtárik, Sokolov, Fatkhullin, Gasanov, Li, Gorbunov (2022).
      arXiv:2202.00998.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=Partial(constant(three_point(v3_map(inner, compressor)))),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        first_gradients=True,
        label="three_pc_v3_gd",
    )
