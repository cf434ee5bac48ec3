"""ATA: how many of B equal tasks each worker gets, and what it costs to learn that.

Worker i needs a random time of mean μᵢ per task and does its aᵢ tasks one after the
other. arXiv:2502.00775.
"""

import heapq
import math
from typing import NamedTuple

import numpy as np

from . import inputs


class ATAParameters(NamedTuple):
    """Of ATA.

    Attributes:
      alpha: the factor of confidence widths of ATA, at least every αᵢ.
      eta: for ATA-Empirical, at least every αᵢ/μᵢ: α is replaced by η times the
        empirical mean of the worker.
      total_time_factor: 1 + 4η ln B, what the expected total time over the best fixed
        allocation tends to at most.
    """

    alpha: float
    eta: float
    total_time_factor: float


def optimal_allocation(mean_times, num_tasks) -> np.ndarray:
    """The tasks of each worker that minimise `allocation_time`, from known means.

    One task after the other goes to the worker that would then finish first on
    average, lowest index at ties. Of several minimisers this is one with the fewest
    workers that attain the maximum.

    Args:
      mean_times: [n] seconds μᵢ per task; inf for a dead worker.
      num_tasks: B.

    Returns:
      [n] aᵢ, sum B.

    Reference: arXiv:2502.00775 (read; checked by enumeration).
    """
    mu = inputs.worker_times(mean_times, "mean_times")
    tasks = np.zeros(mu.size, np.int64)
    finish = [(time, i) for i, time in enumerate(mu.tolist())]
    heapq.heapify(finish)
    for _ in range(inputs.count("num_tasks", num_tasks)):
        _, i = finish[0]
        tasks[i] += 1
        heapq.heapreplace(finish, (float(mu[i] * (tasks[i] + 1)), i))
    return tasks


def allocation_time(allocation, mean_times) -> float:
    """The proxy for the time of an iteration: ℓ(a, μ) = maxᵢ aᵢμᵢ, in seconds.

    The expected time itself, E maxᵢ, is larger for random times.

    Args:
      allocation: [n] tasks aᵢ.
      mean_times: [n] seconds μᵢ per task; inf is fine where aᵢ = 0.

    Reference: arXiv:2502.00775 (read).
    """
    mu = inputs.worker_times(mean_times, "mean_times")
    a = inputs.whole_per_worker("allocation", allocation, mu.size)
    return float(np.max(a[a > 0] * mu[a > 0], initial=0.0))


def proxy_regret(allocations, mean_times) -> float:
    """Σ_k (ℓ(a_k, μ) − min_a ℓ(a, μ)), in seconds; ATA's grows like log K.

    Args:
      allocations: [K, n] tasks of each iteration, each with the same sum.
      mean_times: [n] seconds μᵢ per task.

    Reference: arXiv:2502.00775 (read in a summary).
    """
    rows = np.asarray(allocations)
    if rows.ndim != 2 or len(rows) == 0:
        raise ValueError(
            f"allocations must have shape [K, n]; got shape {list(rows.shape)}."
        )
    totals = np.unique(rows.sum(axis=1))
    if totals.size > 1:
        raise ValueError(
            f"allocations must all give out as many tasks; got {totals.tolist()}."
        )
    best = allocation_time(optimal_allocation(mean_times, totals[0]), mean_times)
    return float(sum(allocation_time(row, mean_times) - best for row in rows))


def confidence_widths(counts, iteration, alpha) -> np.ndarray:
    """How far below its empirical mean ATA assumes the time of a worker, in seconds.

        4eα (√(ln(2k²)/Kᵢ) + ln(2k²)/Kᵢ),    inf for a worker that was never used

    Args:
      counts: [n] tasks Kᵢ finished so far.
      iteration: k, from 1.
      alpha: α of `ata`; for ATA-Empirical η times the empirical means, [n].

    Reference: arXiv:2502.00775 and the authors' code, which has η = 2 (read).
    """
    n = np.size(counts)
    used = inputs.whole_per_worker("counts", counts, n)
    scale = 4 * math.e * inputs.per_worker("alpha", alpha, n)
    log = math.log(2 * inputs.count("iteration", iteration) ** 2)
    ratio = np.divide(log, used, out=np.full(n, np.inf), where=used > 0)
    widths = np.full(n, np.inf)
    np.multiply(scale, np.sqrt(ratio) + ratio, out=widths, where=used > 0)
    return widths


def ata(mean_times, orlicz_norms, num_tasks) -> ATAParameters:
    """What ATA must know about the laws of the times, and what it promises.

        α = maxᵢ αᵢ,    η = maxᵢ αᵢ/μᵢ,    C_K <= (1 + 4η ln B) C*_K + O(log K)

    C_K is the expected total time of K iterations, C*_K that of the best fixed
    allocation for known laws.

    Args:
      mean_times: [n] seconds μᵢ per task.
      orlicz_norms: [n] αᵢ, seconds: bounds on the ψ₁-norms of the times; for an
        exponential law with mean sᵢ, sᵢ.
      num_tasks: B.

    Reference: arXiv:2502.00775 (read in a summary).
    """
    mu = inputs.worker_times(mean_times, "mean_times")
    alphas = inputs.per_worker("orlicz_norms", orlicz_norms, mu.size)
    size = inputs.count("num_tasks", num_tasks)
    alive = np.isfinite(mu)
    eta = float(np.max(alphas[alive] / mu[alive]))
    return ATAParameters(float(alphas[alive].max()), eta, 1 + 4 * eta * math.log(size))
