"""MARINA and DASHA: step sizes, and the functions of the state that decrease.

L is the smoothness of f = (1/n) Σᵢ fᵢ, Lᵢ of fᵢ, L_max = maxᵢ Lᵢ, L̂ = √((1/n) Σᵢ Lᵢ²).
L_± is the least constant with
(1/n) Σᵢ |∇fᵢ(x) − ∇fᵢ(y)|² − |∇f(x) − ∇f(y)|² <= L_±² |x − y|².
"""

import math
from typing import NamedTuple

from ..types import Joint
from . import inputs
from .rates import Lyapunov
from .three_point import recursive_lyapunov, recursive_step_size


class DashaParameters(NamedTuple):
    """γ, and a, the share of gᵢ − hᵢ that every message takes back."""

    step_size: float
    tracking_step: float


class DashaWeights(NamedTuple):
    """The weights of |g − h|² and of (1/n) Σᵢ |gᵢ − hᵢ|²."""

    mean: float
    each: float


def marina_step_size(
    smoothness,
    smoothness_mean_square,
    *,
    joint: Joint,
    probability,
    hessian_variance=None,
    strong_convexity=None,
) -> float:
    """The largest γ for which the theorems on MARINA hold.

        D² = (1−p) ((A−B) L̂² + B L_±²)
        nonconvex:     1/(L + √(D²/p))
        μ-PŁ:          min {1/(L + √(2D²/p)), p/(2μ)}

    Independent compressors with ω have A = ω/n and B = 0; Perm-K with d >= n has
    A = B = 1, so that L_± alone remains. p = ζ/d, ζ the numbers of a message, makes
    full and compressed rounds cost the same on average.

    Args:
      smoothness: L.
      smoothness_mean_square: L̂.
      joint: A and B of the n compressors, such as `compressor.joint(d, n)`, or
        `Joint(omega / n, 0.0)` where they are independent.
      probability: p.
      hessian_variance: L_±; by default L̂, which is never smaller.
      strong_convexity: μ of strong convexity or PŁ; None for the nonconvex form.

    Reference: arXiv:2102.07845 (known and checked); with A and B arXiv:2110.03300.
    """
    p = inputs.probability("probability", probability)
    mean_square = inputs.positive("smoothness_mean_square", smoothness_mean_square)
    if hessian_variance is None:
        hessian_variance = mean_square
    spread = inputs.nonnegative("hessian_variance", hessian_variance)
    a, b = inputs.nonnegative("joint.a", joint.a), joint.b
    drift = (1 - p) * ((a - b) * mean_square**2 + b * spread**2)
    smooth = inputs.positive("smoothness", smoothness)
    return recursive_step_size(smooth, p, drift, strong_convexity)


def vr_marina_step_size(
    smoothness,
    smoothness_mean_square,
    component_smoothness,
    *,
    omega,
    num_workers,
    batch_size,
    probability,
    strong_convexity=None,
) -> float:
    """The largest γ for which the theorems on VR-MARINA hold.

        D² = ((1−p)/n) (ω L̂² + (1+ω) ℒ²/b)
        nonconvex:     1/(L + √(D²/p))
        μ-PŁ:          min {1/(L + √(2D²/p)), p/(2μ)}

    p = min {ζ/d, b/(m+b)}, with ζ numbers in a message and m components per worker,
    balances the costs.

    Args:
      smoothness: L.
      smoothness_mean_square: L̂.
      component_smoothness: ℒ, the root of the mean of ℒᵢ²:
        (1/m) Σⱼ |∇fᵢⱼ(x) − ∇fᵢⱼ(y)|² <= ℒᵢ² |x − y|².
      omega: of the unbiased compressors, independent between workers.
      num_workers: n.
      batch_size: b, drawn with replacement.
      probability: p.
      strong_convexity: μ of strong convexity or PŁ; None for the nonconvex form.

    Reference: arXiv:2102.07845 (known and checked; the μ-PŁ form is derived).
    """
    p = inputs.probability("probability", probability)
    n = inputs.count("num_workers", num_workers)
    noise = inputs.nonnegative("omega", omega)
    component = inputs.positive("component_smoothness", component_smoothness)
    sampling = component**2 / inputs.count("batch_size", batch_size)
    square = inputs.positive("smoothness_mean_square", smoothness_mean_square) ** 2
    drift = (1 - p) / n * (noise * square + (1 + noise) * sampling)
    smooth = inputs.positive("smoothness", smoothness)
    return recursive_step_size(smooth, p, drift, strong_convexity)


