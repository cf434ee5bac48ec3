"""3PCv1 with full gradients. arXiv:2202.00998."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.three_point import three_point, v1_map
from ..static import constant
from ..types import Compressor, Method, TreeCompressor


def three_pc_v1_gd(*, step_size, compressor: Compressor | TreeCompressor) -> Method:
    """The compressed change of the gradient, on top of the exact last one.

        gᵢ ← ∇fᵢ(x^{k−1}) + C(∇fᵢ(x^k) − ∇fᵢ(x^{k−1})),   x^{k+1} = x^k − (γ/n) Σᵢ gᵢ

    For heterogeneous data, in synchronous rounds, from gᵢ⁰ = ∇fᵢ(x⁰). An idealised
    method: the server does not have ∇fᵢ(x^{k−1}), so that all d numbers are sent. 2n +
    1 vectors are kept besides the model. `fo.theory.three_point_v1` and
    `fo.theory.three_point_step_size` prescribe γ.

    Args:
      step_size: γ.
      compressor: contractive.

    Reference: Richtárik, Sokolov, Fatkhullin, Gasanov, Li, Gorbunov (2022).
      arXiv:2202.00998.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=Partial(constant(three_point(v1_map(compressor)))),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        first_gradients=True,
        label="three_pc_v1_gd",
    )
