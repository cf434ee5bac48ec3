"""DASHA-PP, each worker there with probability p, and DASHA with synchronised rounds.

L is the smoothness of f = (1/n) Σᵢ fᵢ, Lᵢ of fᵢ, L̂ = √((1/n) Σᵢ Lᵢ²), and L_σ of the
noise: E|∇fᵢ(x; ξ) − ∇fᵢ(y; ξ) − ∇fᵢ(x) + ∇fᵢ(y)|² <= L_σ² |x − y|² on average over i.
Compressors are unbiased with omega and independent between workers, W = ω(2ω+1). The
tracking step is a = 1/(2ω+1), b = 1 − β the momentum step, B samples make a gradient.

All is derived here: E|g − ∇f(x)|² is bounded by twice |g − h|² and |h − ∇f(x)|², both
of which contract but for a multiple of |x⁺ − x|². f may be nonconvex.
"""

import math
from typing import NamedTuple

from . import inputs
from .marina import DashaParameters


class DashaPPWeights(NamedTuple):
    """The weights of Ψ in `dasha_pp_lyapunov`.

    Attributes:
      mean, each: of |g − h|² and of (1/n) Σᵢ |gᵢ − hᵢ|².
      local_mean, local_each: of |h − ∇f(x)|² and of (1/n) Σᵢ |hᵢ − ∇fᵢ(x)|².
    """

    mean: float
    each: float
    local_mean: float
    local_each: float


def dasha_pp(
    smoothness, smoothness_mean_square, omega, *, num_workers, probability
) -> DashaParameters:
    """DASHA-PP with full gradients and b = p/(2−p).

        1/γ = L + L̂ √((4−3p)/(2−p) · (16W + 4(1−p)(2−p))/(np²))

    Workers come independently. E|∇f(x̂)|² <= 2Δ/(γT) from gᵢ⁰ = hᵢ⁰ = ∇fᵢ(x⁰). p = 1 is
    `dasha`.

    Args:
      smoothness: L.
      smoothness_mean_square: L̂.
      omega: ω.
      num_workers: n.
      probability: p.

    Returns:
      γ, and a.

    Reference: arXiv:2205.15580, whose root is of (48W + 16(1−p))/(np²) from memory,
      which is never smaller. Deviation: derived here, checked in exact expectation.
    """
    p = inputs.probability("probability", probability)
    square = inputs.positive("smoothness_mean_square", smoothness_mean_square) ** 2
    return _partial(
        smoothness,
        omega,
        num_workers,
        p,
        step=p / (2 - p),
        message=2 * square,
        local=2 * (1 - p) * square,
    )


def dasha_pp_page(
    smoothness,
    smoothness_mean_square,
    sample_smoothness,
    omega,
    *,
    num_workers,
    probability,
    refresh_probability,
    batch_size=1,
) -> DashaParameters:
    """DASHA-PP-PAGE with b = p/(2−p) in rounds of full gradients, of probability q.

        K = (1+q) L̂² + (1−q) L_σ²/B,    R = (1+q)(1−p) L̂² + (1−q) L_σ²/B
        1/γ = L + √(8WK/(np²) + (2R/(np²)) ((4−3p)/q + 8W/(2−p)))

    q = 1 is `dasha_pp`.

    Args:
      smoothness: L.
      smoothness_mean_square: L̂.
      sample_smoothness: L_σ of single components, drawn with replacement; the largest
        smoothness of one is never smaller.
      omega: ω.
      num_workers: n.
      probability: p.
      refresh_probability: q, of the coin that everybody sees alike.
      batch_size: B.

    Returns:
      γ, and a.

    Reference: arXiv:2205.15580 for the method. Deviation: derived here, and checked in
      exact expectation.
    """
    p = inputs.probability("probability", probability)
    q = inputs.probability("refresh_probability", refresh_probability)
    square = inputs.positive("smoothness_mean_square", smoothness_mean_square) ** 2
    sampling = (1 - q) * _sampling(sample_smoothness, batch_size)
    return _partial(
        smoothness,
        omega,
        num_workers,
        p,
        step=p / (2 - p),
        refresh=q,
        message=(1 + q) * square + sampling,
        local=(1 + q) * (1 - p) * square + sampling,
    )


