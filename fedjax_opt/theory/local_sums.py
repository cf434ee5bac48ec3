"""Local finite sums, fᵢ = (1/m) Σⱼ fᵢⱼ: variance reduction and random reshuffling.

L_max is the largest smoothness of a component fᵢⱼ. That of f, or of fᵢ, is not enough.
"""

import math

from . import inputs
from .compressed import DianaParameters
from .rates import Lyapunov


def l_svrg_step_size(smoothness_max) -> float:
    """γ of L-SVRG on one worker, for convex components and strongly convex f.

        γ = 1/(6 L_max)

    It diverges at 1/(6L) with the L of f: f₁ = (mL/2)|x|² and other components 0, at
    m = 100. The rate is in `l_svrg_lyapunov`.

    Args:
      smoothness_max: L_max, of the components.

    Reference: arXiv:1901.08689 (known, checked).
    """
    return 1 / (6 * inputs.positive("smoothness_max", smoothness_max))


def l_svrg_lyapunov(step_size, probability, *, strong_convexity) -> Lyapunov:
    """What L-SVRG contracts on one worker, for convex components and μ-convex f.

        Ψ = |x − x*|² + w (1/m) Σⱼ |∇fⱼ(w) − ∇fⱼ(x*)|²,    w = 4γ²/p
        E Ψ⁺ <= max {1 − γμ, 1 − p/2} Ψ

    Args:
      step_size: γ, at most `l_svrg_step_size`.
      probability: p, with which the reference point moves.
      strong_convexity: μ.

    Returns:
      The weight w, and the contraction.

    Reference: arXiv:1901.08689 (known, checked).
    """
    gamma = inputs.positive("step_size", step_size)
    p = inputs.probability("probability", probability)
    mu = inputs.positive("strong_convexity", strong_convexity)
    return Lyapunov(4 * gamma**2 / p, max(1 - gamma * mu, 1 - p / 2))


def saga_step_size(smoothness, smoothness_max, *, num_workers) -> float:
    """γ of SAGA on n workers, for convex components and strongly convex f.

        1/γ = max {1 − 2/n, 0} L + 6 L_max/n

    One worker has 1/(6 L_max), that of L-SVRG; γ grows with the number of workers, who
    draw their components independently. The rate is in `saga_lyapunov`. L-SVRG on n
    workers, with a coin of probability 1/m, contracts the same function.

    Args:
      smoothness: L, of f.
      smoothness_max: L_max, of the components.
      num_workers: n.

    Reference: arXiv:1407.0202 for the method, whose own bound for one worker and
      strongly convex components is another. Deviation: derived here, and checked in
      exact expectation.
    """
    n = inputs.count("num_workers", num_workers)
    largest = inputs.positive("smoothness_max", smoothness_max)
    return 1 / (_of_mean(smoothness, n) + 6 * largest / n)


def saga_lyapunov(
    step_size, *, num_workers, num_components, strong_convexity
) -> Lyapunov:
    """What SAGA contracts, for convex components and μ-convex f.

        Ψ = |x − x*|² + w (1/(nm)) Σᵢⱼ |Tᵢⱼ − ∇fᵢⱼ(x*)|²,    w = 4mγ²/n
        E Ψ⁺ <= max {1 − γμ, 1 − 1/(2m)} Ψ

    Proof: E|g − ∇f(x)|² is 1/n of the mean variance of ∇fᵢⱼ(x) − Tᵢⱼ, which is at most
    2 (D − |∇f(x)|²) plus twice the sum in Ψ, where D = (1/(nm)) Σᵢⱼ |∇fᵢⱼ(x) −
    ∇fᵢⱼ(x*)|² <= L_max ⟨∇f(x), x − x*⟩.

    Args:
      step_size: γ, at most `saga_step_size`.
      num_workers: n.
      num_components: m, of each worker.
      strong_convexity: μ.

    Returns:
      The weight w, and the contraction.

    Reference: arXiv:1407.0202 for the method (derived, checked in exact expectation).
    """
    gamma = inputs.positive("step_size", step_size)
    n = inputs.count("num_workers", num_workers)
    m = inputs.count("num_components", num_components)
    mu = inputs.positive("strong_convexity", strong_convexity)
    return Lyapunov(4 * m * gamma**2 / n, max(1 - gamma * mu, 1 - 1 / (2 * m)))


