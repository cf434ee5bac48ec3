"""DProx-clipped-SGD-shift. arXiv:2310.01860."""

from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.clip21 import clipped_shift
from ..static import bind, checked
from ..transforms.proximal import Prox, proximal_sgd
from ..types import Method


def dprox_clipped_shift(
    *, step_size, threshold, shift_step, prox: Prox | None = None
) -> Method:
    """SGD for heavy-tailed noise: what differs from learned shifts is clipped.

        cᵢ = clip(∇fᵢ(x^k; ξ) − hᵢ),   x^{k+1} = prox(x^k − (γ/n) Σᵢ (hᵢ + cᵢ), γ)
        hᵢ ← hᵢ + ν cᵢ,   clip(u) = min(1, τ/|u|) u

    Experimental: the schedules of γ, τ and ν of the paper are not recorded here, and
    these are constants. `fo.theory.dprox_clipped_shift` prescribes γ for full gradients
    and convex functions (derived); with noise, tune. For heterogeneous data, in
    synchronous rounds; shifts start at 0. At a solution of a composite or distributed
    problem no ∇fᵢ need be 0: without shifts (ν = 0) clipping is biased there even
    without noise. n + 1 vectors are kept besides the model. τ = ∞ is SGD with a
    proximal step; ν = 1 without one and with full gradients is `clip21_gd`.

    Args:
      step_size: γ.
      threshold: τ, in units of the gradient.
      shift_step: ν, in [0, 1].
      prox: (point, step size) -> argmin γR(x) + ½|x − point|²; see
        `transforms.proximal`. None for R = 0.

    Reference: Gorbunov, Sadiev, Danilova, Horváth, Gidel, Dvurechensky, Gasnikov,
      Richtárik (2023). arXiv:2310.01860.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(clipped_shift, threshold, shift_step=shift_step),
        optimizer=Partial(bind(proximal_sgd, prox), step_size),
        label="dprox_clipped_shift",
    )
