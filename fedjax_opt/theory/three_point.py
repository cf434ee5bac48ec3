"""3PC: the constants of each three-point map, and what they promise.

A map C_{h,y}(x) moves a worker's estimate h and its last gradient y to the new gradient
x, with E|C_{h,y}(x) − x|² <= (1−A)|h − y|² + B|x − y|². The functions `three_point_...`
take α of contractive compressors and ω of unbiased ones.
"""

import math
from typing import NamedTuple

from . import inputs
from .rates import Lyapunov, ef21_constants


class ThreePoint(NamedTuple):
    """A in (0, 1] and B >= 0 of a three-point map."""

    a: float
    b: float


def three_point_ef21(alpha) -> ThreePoint:
    """EF21, h + C(x − h).

        A = 1 − √(1−α),    B = (1−α)/A

    Reference: arXiv:2202.00998 (known and checked).
    """
    constants = ef21_constants(alpha)
    return ThreePoint(constants.theta, constants.beta)


def three_point_lag(trigger) -> ThreePoint:
    """LAG, x if |x − h|² > ζ|x − y|², else h.

        A = 1,    B = ζ

    Reference: arXiv:2202.00998 (known and checked).
    """
    return ThreePoint(1.0, inputs.nonnegative("trigger", trigger))


def three_point_clag(alpha, trigger) -> ThreePoint:
    """CLAG, EF21 under the trigger of LAG.

        A = 1 − √(1−α),    B = max {(1−α)/A, ζ}

    Reference: arXiv:2202.00998 (known and checked).
    """
    ef21 = three_point_ef21(alpha)
    return ThreePoint(ef21.a, max(ef21.b, inputs.nonnegative("trigger", trigger)))


def three_point_v1(alpha) -> ThreePoint:
    """3PCv1, y + C(x − y).

        A = 1,    B = 1 − α

    Reference: arXiv:2202.00998 (known and checked).
    """
    return ThreePoint(1.0, 1 - inputs.contraction(alpha))


def three_point_v2(alpha, omega) -> ThreePoint:
    """3PCv2, b + C(x − b) with b = h + Q(x − y).

        A = α,    B = (1−α) ω

    Reference: arXiv:2202.00998 (known and checked).
    """
    a = inputs.contraction(alpha)
    return ThreePoint(a, (1 - a) * inputs.nonnegative("omega", omega))


def three_point_v3(alpha, inner: ThreePoint) -> ThreePoint:
    """3PCv3, b + C(x − b) with b from another map that has A₁ and B₁.

        A = 1 − (1−α)(1−A₁),    B = (1−α) B₁

    Reference: arXiv:2202.00998 (known and checked).
    """
    a = inputs.contraction(alpha)
    return ThreePoint(a + (1 - a) * inner.a, (1 - a) * inner.b)


def three_point_v4(alpha, inner_alpha) -> ThreePoint:
    """3PCv4, EF21 with two contractions: 1 − α = (1−α₁)(1−α₂).

    Better constants than those that `three_point_v3` has for the same map.

    Reference: arXiv:2202.00998 (known and checked).
    """
    first, second = inputs.contraction(inner_alpha), inputs.contraction(alpha)
    return three_point_ef21(first + second - first * second)


def three_point_v5(alpha, probability) -> ThreePoint:
    """3PCv5, x with probability p, else h + C(x − y).

        A = 1 − √(1−p),    B = (1−p)(1−α)/A

    Reference: arXiv:2202.00998 (known and checked).
    """
    constants = ef21_constants(inputs.probability("probability", probability))
    return ThreePoint(constants.theta, constants.beta * (1 - inputs.contraction(alpha)))


def three_point_marina(omega, probability) -> ThreePoint:
    """MARINA as a three-point map: 3PCv5 with an unbiased compressor.

        A = p,    B = (1−p) ω

    It lacks the gain 1/n of independent workers, which `marina_step_size` has.

    Reference: arXiv:2202.00998 (known and checked).
    """
    p = inputs.probability("probability", probability)
    return ThreePoint(p, (1 - p) * inputs.nonnegative("omega", omega))


def three_point_cbag(alpha, probability) -> ThreePoint:
    """CBAG, EF21 that sends with probability p: EF21 with pα in place of α.

    Reference: arXiv:2206.03588 (derived: the lazy compressor is pα-contractive).
    """
    p = inputs.probability("probability", probability)
    return three_point_ef21(p * inputs.contraction(alpha))


def three_point_step_size(
    smoothness,
    smoothness_mean_square,
    *,
    constants: ThreePoint,
    strong_convexity=None,
) -> float:
    """The largest γ for which the theorems on 3PC hold.

        nonconvex:     1/(L + L̂ √(B/A))
        μ-PŁ:          min {1/(L + L̂ √(2B/A)), A/(2μ)}

    Args:
      smoothness: L.
      smoothness_mean_square: L̂, the root of the mean of Lᵢ².
      constants: A and B.
      strong_convexity: μ of strong convexity or PŁ; None for the nonconvex form.

    Reference: arXiv:2202.00998 (known and checked).
    """
    smooth = inputs.positive("smoothness", smoothness)
    square = inputs.positive("smoothness_mean_square", smoothness_mean_square) ** 2
    return recursive_step_size(
        smooth, constants.a, constants.b * square, strong_convexity
    )


def three_point_lyapunov(
    step_size, *, constants: ThreePoint, strong_convexity=None
) -> Lyapunov:
    """What 3PC decreases, with G = (1/n) Σᵢ |gᵢ − ∇fᵢ(x)|².

        nonconvex:     Ψ = f(x) + (γ/(2A)) G,        E Ψ⁺ <= Ψ − (γ/2) |∇f(x)|²
        μ-PŁ:          Ψ = f(x) − f* + (γ/A) G,      E Ψ⁺ <= (1 − γμ) Ψ

    Args:
      step_size: γ, at most `three_point_step_size` of the same class.
      constants: A and B.
      strong_convexity: μ of strong convexity or PŁ; None for the nonconvex form.

    Returns:
      The weight of G, and the contraction: 1 in the nonconvex form.

    Reference: arXiv:2202.00998 (known and checked).
    """
    return recursive_lyapunov(step_size, constants.a, strong_convexity)


def recursive_step_size(smooth, a, drift, strong_convexity) -> float:
    """γ where the error G of the estimate obeys E G⁺ <= (1−a) G + drift |x⁺ − x|²."""
    if strong_convexity is None:
        return 1 / (smooth + math.sqrt(drift / a))
    mu = inputs.positive("strong_convexity", strong_convexity)
    return min(1 / (smooth + math.sqrt(2 * drift / a)), a / (2 * mu))


def recursive_lyapunov(step_size, a, strong_convexity) -> Lyapunov:
    """The weight of G in the Lyapunov function of such an estimate."""
    gamma = inputs.positive("step_size", step_size)
    if strong_convexity is None:
        return Lyapunov(gamma / (2 * a), 1.0)
    mu = inputs.positive("strong_convexity", strong_convexity)
    return Lyapunov(gamma / a, 1 - gamma * mu)
