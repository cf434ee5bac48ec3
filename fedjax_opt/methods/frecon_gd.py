"""FRECON with full gradients. arXiv:2112.13097."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.frecon import frecon
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def frecon_gd(
    *,
    step_size,
    compressor: Compressor | TreeCompressor,
    count: int,
    momentum=None,
    shift_step=None,
) -> Method:
    """Compressed changes and shifts from few workers at a time.

        qᵢ = Q(∇fᵢ(x^k) − ∇fᵢ(x^{k−1})),   uᵢ = Q'(∇fᵢ(x^{k−1}) − hᵢ),   i ∈ S
        g ← (1/s) Σ_{i∈S} qᵢ + (1−λ) g + λ ((1/s) Σ_{i∈S} uᵢ + h),   x^{k+1} = x^k − γg
        hᵢ ← hᵢ + a uᵢ for i ∈ S,   h ← h + (a/n) Σ_{i∈S} uᵢ

    S is a uniform set of s workers. For heterogeneous data, in synchronous rounds, from
    hᵢ⁰ = ∇fᵢ(x⁰) and g⁰ = h⁰. All workers compute, as far as the clock is concerned,
    and those outside S send nothing. 2n + 2 vectors are kept besides the model.
    `fo.theory.frecon` prescribes γ.

    Args:
      step_size: γ.
      compressor: unbiased; it draws twice.
      count: s.
      momentum: λ; s/(2(1 + ω)n) by default.
      shift_step: a; 1/(1 + ω) by default.

    Reference: Zhao, Burlachenko, Li, Richtárik (2021). arXiv:2112.13097.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(bind(_frecon, compressor, count), momentum, shift_step),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        first_gradients=True,
        label="frecon_gd",
    )


def _frecon(compressor, count, momentum, shift_step):
    return frecon(compressor, count=count, momentum=momentum, shift_step=shift_step)
