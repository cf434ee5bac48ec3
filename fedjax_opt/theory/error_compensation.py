"""EF21-BC, EC-SGD-DIANA and EC-LSVRG-DIANA: step sizes and Lyapunov functions.

L is the smoothness of f = (1/n) Σᵢ fᵢ, Lᵢ of fᵢ, L_max = maxᵢ Lᵢ and L̂ = √((1/n) Σᵢ
Lᵢ²). θ, β and ξ are those of `ef21_constants` for the contractive compressors.
"""

import math
from typing import NamedTuple

from . import inputs
from .rates import ef21_constants


class EF21BCWeights(NamedTuple):
    """The weights of |g − (1/n) Σᵢ gᵢ|² and of (1/n) Σᵢ |gᵢ − ∇fᵢ(x)|²."""

    server: float
    each: float


class ECDianaLyapunov(NamedTuple):
    """The weights of errors, shifts and component gradients, and the contraction."""

    error_weight: float
    shift_weight: float
    component_weight: float
    contraction: float


def ef21_bc_step_size(
    smoothness, smoothness_mean_square, *, alpha, server_alpha
) -> float:
    """γ of EF21-BC, for f that may be nonconvex.

        1/γ = L + L̂ (ξ + η),    η = ξ' √(2 (1 + √(1−α))² (1 + ξ²))

    with ξ of the workers' compressors and ξ' of the server's: of the order of
    L̂/(αα'). Without compression at the server, η = 0, it is that of EF21.

    Args:
      smoothness: L.
      smoothness_mean_square: L̂.
      alpha: α of the workers' compressors.
      server_alpha: α' of the server's.

    Reference: arXiv:2110.03294 for the method and the order. Deviation: the constants
      are derived here (checked).
    """
    workers, server = _ef21_bc_terms(alpha, server_alpha)
    rough = inputs.positive("smoothness_mean_square", smoothness_mean_square)
    smooth = inputs.positive("smoothness", smoothness)
    return 1 / (smooth + rough * (workers + server))


def ef21_bc_lyapunov(step_size, *, alpha, server_alpha) -> EF21BCWeights:
    """What EF21-BC decreases.

        Ψ = f(x) + u |g − (1/n) Σᵢ gᵢ|² + v (1/n) Σᵢ |gᵢ − ∇fᵢ(x)|²
        u = (γ/(2θ')) (ξ+η)/η,    v = (γ/(2θ)) (ξ+η) (1/ξ + η/(1+ξ²))
        E Ψ⁺ <= Ψ − (γ/2) |∇f(x)|²

    with η of `ef21_bc_step_size`. Where a compressor loses nothing its error is 0, and
    so is its weight. Proof: but for drifts the errors contract by 1 − θ' and 1 − θ, and
    messages have (1/n) Σᵢ |mᵢ|² <= 2 (1 + √(1−α))² (1/n) Σᵢ (|gᵢ − ∇fᵢ(x)|² +
    |∇fᵢ(x⁺) − ∇fᵢ(x)|²).

    Args:
      step_size: γ, at most that of `ef21_bc_step_size`.
      alpha: α of the workers' compressors.
      server_alpha: α' of the server's.

    Reference: arXiv:2110.03294 for the method (derived, checked).
    """
    gamma = inputs.positive("step_size", step_size)
    workers, server = _ef21_bc_terms(alpha, server_alpha)
    up, down = ef21_constants(alpha), ef21_constants(server_alpha)
    total = workers + server
    of_server = total / server / (2 * down.theta) if server else 0.0
    of_each = 0.0
    if workers:
        of_each = total * (1 / workers + server / (1 + workers**2)) / (2 * up.theta)
    return EF21BCWeights(gamma * of_server, gamma * of_each)


def ec_diana_step_size(smoothness, smoothness_max, *, alpha) -> float:
    """γ of EC-SGD-DIANA with full gradients, convex fᵢ and strongly convex f.

        1/γ = 2L + 6ξ √(2 L L_max)

    for any shift step a <= 1/(1+ω). The rate is in `ec_diana_lyapunov`.

    Args:
      smoothness: L.
      smoothness_max: L_max.
      alpha: α of the contractive compressors.

    Reference: arXiv:2010.12292 for the method. Deviation: derived here, and checked in
      exact expectation.
    """
    smooth = inputs.positive("smoothness", smoothness)
    largest = inputs.positive("smoothness_max", smoothness_max)
    xi = ef21_constants(alpha).xi
    return 1 / (2 * smooth + 6 * xi * math.sqrt(2 * smooth * largest))