def pp_marina_step_size(
    smoothness,
    smoothness_mean_square,
    *,
    omega,
    count,
    probability,
    strong_convexity=None,
) -> float:
    """The largest γ for which the theorems on PP-MARINA hold.

        D² = (1−p)(1+ω) L̂²/r
        nonconvex:     1/(L + √(D²/p))
        μ-PŁ:          min {1/(L + √(2D²/p)), p/(2μ)}

    For r independent draws; without replacement the variance is not larger. L in
    place of L̂ is not safe. p = ζr/(dn), ζ the numbers of a message, balances the
    costs.

    Args:
      smoothness: L.
      smoothness_mean_square: L̂.
      omega: of the unbiased compressors, independent between workers.
      count: r.
      probability: p.
      strong_convexity: μ of strong convexity or PŁ; None for the nonconvex form.

    Reference: arXiv:2102.07845 (re-derived and checked; the μ-PŁ form is derived).
    """
    noise = 1 + inputs.nonnegative("omega", omega)
    return marina_step_size(
        smoothness,
        smoothness_mean_square,
        joint=Joint(noise / inputs.count("count", count), 0.0),
        probability=probability,
        strong_convexity=strong_convexity,
    )


def marina_lyapunov(step_size, *, probability, strong_convexity=None) -> Lyapunov:
    """What MARINA, VR-MARINA and PP-MARINA decrease.

        nonconvex:     Ψ = f(x) + (γ/(2p)) |g − ∇f(x)|²,      E Ψ⁺ <= Ψ − (γ/2) |∇f(x)|²
        μ-PŁ:          Ψ = f(x) − f* + (γ/p) |g − ∇f(x)|²,    E Ψ⁺ <= (1 − γμ) Ψ

    Args:
      step_size: γ, at most the one prescribed for the same class.
      probability: p.
      strong_convexity: μ of strong convexity or PŁ; None for the nonconvex form.

    Returns:
      The weight of |g − ∇f(x)|², and the contraction: 1 in the nonconvex form.

    Reference: arXiv:2102.07845 (known and checked).
    """
    p = inputs.probability("probability", probability)
    return recursive_lyapunov(step_size, p, strong_convexity)


def dasha(smoothness, smoothness_mean_square, omega, *, num_workers) -> DashaParameters:
    """DASHA with full gradients, for nonconvex f.

        1/γ = L + L̂ √(16 ω(2ω+1)/n),    a = 1/(2ω+1)

    E|∇f(x̂)|² <= 2Δ/(γT) from gᵢ⁰ = ∇fᵢ(x⁰), x̂ uniform over T updates.

    Args:
      smoothness: L.
      smoothness_mean_square: L̂.
      omega: of the unbiased compressors, independent between workers.
      num_workers: n.

    Reference: arXiv:2202.01268 (known and checked).
    """
    noise, tracking = _dasha_noise(omega, num_workers)
    mean_square = inputs.positive("smoothness_mean_square", smoothness_mean_square)
    smooth = inputs.positive("smoothness", smoothness)
    return DashaParameters(1 / (smooth + mean_square * math.sqrt(16 * noise)), tracking)


