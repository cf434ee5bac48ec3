"""The universal computation model: powers that change in time. arXiv:2408.04929.

Worker i computes vᵢ(t) gradients per second at time t. With Vᵢ(t) = ∫₀ᵗ vᵢ, a job of w
gradients that starts at time t ends at

    Vᵢ⁻¹(Vᵢ(t) + w),    V⁻¹(y) = the first time at which V reaches y,

never if V stays below. Powers are constant between the points of a grid. Within one
piece a duration is w/v to the last bit; beyond, it is a sum of pieces, and accurate to
1e-15 of the time and of the work since 0. A job that misses the end of a piece by less
than 1e-12 of that work, which is rounding, ends there: it does not wait for the end of
an outage. These laws have no cdf: when a job starts decides how long it takes.
"""

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from ..types import ComputeTime
from .durations import SLACK, product
from .inputs import of_workers, per_worker, refuse, windows


def power(grid, powers, *, down=None) -> ComputeTime:
    """Powers that are constant between the points of a grid; the last holds for ever.

    An interrupted job loses its work. The mean is that of the long run, 1/vᵢ at the end
    of the grid.

    Args:
      grid: [T] seconds, growing, from 0 on; or [n, T].
      powers: [n, T] gradients per second, from each point of the grid to the next.
      down: windows (start, end) of each worker in which its power is 0, as in
        `availability`.

    Reference: Tyurin (2025). arXiv:2408.04929.
    """
    grid, powers = _checked(grid, powers)
    if down is not None:
        down = windows("down", down, len(powers))
        rows = [_switched_off(*row) for row in zip(grid, powers, down, strict=True)]
        grid, powers = (np.stack(arrays) for arrays in zip(*rows, strict=True))
    return ComputeTime(
        Partial(_power, grid, powers, _totals(grid, powers)),
        _inverse(powers.max(axis=1)),
        _inverse(powers[:, -1]),
    )


def outages(times, down) -> ComputeTime:
    """Worker i needs τᵢ seconds per gradient and pauses in its windows; work is kept.

    Args:
      times: [n] seconds τᵢ > 0; inf for a worker that never delivers.
      down: windows (start, end) of each worker, as in `availability`.
    """
    (times,) = per_worker(times=times)
    refuse("times", times, times == 0, "must be positive")
    return power([0.0], 1 / times[:, None], down=down)


def trend(coefficient, *, exponent, until, steps: int = 1000) -> ComputeTime:
    """vᵢ(t) = cᵢ t^pᵢ up to a time, and what it is then from there on.

    In each step the power is its mean over that step, so that Vᵢ is exact on the grid.

    Args:
      coefficient: [n] cᵢ >= 0.
      exponent: pᵢ > −1, a number or [n]: positive for workers that become faster.
      until: seconds after which the power no longer changes.
      steps: how many pieces.
    """
    (c,) = per_worker(coefficient=coefficient, finite=("coefficient",))
    p = np.asarray(exponent, np.float64)
    if p.shape not in ((), c.shape):
        raise ValueError(f"exponent must be a number or have {c.size} entries")
    refuse("exponent", p, ~((p > -1) & (p < np.inf)), "must be finite and above -1")
    if not 0 < until < np.inf:
        raise ValueError(f"until must be positive and finite seconds, got {until}")
    if steps != int(steps) or steps < 1:
        raise ValueError(f"steps must be 1, 2, ..., got {steps}")
    grid = np.linspace(0.0, until, int(steps) + 1)
    p = np.broadcast_to(p, c.shape)[:, None]
    total = c[:, None] * grid ** (p + 1) / (p + 1)
    last = c[:, None] * float(until) ** p
    return power(grid, np.hstack([np.maximum(np.diff(total), 0) / np.diff(grid), last]))


