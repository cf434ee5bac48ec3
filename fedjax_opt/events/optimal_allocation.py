"""Optimal fixed task allocation (OFTA), a baseline of ATA. arXiv:2502.00775."""

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from .. import checks
from ..types import Schedule
from . import cluster
from .allocation import Plan, allocated


def optimal_allocation(*, batch_size) -> Schedule:
    """B tasks a round, allocated by the means μᵢ of the workers' times, which it knows.

        a = argmin maxᵢ aᵢ μᵢ   over   Σᵢ aᵢ = B

    Of several minimisers one where the fewest workers attain the maximum, then the
    lowest indices. Who has no task is idle; who is done waits for the round to end.

    Args:
      batch_size: B.

    Raises:
      ValueError: when used, if the compute times do not tell their means.

    Reference: baseline of Maranjyan, Saad, Richtárik, Orabona (2025).
      arXiv:2502.00775.
    """
    checks.counts("optimal_allocation", batch_size=batch_size)
    return allocated(Partial(_plan, batch_size), cluster.any_alive, replan=False)


def _plan(batch_size, key, history, compute_time):
    del key, history
    if compute_time.mean is None:
        raise ValueError(
            "optimal_allocation needs to know how long tasks take: these compute times "
            "have no mean; give ComputeTime(..., mean=[seconds per worker])"
        )
    mean = jnp.asarray(compute_time.mean, jnp.float64)
    return Plan(optimal_tasks(mean, batch_size), 1 / jnp.float64(batch_size), jnp.inf)


def optimal_tasks(seconds, batch_size):
    """The tasks [n] that minimise maxᵢ aᵢ sᵢ, given out one by one.

    Each goes to the worker that would be done with it first; ties to the lowest index.

    Args:
      seconds: [n] per task, not negative.
      batch_size: B, their number.
    """

    def give(_, tasks):
        return tasks.at[jnp.argmin((tasks + 1) * seconds)].add(1)

    nothing = jnp.zeros(seconds.shape, jnp.int32)
    return jax.lax.fori_loop(0, jnp.int32(batch_size), give, nothing)
