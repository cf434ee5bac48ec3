"""AdaCGD with full gradients. arXiv:2211.00188."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.adacgd import adacgd_map
from ..mechanisms.three_point import AnyCompressor, three_point
from ..static import bind, checked
from ..types import Method


def adacgd_gd(*, step_size, compressors: tuple[AnyCompressor, ...], trigger) -> Method:
    """EF21 in which a worker takes the cheapest compressor that is good enough.

        gᵢ ← gᵢ + Cⱼ(∇fᵢ(x^k) − gᵢ),   x^{k+1} = x^k − (γ/n) Σᵢ gᵢ
        j the first with |gᵢ⁺ − ∇fᵢ(x^k)|² <= ζ |∇fᵢ(x^k) − ∇fᵢ(x^{k−1})|², or the last

    For heterogeneous data, in synchronous rounds, from gᵢ⁰ = ∇fᵢ(x⁰). One compressor
    is EF21. 2n + 1 vectors are kept besides the model. γ of CLAG holds, with the last
    compressor (derived): `fo.theory.three_point_clag`.

    Args:
      step_size: γ.
      compressors: C₁, ..., C_m, from cheap to good, the last contractive.
      trigger: ζ.

    Reference: Makarenko, Gasanov, Islamov, Sadiev, Richtárik (2022). arXiv:2211.00188.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(bind(_adacgd, compressors), trigger),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        first_gradients=True,
        label="adacgd_gd",
    )


def _adacgd(compressors, trigger):
    return three_point(adacgd_map(compressors, trigger=trigger))
