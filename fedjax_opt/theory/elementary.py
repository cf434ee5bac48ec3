"""Prescribed parameters and rounds of the elementary baselines.

What minibatch SGD prescribes is `sgd` with the variance σ²/n of the mean.
"""

from typing import NamedTuple

import numpy as np

from . import inputs
from .asynchronous import sgd
from .times import t_hom


class WorkerParameters(NamedTuple):
    """γ, the one worker (0-based) that works, and K updates that suffice."""

    step_size: float
    worker: int
    num_updates: int | None


class FastestWorkers(NamedTuple):
    """m*, and the m* workers (0-based, fastest first) that work."""

    num_workers: int
    workers: np.ndarray


def hero(
    times, smoothness, variance, *, accuracy, initial_gap=None
) -> WorkerParameters:
    """Hero SGD: the fastest worker alone runs SGD.

        γ = min {1/(2L), ε/(2Lσ²)},    K >= 8 LΔ/ε + 8 LΔσ²/ε²

    Ties between workers go to the lowest index. The time is in `hero_time`.

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      smoothness: L.
      variance: σ² of one gradient.
      accuracy: ε.
      initial_gap: Δ.

    Reference: arXiv:2305.12387 (classical theorem, constants read).
    """
    worker = int(np.argmin(inputs.worker_times(times)))
    found = sgd(smoothness, variance, accuracy=accuracy, initial_gap=initial_gap)
    return WorkerParameters(found.step_size, worker, found.num_updates)


def naive_optimal(times, variance, *, accuracy) -> FastestWorkers:
    """Naive optimal ASGD: asynchronous SGD on the m* fastest workers only.

        m* = argmin_m (m / H_m) (1 + σ²/(mε)),    the smallest where several are

    Optimal for speeds that are known and do not change. The step size is that of
    asynchronous SGD on m* workers, of which only the form is known: see `asgd`.

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      variance: σ² of one gradient.
      accuracy: ε.

    Reference: arXiv:2501.16168 (known).
    """
    tau = inputs.worker_times(times)
    m = t_hom(tau, inputs.noise_ratio(variance, accuracy)).num_workers
    return FastestWorkers(m, np.argsort(tau, kind="stable")[:m])


def split_equally(num_jobs, num_workers) -> np.ndarray:
    """Sizes [n] of consecutive blocks that differ by at most one, larger first.

    Args:
      num_jobs: m, how much there is to split.
      num_workers: n.
    """
    total = inputs.whole("num_jobs", num_jobs)
    n = inputs.count("num_workers", num_workers)
    return total // n + (np.arange(n) < total % n)


def soviet_round_time(times, num_jobs) -> float:
    """Seconds of a round in which m jobs are split equally and all are waited for.

        maxᵢ τᵢ mᵢ,    mᵢ from `split_equally`

    Args:
      times: [n] seconds per gradient; inf for a dead worker, which costs nothing only
        if its block is empty.
      num_jobs: m gradients.

    Reference: arXiv:2405.15545 (read; the form τₙ m/n drops the rounding).
    """
    tau = inputs.worker_times(times)
    sizes = split_equally(num_jobs, tau.size)
    return float(np.max(tau[sizes > 0] * sizes[sizes > 0], initial=0))
