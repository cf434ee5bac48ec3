"""How long one iteration of a batch or delay rule takes under fixed worker speeds.

A rule either stops jobs that a new point makes stale, or ignores what they deliver.
"""

from typing import NamedTuple

import numpy as np

from . import arrivals, inputs
from .times import t_batch, t_het


class Collection(NamedTuple):
    """One collected batch.

    Attributes:
      time: seconds from the start of the batch.
      counts: [n] gradients used of each worker, in the order of `times`; sum S.
    """

    time: float
    counts: np.ndarray


def rennala_iteration_time(times, batch_size) -> Collection:
    """The exact time of one iteration of Rennala that stops stale jobs.

        t = min {t : Σᵢ ⌊t/τᵢ⌋ >= S}

    All workers start afresh at time 0. Of gradients that arrive at the same instant
    those of the lowest worker index are used. Never more than `t_batch(times, S)`.

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      batch_size: S, a whole number.

    Raises:
      ValueError: if a time is not positive, all are inf, or S is not 1, 2, 3, ...

    Reference: arXiv:2305.12387 and the authors' experiment code (read).
    """
    tau = inputs.worker_times(times)
    size = inputs.count("batch_size", batch_size)
    # By T_batch more than S gradients are there, so rounding cannot lose the S-th.
    jobs = (t_batch(tau, size).value // tau).astype(np.int64)
    worker = np.repeat(np.arange(tau.size), jobs)
    job = 1 + np.arange(worker.size) - np.repeat(np.cumsum(jobs) - jobs, jobs)
    arrival = job * tau[worker]
    used = np.argsort(arrival, kind="stable")[:size]
    counts = np.bincount(worker[used], minlength=tau.size)
    return Collection(float(arrival[used[-1]]), counts)


def rennala_iteration_bound(times, batch_size, *, stop: bool = False) -> float:
    """Seconds that one iteration of Rennala takes at most.

        stale jobs stopped:  min_m (S + m) / H_m
        stale jobs ignored:  min_m (S + 2m) / H_m, at most twice the other

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      batch_size: S, a whole number.
      stop: whether stale jobs are stopped.

    Reference: arXiv:2305.12387 (form read; constants checked by simulation).
    """
    tau = np.sort(inputs.worker_times(times))
    size = inputs.count("batch_size", batch_size)
    if stop:
        return t_batch(tau, size).value
    workers = np.arange(1, tau.size + 1)
    return float(np.min((size + 2 * workers) / np.cumsum(1 / tau)))


def malenia_iteration_time(times, batch_size) -> Collection:
    """The exact time of one iteration of Malenia that stops stale jobs.

        t = min {t : ((1/n) Σᵢ 1/⌊t/τᵢ⌋)⁻¹ >= S/n}

    All workers start afresh at time 0. Gradients that arrive at the same instant are
    counted one at a time, lowest worker first, until they suffice. A dead worker makes
    the time inf; `counts` are zeros then.

    Args:
      times: [n] seconds per gradient.
      batch_size: S, a whole number; up to n, one gradient of each worker suffices.

    Returns:
      The time, and counts with sum S or more.

    Raises:
      ValueError: if a time is not positive, all are inf, or S is not 1, 2, 3, ...

    Reference: arXiv:2305.12387 (read).
    """
    tau = inputs.worker_times(times)
    size = inputs.count("batch_size", batch_size)
    if np.isinf(tau).any():
        return Collection(float("inf"), np.zeros(tau.size, np.int64))
    jobs = arrivals.Jobs(
        start=0.0, finish=lambda j: j * tau, finished=lambda t: np.floor(t / tau)
    )
    upper = malenia_iteration_bound(tau, size, stop=True)
    time, counts = arrivals.first(jobs, arrivals.harmonic_mean_is(size), upper)
    return Collection(time, counts.astype(np.int64))


def malenia_iteration_bound(times, batch_size, *, stop: bool = False) -> float:
    """Seconds that one iteration of Malenia takes at most.

        stale jobs stopped:  2 (τₙ + (S/n) · mean(τ))
        stale jobs ignored:  3 (τₙ + (S/n) · mean(τ))

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      batch_size: S, a whole number.
      stop: whether stale jobs are stopped.

    Reference: arXiv:2305.12387 (form read; constants checked by simulation).
    """
    size = inputs.count("batch_size", batch_size)
    return (2 if stop else 3) * t_het(times, size)


def effective_batch_size(counts, weights=None) -> float:
    """S of a mean of per-worker sums: its variance is at most σ²/S.

        g = (1/n) Σᵢ wᵢ (sum of Bᵢ gradients of worker i),    S = n ((1/n) Σᵢ wᵢ² Bᵢ)⁻¹

    Weights wᵢ = 1/Bᵢ (Malenia) give n times the harmonic mean of the Bᵢ, equal
    weights n/ΣBᵢ (Rennala) give ΣBᵢ.

    Args:
      counts: [n] gradients Bᵢ of each worker.
      weights: [n] wᵢ; 1/Bᵢ by default, where a worker without gradients gives 0.

    Reference: arXiv:2305.12387 for wᵢ = 1/Bᵢ; Tyurin (2026) for the weighted form
    (read).
    """
    n = np.size(counts)
    b = inputs.whole_per_worker("counts", counts, n).astype(np.float64)
    if weights is None:
        inverses = np.divide(1.0, b, out=np.full(n, np.inf), where=b > 0)
        return float(n**2 / np.sum(inverses))
    spread = np.sum(inputs.per_worker("weights", weights, n) ** 2 * b)
    if spread == 0:
        raise ValueError("weights must not vanish on all workers that have gradients.")
    return float(n**2 / spread)


def ringmaster_time_bound(times, delay_threshold) -> float:
    """Seconds that any R consecutive updates of Ringmaster ASGD take at most.

        t(R) = 2 min_m (R + m) / H_m

    Holds whether stale jobs are ignored or stopped.

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      delay_threshold: R, a whole number.

    Reference: arXiv:2501.16168 (known; checked by simulation).
    """
    return 2 * t_batch(times, inputs.count("delay_threshold", delay_threshold)).value
