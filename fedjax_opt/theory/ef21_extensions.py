"""EF21 with momentum at the server, and on estimates by PAGE; f may be nonconvex.

L is the smoothness of f = (1/n) Σᵢ fᵢ, Lᵢ of fᵢ, and L̂ = √((1/n) Σᵢ Lᵢ²). θ and ξ are
those of `ef21_constants`.
"""

import math
from typing import NamedTuple

from . import inputs
from .rates import ef21_constants


class EF21HBWeights(NamedTuple):
    """The weights of (1/n) Σᵢ |gᵢ − ∇fᵢ(x)|² and of |v|²."""

    each: float
    momentum: float


class EF21PageWeights(NamedTuple):
    """The weights of the errors of all gᵢ, of the mean of the vᵢ, and of all vᵢ."""

    each: float
    local_mean: float
    local_each: float


def ef21_hb_step_size(smoothness, smoothness_mean_square, *, alpha, momentum) -> float:
    """γ of EF21-HB.

        γ = (1−η)/(L/(1−η) + L̂ ξ)

    In the long run a step is γ/(1−η). η = 0 is EF21. What decreases is in
    `ef21_hb_lyapunov`.

    Args:
      smoothness: L.
      smoothness_mean_square: L̂.
      alpha: of the contractive compressors.
      momentum: η, in [0, 1).

    Reference: arXiv:2110.03294 for the method and the order. Deviation: the constants
      are derived here (checked).
    """
    rest = inputs.probability("1 - momentum", 1 - float(momentum))
    smooth = inputs.positive("smoothness", smoothness)
    rough = inputs.positive("smoothness_mean_square", smoothness_mean_square)
    return rest / (smooth / rest + rough * ef21_constants(alpha).xi)


def ef21_hb_lyapunov(
    step_size, smoothness, smoothness_mean_square, *, alpha, momentum
) -> EF21HBWeights:
    """What EF21-HB decreases, with z = x − (γη/(1−η)) v and v of the round before.

        Ψ = f(z) + u (1/n) Σᵢ |gᵢ − ∇fᵢ(x)|² + w |v|²
        s = L̂ξ + Lη/(1−η),    δ = γ/(1−η)
        u = δs/(2θL̂ξ),    w = δ³ η(1−η) s (s + L)/2
        E Ψ⁺ <= Ψ − (δ/2) |∇f(z)|²

    u is 0 where ξ = 0, since all gᵢ are exact then. Proof: z⁺ = z − δg, |z − x| =
    δη |v|, and |v⁺|² <= η |v|² + |g|²/(1−η).

    Args:
      step_size: γ, at most that of `ef21_hb_step_size`.
      smoothness: L.
      smoothness_mean_square: L̂.
      alpha: of the contractive compressors.
      momentum: η.

    Reference: arXiv:2110.03294 for the method (derived, checked).
    """
    rest = inputs.probability("1 - momentum", 1 - float(momentum))
    long = inputs.positive("step_size", step_size) / rest
    smooth = inputs.positive("smoothness", smoothness)
    constants = ef21_constants(alpha)
    drift = constants.xi * inputs.positive(
        "smoothness_mean_square", smoothness_mean_square
    )
    total = drift + smooth * (1 - rest) / rest
    each = long * total / (2 * constants.theta * drift) if drift else 0.0
    of_momentum = long**3 * (1 - rest) * rest * total * (total + smooth) / 2
    return EF21HBWeights(each, of_momentum)


def ef21_page_step_size(
    smoothness,
    smoothness_mean_square,
    sample_smoothness,
    *,
    alpha,
    num_workers,
    probability,
    batch_size=1,
) -> float:
    """γ of EF21-PAGE.

        1/γ = L + √(2ξ² ((1+p) L̂² + 3(1−p) L_σ²/B) + 2(1−p) L_σ²/(pnB))

    What decreases is in `ef21_page_lyapunov`.

    Args:
      smoothness: L.
      smoothness_mean_square: L̂.
      sample_smoothness: L_σ, the root of the mean over workers of the least Lᵢ² with
        (1/m) Σⱼ |∇fᵢⱼ(x) − ∇fᵢⱼ(y)|² − |∇fᵢ(x) − ∇fᵢ(y)|² <= Lᵢ² |x − y|².
      alpha: of the contractive compressors.
      num_workers: n.
      probability: p, of full gradients; the coin may be common.
      batch_size: B, with replacement.

    Reference: arXiv:2110.03294 for the method. Deviation: derived here, and checked in
      exact expectation.
    """
    p = inputs.probability("probability", probability)
    n = inputs.count("num_workers", num_workers)
    noise = inputs.nonnegative("sample_smoothness", sample_smoothness) ** 2
    sampling = (1 - p) * noise / inputs.count("batch_size", batch_size)
    square = inputs.positive("smoothness_mean_square", smoothness_mean_square) ** 2
    messages = ef21_constants(alpha).xi ** 2 * ((1 + p) * square + 3 * sampling)
    smooth = inputs.positive("smoothness", smoothness)
    return 1 / (smooth + math.sqrt(2 * (messages + sampling / (p * n))))


def ef21_page_lyapunov(step_size, *, alpha, probability) -> EF21PageWeights:
    """What EF21-PAGE decreases, with v = (1/n) Σᵢ vᵢ.

        Ψ = f(x) + u (1/n) Σᵢ |gᵢ − vᵢ|² + w |v − ∇f(x)|² + w' (1/n) Σᵢ |vᵢ − ∇fᵢ(x)|²
        u = γ/θ,    w = γ/p,    w' = 2γξ²
        E Ψ⁺ <= Ψ − (γ/2) |∇f(x)|²

    Proof: |g − ∇f(x)|² <= 2 (1/n) Σᵢ |gᵢ − vᵢ|² + 2 |v − ∇f(x)|², and vᵢ moves by
    ∇fᵢ(x⁺) − ∇fᵢ(x) less its error, or by a sample of the former.

    Args:
      step_size: γ, at most that of `ef21_page_step_size`.
      alpha: of the contractive compressors.
      probability: p.

    Reference: arXiv:2110.03294 for the method (derived, checked in exact expectation).
    """
    gamma = inputs.positive("step_size", step_size)
    p = inputs.probability("probability", probability)
    constants = ef21_constants(alpha)
    return EF21PageWeights(
        gamma / constants.theta, gamma / p, 2 * gamma * constants.xi**2
    )
