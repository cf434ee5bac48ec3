"""The constants behind the step sizes of compressed methods, and what they promise."""

import math
from typing import NamedTuple

from . import inputs


class EF21Constants(NamedTuple):
    """Of the recursion E G⁺ <= (1 − θ) G + β L̂² |x⁺ − x|²; ξ = √(β/θ)."""

    theta: float
    beta: float
    xi: float


class Lyapunov(NamedTuple):
    """A function Ψ = A + weight · B of the state, and E Ψ⁺ <= contraction · Ψ.

    Which A and B is said where it is returned.
    """

    weight: float
    contraction: float


def ef21_constants(alpha) -> EF21Constants:
    """The constants of EF21 with an α-contractive compressor.

        θ = 1 − √(1−α),    β = (1−α)/θ,    ξ = √(β/θ) = (1 + √(1−α))/α − 1

    ξ is the least √(β(r)/θ(r)) over the parameter r of Young's inequality, where
    θ(r) = 1 − (1−α)(1+r) and β(r) = (1−α)(1 + 1/r). It is 0 at α = 1, where EF21 is
    gradient descent, and at most 2/α − 1.

    Reference: arXiv:2106.05203 (read and checked).
    """
    a = inputs.contraction(alpha)
    root = math.sqrt(1 - a)
    theta = a / (1 + root)  # = 1 − √(1−α), without cancellation
    return EF21Constants(theta=theta, beta=(1 - a) / theta, xi=root / theta)


def ef21_lyapunov(step_size, alpha, *, strong_convexity=None) -> Lyapunov:
    """What EF21 decreases, with G = (1/n) Σᵢ |gᵢ − ∇fᵢ(x)|².

        nonconvex:     Ψ = f(x) + (γ/(2θ)) G,        E Ψ⁺ <= Ψ − (γ/2) |∇f(x)|²
        μ-PŁ:          Ψ = f(x) − f* + (γ/θ) G,      E Ψ⁺ <= (1 − γμ) Ψ

    Both hold for EF21-Prox with a convex R, and F = f + R in place of f: the first with
    (x − prox(x − γ∇f(x), γ))/γ in place of ∇f(x), the second for μ-strongly convex f
    (derived, checked). Proof: the inequalities that define the proximal points of g
    and of ∇f(x) add up to F(x⁺) <= F(x) + (γ/2) |g − ∇f(x)|² − (1/(2γ) − L/2)
    |x⁺ − x|² less the gain, as they do for R = 0.

    Args:
      step_size: γ, at most `ef21_step_size` of the same class.
      alpha: of the compressor.
      strong_convexity: μ of strong convexity or PŁ; None for the nonconvex form.

    Returns:
      The weight of G, and the contraction: 1 in the nonconvex form.

    Reference: arXiv:2106.05203 (read and checked).
    """
    gamma = inputs.positive("step_size", step_size)
    theta = ef21_constants(alpha).theta
    if strong_convexity is None:
        return Lyapunov(gamma / (2 * theta), 1.0)
    mu = inputs.positive("strong_convexity", strong_convexity)
    return Lyapunov(gamma / theta, 1 - gamma * mu)


def ef21_bound(num_updates, alpha, *, step_size, initial_gap, initial_error) -> float:
    """What E|∇f(x̂)|² of EF21 is at most, x̂ uniform over T nonconvex updates.

        2Δ/(γT) + G⁰/(θT)

    Args:
      num_updates: T.
      alpha: of the compressor.
      step_size: γ, at most `ef21_step_size`.
      initial_gap: Δ = f(x⁰) − inf f.
      initial_error: G⁰ = (1/n) Σᵢ |gᵢ⁰ − ∇fᵢ(x⁰)|².

    Reference: arXiv:2106.05203 (read and checked).
    """
    gamma = inputs.positive("step_size", step_size)
    gap = inputs.nonnegative("initial_gap", initial_gap)
    error = inputs.nonnegative("initial_error", initial_error)
    total = 2 * gap / gamma + error / ef21_constants(alpha).theta
    return total / inputs.count("num_updates", num_updates)


def diana_lyapunov(step_size, omega, *, num_workers, strong_convexity) -> Lyapunov:
    """What DIANA contracts, for convex fᵢ and μ-strongly convex f.

        Ψ = |x − x*|² + w (1/n) Σᵢ |hᵢ − ∇fᵢ(x*)|²,    w = 4γ² ω(1+ω)/n
        E Ψ⁺ <= max {1 − γμ, 1 − 1/(2(1+ω))} Ψ

    Args:
      step_size: γ, at most that of `diana`; the shift step is 1/(1+ω).
      omega: of the unbiased compressors, independent between workers.
      num_workers: n.
      strong_convexity: μ.

    Returns:
      The weight w, and the contraction.

    Reference: arXiv:1901.09269, arXiv:1904.05115. Deviation: w and the contraction
    are derived here, for the step size of `diana`.
    """
    gamma = inputs.positive("step_size", step_size)
    noise = inputs.nonnegative("omega", omega)
    mu = inputs.positive("strong_convexity", strong_convexity)
    n = inputs.count("num_workers", num_workers)
    weight = 4 * gamma**2 * noise * (1 + noise) / n
    return Lyapunov(weight, max(1 - gamma * mu, 1 - 1 / (2 * (1 + noise))))


def rand_diana_lyapunov(
    step_size, omega, *, num_workers, probability, strong_convexity
) -> Lyapunov:
    """What Rand-DIANA contracts, for convex fᵢ and μ-strongly convex f.

        Ψ = |x − x*|² + w (1/n) Σᵢ |hᵢ − ∇fᵢ(x*)|²,    w = 4γ² ω/(np)
        E Ψ⁺ <= max {1 − γμ, 1 − p/2} Ψ

    Proof: as for DIANA; a shift is ∇fᵢ(x) with probability p, and otherwise itself.

    Args:
      step_size: γ, at most `rand_diana_step_size`.
      omega: of the unbiased compressors, independent between workers.
      num_workers: n.
      probability: p, of a refresh.
      strong_convexity: μ.

    Returns:
      The weight w, and the contraction.

    Reference: arXiv:2206.10452 for the method (derived, checked in exact expectation).
    """
    gamma = inputs.positive("step_size", step_size)
    noise = inputs.nonnegative("omega", omega)
    mu = inputs.positive("strong_convexity", strong_convexity)
    n = inputs.count("num_workers", num_workers)
    p = inputs.probability("probability", probability)
    return Lyapunov(4 * gamma**2 * noise / (n * p), max(1 - gamma * mu, 1 - p / 2))
