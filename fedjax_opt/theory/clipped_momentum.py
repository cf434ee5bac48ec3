"""Clip21-SGD2M with full gradients and no noise; f may be nonconvex."""

import math
from typing import NamedTuple

from . import inputs


class Clip21SGD2MParameters(NamedTuple):
    """γ, and K: the rounds after which nothing is clipped any more."""

    step_size: float
    clipped_rounds: int


class Clip21SGD2MWeights(NamedTuple):
    """The weights of |v − ∇f(x)|² and of |g − v|², v being the mean of the vᵢ."""

    momentum: float
    estimate: float


def clip21_sgd2m_step_size(smoothness, *, momentum, estimate_step) -> float:
    """γ₀ of Clip21-SGD2M without noise where nothing is clipped; with η = 1 − β

        1/γ₀ = L (1 + √(2β²/η² + 4(β²+η²)(1−b)²/b²))

    What decreases is in `clip21_sgd2m_lyapunov`.

    Args:
      smoothness: L.
      momentum: β, in [0, 1).
      estimate_step: b, in (0, 1].

    Reference: arXiv:2502.11682 for the method (derived, checked).
    """
    eta = inputs.probability("1 - momentum", 1 - float(momentum))
    b = inputs.probability("estimate_step", estimate_step)
    square = (1 - eta) ** 2
    lags = 2 * square / eta**2 + 4 * (square + eta**2) * (1 - b) ** 2 / b**2
    return 1 / (inputs.positive("smoothness", smoothness) * (1 + math.sqrt(lags)))


def clip21_sgd2m(
    smoothness,
    smoothness_max,
    *,
    threshold,
    momentum,
    estimate_step,
    gradient_norm,
    initial_gap,
) -> Clip21SGD2MParameters:
    """Clip21-SGD2M without noise, from vᵢ = gᵢ = 0; with η = 1 − β and δ = bτ/4

        K' = least k with β^k ηG <= δ,    K = K' + ⌈max {G − τ, βG}/(2δ)⌉, 0 if K' = 0
        M = G + Kδ,    γ₁ = min {γ₀, δ/(L_max M)},    P = βG + βδ/η,    Q = (1−b)τ
        S = √(2L (Δ + γ₁ (3KM²/2 + a P² + Q²/b))) + P + Q
        γ = min {γ₁, δ/(L_max S)}

    with γ₀ of `clip21_sgd2m_step_size` and a of `clip21_sgd2m_lyapunov`.

    From round K of 0, 1, ... on nothing is clipped, and it decreases the function of
    the latter. Proof: while no step moves a gradient by more than δ, vᵢ moves by at
    most β^k ηG + δ, so that from K' on residuals above τ fall by 2δ a round; before,
    |vᵢ − gᵢ| + β^{k+1} G is at most max {G, τ + βG}. A step is at most γM before K, for
    gᵢ is a convex combination of 0 and gradients seen, and then γS. It is cautious: on
    random quadratics steps ten times as long mostly kept it.

    Args:
      smoothness: L.
      smoothness_max: L_max.
      threshold: τ.
      momentum: β, in [0, 1).
      estimate_step: b, in (0, 1].
      gradient_norm: G, at least maxᵢ |∇fᵢ(x⁰)|.
      initial_gap: Δ = f(x⁰) − inf f.

    Reference: arXiv:2502.11682 for the method (derived, checked). Deviation: the
      theorems of the paper cover noise.
    """
    eta = inputs.probability("1 - momentum", 1 - float(momentum))
    b = inputs.probability("estimate_step", estimate_step)
    beta, limit = 1 - eta, inputs.positive("threshold", threshold)
    move = b * limit / 4
    norm = inputs.nonnegative("gradient_norm", gradient_norm)
    smooth = inputs.positive("smoothness", smoothness)
    largest = inputs.positive("smoothness_max", smoothness_max)
    excess = max(norm - limit, beta * norm)
    rounds = _clipped_rounds(beta, eta * norm / move, excess / (2 * move))
    seen = norm + rounds * move
    options = {"momentum": beta, "estimate_step": b}
    first = clip21_sgd2m_step_size(smooth, **options)
    first = min(first, move / (largest * seen) if seen else math.inf)
    errors = (beta * (norm + move / eta), (1 - b) * limit)
    weights = clip21_sgd2m_lyapunov(first, **options)
    gap = inputs.nonnegative("initial_gap", initial_gap)
    gap += 1.5 * first * rounds * seen**2
    gap += weights.momentum * errors[0] ** 2 + weights.estimate * errors[1] ** 2
    later = math.sqrt(2 * smooth * gap) + sum(errors)
    slow = move / (largest * later) if later else math.inf
    return Clip21SGD2MParameters(min(first, slow), rounds)


def clip21_sgd2m_lyapunov(step_size, *, momentum, estimate_step) -> Clip21SGD2MWeights:
    """What Clip21-SGD2M decreases while it clips nothing, with full gradients.

        Ψ = f(x) + γa |v − ∇f(x)|² + (γ/b) |g − v|²,    a = 1/η + 2η(1−b)²/b²
        Ψ⁺ <= Ψ − (γ/2) |∇f(x)|²

    Proof: v⁺ − ∇f(x⁺) = β (v − ∇f(x⁺)), and g⁺ − v⁺ = (1−b) (g − v⁺).

    Args:
      step_size: γ, at most `clip21_sgd2m_step_size`.
      momentum: β = 1 − η.
      estimate_step: b.

    Reference: arXiv:2502.11682 for the method (derived, checked).
    """
    gamma = inputs.positive("step_size", step_size)
    eta = inputs.probability("1 - momentum", 1 - float(momentum))
    b = inputs.probability("estimate_step", estimate_step)
    lag = (1 - b) ** 2 / b**2
    return Clip21SGD2MWeights(gamma * (1 / eta + 2 * eta * lag), gamma / b)


def _clipped_rounds(beta, ratio, falls) -> int:
    """The least k with β^k · ratio <= 1 plus ⌈falls⌉, or 0 where that k is 0."""
    if ratio <= 1:
        return 0
    settling = inputs.round_up(math.log(ratio) / -math.log(beta)) if beta else 1
    return max(settling, 1) + inputs.round_up(falls)
