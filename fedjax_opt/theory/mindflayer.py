"""MindFlayer SGD: how many trials each worker makes when computation times are random.

A trial of worker i ends after τᵢ + tᵢ seconds at most (its `limit`) and succeeds with
probability pᵢ, that is if the job took no longer. arXiv:2410.04285.
"""

from typing import NamedTuple

import numpy as np

from . import inputs


class Allocation(NamedTuple):
    """Trials of one iteration.

    Attributes:
      trials: [n] Bᵢ, in the order of `limits`; 0 for workers that are not used.
      num_workers: m*, how many of the smallest limits are used.
      expected: B = Σᵢ pᵢBᵢ, the expected number of successes; at least S.
      time: T(m*), seconds; no worker needs more for its trials.
    """

    trials: np.ndarray
    num_workers: int
    expected: float
    time: float


class MindFlayerParameters(NamedTuple):
    """γ, the trials Bᵢ, what sums are divided by (B), K updates that suffice."""

    step_size: float
    trials: np.ndarray
    expected: float
    num_updates: int | None


def mindflayer_times(limits, probabilities, batch_size) -> np.ndarray:
    """Seconds of an iteration with the m workers of the smallest limits, for each m.

        T(m) = (S + Σ_(j<=m) pⱼ) / Σ_(j<=m) pⱼ/(τⱼ + tⱼ),    sorted by τⱼ + tⱼ

    With S = max {1, σ²/ε}, MindFlayer needs up to a constant (8LΔ/ε) · min_m T(m).

    Args:
      limits: [n] seconds τᵢ + tᵢ; inf for a worker that is never waited for.
      probabilities: [n] pᵢ, or one for all.
      batch_size: S, positive; need not be whole.

    Returns:
      [n] T(1), ..., T(n); inf where nobody can succeed.

    Reference: arXiv:2410.04285 and the authors' code (read; 8 known). Deviation: the
    code forgets to sort pⱼ with the limits.
    """
    _, limit, p = _sorted(limits, probabilities)
    size = inputs.positive("batch_size", batch_size)
    speed = np.cumsum(p / limit)
    needed = size + np.cumsum(p)
    return np.divide(needed, speed, out=np.full(p.size, np.inf), where=speed > 0)


def mindflayer_allocation(limits, probabilities, batch_size) -> Allocation:
    """Trials that give S successes on average, in the least time.

        m* = argmin T(m),    Bᵢ = ⌈T(m*)/(τᵢ + tᵢ) − 1⌉ for i <= m*, else 0

    counting by growing limits. m* is the smallest where several are. Ties between
    limits go to the lowest worker index. Then Σ pᵢBᵢ >= S and Bᵢ (τᵢ + tᵢ) <= T(m*).

    Args:
      limits: [n] seconds τᵢ + tᵢ; inf for a worker that is never waited for.
      probabilities: [n] pᵢ, or one for all. A worker with pᵢ = 0 makes no trials.
      batch_size: S, positive; need not be whole.

    Raises:
      ValueError: if nobody can succeed.

    Reference: arXiv:2410.04285 and the authors' code (read; both bounds checked).
    """
    times = mindflayer_times(limits, probabilities, batch_size)
    order, limit, p = _sorted(limits, probabilities)
    best = float(times.min())
    if best == np.inf:
        raise ValueError(
            "probabilities are 0 for every worker with a finite limit, so no trial "
            "succeeds. Give longer limits."
        )
    m = int(np.argmax(times <= best * (1 + 1e-12))) + 1
    used = (np.arange(p.size) < m) & (p > 0)
    ratios = np.where(used, best / limit, 1.0).tolist()
    trials = np.zeros(p.size, np.int64)
    trials[order] = [inputs.round_up(ratio) - 1 for ratio in ratios]
    return Allocation(trials, m, float(np.sum(p * trials[order])), best)


def mindflayer(
    limits, probabilities, smoothness, variance, *, accuracy, initial_gap=None
) -> MindFlayerParameters:
    """MindFlayer SGD: the successes of an allotted number of trials make one update.

        x⁺ = x − (γ/B) Σᵢ Σ_(j<=Bᵢ) 1[success] ∇f(x; ξᵢⱼ),    B = Σᵢ pᵢBᵢ
        γ = min {1/(2L), εB/(2Lσ²)},    K >= (8LΔ/ε) max {1, σ²/(εB)}

    with the trials of `mindflayer_allocation` for S = max {1, σ²/ε}; B >= S then.

    Args:
      limits: [n] seconds τᵢ + tᵢ at which a trial is given up.
      probabilities: [n] pᵢ that a trial succeeds, or one for all.
      smoothness: L.
      variance: σ² of one gradient.
      accuracy: ε.
      initial_gap: Δ.

    Reference: arXiv:2410.04285 and the authors' code (trials and γ read; K known).
    """
    smooth = inputs.positive("smoothness", smoothness)
    s = inputs.noise_ratio(variance, accuracy)
    found = mindflayer_allocation(limits, probabilities, max(1.0, s))
    noise = max(1.0, s / found.expected)
    return MindFlayerParameters(
        1 / (2 * smooth * noise),
        found.trials,
        found.expected,
        inputs.num_updates(8 * noise, smooth, initial_gap, accuracy),
    )


def vecna_weights(trials, probabilities) -> np.ndarray:
    """What Vecna SGD, MindFlayer for heterogeneous data, multiplies a success by.

        1/(n pᵢ Bᵢ),    so that E g = ∇f = (1/n) Σᵢ ∇fᵢ

    Its step size is not given: the constants are unknown.

    Args:
      trials: [n] Bᵢ >= 1: each worker has data that nobody else has.
      probabilities: [n] pᵢ > 0, or one for all.

    Returns:
      [n] weights.

    Reference: arXiv:2410.04285. Deviation: derived from unbiasedness.
    """
    n = np.size(trials)
    b = inputs.whole_per_worker("trials", trials, n)
    p = inputs.per_worker("probabilities", probabilities, n, highest=1)
    reached = (b > 0) & (p > 0)
    if not reached.all():
        raise ValueError(
            f"worker {int(np.argmin(reached))} has no trial that can succeed, so its "
            "data are never seen. Give it a trial and a longer limit."
        )
    return 1 / (n * p * b)


def _sorted(limits, probabilities) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The order of the limits; limits and probabilities in that order."""
    limit = inputs.worker_times(limits, "limits")
    p = inputs.per_worker("probabilities", probabilities, limit.size, highest=1)
    order = np.argsort(limit, kind="stable")
    return order, limit[order], p[order]
