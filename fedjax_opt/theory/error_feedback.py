"""Prescribed step sizes of the relatives of EF21, EF-BV among them.

L is the smoothness of f = (1/n) Σᵢ fᵢ, Lᵢ of fᵢ, L_max = maxᵢ Lᵢ, and
L̂ = √((1/n) Σᵢ Lᵢ²).
"""

import math
from typing import NamedTuple

import numpy as np

from . import inputs
from .compressed import ef21_step_size, scaling
from .rates import Lyapunov


class EFBVParameters(NamedTuple):
    """γ, the steps λ and ν of EF-BV, and the constants behind γ.

    Attributes:
      step_size: γ.
      shift_step: λ.
      estimate_step: ν.
      error: r, with E|λC(x) − x|² <= r|x|².
      mean_error: r_av, likewise with ν, of the mean of n messages.
    """

    step_size: float
    shift_step: float
    estimate_step: float
    error: float
    mean_error: float


class WeightedParameters(NamedTuple):
    """γ, and the weights wᵢ [n] of the workers, of sum 1."""

    step_size: float
    weights: np.ndarray


def ef_bv(
    smoothness, smoothness_mean_square, *, omega, omega_mean, eta=0.0
) -> EFBVParameters:
    """EF-BV, for f that satisfies the PŁ inequality.

        λ = min {(1−η)/((1−η)² + ω), 1},    r    = (1 − λ + λη)² + λ²ω
        ν = min {(1−η)/((1−η)² + ω_av), 1}, r_av = (1 − ν + νη)² + ν²ω_av
        γ = 1/(L + L̂ √(r_av/r)/s),          s = √((1+r)/(2r)) − 1

    The rate is in `ef_bv_lyapunov`. With a proximal step give 2L for L (known).

    Args:
      smoothness: L.
      smoothness_mean_square: L̂, the root of the mean of Lᵢ².
      omega: ω, of the noise of a compressor: E|C(x) − E C(x)|² <= ω|x|².
      omega_mean: ω_av, likewise of the mean of the n messages; ω/n where compressors
        are independent, ω where all draw the same.
      eta: η, of the bias: |E C(x) − x| <= η|x|. Deterministic contractions have
        √(1−α), and ω = 0.

    Reference: arXiv:2205.04180 (read in public code and checked).
    """
    alone, mean = scaling(omega, eta), scaling(omega_mean, eta)
    r, r_av = 1 - alone.alpha, 1 - mean.alpha
    gap = math.sqrt((1 + r) / 2) - math.sqrt(r)  # s √r, for r = 0 as well
    drift = math.sqrt(r_av) / gap
    smooth = inputs.positive("smoothness", smoothness)
    rough = inputs.positive("smoothness_mean_square", smoothness_mean_square)
    return EFBVParameters(
        step_size=1 / (smooth + rough * drift),
        shift_step=alone.scale,
        estimate_step=mean.scale,
        error=r,
        mean_error=r_av,
    )


def ef_bv_lyapunov(step_size, error, mean_error, *, strong_convexity) -> Lyapunov:
    """What EF-BV contracts, with H = (1/n) Σᵢ |∇fᵢ(x) − hᵢ|².

        Ψ = f(x) − f* + (γ/(2θ)) H,    θ = s(1 + s) r/r_av
        E Ψ⁺ <= max {1 − γμ, (1+r)/2} Ψ

    Args:
      step_size: γ, at most that of `ef_bv`.
      error, mean_error: r and r_av of `ef_bv`.
      strong_convexity: μ of strong convexity or PŁ.

    Returns:
      The weight of H, and the contraction.

    Reference: arXiv:2205.04180 (read in public code and checked).
    """
    gamma = inputs.positive("step_size", step_size)
    r, r_av = inputs.share("error", error), inputs.share("mean_error", mean_error)
    mu = inputs.positive("strong_convexity", strong_convexity)
    middle = math.sqrt((1 + r) / 2)
    inverse_theta = r_av / (middle * (middle - math.sqrt(r)))
    return Lyapunov(gamma * inverse_theta / 2, max(1 - gamma * mu, (1 + r) / 2))


