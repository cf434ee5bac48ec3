"""Local finite sums, fᵢ = (1/m) Σⱼ fᵢⱼ: variance reduction and random reshuffling.

L_max is the largest smoothness of a component fᵢⱼ. That of f, or of fᵢ, is not enough.
"""

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
