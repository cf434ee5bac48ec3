"""Who takes part in a round: functions (key, num_workers, round) -> mask [num_workers].

The mean divides by n whoever comes; `aggregators.weighted` undoes the probabilities of
a rule, which makes the estimate of a mechanism without memory unbiased.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .. import checks, keys
from ..static import memoised
from ..types import Array

Participation = Callable[[keys.Key, int, Array], Array]


@memoised
def uniform_participation(count: Any) -> Participation:
    """τ-nice sampling: all sets of τ workers are equally likely.

    Every worker comes with probability τ/n.

    Args:
      count: τ, from 1 to the number of workers; may be traced.

    Returns:
      A rule whose mask has exactly τ entries True.

    Raises:
      ValueError: if count is a Python number below 1, or above the number of workers.
    """
    if isinstance(count, int | float):
        checks.positive_integer(count, "count")

    def participation(key, num_workers, round):
        _check_count("uniform_participation", count, num_workers)
        return jax.random.permutation(key, jnp.arange(num_workers)) < count

    return participation


def independent_participation(probabilities: Any) -> Participation:
    """Independent sampling: worker i comes with probability pᵢ, whoever else does.

    Args:
      probabilities: p, one number in (0, 1], or [n] of them; may be traced.

    Returns:
      A rule; its mask may be empty.

    Raises:
      ValueError: if a probability is out of range, or there are not n of them.
    """
    _check_probabilities(probabilities)

    def participation(key, num_workers, round):
        p = jnp.asarray(probabilities)
        if p.shape not in ((), (num_workers,)):
            raise ValueError(
                f"independent_participation needs one probability or {num_workers}, "
                f"one per worker, got an array of shape {p.shape}"
            )
        return jax.random.bernoulli(key, p, (num_workers,))

    return participation


def importance_probabilities(weights: Any, count: float) -> np.ndarray:
    """Probabilities in proportion to weights, as far as 1 allows, whose sum is τ.

        pᵢ = min(1, c wᵢ),   c such that Σᵢ pᵢ = τ

    With wᵢ = Lᵢ, or an upper bound of |∇fᵢ|, this is importance sampling: give them to
    `independent_participation`, and to `aggregators.weighted`.

    Args:
      weights: [n], positive.
      count: τ, how many workers come on average, in (0, n].

    Raises:
      ValueError: if a weight is not positive, or count is out of range.
    """
    w = np.asarray(weights, float)
    if w.ndim != 1 or not (w > 0).all() or not np.isfinite(w).all():
        raise ValueError("weights must be one positive number per worker")
    if not 0 < count <= w.size:
        raise ValueError(f"count must lie in (0, {w.size}], got {count}")
    p = np.zeros(w.size)
    certain = np.zeros(w.size, bool)
    while True:
        rest = ~certain
        p[certain] = 1.0
        p[rest] = (count - certain.sum()) * w[rest] / max(w[rest].sum(), 1e-300)
        above = rest & (p >= 1)
        if not above.any():
            return p
        certain |= above


@memoised
def cyclic_participation(count: int) -> Participation:
    """τ workers after the other: in round t those from t·τ on, modulo n.

    Args:
      count: τ, from 1 to the number of workers.

    Returns:
      A rule whose mask has exactly τ entries True.

    Raises:
      ValueError: if count is below 1, or above the number of workers.
    """
    checks.positive_integer(count, "count")

    def participation(key, num_workers, round):
        _check_count("cyclic_participation", count, num_workers)
        first = round % num_workers * (count % num_workers)
        return (jnp.arange(num_workers) - first) % num_workers < count

    return participation


@memoised
def after_first_round(participation: Participation) -> Participation:
    """Everybody comes in the first round, and those of a rule in all others.

    For workers whose memory begins at their own first gradient.

    Args:
      participation: the rule.
    """

    def everybody_first(key, num_workers, round):
        return participation(key, num_workers, round) | (round == 0)

    return everybody_first


def independent_after_first_round(probabilities: Any) -> Participation:
    """`after_first_round` of `independent_participation`."""
    return after_first_round(independent_participation(probabilities))


def who_comes(
    participation: Participation | None, key, num_workers: int, round
) -> Array:
    """The mask of a round, [num_workers]; everybody if there is no rule.

    Raises:
      ValueError: if the rule returns anything but one bool per worker.
    """
    if participation is None:
        return jnp.ones(num_workers, bool)
    came = jnp.asarray(participation(key, num_workers, round))
    if came.shape != (num_workers,) or came.dtype != bool:
        raise ValueError(
            f"participation must return {num_workers} bools, one per worker, got "
            f"{came.dtype} of shape {came.shape}; from indices make the mask "
            "jnp.zeros(n, bool).at[indices].set(True)"
        )
    return came


def _check_count(name: str, count, num_workers: int) -> None:
    if isinstance(count, int) and count > num_workers:
        raise ValueError(
            f"{name}(count={count}) cannot draw from {num_workers} workers; make count "
            f"at most {num_workers}"
        )


def _check_probabilities(probabilities) -> None:
    """Refuses numbers outside (0, 1]; tracers pass."""
    if isinstance(probabilities, Tracer):
        return
    p = np.asarray(probabilities, float)
    if not ((p > 0) & (p <= 1)).all():
        raise ValueError("probabilities must lie in (0, 1]; leave such workers out")
