"""‖EF21-SGDM‖. arXiv:2410.16871."""

from jax.tree_util import Partial

from .. import events, mechanisms, transforms
from ..estimators.sgdm import sgdm
from ..geometry import whole_tree_l2
from ..static import bind, checked, constant
from ..types import Compressor, Method, TreeCompressor


def norm_ef21_sgdm(
    *, step_size, compressor: Compressor | TreeCompressor, momentum=0.9
) -> Method:
    """EF21 on the workers' momenta, with steps of one length.

        vᵢ ← βvᵢ + (1−β) ∇fᵢ(x^k; ξ),   gᵢ ← gᵢ + C(vᵢ − gᵢ),
        x^{k+1} = x^k − γ g/|g|,   g = (1/n) Σᵢ gᵢ

    For heterogeneous data, in synchronous rounds; made for (L₀, L₁)-smooth functions.
    vᵢ starts at the first gradient, the first message is C(vᵢ); g = 0 makes no step.
    2n + 1 vectors are kept besides the model. The theory of K + 1 rounds has
    1 − β of order (K+1)^{−1/2} and γ = γ₀ (K+1)^{−3/4}, with γ₀ limited by L₁ and α.
    `fo.theory.norm_ef21_step_size` prescribes γ for L-smooth functions (derived).
    β = 0 with full gradients is `norm_ef21_gd`.

    Args:
      step_size: γ, the length of a step.
      compressor: contractive.
      momentum: β, the weight of the old momentum; 1 minus that of the paper.

    Reference: Khirirat, Sadiev, Riabinin, Gorbunov, Richtárik (2024).
      arXiv:2410.16871.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=checked(sgdm, momentum),
        mechanism=Partial(constant(mechanisms.ef21(compressor))),
        optimizer=checked(bind(transforms.lmo_step, whole_tree_l2()), step_size),
        label="norm_ef21_sgdm",
    )