def dasha_pp_mvr(
    smoothness,
    smoothness_mean_square,
    sample_smoothness,
    omega,
    *,
    num_workers,
    probability,
    momentum,
    batch_size=1,
) -> DashaParameters:
    """DASHA-PP-MVR, b = 1 − β at most p/(2−p).

        K = 2 L̂² + 2 L_σ²/B,    R = 2(1−p) L̂² + 2 L_σ²/B
        1/γ = L + √(8WK/(np²) + (2R/(np)) (1/b + 2(1−p)/p + 8Wb/p²))

    What the noise adds is in `dasha_pp_lyapunov`.

    Args:
      smoothness: L.
      smoothness_mean_square: L̂.
      sample_smoothness: L_σ; 0 for additive noise.
      omega: ω.
      num_workers: n.
      probability: p.
      momentum: β = 1 − b.
      batch_size: B.

    Returns:
      γ, and a.

    Raises:
      ValueError: if b is above p/(2−p).

    Reference: arXiv:2205.15580 for the method. Deviation: derived here, and checked in
      exact expectation.
    """
    p = inputs.probability("probability", probability)
    square = inputs.positive("smoothness_mean_square", smoothness_mean_square) ** 2
    sampling = 2 * _sampling(sample_smoothness, batch_size)
    return _partial(
        smoothness,
        omega,
        num_workers,
        p,
        step=_momentum_step(momentum, p),
        message=2 * square + sampling,
        local=2 * (1 - p) * square + sampling,
    )


def dasha_pp_lyapunov(
    step_size,
    omega,
    *,
    num_workers,
    probability,
    refresh_probability=1.0,
    momentum=None,
) -> DashaPPWeights:
    """What DASHA-PP, DASHA-PP-PAGE and DASHA-PP-MVR decrease.

        Ψ = f(x) + u |g − h|² + u' (1/n) Σᵢ |gᵢ − hᵢ|²
            + v |h − ∇f(x)|² + v' (1/n) Σᵢ |hᵢ − ∇fᵢ(x)|²
        u = γ(2ω+1)/p,                   u' = u (1 − pa)/n
        v = γ/(qb),                      v' = (b/p) (4ω(u/n + u') + 2(1−p) v/n)
        E Ψ⁺ <= Ψ − (γ/2) |∇f(x)|²
                + (2b²σ²/(pB)) (2ω(u/n + u') + v/n + v')

    The last line is of DASHA-PP-MVR with noise of variance σ², and 0 for the others.

    Args:
      step_size: γ, at most that of the method.
      omega: ω.
      num_workers: n.
      probability: p.
      refresh_probability: q of DASHA-PP-PAGE, 1 for the others.
      momentum: β = 1 − b; by default b = p/(2−p).

    Reference: arXiv:2205.15580 for the methods (derived, checked in exact expectation).
    """
    gamma = inputs.positive("step_size", step_size)
    noise = inputs.nonnegative("omega", omega)
    n = inputs.count("num_workers", num_workers)
    p = inputs.probability("probability", probability)
    q = inputs.probability("refresh_probability", refresh_probability)
    b = p / (2 - p) if momentum is None else _momentum_step(momentum, p)
    mean = gamma * (2 * noise + 1) / p
    each = mean * (1 - p / (2 * noise + 1)) / n
    local = gamma / (q * b)
    drift = 4 * noise * (mean / n + each) + 2 * (1 - p) * local / n
    return DashaPPWeights(mean, each, local, b / p * drift)


