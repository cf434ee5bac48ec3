"""Clip21-SGD2M. arXiv:2502.11682."""

import optax
from jax.tree_util import Partial

from .. import events, transforms
from ..mechanisms.clip21 import clip21
from ..static import checked
from ..types import Method


def clip21_sgd2m(
    *, step_size, threshold, momentum=0.9, estimate_step=0.1, noise=None
) -> Method:
    """SGD with clipped changes of the workers' momenta, private where noise is added.

        vᵢ ← βvᵢ + (1−β) ∇fᵢ(x^k; ξ),   cᵢ = clip(vᵢ − gᵢ),   gᵢ ← gᵢ + b cᵢ
        g ← g + (b/n) Σᵢ (cᵢ + zᵢ),   zᵢ ~ N(0, σ²I),   x^{k+1} = x^k − γg

    For heterogeneous data, in synchronous rounds; all vectors start at 0. 2n + 1 of
    them are kept besides the model. τ = ∞, b = 1 is SGD with momentum, β = 0 then
    SGD; b = 1, β = 0 with full gradients is `clip21_gd`.

    Args:
      step_size: γ. `fo.theory.clip21_sgd2m` prescribes one for full gradients without
        noise (derived); with noise, tune.
      threshold: τ, in units of the gradient.
      momentum: β, the weight of the old momentum; 1 minus that of the paper.
      estimate_step: b, in (0, 1].
      noise: σ of each entry; None for no noise. What it is worth in privacy is not
        computed here.

    Reference: Islamov, Horváth, Lucchi, Richtárik, Gorbunov (2025). arXiv:2502.11682
      (read in summaries).
    Deviation: the step uses the new g. As printed the first step is idle, with g = 0,
      and every later one comes a round later.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=checked(transforms.momentum, momentum),
        mechanism=checked(clip21, threshold, estimate_step=estimate_step, noise=noise),
        optimizer=Partial(optax.sgd, step_size),
        label="clip21_sgd2m",
    )
