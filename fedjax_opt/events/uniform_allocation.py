"""Uniform task allocation (UTA), a baseline of ATA. arXiv:2502.00775."""

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from .. import checks
from ..types import Schedule
from . import cluster
from .allocation import Plan, allocated


def uniform_allocation(*, batch_size) -> Schedule:
    """B tasks a round, spread evenly: ⌊B/n⌋ each, the remainder to random workers.

    Args:
      batch_size: B.

    Reference: baseline of Maranjyan, Saad, Richtárik, Orabona (2025).
      arXiv:2502.00775.
    """
    checks.counts("uniform_allocation", batch_size=batch_size)
    return allocated(Partial(_plan, batch_size), cluster.all_alive)


def _plan(batch_size, key, history, compute_time):
    del compute_time
    (num_workers,) = history.counts.shape
    place = jnp.argsort(jax.random.permutation(key, num_workers))
    tasks = batch_size // num_workers + (place < batch_size % num_workers)
    return Plan(tasks, 1 / jnp.float64(batch_size), jnp.inf)