def dasha_sync_mvr(
    smoothness,
    smoothness_mean_square,
    sample_smoothness,
    omega,
    *,
    num_workers,
    probability,
    batch_size=1,
) -> DashaParameters:
    """DASHA-SYNC-MVR, in which with probability p all send their full gradients.

        c = p + a(1−p)
        1/γ = L + √(2(1−p) (4ω (L̂² + L_σ²/B)/(cn) + L_σ²/(pnB)))

    E|∇f(x̂)|² <= 2Δ/(γT). p = 1 is gradient descent.

    Args:
      smoothness: L.
      smoothness_mean_square: L̂.
      sample_smoothness: L_σ.
      omega: ω.
      num_workers: n.
      probability: p, of the coin that everybody sees alike.
      batch_size: B, with replacement.

    Returns:
      γ, and a.

    Reference: arXiv:2202.01268 for the method, whose synchronised gradients are large
      batches. Deviation: derived here for full local gradients, and checked in exact
      expectation.
    """
    p = inputs.probability("probability", probability)
    noise = inputs.nonnegative("omega", omega)
    n = inputs.count("num_workers", num_workers)
    square = inputs.positive("smoothness_mean_square", smoothness_mean_square) ** 2
    sampling = _sampling(sample_smoothness, batch_size)
    a = 1 / (2 * noise + 1)
    messages = 4 * noise * (square + sampling) / (p + a * (1 - p))
    drift = 2 * (1 - p) * (messages + sampling / p) / n
    smooth = inputs.positive("smoothness", smoothness)
    return DashaParameters(1 / (smooth + math.sqrt(drift)), a)


def dasha_sync_mvr_lyapunov(
    step_size, omega, *, num_workers, probability
) -> DashaPPWeights:
    """What DASHA-SYNC-MVR decreases: Ψ of `dasha_pp_lyapunov` with other weights.

        u = γ/c,    u' = (1−p) a(1−a) u/(cn),    v = γ/p,    v' = 0,    c = p + a(1−p)
        E Ψ⁺ <= Ψ − (γ/2) |∇f(x)|²

    Args:
      step_size: γ, at most that of `dasha_sync_mvr`.
      omega: ω.
      num_workers: n.
      probability: p.

    Reference: arXiv:2202.01268 for the method (derived, checked in exact expectation).
    """
    gamma = inputs.positive("step_size", step_size)
    n = inputs.count("num_workers", num_workers)
    p = inputs.probability("probability", probability)
    a = 1 / (2 * inputs.nonnegative("omega", omega) + 1)
    c = p + a * (1 - p)
    each = (1 - p) * a * (1 - a) * gamma / (c * c * n)
    return DashaPPWeights(gamma / c, each, gamma / p, 0.0)


def _sampling(sample_smoothness, batch_size) -> float:
    """L_σ²/B."""
    noise = inputs.nonnegative("sample_smoothness", sample_smoothness)
    return noise**2 / inputs.count("batch_size", batch_size)


def _momentum_step(momentum, p) -> float:
    """b = 1 − β, refused above p/(2−p)."""
    b = inputs.probability("1 - momentum", 1 - momentum)
    if b > p / (2 - p) * (1 + 1e-12):
        raise ValueError(
            f"momentum must be at least {1 - p / (2 - p)}, 1 − p/(2−p); got {momentum}"
        )
    return b


def _partial(
    smoothness, omega, num_workers, p, *, step, message, local, refresh=1.0
) -> DashaParameters:
    """γ from K, what |kᵢ|² adds, and R, p times what the variance of kᵢ/p adds."""
    noise = inputs.nonnegative("omega", omega)
    n = inputs.count("num_workers", num_workers)
    w = noise * (2 * noise + 1)
    of_local = 1 / (refresh * step) + 2 * (1 - p) / (refresh * p) + 8 * w * step / p**2
    drift = 8 * w * message / (n * p**2) + 2 * local / (n * p) * of_local
    smooth = inputs.positive("smoothness", smoothness)
    return DashaParameters(1 / (smooth + math.sqrt(drift)), 1 / (2 * noise + 1))