def periodic(grid, powers, *, period) -> ComputeTime:
    """Powers that repeat for ever: shifts, nights, duty cycles.

    The mean is that of the long run.

    Args:
      grid: [T] seconds, growing, from 0 on and below the period; or [n, T].
      powers: [n, T] gradients per second, from each point of the grid to the next, and
        from the last to the period.
      period: seconds, a number or [n].
    """
    grid, powers = _checked(grid, powers)
    (period,) = of_workers(len(powers), period=period, finite=("period",))
    late = period <= grid[:, -1]
    refuse("period", period, late, "must end after the last point of the grid")
    # Three periods: a job starts in the first, ends in the second, but for rounding.
    grid = np.hstack([grid + k * period[:, None] for k in range(3)])
    powers = np.hstack([powers] * 3)
    totals = _totals(grid, powers)
    each = totals[:, powers.shape[1] // 3]
    return ComputeTime(
        Partial(_periodic, grid, powers, totals, period, each),
        _inverse(powers.max(axis=1)),
        np.where(each > 0, period / np.where(each > 0, each, 1), np.inf),
    )


# ---------------------------------------------------------------- durations


def _power(grid, powers, totals, key, worker, job, now, work):
    happens = jnp.isfinite(now)
    start = jnp.where(happens, now, 0)
    row = grid[worker], powers[worker], totals[worker]
    done = _work_at(*row, start)
    seconds = _elapsed(*row, start, work, SLACK * (done + work))
    return jnp.where(happens, seconds, jnp.inf)


def _periodic(grid, powers, totals, period, each, key, worker, job, now, work):
    length, total = period[worker], each[worker]
    happens = jnp.isfinite(now) & (total > 0)
    start = jnp.where(happens, now, 0)
    total = jnp.where(happens, total, 1)
    room = SLACK * (total * (1 + start / length) + work)
    whole = jnp.maximum(jnp.ceil((work - room) / total) - 1, 0)
    rest = jnp.clip(work - whole * total, 0, total)
    row = grid[worker], powers[worker], totals[worker]
    seconds = whole * length + _elapsed(*row, jnp.mod(start, length), rest, room)
    return jnp.where(happens, seconds, jnp.inf)


def _elapsed(grid, powers, totals, now, work, room):
    """Seconds from `now` until `work` is done, of one worker, all [T].

    Work that misses the end of a piece by at most `room` is done at that end.
    """
    last = len(grid) - 1
    piece = _piece(grid, now)
    following = jnp.minimum(piece + 1, last)
    speed = powers[piece]
    rest = jnp.where(piece < last, grid[following] - now, jnp.inf)
    capacity = product(speed, rest)
    here = jnp.minimum(work / jnp.where(speed > 0, speed, 1), rest)

    target = totals[following] + jnp.maximum(work - jnp.minimum(capacity, work), 0)
    reached = jnp.searchsorted(totals, target - room, side="left") - 1
    reached = jnp.clip(reached, following, last)
    missing = target - totals[reached]
    speed = powers[reached]
    tail = jnp.where(speed > 0, missing / jnp.where(speed > 0, speed, 1), jnp.inf)
    end = jnp.where(reached < last, grid[jnp.minimum(reached + 1, last)], jnp.inf)
    tail = jnp.where(missing > room, jnp.minimum(tail, end - grid[reached]), 0)
    later = (grid[following] - now) + (grid[reached] - grid[following]) + tail
    return jnp.where(work - capacity <= room, here, later)


def _piece(grid, now):
    found = jnp.searchsorted(grid, now, side="right") - 1
    return jnp.clip(found, 0, len(grid) - 1)


def _work_at(grid, powers, totals, now):
    """V(now)."""
    piece = _piece(grid, now)
    return totals[piece] + powers[piece] * (now - grid[piece])


# ---------------------------------------------------------------- grids, on the host


def _checked(grid, powers):
    """grid and powers, [n, T] each."""
    grid, powers = (np.asarray(array, np.float64) for array in (grid, powers))
    if powers.ndim != 2 or not powers.size:
        raise ValueError(
            "powers must have shape [n, T]: one row per worker, one entry per point of "
            f"the grid; got shape {list(powers.shape)}"
        )
    if grid.shape not in (powers.shape, powers.shape[1:]):
        raise ValueError(
            f"grid must have shape {list(powers.shape[1:])} or {list(powers.shape)}, "
            f"like powers; got {list(grid.shape)}"
        )
    grid = np.broadcast_to(grid, powers.shape)
    if not (
        np.isfinite(grid).all()
        and (grid[:, 0] == 0).all()
        and (np.diff(grid) > 0).all()
    ):
        raise ValueError(
            "grid must begin with 0 and grow from point to point, all finite"
        )
    if not (np.isfinite(powers) & (powers >= 0)).all():
        raise ValueError("powers must be finite and not negative; give 0 for an outage")
    return grid.copy(), powers.copy()


def _totals(grid, powers):
    """V on the grid, [n, T]."""
    work = np.cumsum(powers[:, :-1] * np.diff(grid), axis=1)
    return np.hstack([np.zeros((len(grid), 1)), work])


def _inverse(powers):
    return np.where(powers > 0, 1 / np.where(powers > 0, powers, 1), np.inf)


def _switched_off(grid, powers, down):
    """The powers [T] of one worker, 0 in its windows [W, 2]; T + 2W pieces."""
    length = grid.size + down.size
    points = np.unique(np.append(grid, down[np.isfinite(down)]))
    window = np.searchsorted(down[:, 0], points, side="right") - 1
    ends = np.append(down[:, 1], 0.0)  # of window −1: there is none
    rates = powers[np.searchsorted(grid, points, side="right") - 1]
    rates = np.where(points < ends[window], 0.0, rates)
    # Further points at the end, so that numbers do not decide the shape.
    more = max(1.0, points[-1]) * np.arange(1, length - points.size + 1)
    rates = np.append(rates, np.full(more.size, rates[-1]))
    return np.append(points, points[-1] + more), rates
