"""γ-MVR: how much of the correction to keep, and the steps that go with it.

    g ← (1 − b)(g + γΔ) + b ∇f(x⁺; ξ),   Δ = ∇f(x⁺; ξ) − ∇f(x; ξ),   x ← x − ηg

Similarity: E|∇f(x;ξ) − ∇f(y;ξ) − (∇f(x) − ∇f(y))|² <= δ² |x − y|², and δ_γ likewise
with γ(∇f(x;ξ) − ∇f(y;ξ)) in the first difference. Shulgin, Gadaev, Khirirat, Richtárik
(2026), PMLR 306.
"""

import math
from typing import NamedTuple

from . import inputs


class GammaMVRParameters(NamedTuple):
    """Of γ-MVR.

    Attributes:
      step_size: η.
      momentum: 1 − b, the weight of the old estimate.
      first_batch_size: gradients at x⁰, whose mean is the first.
      num_updates: T that suffice.
    """

    step_size: float
    momentum: float
    first_batch_size: int
    num_updates: int | None


def best_gamma(smoothness, similarity) -> float:
    """γ* = L²/(δ² + L²), at which the bound of `gamma_similarity` is least.

    Args:
      smoothness: L of f.
      similarity: δ.
    """
    smooth = inputs.positive("smoothness", smoothness) ** 2
    return smooth / (inputs.nonnegative("similarity", similarity) ** 2 + smooth)


def gamma_similarity(gamma, smoothness, similarity) -> float:
    """δ_γ: no more than √(γ²δ² + (1−γ)²L²), which is returned.

    Args:
      gamma: γ in [0, 1].
      smoothness: L of f.
      similarity: δ.
    """
    kept = inputs.share("gamma", gamma)
    smooth = inputs.positive("smoothness", smoothness)
    return math.hypot(
        kept * inputs.nonnegative("similarity", similarity), (1 - kept) * smooth
    )


def gamma_mvr(
    smoothness, variance, *, gamma, gamma_similarity, accuracy, initial_gap=None
) -> GammaMVRParameters:
    """Parameters with which E|∇f(x̂)|² <= 4ε², x̂ one of the T points by chance.

        b = min {1, ε²/σ²},   ⌈1/b⌉ gradients at first,   η = 1/(L + √a),
        a = (1/b) ((1−b)² (γ−1)² L²/b + 2 (1−b)² δ_γ²),
        T = ⌈2Δ/(ηε²) + σ²/ε²⌉

    Args:
      smoothness: L of f.
      variance: σ² of one gradient.
      gamma: γ in [0, 1].
      gamma_similarity: δ_γ.
      accuracy: ε, a bound on half the norm, not on its square.
      initial_gap: Δ = f(x⁰) − f*.

    Deviation: the paper has (1−b)³ in the first term of a. Young's inequality gives the
      square, and steps that are a little shorter.
    """
    smooth = inputs.positive("smoothness", smoothness)
    target = inputs.positive("accuracy", accuracy) ** 2
    noise = inputs.nonnegative("variance", variance) / target
    b = 1 / max(1.0, noise)
    drift = (inputs.share("gamma", gamma) - 1) ** 2 * smooth**2 / b
    spread = 2 * inputs.nonnegative("gamma_similarity", gamma_similarity) ** 2
    step_size = 1 / (smooth + math.sqrt((1 - b) ** 2 * (drift + spread) / b))
    num_updates = None
    if initial_gap is not None:
        gap = inputs.positive("initial_gap", initial_gap)
        num_updates = inputs.round_up(2 * gap / (step_size * target) + noise)
    return GammaMVRParameters(step_size, 1 - b, inputs.round_up(1 / b), num_updates)


def gamma_mvr_of_horizon(
    smoothness, variance, *, gamma, gamma_similarity, initial_gap, num_updates
) -> GammaMVRParameters:
    """The same where the number of updates is given, and not the accuracy.

        b = √(|γ−1| LΔ/(σ²T)) + 2^(−1/3) (δ_γ Δ/(σ²T))^(2/3),   at most 1
        η = 1/(L + |γ−1| L/b + √2 δ_γ/√b)

    Args:
      smoothness, variance, gamma, gamma_similarity, initial_gap: as for `gamma_mvr`;
        of γ < 1 and δ_γ > 0 at least one.
      num_updates: T.
    """
    smooth = inputs.positive("smoothness", smoothness)
    gap = inputs.positive("initial_gap", initial_gap)
    updates = inputs.count("num_updates", num_updates)
    per_update = gap / (inputs.positive("variance", variance) * updates)
    lag = (1 - inputs.share("gamma", gamma)) * smooth
    spread = inputs.nonnegative("gamma_similarity", gamma_similarity)
    b = math.sqrt(lag * per_update) + 2 ** (-1 / 3) * (spread * per_update) ** (2 / 3)
    b = min(1.0, inputs.positive("b", b))
    step_size = 1 / (smooth + lag / b + math.sqrt(2 / b) * spread)
    return GammaMVRParameters(step_size, 1 - b, inputs.round_up(1 / b), updates)
