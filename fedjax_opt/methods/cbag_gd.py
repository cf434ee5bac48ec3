"""CBAG with full gradients. arXiv:2206.03588."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.lazy import cbag_map
from ..mechanisms.three_point import three_point
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def cbag_gd(
    *, step_size, compressor: Compressor | TreeCompressor, probability
) -> Method:
    """Compressed Bernoulli aggregation: EF21 whose workers send now and then.

        gᵢ ← gᵢ + C(∇fᵢ(x^k) − gᵢ)   with probability p,   else gᵢ stays
        x^{k+1} = x^k − (γ/n) Σᵢ gᵢ

    For heterogeneous data, in synchronous rounds, from gᵢ⁰ = ∇fᵢ(x⁰). p = 1 is EF21.
    2n + 1 vectors are kept besides the model. `fo.theory.three_point_cbag` (derived)
    and `fo.theory.three_point_step_size` prescribe γ.

    Args:
      step_size: γ.
      compressor: contractive.
      probability: p, of a coin that each worker has for itself.

    Reference: Islamov, Qian, Hanzely, Safaryan, Richtárik (2022). arXiv:2206.03588.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(bind(_cbag, compressor), probability),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        first_gradients=True,
        label="cbag_gd",
    )


def _cbag(compressor, probability):
    return three_point(cbag_map(compressor, probability=probability))
