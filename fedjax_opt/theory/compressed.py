"""Prescribed step sizes of methods with compressed messages.

L is the smoothness of f = (1/n) Σᵢ fᵢ, Lᵢ of fᵢ, L_max = maxᵢ Lᵢ, and
L̂ = √((1/n) Σᵢ Lᵢ²). Compressors: unbiased with omega (E|C(x)−x|² <= ω|x|²), or
contractive with alpha (E|C(x)−x|² <= (1−α)|x|²).
"""

from typing import NamedTuple

from . import inputs
from .rates import ef21_constants


class DianaParameters(NamedTuple):
    """γ, and the step a of hᵢ ← hᵢ + a · messageᵢ."""

    step_size: float
    shift_step: float


class Scaling(NamedTuple):
    """λ, and the α of the scaled compressor λC."""

    scale: float
    alpha: float


def dcgd_step_size(smoothness, smoothness_max, *, omega, num_workers) -> float:
    """γ of DCGD, the mean of independently compressed gradients; convex fᵢ.

        1/γ = L + 2 L_max ω/n

    Linear convergence to a neighbourhood of x* of squared radius proportional to
    γ (ω/n) (1/n) Σᵢ |∇fᵢ(x*)|². Compressors must be unbiased: with Top-K and n > 1 it
    can diverge for every γ > 0.

    Args:
      smoothness: L.
      smoothness_max: L_max.
      omega: of the compressors; the largest, if they differ.
      num_workers: n.

    Reference: arXiv:1806.06573 (known; step size read in public code).
    """
    n = inputs.count("num_workers", num_workers)
    noise = inputs.nonnegative("omega", omega) / n
    inverse = inputs.positive("smoothness", smoothness)
    return 1 / (inverse + 2 * inputs.positive("smoothness_max", smoothness_max) * noise)


def diana(smoothness_max, omega, *, num_workers) -> DianaParameters:
    """DIANA, for convex fᵢ and strongly convex f; converges to x* itself.

        γ = 1/(L_max (1 + 6ω/n)),    a = 1/(1+ω)

    L in place of L_max is not safe. The rate is in `diana_lyapunov`.

    Args:
      smoothness_max: L_max.
      omega: of the unbiased compressors, independent between workers.
      num_workers: n.

    Reference: arXiv:1901.09269, arXiv:1904.05115 (known).
    """
    n = inputs.count("num_workers", num_workers)
    noise = inputs.nonnegative("omega", omega)
    smooth = inputs.positive("smoothness_max", smoothness_max)
    return DianaParameters(
        step_size=1 / (smooth * (1 + 6 * noise / n)), shift_step=1 / (1 + noise)
    )


def rand_diana_step_size(smoothness, smoothness_max, omega, *, num_workers) -> float:
    """γ of Rand-DIANA, for convex fᵢ and strongly convex f, any probability p.

        1/γ = L + 6 L_max ω/n

    The rate is in `rand_diana_lyapunov`.

    Args:
      smoothness: L.
      smoothness_max: L_max.
      omega: of the unbiased compressors, independent between workers.
      num_workers: n.

    Reference: arXiv:2206.10452 for the method. Deviation: derived here, and checked in
      exact expectation.
    """
    n = inputs.count("num_workers", num_workers)
    noise = inputs.nonnegative("omega", omega) / n
    inverse = inputs.positive("smoothness", smoothness)
    return 1 / (inverse + 6 * inputs.positive("smoothness_max", smoothness_max) * noise)


def ef21_step_size(
    smoothness, smoothness_mean_square, *, alpha, strong_convexity=None
) -> float:
    """The largest γ for which the theorems on EF21 hold.

        nonconvex:     1/(L + L̂ ξ),                          ξ = (1 + √(1−α))/α − 1
        μ-PŁ:          min {1/(L + √2 L̂ ξ), θ/(2μ)},         θ = 1 − √(1−α)

    The nonconvex form also holds with (1/n) Σᵢ Lᵢ, which is smaller, in place of L̂;
    its Lyapunov function then weighs worker i by 1/Lᵢ (arXiv:2402.10774; derived,
    checked). The rates for L̂ are in `ef21_lyapunov`, for EF21-Prox as well.

    Args:
      smoothness: L.
      smoothness_mean_square: L̂, the root of the mean of Lᵢ².
      alpha: of the contractive compressors.
      strong_convexity: μ of strong convexity or PŁ; None for the nonconvex form.

    Reference: arXiv:2106.05203 (read and checked).
    """
    constants = ef21_constants(alpha)
    smooth = inputs.positive("smoothness", smoothness)
    drift = constants.xi * inputs.positive(
        "smoothness_mean_square", smoothness_mean_square
    )
    if strong_convexity is None:
        return 1 / (smooth + drift)
    mu = inputs.positive("strong_convexity", strong_convexity)
    return min(1 / (smooth + 2**0.5 * drift), constants.theta / (2 * mu))


def scaling(omega, eta=0.0) -> Scaling:
    """The scale that makes a noisy, possibly biased compressor contractive.

    For |E C(x) − x| <= η|x| and E|C(x) − E C(x)|² <= ω|x|²:

        λ = min {(1−η)/((1−η)² + ω), 1},    1 − α = (1 − λ(1−η))² + λ²ω

    For an unbiased compressor, η = 0: λ = α = 1/(1+ω).

    Reference: arXiv:2205.04180 (known; η = 0 checked).
    """
    noise = inputs.nonnegative("omega", omega)
    bias = inputs.nonnegative("eta", eta)
    if bias >= 1:
        raise ValueError(f"eta must be below 1; got {bias}: no scale can contract.")
    gain = 1 - bias
    square = gain**2 + noise
    scale = min(gain / square, 1.0)
    return Scaling(scale, scale * (2 * gain - scale * square))  # = 1 − (…)² − λ²ω
