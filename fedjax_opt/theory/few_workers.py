"""COFIG and FRECON, where few workers send at a time: step sizes.

Lᵢ is the smoothness of fᵢ, L_max = maxᵢ Lᵢ; s of n workers send in a round.
"""

import math
from typing import NamedTuple

from . import inputs
from .compressed import DianaParameters


class FreconParameters(NamedTuple):
    """γ, the weight λ of what shifts say, and the step a of hᵢ ← hᵢ + a · messageᵢ."""

    step_size: float
    momentum: float
    shift_step: float


def cofig(smoothness_max, omega, *, num_workers, count) -> DianaParameters:
    """COFIG, for nonconvex fᵢ.

        γ = min {1/(2L), s/(5L(1+ω) n^{2/3}), s/(5L(1+ω)^{3/2} n^{1/2})},   L = L_max
        a = 1/(1+ω)

    E|∇f(x̂)|² <= 2Δ/(γT), x̂ uniform over T updates.

    Args:
      smoothness_max: L_max.
      omega: of the unbiased compressors, independent between workers.
      num_workers: n.
      count: s.

    Reference: arXiv:2112.13097 (read in public code, whose last exponent has a slip of
      operator precedence: (1+ω)³/2; it is corrected here). A form for convex fᵢ is not
      recorded.
    """
    noise, n, s = _sizes(omega, num_workers, count)
    smooth = inputs.positive("smoothness_max", smoothness_max)
    slowest = max(noise * n ** (2 / 3), noise**1.5 * n**0.5)
    return DianaParameters(min(1 / 2, s / (5 * slowest)) / smooth, 1 / noise)


def frecon(smoothness_max, omega, *, num_workers, count) -> FreconParameters:
    """FRECON, for nonconvex fᵢ.

        γ = 1/(L_max (1 + √(10 (1+ω)² n/s²))),   λ = s/(2(1+ω)n),   a = 1/(1+ω)

    Args:
      smoothness_max: L_max.
      omega: of the unbiased compressors, independent between workers.
      num_workers: n.
      count: s.

    Reference: arXiv:2112.13097 (read in public code).
    """
    noise, n, s = _sizes(omega, num_workers, count)
    smooth = inputs.positive("smoothness_max", smoothness_max)
    return FreconParameters(
        step_size=1 / (smooth * (1 + math.sqrt(10 * n) * noise / s)),
        momentum=s / (2 * noise * n),
        shift_step=1 / noise,
    )


def _sizes(omega, num_workers, count) -> tuple[float, int, int]:
    """1 + ω, n and s."""
    n, s = inputs.count("num_workers", num_workers), inputs.count("count", count)
    if s > n:
        raise ValueError(f"count must be at most num_workers = {n}; got {s}.")
    return 1 + inputs.nonnegative("omega", omega), n, s