def ec_lsvrg_diana_step_size(
    smoothness, smoothness_max, *, alpha, num_workers
) -> float:
    """γ of EC-LSVRG-DIANA, for convex components and strongly convex f.

        1/γ = 2L + 12 L_max/n + 6ξ √(10 L L_max)

    for any shift step a <= 1/(1+ω) and any coin. The rate is in `ec_diana_lyapunov`.

    Args:
      smoothness: L.
      smoothness_max: L_max, here of the components.
      alpha: α of the contractive compressors.
      num_workers: n.

    Reference: arXiv:2010.12292 for the method. Deviation: derived here, and checked in
      exact expectation.
    """
    n = inputs.count("num_workers", num_workers)
    smooth = inputs.positive("smoothness", smoothness)
    largest = inputs.positive("smoothness_max", smoothness_max)
    compression = 6 * ef21_constants(alpha).xi * math.sqrt(10 * smooth * largest)
    return 1 / (2 * smooth + 12 * largest / n + compression)


def ec_diana_lyapunov(
    step_size,
    smoothness,
    *,
    alpha,
    shift_step,
    strong_convexity,
    num_workers=1,
    probability=None,
) -> ECDianaLyapunov:
    """What EC-SGD-DIANA and EC-LSVRG-DIANA contract, with x̃ = x − (γ/n) Σᵢ eᵢ.

        Ψ = |x̃ − x*|² + u (1/n) Σᵢ |eᵢ|² + v (1/n) Σᵢ |hᵢ − ∇fᵢ(x*)|²
            + w (1/(nm)) Σᵢⱼ |∇fᵢⱼ(w) − ∇fᵢⱼ(x*)|²
        u = 6Lγ³/θ,    v = 4uβ/a,    w = (4γ²/n + 20uβ)/p
        E Ψ⁺ <= max {1 − γμ/2, 1 − θ/2, 1 − a/2, 1 − p/2} Ψ

    Without samples there is no p, and w = 0. Proof: x̃⁺ = x̃ − (γ/n) Σᵢ ĝᵢ, since the
    shifts cancel, and (1/n) Σᵢ |eᵢ⁺|² <= (1−θ) (1/n) Σᵢ |eᵢ|² + β (1/n) Σᵢ |ĝᵢ − hᵢ +
    h|²; 2⟨x − x̃, ∇f(x)⟩ <= f(x) − f* + 2L |x − x̃|².

    Args:
      step_size: γ, at most that of the method.
      smoothness: L.
      alpha: α of the contractive compressors.
      shift_step: a, at most 1/(1+ω) of the unbiased compressors.
      strong_convexity: μ.
      num_workers: n, of EC-LSVRG-DIANA.
      probability: p, of its coin; None for EC-SGD-DIANA.

    Reference: arXiv:2010.12292 for the methods (derived, checked in exact expectation).
    """
    gamma = inputs.positive("step_size", step_size)
    constants = ef21_constants(alpha)
    a = inputs.probability("shift_step", shift_step)
    mu = inputs.positive("strong_convexity", strong_convexity)
    n = inputs.count("num_workers", num_workers)
    error = 6 * inputs.positive("smoothness", smoothness) * gamma**3 / constants.theta
    drift = error * constants.beta
    rates = [1 - gamma * mu / 2, 1 - constants.theta / 2, 1 - a / 2]
    component = 0.0
    if probability is not None:
        p = inputs.probability("probability", probability)
        component = (4 * gamma**2 / n + 20 * drift) / p
        rates.append(1 - p / 2)
    return ECDianaLyapunov(error, 4 * drift / a, component, max(rates))


def _ef21_bc_terms(alpha, server_alpha) -> tuple[float, float]:
    """ξ, and η = ξ' √(2 (1 + √(1−α))² (1 + ξ²))."""
    xi, server = ef21_constants(alpha).xi, ef21_constants(server_alpha).xi
    message = 1 + math.sqrt(1 - inputs.contraction(alpha))
    return xi, server * message * math.sqrt(2 * (1 + xi**2))
