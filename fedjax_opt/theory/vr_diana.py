"""VR-DIANA: unbiased compression and local finite sums, fᵢ = (1/m) Σⱼ fᵢⱼ, at once.

The components fᵢⱼ are convex, f = (1/n) Σᵢ fᵢ is μ-strongly convex. L is the smoothness
of f, L_max the largest of a component.
"""

from typing import NamedTuple

from . import inputs
from .compressed import DianaParameters


class VRDianaLyapunov(NamedTuple):
    """The weights of the distances of shifts and of component gradients; the rate."""

    shift_weight: float
    component_weight: float
    contraction: float


def vr_diana(smoothness, smoothness_max, omega, *, num_workers) -> DianaParameters:
    """VR-DIANA, any probability p of the coin that everybody sees alike.

        1/γ = max {1 − 2/n, 0} L + (6 + 30ω) L_max/n,    a = 1/(1+ω)

    Without compression it is γ of `saga_step_size`. The rate is in `vr_diana_lyapunov`.

    Args:
      smoothness: L.
      smoothness_max: L_max, of the components.
      omega: ω of the unbiased compressors, independent between workers.
      num_workers: n.

    Reference: arXiv:1904.05115 for the method. Deviation: derived here, and checked in
      exact expectation; the bound of the paper, 1/γ = L_max (1 + 36 (1+ω)/n) from
      memory, is stricter.
    """
    n = inputs.count("num_workers", num_workers)
    noise = inputs.nonnegative("omega", omega)
    largest = inputs.positive("smoothness_max", smoothness_max)
    mean = max(1 - 2 / n, 0.0) * inputs.positive("smoothness", smoothness)
    inverse = mean + (6 + 30 * noise) * largest / n
    return DianaParameters(step_size=1 / inverse, shift_step=1 / (1 + noise))


def vr_diana_lyapunov(
    step_size, omega, *, num_workers, probability, strong_convexity
) -> VRDianaLyapunov:
    """What VR-DIANA contracts.

        Ψ = |x − x*|² + u (1/n) Σᵢ |hᵢ − ∇fᵢ(x*)|²
            + v (1/(nm)) Σᵢⱼ |∇fᵢⱼ(w) − ∇fᵢⱼ(x*)|²
        u = 4γ² ω(1+ω)/n,    v = 4γ² (1+5ω)/(np)
        E Ψ⁺ <= max {1 − γμ, 1 − 1/(2(1+ω)), 1 − p/2} Ψ

    Proof: E|g|² = |∇f(x)|² plus 1/n of the mean of (1+ω) Var ĝᵢ + ω |∇fᵢ(x) − hᵢ|², and
    E|hᵢ⁺ − ∇fᵢ(x*)|² <= (1−a) |hᵢ − ∇fᵢ(x*)|² + a E|ĝᵢ − ∇fᵢ(x*)|²; Var ĝᵢ as in
    `saga_lyapunov`.

    Args:
      step_size: γ, at most that of `vr_diana`; the shift step is 1/(1+ω).
      omega: ω.
      num_workers: n.
      probability: p.
      strong_convexity: μ.

    Returns:
      The weights u and v, and the contraction.

    Reference: arXiv:1904.05115 for the method (derived, checked in exact expectation).
    """
    gamma = inputs.positive("step_size", step_size)
    noise = inputs.nonnegative("omega", omega)
    n = inputs.count("num_workers", num_workers)
    p = inputs.probability("probability", probability)
    mu = inputs.positive("strong_convexity", strong_convexity)
    return VRDianaLyapunov(
        shift_weight=4 * gamma**2 * noise * (1 + noise) / n,
        component_weight=4 * gamma**2 * (1 + 5 * noise) / (n * p),
        contraction=max(1 - gamma * mu, 1 - 1 / (2 * (1 + noise)), 1 - p / 2),
    )
