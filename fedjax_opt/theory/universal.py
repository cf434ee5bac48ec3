"""Times under arbitrary changes of speed: the universal computation model.

Worker i has a power function vᵢ and Vᵢ(t) = ∫₀ᵗ vᵢ; working from t₀ on it has finished
⌊Vᵢ(t) − Vᵢ(t₀)⌋ gradients at t. Here the vᵢ are constant between the points of a grid.
Fixed speeds are vᵢ = 1/τᵢ, an outage is vᵢ = 0. Times are in the unit of the grid, and
inf where power runs out. Reference: arXiv:2408.04929 (known).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from . import arrivals, inputs


def rennala_universal_times(
    grid, powers, batch_size, num_updates, *, stop: bool = False
) -> np.ndarray:
    """When the updates of Rennala happen, t₀ = 0.

        stale jobs stopped, exact:      t_k = min {t : Σᵢ ⌊∫vᵢ⌋ >= S}
        stale jobs ignored, a bound:    t_k = min {t : Σᵢ max (⌊∫vᵢ⌋ − 1, 0) >= S}

    with integrals from t_{k−1} to t: each worker loses at most one stale job.

    Args:
      grid: [T] instants, growing, from 0 on.
      powers: [n, T] gradients per second of each worker from grid[j] to grid[j+1]; the
        last holds for ever.
      batch_size: S, a whole number.
      num_updates: K.
      stop: whether stale jobs are stopped.

    Returns:
      [K + 1] times.

    Reference: arXiv:2408.04929 (known; checked by simulation).
    """
    enough = arrivals.total_is(inputs.count("batch_size", batch_size))
    return _recursion(_power(grid, powers), enough, num_updates, lost=0 if stop else 1)


def malenia_universal_times(
    grid, powers, batch_size, num_updates, *, stop: bool = False
) -> np.ndarray:
    """When the updates of Malenia happen, t₀ = 0.

        stale jobs stopped, exact:      t_k = min {t : ((1/n) Σᵢ 1/⌊∫vᵢ⌋)⁻¹ >= S/n}
        stale jobs ignored, a bound:    the same with max (⌊∫vᵢ⌋ − 1, 0)

    with integrals from t_{k−1} to t.

    Args:
      grid: [T] instants, growing, from 0 on.
      powers: [n, T] gradients per second of each worker from grid[j] to grid[j+1]; the
        last holds for ever.
      batch_size: S, a whole number.
      num_updates: K.
      stop: whether stale jobs are stopped.

    Returns:
      [K + 1] times.

    Reference: arXiv:2408.04929 (known; recursion read in Tyurin, 2026). The form for
    ignored jobs is derived, as for Rennala.
    """
    enough = arrivals.harmonic_mean_is(inputs.count("batch_size", batch_size))
    return _recursion(_power(grid, powers), enough, num_updates, lost=0 if stop else 1)


def ringmaster_universal_times(
    grid, powers, delay_threshold, num_blocks, *, stop: bool = False
) -> np.ndarray:
    """By when Ringmaster ASGD has surely made kR updates, T₀ = 0.

        stale jobs stopped:  T_k = min {T : Σᵢ ⌊¼ ∫vᵢ⌋ >= R}
        stale jobs ignored:  T_k = min {T : Σᵢ max (⌊∫vᵢ⌋ − 1, 0) >= R}

    with integrals from T_{k−1} to T. The first also bounds, less sharply, the rule that
    ignores stale jobs. `ringmaster_num_blocks` many blocks suffice.

    Args:
      grid: [T] instants, growing, from 0 on.
      powers: [n, T] gradients per second of each worker from grid[j] to grid[j+1]; the
        last holds for ever.
      delay_threshold: R, a whole number.
      num_blocks: how many blocks of R updates.
      stop: whether stale jobs are stopped.

    Returns:
      [num_blocks + 1] times.

    Reference: arXiv:2501.16168 (first form known, second derived; both checked by
    simulation).
    """
    enough = arrivals.total_is(inputs.count("delay_threshold", delay_threshold))
    power = _power(grid, powers)
    if stop:
        return _recursion(power, enough, num_blocks, work=4)
    return _recursion(power, enough, num_blocks, lost=1)


def ringmaster_num_blocks(smoothness, *, initial_gap, accuracy) -> int:
    """⌈48 LΔ/ε⌉ blocks of R = max {⌈σ²/ε⌉, 1} updates that suffice for Ringmaster.

    Args:
      smoothness: L.
      initial_gap: Δ.
      accuracy: ε.

    Reference: arXiv:2501.16168 (known).
    """
    gap = inputs.positive("initial_gap", initial_gap)
    return inputs.num_updates(48, smoothness, gap, accuracy) or 1


def universal_hom_times(
    grid, powers, noise_ratio, num_iterations, *, constant=1
) -> np.ndarray:
    """The optimal time for homogeneous data: lower bound, and Rennala and Ringmaster.

        t_k = min {t : Σᵢ ⌊∫vᵢ⌋ >= c · max {⌈s⌉, 1}},    K = Θ(LΔ/ε)

    with integrals from t_{k−1} to t. For fixed speeds t_K is `t_hom` times K up to a
    constant. The constants c and of K differ between the lower and the upper bound,
    and are not known here.

    Args:
      grid: [T] instants, growing, from 0 on.
      powers: [n, T] gradients per second of each worker from grid[j] to grid[j+1]; the
        last holds for ever.
      noise_ratio: s = σ²/ε.
      num_iterations: K.
      constant: c.

    Returns:
      [K + 1] times.

    Reference: arXiv:2408.04929 (known; recursion read in Tyurin, 2026).
    """
    size = max(inputs.round_up(inputs.nonnegative("noise_ratio", noise_ratio)), 1)
    size = inputs.round_up(inputs.positive("constant", constant) * size)
    return rennala_universal_times(grid, powers, size, num_iterations, stop=True)


def universal_het_times(
    grid, powers, noise_ratio, num_iterations, *, constant=1
) -> np.ndarray:
    """The optimal time for heterogeneous data: lower bound, and Malenia.

        t_k = min {t : ((1/n) Σᵢ 1/⌊∫vᵢ⌋)⁻¹ >= S/n},    S = c · max {⌈s⌉, n},
        K = Θ(LΔ/ε)

    with integrals from t_{k−1} to t. The constants c and of K are not known here.

    Args:
      grid: [T] instants, growing, from 0 on.
      powers: [n, T] gradients per second of each worker from grid[j] to grid[j+1]; the
        last holds for ever.
      noise_ratio: s = σ²/ε.
      num_iterations: K.
      constant: c.

    Returns:
      [K + 1] times.

    Reference: arXiv:2408.04929 (known; recursion read in Tyurin, 2026).
    """
    n = len(np.atleast_2d(powers))
    size = max(inputs.round_up(inputs.nonnegative("noise_ratio", noise_ratio)), n)
    size = inputs.round_up(inputs.positive("constant", constant) * size)
    return malenia_universal_times(grid, powers, size, num_iterations, stop=True)


# ---------------------------------------------------------------- power functions


class _Power(NamedTuple):
    """grid [T], rate [n, T] between its points, work [n, T]: V at its points."""

    grid: np.ndarray
    rate: np.ndarray
    work: np.ndarray


def _power(grid, powers) -> _Power:
    points = np.asarray(grid, dtype=np.float64)
    rate = np.asarray(powers, dtype=np.float64)
    if points.ndim != 1 or points.size == 0 or points[0] != 0:
        raise ValueError(
            f"grid must be a list of instants that begins with 0; got {grid!r}."
        )
    if not (np.isfinite(points).all() and (np.diff(points) > 0).all()):
        raise ValueError("grid must grow from each instant to the next, all finite.")
    if rate.ndim != 2 or len(rate) == 0 or rate.shape[1] != points.size:
        raise ValueError(
            f"powers must have shape [n, {points.size}]: one row per worker, one entry "
            f"per instant of the grid; got shape {list(rate.shape)}."
        )
    if not (np.isfinite(rate) & (rate >= 0)).all():
        raise ValueError(
            "powers must be finite and not negative; give 0 for an outage."
        )
    pieces = np.cumsum(rate[:, :-1] * np.diff(points), axis=1)
    work = np.concatenate([np.zeros((len(rate), 1)), pieces], axis=1)
    return _Power(points, rate, work)


def _work_at(power: _Power, instant: float) -> np.ndarray:
    """V(t), [n]."""
    piece = int(np.searchsorted(power.grid, instant, side="right")) - 1
    done = power.rate[:, piece] * (instant - power.grid[piece])
    return power.work[:, piece] + done


def _reach(power: _Power, target: np.ndarray) -> np.ndarray:
    """V⁻¹(y), [n]: the first time at which V reaches y > 0; inf if never.

    A y that a piece misses by rounding is reached at the end of that piece: it does not
    wait for the end of an outage.
    """
    room = 1e-12 * target
    piece = np.sum(power.work < (target - room)[:, None], axis=1) - 1
    worker = np.arange(target.size)
    rate = power.rate[worker, piece]
    missing = target - power.work[worker, piece]
    span = np.divide(missing, rate, out=np.full(target.size, np.inf), where=rate > 0)
    ends = np.append(power.grid, np.inf)
    return np.minimum(power.grid[piece] + span, ends[piece + 1])


def _jobs(power: _Power, start: float, work: int, lost: int) -> arrivals.Jobs:
    """Jobs of `work` gradients after the loss of `lost` gradients, from `start` on."""
    before = _work_at(power, start)

    def finished(instant: float) -> np.ndarray:
        done = np.floor((_work_at(power, instant) - before - lost) / work)
        return np.maximum(done, 0)

    def finish(jobs: np.ndarray) -> np.ndarray:
        return np.maximum(_reach(power, before + lost + work * jobs), start)

    return arrivals.Jobs(start, finish, finished)


def _recursion(
    power: _Power, enough: Callable, num_steps, *, work: int = 1, lost: int = 0
) -> np.ndarray:
    """t₀ = 0, t_k = the first time at which the jobs since t_{k−1} are enough."""
    times = np.full(1 + inputs.count("num_updates", num_steps), np.inf)
    times[0] = 0
    for k in range(1, times.size):
        jobs = _jobs(power, times[k - 1], work, lost)
        upper = _upper(power, jobs, enough)
        if upper == np.inf:
            break
        times[k] = arrivals.first(jobs, enough, upper)[0]
    return times


def _upper(power: _Power, jobs: arrivals.Jobs, enough: Callable) -> float:
    """A time at which the jobs are surely enough; inf if they never are."""
    last = max(power.grid[-1], jobs.start)
    final = power.rate[:, -1]
    at_last = arrivals.counts_at(jobs, last)
    if enough(at_last):
        return last
    if not enough(np.where(final > 0, arrivals.UNLIMITED, at_last)):
        return np.inf
    width = max(last - jobs.start, 1 / final.max())
    while not enough(arrivals.counts_at(jobs, last + width)):
        width *= 2
    return last + width