def dasha_page(
    smoothness,
    smoothness_mean_square,
    component_smoothness_max,
    omega,
    *,
    num_workers,
    batch_size,
    probability,
) -> DashaParameters:
    """DASHA-PAGE, for nonconvex f that are finite sums.

        1/γ = L + √((48 ω(2ω+1)/n) ((1−p) L_max²/B + L̂²) + 2 (1−p) L_max²/(pnB))
        a = 1/(2ω+1)

    p = B/(m+B) balances the costs, with m components per worker.

    Args:
      smoothness: L.
      smoothness_mean_square: L̂.
      component_smoothness_max: L_max, of the worst component of all.
      omega: of the unbiased compressors, independent between workers.
      num_workers: n.
      batch_size: B.
      probability: p, of a full local gradient.

    Reference: arXiv:2202.01268 (known).
    """
    p = inputs.probability("probability", probability)
    component = inputs.positive("component_smoothness_max", component_smoothness_max)
    sampling = (1 - p) * component**2 / inputs.count("batch_size", batch_size)
    return _dasha_of_estimates(
        smoothness,
        smoothness_mean_square,
        omega,
        num_workers,
        factor=48,
        sampling=sampling,
        extra=2 * sampling / p,
    )


def dasha_mvr(
    smoothness,
    smoothness_mean_square,
    sample_smoothness,
    omega,
    *,
    num_workers,
    momentum,
    batch_size=1,
) -> DashaParameters:
    """DASHA-MVR, for nonconvex f with noise.

        1/γ = L + √((96 ω(2ω+1)/n) (β² L_σ²/B + L̂²) + 4 β² L_σ²/((1−β) nB))
        a = 1/(2ω+1)

    Args:
      smoothness: L.
      smoothness_mean_square: L̂.
      sample_smoothness: L_σ, E|∇fᵢ(x; ξ) − ∇fᵢ(y; ξ) − ∇fᵢ(x) + ∇fᵢ(y)|² <=
        L_σ² |x − y|²; 0 for additive noise.
      omega: of the unbiased compressors, independent between workers.
      num_workers: n.
      momentum: β = 1 − b, in [0, 1).
      batch_size: B.

    Reference: arXiv:2202.01268 (known).
    """
    b = inputs.probability("1 - momentum", 1 - momentum)
    noise = inputs.nonnegative("sample_smoothness", sample_smoothness)
    sampling = ((1 - b) * noise) ** 2 / inputs.count("batch_size", batch_size)
    return _dasha_of_estimates(
        smoothness,
        smoothness_mean_square,
        omega,
        num_workers,
        factor=96,
        sampling=sampling,
        extra=4 * sampling / b,
    )


def dasha_lyapunov(step_size, omega, *, num_workers) -> DashaWeights:
    """What DASHA with full gradients decreases; hᵢ = ∇fᵢ(x), h = ∇f(x).

        Ψ = f(x) + (γ(2ω+1)/2) |g − h|² + (γω/n) (1/n) Σᵢ |gᵢ − hᵢ|²
        E Ψ⁺ <= Ψ − (γ/2) |∇f(x)|²

    Args:
      step_size: γ, at most that of `dasha`.
      omega: of the unbiased compressors, independent between workers.
      num_workers: n.

    Reference: arXiv:2202.01268. Deviation: the weights are derived here, for the step
    size of `dasha`, and checked.
    """
    gamma = inputs.positive("step_size", step_size)
    noise = inputs.nonnegative("omega", omega)
    n = inputs.count("num_workers", num_workers)
    return DashaWeights(gamma * (2 * noise + 1) / 2, gamma * noise / n)


def _dasha_noise(omega, num_workers) -> tuple[float, float]:
    """ω(2ω+1)/n and 1/(2ω+1)."""
    noise = inputs.nonnegative("omega", omega)
    n = inputs.count("num_workers", num_workers)
    return noise * (2 * noise + 1) / n, 1 / (2 * noise + 1)


def _dasha_of_estimates(
    smoothness, mean_square, omega, num_workers, *, factor, sampling, extra
) -> DashaParameters:
    """1/γ = L + √(factor ω(2ω+1)/n (sampling + L̂²) + extra/n)."""
    noise, tracking = _dasha_noise(omega, num_workers)
    square = inputs.positive("smoothness_mean_square", mean_square) ** 2
    drift = factor * noise * (sampling + square) + extra / num_workers
    smooth = inputs.positive("smoothness", smoothness)
    return DashaParameters(1 / (smooth + math.sqrt(drift)), tracking)
