"""α-NormEC with full gradients. arXiv:2502.13482."""

from jax.tree_util import Partial

from .. import estimators, events, transforms
from ..geometry import whole_tree_l2
from ..mechanisms.norm_ec import norm_ec
from ..static import bind, checked
from ..types import Method


def norm_ec_gd(*, step_size, alpha, estimate_step, noise=None) -> Method:
    """Normalized steps on an estimate fed by smoothly normalized differences.

        cᵢ = (∇fᵢ(x^k) − gᵢ)/(α + |∇fᵢ(x^k) − gᵢ|),   gᵢ ← gᵢ + β cᵢ
        g ← g + (β/n) Σᵢ (cᵢ + zᵢ),   zᵢ ~ N(0, σ²I),   x^{k+1} = x^k − γ g/|g|

    For heterogeneous data, in synchronous rounds, from gᵢ = 0; g = 0 makes no step.
    Every step has the length γ, so that it does not settle but moves about a solution.
    n + 1 vectors are kept besides the model. `theory.clipping` prescribes γ (derived).

    Args:
      step_size: γ, the length of a step.
      alpha: α, in units of the gradient.
      estimate_step: β, in units of the gradient; at most α in the theory.
      noise: σ of each entry; None for no noise. What it is worth in privacy is not
        computed here.

    Reference: Shulgin, Khirirat, Richtárik (2025). arXiv:2502.13482 (read in
      a summary).
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(norm_ec, alpha, estimate_step=estimate_step, noise=noise),
        optimizer=checked(bind(transforms.lmo_step, whole_tree_l2()), step_size),
        full_gradients=True,
        label="norm_ec_gd",
    )