def ef21_pp_step_size(
    smoothness, smoothness_mean_square, *, alpha, probability
) -> float:
    """γ of EF21-PP, where each worker takes part with probability p; nonconvex.

        γ = 1/(L + L̂ ξ),    ξ = (1 + √(1−pα))/(pα) − 1

    Args:
      smoothness: L.
      smoothness_mean_square: L̂.
      alpha: of the contractive compressors.
      probability: p, in (0, 1]; τ/n where τ of n workers are drawn.

    Reference: arXiv:2110.03294. Deviation: the theorem has γ = 1/(L + √(B/θ_p)) with
    two free parameters s and ρ. This is its largest value, which has s = ρ: that of
    EF21 with a compressor that sends C(x) with probability p and else nothing
    (derived).
    """
    lazy = inputs.contraction(alpha) * inputs.probability("probability", probability)
    return ef21_step_size(smoothness, smoothness_mean_square, alpha=lazy)


def ef21_weighted(smoothness, smoothness_each, *, alpha) -> WeightedParameters:
    """EF21-W: γ and the weights; nonconvex.

        wᵢ = Lᵢ/Σⱼ Lⱼ,    γ = 1/(L + ξ (1/n) Σᵢ Lᵢ),    ξ = (1 + √(1−α))/α − 1

    Args:
      smoothness: L.
      smoothness_each: [n], the Lᵢ.
      alpha: of the contractive compressors.

    Reference: arXiv:2402.10774 (known).
    """
    each = np.asarray(smoothness_each, float)
    step_size = ef21_step_size(smoothness, each.mean(), alpha=alpha)
    return WeightedParameters(step_size, each / each.sum())


def ef21_sgdm_step_size(
    smoothness, smoothness_mean_square, *, alpha, momentum
) -> float:
    """γ of EF21-SGDM, for smooth nonconvex f.

        γ = min {α/(20 L̂), η/(7L)},    η = 1 − β

    Args:
      smoothness: L.
      smoothness_mean_square: L̂.
      alpha: of the contractive compressors.
      momentum: β, the weight of the old momentum, in [0, 1).

    Reference: arXiv:2305.15155 (known).
    """
    fresh = inputs.probability("1 - momentum", 1 - float(momentum))
    rough = inputs.positive("smoothness_mean_square", smoothness_mean_square)
    smooth = inputs.positive("smoothness", smoothness)
    return min(inputs.contraction(alpha) / (20 * rough), fresh / (7 * smooth))


def ef21_p_step_size(smoothness, *, alpha) -> float:
    """γ of EF21-P with exact gradients, for μ-strongly convex f.

        γ = α/(16 L);    |x^k − x*|² <= (1 − γμ/2)^k |x⁰ − x*|²

    Args:
      smoothness: L.
      alpha: of the server's compressor.

    Reference: arXiv:2209.15218 (known; the rate is checked on quadratics).
    """
    return inputs.contraction(alpha) / (16 * inputs.positive("smoothness", smoothness))


def ef21_p_diana_step_size(
    smoothness,
    smoothness_mean_square,
    smoothness_max,
    *,
    omega,
    alpha,
    num_workers,
    strong_convexity,
) -> float:
    """γ of EF21-P + DIANA, for convex fᵢ and μ-strongly convex f; a = 1/(1+ω).

        γ = min {n/(160 ω L_max), √(nα)/(20 √ω L̂), α/(100 L), 1/(2(1+ω)μ)}

    Args:
      smoothness: L.
      smoothness_mean_square: L̂.
      smoothness_max: L_max.
      omega: ω of the workers' unbiased compressors; with 0 the first two are void.
      alpha: α of the server's contractive compressor.
      num_workers: n.
      strong_convexity: μ.

    Reference: arXiv:2209.15218. Deviation: the numbers 160, 20, 100 and 2 are written
    from memory and were not checked against the paper.
    """
    noise = inputs.nonnegative("omega", omega)
    n, a = inputs.count("num_workers", num_workers), inputs.contraction(alpha)
    largest = inputs.positive("smoothness_max", smoothness_max)
    rough = inputs.positive("smoothness_mean_square", smoothness_mean_square)
    return 1 / max(
        160 * noise * largest / n,
        20 * math.sqrt(noise / (n * a)) * rough,
        100 * inputs.positive("smoothness", smoothness) / a,
        2 * (1 + noise) * inputs.positive("strong_convexity", strong_convexity),
    )
