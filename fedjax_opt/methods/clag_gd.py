"""CLAG with full gradients. arXiv:2202.00998."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.lazy import clag_map
from ..mechanisms.three_point import three_point
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def clag_gd(*, step_size, compressor: Compressor | TreeCompressor, trigger) -> Method:
    """EF21 in which a worker is silent while its estimate will do.

        gᵢ ← gᵢ + C(∇fᵢ(x^k) − gᵢ)
             if |∇fᵢ(x^k) − gᵢ|² > ζ |∇fᵢ(x^k) − ∇fᵢ(x^{k−1})|²
        x^{k+1} = x^k − (γ/n) Σᵢ gᵢ

    For heterogeneous data, in synchronous rounds, from gᵢ⁰ = ∇fᵢ(x⁰). ζ = 0 is EF21,
    C = identity LAG. 2n + 1 vectors are kept besides the model. `fo.theory`
    prescribes γ.

    Args:
      step_size: γ.
      compressor: contractive.
      trigger: ζ.

    Reference: Richtárik, Sokolov, Fatkhullin, Gasanov, Li, Gorbunov (2022).
      arXiv:2202.00998.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(bind(_clag, compressor), trigger),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        first_gradients=True,
        label="clag_gd",
    )


def _clag(compressor, trigger):
    return three_point(clag_map(compressor, trigger=trigger))
