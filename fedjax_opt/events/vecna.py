"""Vecna: MindFlayer's trials for heterogeneous data. arXiv:2410.04285."""

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from .. import checks
from ..types import Schedule
from . import cluster
from .allocation import Plan, allocated
from .mindflayer import checked_extra_time, trial


def vecna(*, trials, extra_time=None) -> Schedule:
    """Rounds of Bᵢ trials each, whose successes weigh as if all workers had as many.

        x^{k+1} = x^k − (γ/n) Σᵢ 1/(pᵢ Bᵢ) Σ_{j=1}^{Bᵢ} 1[success] ∇fᵢ(x^k; ξᵢⱼ)

    A trial of worker i is given up after τᵢ + tᵢ seconds, τᵢ being what no job can
    beat, and succeeds with probability pᵢ, which must be positive for everybody: then
    the mean over workers is unbiased. Who is done waits for the round to end.

    Args:
      trials: Bᵢ >= 1, one number or [n].
      extra_time: tᵢ, seconds, one number or [n]; inf never gives up. By default
        τᵢ + tᵢ is the median of the worker's times.

    Raises:
      ValueError: when used, if the compute times do not tell their distribution.

    Reference: arXiv:2410.04285. Deviation: derived from unbiasedness; experimental.
    """
    if isinstance(trials, list | tuple | np.ndarray):
        trials = np.asarray(trials)
        for number in trials.ravel().tolist():
            checks.counts("vecna", trials=number)
    checks.counts("vecna", trials=trials)
    extra_time = checked_extra_time("vecna", extra_time)
    return allocated(
        Partial(_plan, trials, extra_time), cluster.all_alive, replan=False
    )


def _plan(trials, extra_time, key, history, compute_time):
    del key
    one = trial("vecna", extra_time, compute_time)
    (num_workers,) = history.counts.shape
    if jnp.shape(trials) not in ((), (num_workers,)):
        raise ValueError(
            f"vecna was given trials for {jnp.shape(trials)[0]} workers out of "
            f"{num_workers}; give one number, or one per worker"
        )
    expected = one.probability * trials
    weight = 1 / (num_workers * jnp.where(expected > 0, expected, 1))
    return Plan(trials, weight, one.limit)
