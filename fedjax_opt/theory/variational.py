"""Step sizes of methods for variational inequalities.

Find z with F(z) = 0, F = (1/n) Σᵢ Fᵢ monotone, Fᵢ Lᵢ-Lipschitz; L̂ = √((1/n) Σᵢ Lᵢ²).
"""

import math

from . import inputs


def masha_step_size(
    smoothness_mean_square,
    num_workers: int,
    *,
    omega,
    omega_server,
    momentum,
    strong_monotonicity=0.0,
) -> float:
    """γ of MASHA1, with unbiased compressors in both directions.

        γ = min {√(1−τ)/(2C_q), (1−τ)/(2μ)},   C_q² = (1+ω_s)(n + ω) L̂²/n

    C_q² is ((1+ω_s)/n²) Σᵢ ((1+ω) Lᵢ² + (n−1) L̂²).

    Args:
      smoothness_mean_square: L̂.
      num_workers: n.
      omega: ω of the workers' compressors.
      omega_server: ω_s of the server's.
      momentum: τ, in [0, 1).
      strong_monotonicity: μ; 0 where F is monotone only.

    Reference: arXiv:2110.03313. Experimental: the constants were written down from
      memory and were not checked against the paper.
    """
    n = inputs.count("num_workers", num_workers)
    noise = inputs.nonnegative("omega", omega)
    down = 1 + inputs.nonnegative("omega_server", omega_server)
    rough = inputs.positive("smoothness_mean_square", smoothness_mean_square)
    mu = inputs.nonnegative("strong_monotonicity", strong_monotonicity)
    away = inputs.probability("1 - momentum", 1 - momentum)
    noisy = math.sqrt(away / (down * (n + noise) / n)) / (2 * rough)
    return min(noisy, away / (2 * mu) if mu else math.inf)
