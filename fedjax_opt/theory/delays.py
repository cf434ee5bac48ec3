"""Step sizes of asynchronous SGD by the delay of a gradient.

The delay of a gradient is the number of updates between its point and its use. Where a
theorem is known only up to constants this is said; such a value is a scale to tune
around, not a prescription.
"""

import math
from typing import NamedTuple

import numpy as np

from . import inputs
from .asynchronous import SGDParameters


class DelayRule(NamedTuple):
    """γ of gradients with a delay up to `threshold`; a bound for later ones.

    Attributes:
      step_size: γ.
      threshold: τ_C.
    """

    step_size: float
    threshold: float


def delayed_sgd(
    smoothness, variance, *, accuracy, max_delay, initial_gap=None
) -> SGDParameters:
    """SGD with gradients that are up to D updates old.

        γ = min {1/(2L), 1/(2DL), ε/(4Lσ²)},    K >= 4 (D+1) LΔ/ε + 8 LΔσ²/ε²

    The theorem of Birch SGD with tree distance D: for a fixed delay D, for Ringmaster
    ASGD with D = R − 1, for asynchronous SGD with any bound D on its delays.

    Args:
      smoothness: L.
      variance: σ² of one gradient.
      accuracy: ε.
      max_delay: D >= 0.
      initial_gap: Δ.

    Reference: arXiv:2505.09218 (read); arXiv:1806.10188 for a fixed delay.
    """
    smooth = inputs.positive("smoothness", smoothness)
    s = inputs.noise_ratio(variance, accuracy)
    delay = inputs.whole("max_delay", max_delay)
    factor = 4 * (delay + 1) + 8 * s
    return SGDParameters(
        1 / (2 * smooth * max(1.0, delay, 2 * s)),
        inputs.num_updates(factor, smooth, initial_gap, accuracy),
    )


def delayed_stability_limit(delay) -> float:
    """The γλ below which x⁺ = x − γλ x_(k−D) on λx²/2 is stable, without noise.

        2 sin (π / (2 (2D + 1))):    2, 1, 0.618, 0.445, ...

    Exact: at it the spectral radius is 1. With n equal workers in turn D = n − 1.

    Args:
      delay: D >= 0, fixed.

    Reference: classical; derived and checked here.
    """
    d = inputs.whole("delay", delay)
    return 2 * math.sin(math.pi / (2 * (2 * d + 1)))


def asgd(
    smoothness, variance, *, num_workers, num_updates, initial_gap
) -> SGDParameters:
    """Asynchronous SGD: a constant step that depends on n, not on the delays.

        γ ≍ min {1/(nL), √(Δ/(LKσ²))}

    Only the form is known: constants are dropped. Homogeneous data, nonconvex f.

    Args:
      smoothness: L.
      variance: σ² of one gradient.
      num_workers: n, dead ones included.
      num_updates: K.
      initial_gap: Δ.

    Returns:
      γ without its constant, and the K given.

    Reference: arXiv:2206.07638 (form known, constants unknown).
    """
    smooth = inputs.positive("smoothness", smoothness)
    noise = inputs.nonnegative("variance", variance)
    n = inputs.count("num_workers", num_workers)
    k = inputs.count("num_updates", num_updates)
    gap = inputs.positive("initial_gap", initial_gap)
    smallest = [1 / (n * smooth)]
    if noise > 0:
        smallest.append(math.sqrt(gap / (smooth * k * noise)))
    return SGDParameters(min(smallest), k)


def delay_adaptive_factor(delay, *, num_workers) -> np.ndarray:
    """What delay-adaptive asynchronous SGD multiplies γ by: n / max (n, δ).

    With γ = 1/(nL) this is the form γ_k ≍ min {1/(nL), 1/(Lδ)}, whose constants and
    noise term are unknown.

    Args:
      delay: δ, a number or an array.
      num_workers: n, dead ones included.

    Reference: arXiv:2206.07638 and the authors' code (rule read).
    """
    n = inputs.count("num_workers", num_workers)
    return n / np.maximum(n, _delays(delay))


