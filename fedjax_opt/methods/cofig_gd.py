"""COFIG with full gradients. arXiv:2112.13097."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.cofig import cofig
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def cofig_gd(
    *,
    step_size,
    compressor: Compressor | TreeCompressor,
    count: int,
    shift_step=None,
) -> Method:
    """DIANA with few workers at a time.

        uᵢ = Q(∇fᵢ(x^k) − hᵢ),   g = h + (1/s) Σ_{i∈S} uᵢ,   x^{k+1} = x^k − γg
        hᵢ ← hᵢ + a uᵢ for i ∈ S̃,   h ← h + (a/n) Σ_{i∈S̃} uᵢ

    S and S̃ are independent uniform sets of s workers. For heterogeneous data, in
    synchronous rounds; shifts start at 0. All workers compute, as far as the clock is
    concerned, and those outside both sets send nothing. n + 1 vectors are kept besides
    the model. s = n is `diana_gd`. `fo.theory.cofig` prescribes γ.

    Args:
      step_size: γ.
      compressor: unbiased.
      count: s.
      shift_step: a; 1/(1 + ω) by default.

    Reference: Zhao, Burlachenko, Li, Richtárik (2021). arXiv:2112.13097.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(bind(_cofig, compressor, count), shift_step),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        label="cofig_gd",
    )


def _cofig(compressor, count, shift_step):
    return cofig(compressor, count=count, shift_step=shift_step)
