"""MindFlayer: trials that are given up when they take too long. arXiv:2410.04285."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from .. import checks, timing
from ..types import ComputeTime, Schedule
from . import cluster
from .allocation import Plan, allocated

ROUNDING = 1e-12  # a quotient so little above a whole number counts as the number
SHORTEST = 1e-290  # seconds; stands for 0 where we divide by a time


class Trial(NamedTuple):
    """One trial of each worker, [n].

    Attributes:
      limit: seconds after which it is given up.
      probability: that it succeeds.
    """

    limit: Any
    probability: Any


def mindflayer(*, batch_size, extra_time=None) -> Schedule:
    """Rounds of Bᵢ trials each; a trial ends after τᵢ + tᵢ seconds at the latest.

        x^{k+1} = x^k − (γ/B) Σᵢ Σ_{j=1}^{Bᵢ} 1[success] ∇f(x^k; ξᵢⱼ),   B = Σᵢ pᵢ Bᵢ

    τᵢ is what no job can beat, pᵢ the probability of a success. The trials are those
    that give S successes on average in the least time:

        T(m) = (S + Σ_{j<=m} pⱼ) / Σ_{j<=m} pⱼ/(τⱼ + tⱼ),   sorted by τⱼ + tⱼ
        Bᵢ = ⌈min T / (τᵢ + tᵢ) − 1⌉ for the m that T is least for, 0 for the others

    The next trial has a fresh sample. Who is done waits for the round to end. A round
    without success is an update by 0.

    Args:
      batch_size: S > 0, max {1, σ²/ε} in theory; need not be whole.
      extra_time: tᵢ, seconds, one number or [n]; inf leaves that worker out. By
        default τᵢ + tᵢ is the median of the worker's times.

    Raises:
      ValueError: when used, if the compute times do not tell their distribution.

    Reference: Maranjyan, Shaikh Omar, Richtárik (2025). arXiv:2410.04285.
    """
    checks.positive(batch_size, "batch_size")
    extra_time = checked_extra_time("mindflayer", extra_time)
    if extra_time is not None and np.all(_known(extra_time) == np.inf):
        raise ValueError(
            "mindflayer leaves out the workers with an infinite extra_time: give a "
            "number of seconds, a large one never to give up"
        )
    if isinstance(batch_size, int):
        batch_size = float(batch_size)  # so that 8 and 8.5 share a program
    return allocated(
        Partial(_plan, batch_size, extra_time), cluster.any_alive, replan=False
    )


def checked_extra_time(user: str, extra_time):
    """`extra_time` as a float, an array [n] or None.

    Raises:
      ValueError: if it is known now, and negative or NaN.
    """
    if isinstance(extra_time, list | tuple | np.ndarray):
        extra_time = np.asarray(extra_time, np.float64)
    elif isinstance(extra_time, int):
        extra_time = float(extra_time)
    if extra_time is not None and not np.all(_known(extra_time) >= 0):
        raise ValueError(
            f"{user} needs extra_time >= 0, seconds on top of the least that a job "
            f"takes; got {extra_time}"
        )
    return extra_time


def trial(user: str, extra_time, compute_time: ComputeTime) -> Trial:
    """What `extra_time`, None for the medians, means on a cluster.

    Raises:
      ValueError: if the compute times have no cdf, or are of another number of workers.
    """
    if compute_time.cdf is None:
        raise ValueError(
            f"{user} needs to know how likely a job is to end in time: these compute "
            "times have no cdf; give ComputeTime(..., cdf=...)"
        )
    if extra_time is None:
        limit = timing.median(compute_time)
    else:
        num_workers = jnp.shape(compute_time.lower_bound)
        if jnp.shape(extra_time) not in ((), num_workers):
            raise ValueError(
                f"{user} was given extra_time for {jnp.shape(extra_time)[0]} workers "
                f"out of {num_workers[0]}; give one number, or one per worker"
            )
        limit = compute_time.lower_bound + extra_time
    limit = jnp.asarray(limit, jnp.float64)
    return Trial(limit, jnp.asarray(compute_time.cdf(limit), jnp.float64))


def _plan(batch_size, extra_time, key, history, compute_time):
    del key, history
    one = trial("mindflayer", extra_time, compute_time)
    trials = _trials(one, batch_size)
    expected = jnp.sum(one.probability * trials)
    return Plan(trials, 1 / jnp.where(expected > 0, expected, 1), one.limit)


def _trials(one: Trial, batch_size):
    """Bᵢ, [n]."""
    limit, p = jnp.maximum(one.limit, SHORTEST), one.probability
    order = jnp.argsort(limit, stable=True)
    rate = jnp.cumsum((p / limit)[order])
    needed = batch_size + jnp.cumsum(p[order])
    times = jnp.where(rate > 0, needed / jnp.where(rate > 0, rate, 1), jnp.inf)
    place = jnp.argsort(order)
    used = (place <= jnp.argmin(times)) & (p > 0) & jnp.isfinite(times.min())
    quotient = jnp.where(used, times.min() / limit, 1.0)
    return jnp.ceil(quotient * (1 - ROUNDING)).astype(jnp.int32) - 1


def _known(value):
    """A number or array that is known now; 0 for tracers and arrays of JAX."""
    return value if isinstance(value, int | float | np.ndarray) else 0.0
