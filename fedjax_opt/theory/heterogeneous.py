"""Asynchronous SGD on heterogeneous data: Ringleader and Rescaled ASGD.

Worker i can sample fᵢ only, f = (1/n) Σᵢ fᵢ. Under fixed speeds it delivers every τᵢ
seconds.
"""

from typing import NamedTuple

import numpy as np

from . import inputs
from .times import t_het


class RingleaderParameters(NamedTuple):
    """γ. The number of updates is known up to a constant only."""

    step_size: float


class RescaledParameters(NamedTuple):
    """A heuristic step and the factors of worker i's steps.

    Attributes:
      step_size: γ, a heuristic of this library.
      factors: [n] γᵢ/γ = τᵢ / mean(τ).
      max_delay: bound on all delays.
    """

    step_size: float
    factors: np.ndarray
    max_delay: int


def ringleader(
    smoothness, variance, *, accuracy, num_workers, harmonic_batch=1.0
) -> RingleaderParameters:
    """Ringleader ASGD: n updates per round, each worker's mean gradient counts 1/n.

        γ = min {1/(8nL), εB/(10Lσ²)},    B = inf over rounds of ((1/n) Σᵢ 1/bᵢ)⁻¹

    Args:
      smoothness: L with |∇f(x) − (1/n) Σᵢ ∇fᵢ(yᵢ)|² <= (L²/n) Σᵢ |x − yᵢ|²; between the
        smoothness of f and √(mean of Lᵢ²).
      variance: σ² of one gradient of one worker.
      accuracy: ε.
      num_workers: n.
      harmonic_batch: B; `ringleader_harmonic_batch` bounds it for fixed speeds.

    Reference: arXiv:2509.22860 (read).
    """
    smooth = inputs.positive("smoothness", smoothness)
    s = inputs.noise_ratio(variance, accuracy)
    n = inputs.count("num_workers", num_workers)
    b = inputs.positive("harmonic_batch", harmonic_batch)
    return RingleaderParameters(1 / (smooth * max(8 * n, 10 * s / b)))


def ringleader_harmonic_batch(times) -> float:
    """A lower bound on the B of Ringleader ASGD under fixed speeds.

        max {1, τₙ / (2 · mean(τ))}

    Args:
      times: [n] seconds per gradient. With a dead worker no round ends; 1 then.

    Reference: arXiv:2509.22860 (read; 1 because every bᵢ >= 1).
    """
    tau = inputs.worker_times(times)
    if np.isinf(tau).any():
        return 1.0
    return max(1.0, float(tau.max() / (2 * tau.mean())))


def ringleader_delay_bound(num_workers) -> int:
    """Updates that a gradient of Ringleader ASGD is old at most: 2n − 2.

    Reference: arXiv:2509.22860 (read).
    """
    return 2 * inputs.count("num_workers", num_workers) - 2


def ringleader_round_bound(times) -> float:
    """Seconds that a round of Ringleader ASGD, n updates, takes at most: 2τₙ.

    Any n consecutive updates that belong to two rounds may take longer.

    Reference: arXiv:2509.22860 (read; checked by simulation).
    """
    return 2 * float(inputs.worker_times(times).max())


def ringleader_time(times, noise_ratio) -> float:
    """Ringleader ASGD: τₙ + (s/n) · mean(τ), in units of LΔ/ε; equal to `t_het`.

    L is that of `ringleader`, so it is optimal if this is of the order of f's.

    Reference: arXiv:2509.22860 (read, constants dropped).
    """
    return t_het(times, noise_ratio)


def rescaled(times, smoothness) -> RescaledParameters:
    """Rescaled ASGD: asynchronous SGD with steps proportional to the worker's time.

        γᵢ = γ τᵢ / mean(τ)

    Per second, every worker contributes alike: the drift is (nγ/mean(τ)) ∇f. The
    normalisation is a convention (equal times give plain asynchronous SGD with γ), and
    γ is a heuristic: the longest step is at most that of `delayed_sgd` without noise,

        γ τₙ/mean(τ) = 1/(2L max {1, D}),    D = `rescaled_delay_bound`

    Args:
      times: [n] seconds per gradient, all finite.
      smoothness: L, the largest of the fᵢ.

    Reference: arXiv:2605.13434 (proportionality read in the abstract). Deviation: the
    normalisation and γ are derived; the paper's are unknown.
    """
    tau = _alive(times, "the mean time, and so every step, would be undefined")
    factors = tau / tau.mean()
    delay = rescaled_delay_bound(tau)
    longest = 1 / (2 * inputs.positive("smoothness", smoothness) * max(1, delay))
    return RescaledParameters(longest / float(factors.max()), factors, delay)


def rescaled_delay_bound(times) -> int:
    """Updates that a gradient of asynchronous SGD is old at most under fixed speeds.

        Σ_(i≠n) ⌈τₙ/τᵢ⌉,    n the slowest worker

    Args:
      times: [n] seconds per gradient, all finite.

    Reference: derived; checked by simulation.
    """
    tau = np.sort(_alive(times, "delays would be unbounded"))
    return sum(inputs.round_up(float(tau[-1] / other)) for other in tau[:-1])


def rescaled_time(times, noise_ratio) -> float:
    """The leading term of Rescaled ASGD's time, in units of LΔ/ε; equal to `t_het`.

    Staleness and heterogeneity add terms of lower order in 1/ε, which are unknown.

    Reference: arXiv:2605.13434 (read in the abstract, constants dropped).
    """
    return t_het(times, noise_ratio)


def asgd_objective_weights(times) -> np.ndarray:
    """The weights of the fᵢ in what asynchronous SGD with one step size minimises.

        (1/τᵢ) / Σⱼ 1/τⱼ

    Args:
      times: [n] seconds per gradient; a dead worker has weight 0.

    Returns:
      [n] weights, sum 1; 1/n each if all times are equal, and only then.

    Reference: arXiv:2605.13434 (that it is biased read in the abstract; weights
    derived, checked by simulation).
    """
    speeds = 1 / inputs.worker_times(times)
    return speeds / speeds.sum()


def _alive(times, why: str) -> np.ndarray:
    tau = inputs.worker_times(times)
    if np.isinf(tau).any():
        raise ValueError(
            f"times[{int(np.argmax(tau))}] is inf: {why}. Leave dead workers out."
        )
    return tau
