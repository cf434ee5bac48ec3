"""Time complexities for convex functions under fixed worker speeds.

As in `times`, with R = |x⁰ − x*|, M the Lipschitz constant of f, and the target
E f(x̂) − f* <= ε. Each is N times a form of `times` at another noise ratio s:

    smooth or Lipschitz:    N = min {√L R/√ε, M²R²/ε²},    s = σ²R² / (ε² N)
    strongly convex:        N = √(L/μ),                    s = σ² / (εμN)

Values are in the seconds of `times` (not in units of anything), exact up to a universal
constant factor, which is dropped.
"""

import math

from . import inputs
from .times import TimeComplexity, asgd_time, minibatch_time, t_het, t_hom


def t_hom_convex(
    times, *, variance, accuracy, distance, smoothness=None, lipschitz=None
) -> TimeComplexity:
    """The optimal time for homogeneous data: lower bound, and accelerated Rennala.

        min_m (m/H_m) (min {√L R/√ε, M²R²/ε²} + σ²R²/(mε²))

    Accelerated Rennala attains the first entry of the minimum, Rennala with the mean
    iterate the second.

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      variance: σ² of one gradient.
      accuracy: ε.
      distance: R.
      smoothness: L; None for a nonsmooth f.
      lipschitz: M; None where f has none.

    Reference: arXiv:2305.12387, arXiv:2405.16218 (read, constants dropped).
    """
    steps = _fewest_steps(accuracy, distance, smoothness, lipschitz)
    found = t_hom(times, _gradients(variance, accuracy, distance) / steps)
    return TimeComplexity(steps * found.value, found.num_workers)


def t_het_convex(times, *, variance, accuracy, distance, smoothness) -> float:
    """The optimal time for heterogeneous data: lower bound, and accelerated Malenia.

        τₙ √L R/√ε + mean(τ) σ²R²/(nε²)

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      variance: σ² of one gradient of one worker.
      accuracy: ε.
      distance: R.
      smoothness: L.

    Reference: arXiv:2305.12387 (read, constants dropped).
    """
    steps = _fewest_steps(accuracy, distance, smoothness, None)
    return steps * t_het(times, _gradients(variance, accuracy, distance) / steps)


def t_hom_strongly_convex(
    times, *, variance, accuracy, smoothness, strong_convexity
) -> TimeComplexity:
    """The optimal time for homogeneous data and strongly convex f, up to logarithms.

        min_m (m/H_m) (√(L/μ) + σ²/(mεμ))

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      variance: σ² of one gradient.
      accuracy: ε.
      smoothness: L.
      strong_convexity: μ.

    Reference: arXiv:2305.12387 (read, constants and logarithms dropped).
    """
    mu = inputs.positive("strong_convexity", strong_convexity)
    steps = math.sqrt(inputs.positive("smoothness", smoothness) / mu)
    found = t_hom(times, inputs.noise_ratio(variance, accuracy) / mu / steps)
    return TimeComplexity(steps * found.value, found.num_workers)


def minibatch_convex_time(
    times, *, variance, accuracy, distance, smoothness=None, lipschitz=None
) -> float:
    """Synchronous SGD, accelerated where f is smooth, one gradient per worker.

        τₙ (min {√L R/√ε, M²R²/ε²} + σ²R²/(nε²))

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      variance: σ² of one gradient.
      accuracy: ε.
      distance: R.
      smoothness: L; None for a nonsmooth f.
      lipschitz: M; None where f has none.

    Reference: arXiv:2305.12387 (read, constants dropped).
    """
    steps = _fewest_steps(accuracy, distance, smoothness, lipschitz)
    gradients = _gradients(variance, accuracy, distance)
    return steps * minibatch_time(times, gradients / steps)


def asgd_convex_time(times, *, variance, accuracy, distance, smoothness) -> float:
    """Asynchronous SGD, not accelerated: (n/Hₙ) (LR²/ε + σ²R²/(nε²)).

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      variance: σ² of one gradient.
      accuracy: ε.
      distance: R.
      smoothness: L.

    Reference: arXiv:2206.07638, arXiv:2206.08307 (read, constants dropped).
    """
    radius = inputs.positive("distance", distance)
    target = inputs.positive("accuracy", accuracy)
    steps = inputs.positive("smoothness", smoothness) * radius**2 / target
    return steps * asgd_time(times, _gradients(variance, accuracy, distance) / steps)


def _fewest_steps(accuracy, distance, smoothness, lipschitz) -> float:
    """min {√L R/√ε, M²R²/ε²} over what is known."""
    ratio = inputs.positive("distance", distance) / inputs.positive(
        "accuracy", accuracy
    )
    found = []
    if smoothness is not None:
        smooth = inputs.positive("smoothness", smoothness)
        found.append(math.sqrt(smooth * float(accuracy)) * ratio)
    if lipschitz is not None:
        found.append((inputs.positive("lipschitz", lipschitz) * ratio) ** 2)
    if not found:
        raise ValueError(
            "smoothness or lipschitz must be given: without both nothing is promised."
        )
    return min(found)


def _gradients(variance, accuracy, distance) -> float:
    """σ²R²/ε², how many gradients the noise asks for."""
    noise = inputs.nonnegative("variance", variance)
    ratio = inputs.positive("distance", distance) / inputs.positive(
        "accuracy", accuracy
    )
    return noise * ratio**2
