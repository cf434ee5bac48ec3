"""Convex functions: prescribed parameters of methods that collect batches.

For convex f with a minimiser x*, R = |x⁰ − x*|, and E|∇f(x;ξ) − ∇f(x)|² <= σ². The
target is E f(x̂) − f* <= ε. Times are in `convex_times`.
"""

import math

from . import inputs
from .asynchronous import BatchParameters


def accelerated_rennala(smoothness, variance, *, accuracy, distance) -> BatchParameters:
    """Accelerated Rennala: Rennala's batches at the extrapolated points of AC-SA.

        α_(k+1) = 2/(k+2),    γ_(k+1) = γ (k+1),    u⁰ = x⁰
        y^(k+1) = (1 − α_(k+1)) xᵏ + α_(k+1) uᵏ,    g = mean of S gradients at y^(k+1)
        u^(k+1) = uᵏ − γ_(k+1) g,    x^(k+1) = (1 − α_(k+1)) xᵏ + α_(k+1) u^(k+1)

        S = max {⌈σ²R / (ε^(3/2) √L)⌉, 1},    K = ⌈8 √L R / √ε⌉,
        γ = min {1/(4L), √(3R²S / (4σ² (K+1) (K+2)²))}

    Args:
      smoothness: L.
      variance: σ² of one gradient.
      accuracy: ε, for E f(x^K) − f*.
      distance: R.

    Returns:
      The step size is γ: update k from 0 on steps with γ (k+1). It holds for this
      `num_updates`.

    Reference: arXiv:2405.16218, without communication (read). Deviation: where the
    batch is taken is not printed there; only y^(k+1) makes sense.
    """
    smooth = inputs.positive("smoothness", smoothness)
    noise = inputs.nonnegative("variance", variance)
    target = inputs.positive("accuracy", accuracy)
    radius = inputs.positive("distance", distance)
    wanted = noise * radius / (target**1.5 * math.sqrt(smooth))
    size = max(inputs.round_up(wanted), 1)
    k = max(inputs.round_up(8 * math.sqrt(smooth) * radius / math.sqrt(target)), 1)
    step_size = 1 / (4 * smooth)
    if noise > 0:
        longest = 3 * radius**2 * size / (4 * noise * (k + 1) * (k + 2) ** 2)
        step_size = min(step_size, math.sqrt(longest))
    return BatchParameters(step_size, size, k)


def nonsmooth_rennala(lipschitz, variance, *, accuracy, distance) -> BatchParameters:
    """Rennala on a convex f that need not be smooth; the mean iterate is the answer.

        S = max {⌈σ²/M²⌉, 1},    γ = ε / (M² + σ²/S),    K >= 2 M²R²/ε²

    Args:
      lipschitz: M, of f; subgradients are collected.
      variance: σ² of one subgradient.
      accuracy: ε, for E f(mean of xᵏ) − f*.
      distance: R.

    Reference: arXiv:2405.16218, without communication (read).
    """
    steepness = inputs.positive("lipschitz", lipschitz) ** 2
    noise = inputs.nonnegative("variance", variance)
    target = inputs.positive("accuracy", accuracy)
    radius = inputs.positive("distance", distance)
    size = max(inputs.round_up(noise / steepness), 1)
    num_updates = max(inputs.round_up(2 * steepness * radius**2 / target**2), 1)
    return BatchParameters(target / (steepness + noise / size), size, num_updates)


def rennala_interpolation(
    smoothness_max, variance, *, accuracy, strong_convexity
) -> BatchParameters:
    """Rennala on heterogeneous data, which it may use where one point minimises all fᵢ.

        γ = 1/L_max,    S = max {⌈4σ² / (μ L_max ε)⌉, 1},    K = O((L_max/μ) log (R²/ε))

    Without such a point Rennala on heterogeneous data is biased: use `malenia`.

    Args:
      smoothness_max: L_max, the largest smoothness of an fᵢ.
      variance: σ² of one gradient.
      accuracy: ε, for E|x − x*|².
      strong_convexity: μ of the local PŁ condition.

    Returns:
      No `num_updates`: its constant is unknown.

    Reference: Tyurin (2026) (read).
    """
    smooth = inputs.positive("smoothness_max", smoothness_max)
    mu = inputs.positive("strong_convexity", strong_convexity)
    s = inputs.noise_ratio(variance, accuracy)
    size = max(inputs.round_up(4 * s / (mu * smooth)), 1)
    return BatchParameters(1 / smooth, size, None)