def koloskova(smoothness, *, concurrency) -> DelayRule:
    """Asynchronous SGD by average concurrency: late gradients are shrunk or dropped.

        γ <= 1/(4Lτ_C);    δ <= τ_C: γ_k = γ;    δ > τ_C: γ_k < min {γ, 1/(4Lδ)}, or 0

    The step at a delay is in `koloskova_step_size`.

    Args:
      smoothness: L.
      concurrency: τ_C, the mean number of jobs in flight; n is always enough.

    Reference: arXiv:2206.08307 (known; without the noise term of γ, whose constant is
    unknown).
    """
    smooth = inputs.positive("smoothness", smoothness)
    threshold = inputs.positive("concurrency", concurrency)
    return DelayRule(1 / (4 * smooth * threshold), threshold)


def koloskova_step_size(delay, step_size, smoothness, *, concurrency) -> np.ndarray:
    """γ_k of `koloskova` at delays δ: γ up to τ_C, above it min {γ, 1/(4Lδ)}.

    Any smaller step for late gradients, 0 included, is covered by the theorem; the
    value here is the limit, which the paper excludes.

    Args:
      delay: δ, a number or an array.
      step_size: γ, at most that of `koloskova`.
      smoothness: L.
      concurrency: τ_C.

    Reference: arXiv:2206.08307 (known). Deviation: the limit itself is taken.
    """
    late = _delays(delay)
    gamma = inputs.positive("step_size", step_size)
    smooth = inputs.positive("smoothness", smoothness)
    threshold = inputs.positive("concurrency", concurrency)
    shrunk = np.minimum(gamma, 1 / (4 * smooth * np.maximum(late, threshold)))
    return np.where(late <= threshold, gamma, shrunk)


def koloskova_iterations(noise_ratio, *, mean_delay, max_delay=None) -> float:
    """The form of the number of updates of `koloskova`, in units of LΔ/ε.

        constant step:    s + √(τ_max τ_avg)
        adaptive step:    s + τ_avg

    Constants are dropped; they are unknown.

    Args:
      noise_ratio: s = σ²/ε.
      mean_delay: τ_avg.
      max_delay: τ_max; None for the adaptive step.

    Reference: arXiv:2206.08307 (form read in the abstract).
    """
    s = inputs.nonnegative("noise_ratio", noise_ratio)
    mean = inputs.nonnegative("mean_delay", mean_delay)
    if max_delay is None:
        return s + mean
    return s + math.sqrt(inputs.nonnegative("max_delay", max_delay) * mean)


def picky_radius(smoothness, *, gradient_norm) -> float:
    """Picky SGD uses a gradient taken at y only if |x − y| is at most this: ε'/(2L).

    Args:
      smoothness: L.
      gradient_norm: ε', the target for |∇f|; √ε of E|∇f|² <= ε.

    Reference: arXiv:2106.10344 (known).
    """
    target = inputs.positive("gradient_norm", gradient_norm)
    return target / (2 * inputs.positive("smoothness", smoothness))


def hogwild_step_size(
    smoothness,
    strong_convexity,
    gradient_bound,
    *,
    accuracy,
    max_delay,
    support,
    collisions,
    frequency,
) -> float:
    """The form of the step of Hogwild for sparse, strongly convex sums.

        γ = O(εμ / (L M² Ω (1 + 6ρτ + 4τ²Ω√δ)))

    Only the form is known: the constant is dropped.

    Args:
      smoothness: L.
      strong_convexity: μ.
      gradient_bound: M, of the norms of stochastic gradients.
      accuracy: ε, for E f(x) − f*.
      max_delay: τ >= 0.
      support: Ω, the most coordinates that one gradient touches.
      collisions: ρ in [0, 1], the largest share of gradients that one meets.
      frequency: δ in [0, 1], the largest share of gradients that touch a coordinate.

    Reference: Niu, Recht, Ré, Wright (2011), form known; analyses without the bound M
    in arXiv:1802.03801.
    """
    tau = inputs.whole("max_delay", max_delay)
    omega = inputs.count("support", support)
    rho = inputs.share("collisions", collisions)
    delta = inputs.share("frequency", frequency)
    slowdown = 1 + 6 * rho * tau + 4 * tau**2 * omega * math.sqrt(delta)
    target = inputs.positive("accuracy", accuracy)
    mu = inputs.positive("strong_convexity", strong_convexity)
    steepness = inputs.positive("gradient_bound", gradient_bound) ** 2
    smooth = inputs.positive("smoothness", smoothness)
    return target * mu / (smooth * steepness * omega * slowdown)


def _delays(delay) -> np.ndarray:
    array = np.asarray(delay, dtype=np.float64)
    if not (np.isfinite(array) & (array >= 0)).all():
        raise ValueError(f"delay must be finite and at least 0; got {delay}.")
    return array
