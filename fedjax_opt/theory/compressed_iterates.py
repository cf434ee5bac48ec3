"""GDCI and VR-GDCI: the step sizes of methods that compress iterates.

fᵢ are convex, f = (1/n) Σᵢ fᵢ is μ-strongly convex. L is the smoothness of f, L_max the
largest of a fᵢ, and Tᵢ(x) = x − γ∇fᵢ(x). Compressors are unbiased with omega and
independent between workers.
"""

from typing import NamedTuple

from . import inputs
from .rates import Lyapunov


class GDCIParameters(NamedTuple):
    """γ, and the share η of the way to the mean of the messages."""

    step_size: float
    mixing: float


def gdci(
    smoothness, smoothness_max, omega, *, num_workers, strong_convexity
) -> GDCIParameters:
    """GDCI: long local steps, of which little is taken.

        γ = 1/μ,    1/η = L/μ + (2ω/n) (L_max/μ − 1)
        E|x⁺ − x*|² <= (1−η) |x − x*|² + η² (2ω/n) (1/n) Σᵢ |Tᵢ(x*)|²

    so that |x − x*|² ends at η (2ω/n) (1/n) Σᵢ |Tᵢ(x*)|² at most. The same holds with
    any smaller η. Without compression ηγ = 1/L.

    Proof: |Tᵢ(x)|² <= 2|Tᵢ(x) − Tᵢ(x*)|² + 2|Tᵢ(x*)|², and |∇f(x)|² + (2ω/n) (1/n) Σᵢ
    |∇fᵢ(x) − ∇fᵢ(x*)|² <= (L + (2ω/n) L_max) ⟨∇f(x), x − x*⟩.

    Args:
      smoothness: L.
      smoothness_max: L_max.
      omega: ω.
      num_workers: n.
      strong_convexity: μ.

    Reference: arXiv:2206.10452 (from memory; derived, and checked in exact
      expectation).
    """
    noise = 2 * inputs.nonnegative("omega", omega)
    return _long_steps(smoothness, smoothness_max, noise, num_workers, strong_convexity)


def vr_gdci(
    smoothness, smoothness_max, omega, *, num_workers, strong_convexity
) -> GDCIParameters:
    """VR-GDCI, with shift step a = 1/(1+ω); converges to x* itself.

        γ = 1/μ,    1/η = L/μ + (6ω/n) (L_max/μ − 1)

    The same holds with any smaller η. The rate is in `vr_gdci_lyapunov`.

    Args:
      smoothness: L.
      smoothness_max: L_max.
      omega: ω.
      num_workers: n.
      strong_convexity: μ.

    Reference: arXiv:2206.10452 (from memory; derived, and checked in exact
      expectation).
    """
    noise = 6 * inputs.nonnegative("omega", omega)
    return _long_steps(smoothness, smoothness_max, noise, num_workers, strong_convexity)


def vr_gdci_lyapunov(mixing, omega, *, num_workers) -> Lyapunov:
    """What VR-GDCI contracts.

        Ψ = |x − x*|² + w (1/n) Σᵢ |hᵢ − Tᵢ(x*)|²,    w = 4η² ω(1+ω)/n
        E Ψ⁺ <= max {1 − η, 1 − 1/(2(1+ω))} Ψ

    Proof: as that of `gdci`, with Tᵢ(x) − hᵢ in place of Tᵢ(x); the shifts have
    E|hᵢ⁺ − Tᵢ(x*)|² <= (1−a) |hᵢ − Tᵢ(x*)|² + a |Tᵢ(x) − Tᵢ(x*)|².

    Args:
      mixing: η, at most that of `vr_gdci`.
      omega: ω.
      num_workers: n.

    Returns:
      The weight w, and the contraction.

    Reference: arXiv:2206.10452 for the method (derived, checked in exact expectation).
    """
    eta = inputs.probability("mixing", mixing)
    noise = inputs.nonnegative("omega", omega)
    n = inputs.count("num_workers", num_workers)
    weight = 4 * eta**2 * noise * (1 + noise) / n
    return Lyapunov(weight, max(1 - eta, 1 - 1 / (2 * (1 + noise))))


def _long_steps(smoothness, largest, noise, num_workers, strong_convexity):
    """γ = 1/μ and 1/η = L/μ + (noise/n) (L_max/μ − 1)."""
    mu = inputs.positive("strong_convexity", strong_convexity)
    condition = inputs.positive("smoothness", smoothness) / mu
    worst = inputs.positive("smoothness_max", largest) / mu
    if min(condition, worst) < 1 - 1e-12:
        raise ValueError(
            f"strong_convexity must be at most smoothness and smoothness_max; got {mu}"
        )
    share = noise / inputs.count("num_workers", num_workers)
    inverse = max(condition, 1.0) + share * max(worst - 1, 0.0)
    return GDCIParameters(1 / mu, 1 / inverse)
