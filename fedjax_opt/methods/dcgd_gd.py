"""DCGD with full gradients. arXiv:1806.06573."""

import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..static import constant
from ..types import Compressor, Method, TreeCompressor


def dcgd_gd(*, step_size, compressor: Compressor | TreeCompressor) -> Method:
    """Gradient descent with compressed gradients, without a memory.

        x^{k+1} = x^k − γ (1/n) Σᵢ C(∇fᵢ(x^k))

    For heterogeneous data, in synchronous rounds. Unbiased compressors lead to a
    neighbourhood of the minimiser, biased ones may diverge for every γ: it is the
    baseline of the methods with error feedback. `fo.theory` prescribes γ.

    Args:
      step_size: γ.
      compressor: any; unbiased in the theory.

    Reference: Khirirat, Feyzmahdavian, Johansson (2018). arXiv:1806.06573.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=Partial(constant(mechanisms.dcgd(compressor))),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        label="dcgd_gd",
    )
