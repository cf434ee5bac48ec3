"""Prescribed parameters of SGD, Rennala, Malenia and Ringmaster ASGD.

For an L-smooth, nonconvex f with E|∇f(x;ξ) − ∇f(x)|² <= σ² and the target
E|∇f(x̂)|² <= ε, x̂ uniform over the iterates. Step sizes and numbers of updates carry
their constants. `num_updates` needs Δ = f(x⁰) − f*, and is None without it.
"""

from typing import NamedTuple

from . import inputs


class SGDParameters(NamedTuple):
    """γ, and K updates that suffice."""

    step_size: float
    num_updates: int | None


class BatchParameters(NamedTuple):
    """γ, the batch size S, and K updates that suffice."""

    step_size: float
    batch_size: int
    num_updates: int | None


class DelayParameters(NamedTuple):
    """γ, the delay threshold R (delays below it are used), K updates that suffice."""

    step_size: float
    delay_threshold: int
    num_updates: int | None


def sgd(smoothness, variance, *, accuracy, initial_gap=None) -> SGDParameters:
    """SGD, one gradient per update; what Hero SGD does on the fastest worker.

        γ = min {1/(2L), ε/(2Lσ²)},    K >= 8 LΔ/ε + 8 LΔσ²/ε²

    For minibatch SGD on n workers give the variance of the mean, σ²/n.

    Args:
      smoothness: L.
      variance: σ² of the gradient that is stepped along; 0 is gradient descent.
      accuracy: ε.
      initial_gap: Δ.

    Reference: arXiv:2305.12387 (classical theorem, constants read).
    """
    smooth = inputs.positive("smoothness", smoothness)
    s = inputs.noise_ratio(variance, accuracy)
    step_size = 1 / (2 * smooth * max(1.0, s))
    return SGDParameters(
        step_size, inputs.num_updates(8 + 8 * s, smooth, initial_gap, accuracy)
    )


def rennala(smoothness, variance, *, accuracy, initial_gap=None) -> BatchParameters:
    """Rennala SGD: any S gradients of the current point make one update.

        S = max {⌈σ²/ε⌉, 1},    γ = min {1/L, εS/(2Lσ²)},    K >= 24 LΔ/ε

    Args:
      smoothness: L.
      variance: σ² of one gradient.
      accuracy: ε.
      initial_gap: Δ.

    Reference: arXiv:2305.12387 (S read; γ read in the authors' code; 24 known).
    """
    smooth = inputs.positive("smoothness", smoothness)
    s = inputs.noise_ratio(variance, accuracy)
    return _batch_parameters(
        smooth, s, max(inputs.round_up(s), 1), initial_gap, accuracy
    )


def malenia(
    smoothness, variance, *, accuracy, num_workers, initial_gap=None
) -> BatchParameters:
    """Malenia SGD: collects until (mean of 1/Bᵢ)⁻¹ >= S/n, with Bᵢ from worker i.

        S = max {⌈σ²/ε⌉, n},    γ = min {1/L, εS/(2Lσ²)},    K >= 24 LΔ/ε

    Args:
      smoothness: L of f, the mean of the workers' functions.
      variance: σ² of one gradient of one worker.
      accuracy: ε.
      num_workers: n.
      initial_gap: Δ.

    Reference: arXiv:2305.12387 (S read; γ and 24 known).
    """
    smooth = inputs.positive("smoothness", smoothness)
    s = inputs.noise_ratio(variance, accuracy)
    batch_size = max(inputs.round_up(s), inputs.count("num_workers", num_workers))
    return _batch_parameters(smooth, s, batch_size, initial_gap, accuracy)


def rennala_half_step(
    smoothness, variance, *, accuracy, initial_gap=None
) -> BatchParameters:
    """Rennala SGD with a step size that no longer depends on the noise.

        S = max {⌈σ²/ε⌉, 1},    γ = 1/(2L),    K >= 16 LΔ/ε

    Args:
      smoothness: L.
      variance: σ² of one gradient.
      accuracy: ε.
      initial_gap: Δ.

    Reference: arXiv:2405.16218, without communication (read).
    """
    batch_size = max(inputs.round_up(inputs.noise_ratio(variance, accuracy)), 1)
    return _half_step(smoothness, batch_size, initial_gap, accuracy)


def malenia_half_step(
    smoothness, variance, *, accuracy, num_workers, initial_gap=None
) -> BatchParameters:
    """Malenia SGD with a step size that no longer depends on the noise.

        S = max {⌈σ²/ε⌉, n},    γ = 1/(2L),    K >= 16 LΔ/ε

    Args:
      smoothness: L of f, the mean of the workers' functions.
      variance: σ² of one gradient of one worker.
      accuracy: ε.
      num_workers: n.
      initial_gap: Δ.

    Reference: arXiv:2405.16218, without communication (read).
    """
    fewest = inputs.count("num_workers", num_workers)
    batch_size = max(inputs.round_up(inputs.noise_ratio(variance, accuracy)), fewest)
    return _half_step(smoothness, batch_size, initial_gap, accuracy)


def ringmaster(smoothness, variance, *, accuracy, initial_gap=None) -> DelayParameters:
    """Ringmaster ASGD: every gradient whose delay is below R makes one update.

        R = max {⌈σ²/ε⌉, 1},    γ = min {1/(2RL), ε/(4Lσ²)},
        K >= 8 RLΔ/ε + 16 LΔσ²/ε²

    Args:
      smoothness: L.
      variance: σ² of one gradient.
      accuracy: ε.
      initial_gap: Δ.

    Reference: arXiv:2501.16168 (known, and consistent with the theorem on delayed
    SGD that was read).
    """
    smooth = inputs.positive("smoothness", smoothness)
    s = inputs.noise_ratio(variance, accuracy)
    threshold = max(inputs.round_up(s), 1)
    step_size = 1 / (2 * smooth * max(threshold, 2 * s))
    factor = 8 * threshold + 16 * s
    return DelayParameters(
        step_size, threshold, inputs.num_updates(factor, smooth, initial_gap, accuracy)
    )


def _batch_parameters(
    smoothness: float, s: float, batch_size: int, initial_gap, accuracy
) -> BatchParameters:
    """γ = min {1/L, S/(2Ls)} and K = 24 LΔ/ε."""
    step_size = 1 / (smoothness * max(1.0, 2 * s / batch_size))
    num_updates = inputs.num_updates(24, smoothness, initial_gap, accuracy)
    return BatchParameters(step_size, batch_size, num_updates)


def _half_step(smoothness, batch_size: int, initial_gap, accuracy) -> BatchParameters:
    """γ = 1/(2L) and K = 16 LΔ/ε."""
    step_size = 1 / (2 * inputs.positive("smoothness", smoothness))
    num_updates = inputs.num_updates(16, smoothness, initial_gap, accuracy)
    return BatchParameters(step_size, batch_size, num_updates)
