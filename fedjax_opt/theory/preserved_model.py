"""MCM: compression both ways, where the model of the server is preserved."""

import math
from typing import NamedTuple

from . import inputs


class MCMParameters(NamedTuple):
    """γ, the shift step a of the workers and the memory step b of the server."""

    step_size: float
    shift_step: float
    memory_step: float


class MCMLyapunov(NamedTuple):
    """The weights of |x − H|² and of the shifts, and the contraction."""

    memory_weight: float
    shift_weight: float
    contraction: float


def mcm(
    smoothness, smoothness_max, omega, model_omega, *, num_workers
) -> MCMParameters:
    """MCM with shifts, for convex fᵢ and strongly convex f.

        a = 1/(1+ω),    b = 1/(1+ω'),    A = L + 6ωL_max/n
        1/γ = A + √((8Lω'/b) (2L/b + 6ωL_max/n))

    of the order of L ω'^{3/2} for large ω'. With exact broadcasts, ω' = 0, it is DIANA.
    The rate is in `mcm_lyapunov`.

    Args:
      smoothness: L.
      smoothness_max: L_max.
      omega: ω of the workers' unbiased compressors, independent between workers.
      model_omega: ω' of the server's, unbiased.
      num_workers: n.

    Reference: arXiv:2102.12528 for the method. Deviation: the constants are derived
      here (checked in exact expectation).
    """
    noise = inputs.nonnegative("omega", omega)
    down = inputs.nonnegative("model_omega", model_omega)
    smooth = inputs.positive("smoothness", smoothness)
    sampling = 6 * noise * inputs.positive("smoothness_max", smoothness_max)
    sampling /= inputs.count("num_workers", num_workers)
    memory = 1 / (1 + down)
    square = 8 * smooth * down / memory * (2 * smooth / memory + sampling)
    inverse = smooth + sampling + math.sqrt(square)
    return MCMParameters(1 / inverse, 1 / (1 + noise), memory)


def mcm_lyapunov(
    step_size, smoothness, omega, model_omega, *, num_workers, strong_convexity
) -> MCMLyapunov:
    """What MCM contracts, with H of the round before w = H + C(x − H) is sent.

        Ψ = |x − x*|² + u |x − H|² + v (1/n) Σᵢ |hᵢ − ∇fᵢ(x*)|²
        u = 8γLω'/b,    v = 4γ² (ω/(na)) (1 + u),    a = 1/(1+ω),    b = 1/(1+ω')
        E Ψ⁺ <= max {1 − γμ, 1 − b/4, 1 − a/2} Ψ

    Proof: w is unbiased, so that E⟨∇f(w), x − x*⟩ >= E⟨∇f(w), w − x*⟩ − Lω' |x − H|²;
    E|x − H⁺|² <= (1−b) |x − H|²; and E|x⁺ − H⁺|² <= (1 − b/2) |x − H|² + (2/b) γ²
    E|∇f(w)|² plus what the workers' compressors add.

    Args:
      step_size: γ, at most that of `mcm`.
      smoothness: L.
      omega: ω of the workers.
      model_omega: ω' of the server.
      num_workers: n.
      strong_convexity: μ.

    Reference: arXiv:2102.12528 for the method (derived, checked in exact expectation).
    """
    gamma = inputs.positive("step_size", step_size)
    noise = inputs.nonnegative("omega", omega)
    down = inputs.nonnegative("model_omega", model_omega)
    smooth = inputs.positive("smoothness", smoothness)
    mu = inputs.positive("strong_convexity", strong_convexity)
    n = inputs.count("num_workers", num_workers)
    shift, memory = 1 / (1 + noise), 1 / (1 + down)
    of_memory = 8 * gamma * smooth * down / memory
    of_shifts = 4 * gamma**2 * noise / (n * shift) * (1 + of_memory)
    rates = [gamma * mu]
    rates += [memory / 4] if down else []
    rates += [shift / 2] if noise else []
    return MCMLyapunov(of_memory, of_shifts, 1 - min(rates))
