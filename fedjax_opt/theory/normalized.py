"""‖EF21‖ and ‖EF21-SGDM‖, whose steps have one length; f may be nonconvex.

L is the smoothness of f = (1/n) Σᵢ fᵢ, Lᵢ of fᵢ, and L̄ = (1/n) Σᵢ Lᵢ. ξ is that of
`ef21_constants`, and β the weight of old momentum.
"""

import math

from . import inputs
from .rates import ef21_constants


def norm_ef21_step_size(
    num_updates, smoothness, smoothness_mean, *, alpha, initial_gap, momentum=0.0
) -> float:
    """γ of ‖EF21-SGDM‖ for T updates, the best in `norm_ef21_bound`; β = 0 for ‖EF21‖.

        γ = √(Δ/(TM)),    M = L/2 + 2Lβ/(1−β) + 2ξL̄

    Any other γ has the same bound, with its own figures. With noise β = 1 − 1/√T makes
    it of order T^(−1/4), and γ of order T^(−3/4).

    Args:
      num_updates: T.
      smoothness: L.
      smoothness_mean: L̄.
      alpha: of the contractive compressors.
      initial_gap: Δ = f(x⁰) − inf f.
      momentum: β, in [0, 1).

    Reference: arXiv:2410.16871 for the method and the orders. Deviation: derived here
      for smooth functions (checked); the paper has (L₀, L₁)-smooth ones.
    """
    gap = inputs.positive("initial_gap", initial_gap)
    slope = _of_step(smoothness, smoothness_mean, alpha, momentum)
    return math.sqrt(gap / (inputs.count("num_updates", num_updates) * slope))


def norm_ef21_bound(
    num_updates,
    smoothness,
    smoothness_mean,
    *,
    alpha,
    step_size,
    initial_gap,
    gradient_norm,
    momentum=0.0,
    noise=0.0,
    num_workers=1,
) -> float:
    """What the mean of E|∇f(xᵏ)|, k < T, of ‖EF21-SGDM‖ is at most, for any γ.

        Δ/(γT) + γM + 2ξG/T + 2 (σ/√n) (1/((1−β)T) + s) + 2ξσ (2/T + (1−β) (1+s))

    with M of `norm_ef21_step_size` and s = √((1−β)/(1+β)). Proof: f falls by γ|∇f(x)| −
    2γ|g − ∇f(x)| − Lγ²/2 at least; (1/n) Σᵢ E|gᵢ − vᵢ| shrinks by √(1−α) a round, but
    for moves of the vᵢ; and the errors of vᵢ and of their mean are sums of drifts and
    of uncorrelated noise with weights that decay as β^k.

    Args:
      num_updates: T.
      smoothness: L.
      smoothness_mean: L̄.
      alpha: of the contractive compressors.
      step_size: γ.
      initial_gap: Δ = f(x⁰) − inf f.
      gradient_norm: G, at least (1/n) Σᵢ |∇fᵢ(x⁰)|.
      momentum: β, in [0, 1).
      noise: σ, with E|∇fᵢ(x; ξ) − ∇fᵢ(x)|² <= σ², independent between workers.
      num_workers: n.

    Reference: arXiv:2410.16871 for the method (derived, checked in exact expectation).
    """
    gamma = inputs.positive("step_size", step_size)
    count = inputs.count("num_updates", num_updates)
    fresh = inputs.probability("1 - momentum", 1 - float(momentum))
    sigma = inputs.nonnegative("noise", noise)
    norm = inputs.nonnegative("gradient_norm", gradient_norm)
    left = math.sqrt(fresh / (2 - fresh))
    descent = inputs.nonnegative("initial_gap", initial_gap) / (gamma * count)
    of_step = gamma * _of_step(smoothness, smoothness_mean, alpha, momentum)
    of_mean = sigma / math.sqrt(inputs.count("num_workers", num_workers))
    of_mean *= 1 / (fresh * count) + left
    of_each = (norm + 2 * sigma) / count + sigma * fresh * (1 + left)
    return descent + of_step + 2 * of_mean + 2 * ef21_constants(alpha).xi * of_each


def _of_step(smoothness, smoothness_mean, alpha, momentum) -> float:
    """M = L/2 + 2Lβ/(1−β) + 2ξL̄."""
    fresh = inputs.probability("1 - momentum", 1 - float(momentum))
    smooth = inputs.positive("smoothness", smoothness)
    drift = inputs.positive("smoothness_mean", smoothness_mean)
    own = smooth * (0.5 + 2 * (1 - fresh) / fresh)
    return own + 2 * ef21_constants(alpha).xi * drift