def sarah_step_size(
    smoothness,
    sample_smoothness,
    *,
    period,
    num_workers,
    batch_size=1,
    strong_convexity=None,
) -> float:
    """γ of SARAH with a full gradient in one of T rounds.

        D = (T−1) L_σ²/(nB)
        nonconvex:     1/(L + √D)
        μ-PŁ:          min {1/(L + √(2D)), 1/(2(T−1)μ)}

    The rates are in `sarah_lyapunov`.

    Args:
      smoothness: L, of f.
      sample_smoothness: L_σ, the root of the mean over workers of the least Lᵢ² with
        (1/m) Σⱼ |∇fᵢⱼ(x) − ∇fᵢⱼ(y)|² − |∇fᵢ(x) − ∇fᵢ(y)|² <= Lᵢ² |x − y|²; L_max is
        never smaller.
      period: T.
      num_workers: n.
      batch_size: B, drawn with replacement.
      strong_convexity: μ of strong convexity or PŁ; None for the nonconvex form.

    Reference: arXiv:1703.00102 for the method, which draws where it goes on from one
      inner loop to the next. Deviation: derived here for loops that go on from their
      last point, and checked in exact expectation.
    """
    inner = inputs.count("period", period) - 1
    noise = inputs.nonnegative("sample_smoothness", sample_smoothness) ** 2
    draws = inputs.count("num_workers", num_workers)
    draws *= inputs.count("batch_size", batch_size)
    drift = inner * noise / draws
    smooth = inputs.positive("smoothness", smoothness)
    if strong_convexity is None:
        return 1 / (smooth + math.sqrt(drift))
    mu = inputs.positive("strong_convexity", strong_convexity)
    return 1 / max(smooth + math.sqrt(2 * drift), 2 * inner * mu)


def sarah_lyapunov(step_size, *, rounds_left, strong_convexity=None) -> Lyapunov:
    """What SARAH decreases, with v = (1/n) Σᵢ vᵢ, t rounds before the next full one.

        Ψₜ = f(x) − f* + wₜ |v − ∇f(x)|²
        nonconvex:     wₜ = γt/2,                        E Ψₜ₋₁ <= Ψₜ − (γ/2) |∇f(x)|²
        μ-PŁ:          wₜ = (γ/2) Σ_{s=1..t} (1−γμ)^{−s},     E Ψₜ₋₁ <= (1 − γμ) Ψₜ

    A round of full gradients has t = T, and |v − ∇f(x)| = 0; so has Ψ₀, in which w₀ =
    0. Proof: f(x⁺) <= f(x) − (γ/2)|∇f(x)|² − (1/(2γ) − L/2)|x⁺ − x|² + (γ/2)|v −
    ∇f(x)|², and a difference adds at most L_σ²/(nB) |x⁺ − x|² to the last term.

    Args:
      step_size: γ, at most `sarah_step_size` of the same class.
      rounds_left: t.
      strong_convexity: μ of strong convexity or PŁ; None for the nonconvex form.

    Returns:
      The weight wₜ, and the contraction of one round: 1 in the nonconvex form.

    Reference: arXiv:1703.00102 for the method (derived, checked in exact expectation).
    """
    gamma = inputs.positive("step_size", step_size)
    left = inputs.whole("rounds_left", rounds_left)
    if strong_convexity is None:
        return Lyapunov(gamma * left / 2, 1.0)
    contraction = 1 - gamma * inputs.positive("strong_convexity", strong_convexity)
    powers = (contraction**-s for s in range(1, left + 1))
    return Lyapunov(gamma / 2 * sum(powers), contraction)


def q_rr_step_size(smoothness_max, *, omega, num_workers) -> float:
    """γ of Q-RR.

        γ = 1/((1 + 2ω/n) L_max)

    Args:
      smoothness_max: L_max, of the components.
      omega: of the unbiased compressors, independent between workers.
      num_workers: n.

    Reference: arXiv:2206.07021 (read).
    """
    n = inputs.count("num_workers", num_workers)
    noise = inputs.nonnegative("omega", omega)
    smooth = inputs.positive("smoothness_max", smoothness_max)
    return 1 / ((1 + 2 * noise / n) * smooth)


def diana_rr(
    smoothness_max, omega, *, num_workers, num_components, strong_convexity
) -> DianaParameters:
    """DIANA-RR.

        a = 1/(1+ω),    γ = min {a/(2mμ), 1/((1 + 6ω/n) L_max)}

    Args:
      smoothness_max: L_max, of the components.
      omega: of the unbiased compressors, independent between workers.
      num_workers: n.
      num_components: m, of each worker.
      strong_convexity: μ, of the components.

    Reference: arXiv:2206.07021 (read).
    """
    n = inputs.count("num_workers", num_workers)
    m = inputs.count("num_components", num_components)
    noise = inputs.nonnegative("omega", omega)
    smooth = inputs.positive("smoothness_max", smoothness_max)
    mu = inputs.positive("strong_convexity", strong_convexity)
    a = 1 / (1 + noise)
    return DianaParameters(min(a / (2 * m * mu), 1 / ((1 + 6 * noise / n) * smooth)), a)


def _of_mean(smoothness, num_workers) -> float:
    """max {1 − 2/n, 0} L."""
    smooth = inputs.positive("smoothness", smoothness)
    return max(1 - 2 / num_workers, 0.0) * smooth
