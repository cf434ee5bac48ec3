"""‖EF21‖ with full gradients. arXiv:2410.16871."""

from jax.tree_util import Partial

from .. import estimators, events, mechanisms, transforms
from ..geometry import whole_tree_l2
from ..static import bind, checked, constant
from ..types import Compressor, Method, TreeCompressor


def norm_ef21_gd(*, step_size, compressor: Compressor | TreeCompressor) -> Method:
    """EF21 with steps of one length, which need no smoothness constants.

        gᵢ ← gᵢ + C(∇fᵢ(x^k) − gᵢ),   x^{k+1} = x^k − γ g/|g|,   g = (1/n) Σᵢ gᵢ

    For heterogeneous data, in synchronous rounds; made for (L₀, L₁)-smooth functions.
    The first message is C(∇fᵢ(x⁰)); g = 0 makes no step. n + 1 vectors are kept
    besides the model. The theory of K + 1 rounds has γ = γ₀/√(K+1) with any γ₀ > 0;
    the best for L-smooth functions is `fo.theory.norm_ef21_step_size` (derived).

    Args:
      step_size: γ, the length of a step.
      compressor: contractive.

    Reference: Khirirat, Sadiev, Riabinin, Gorbunov, Richtárik (2024).
      arXiv:2410.16871.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=Partial(constant(mechanisms.ef21(compressor))),
        optimizer=checked(bind(transforms.lmo_step, whole_tree_l2()), step_size),
        full_gradients=True,
        label="norm_ef21_gd",
    )
