"""What the schedules of PAGE share: its sizes, its coin, its costs. arXiv:2008.10898.

The model's version k collects either all m components, or S differences
∇fⱼ(xᵏ) − ∇fⱼ(xᵏ⁻¹), in one job each.
"""

from typing import Any

import jax
import jax.numpy as jnp

from .. import checks
from . import cluster


def check(user: str, batch_size: Any, probability: Any, cost_difference: Any) -> None:
    """Refuses Python numbers out of range; None, arrays and tracers pass.

    Raises:
      ValueError: naming the first that is out of range.
    """
    checks.counts(user, batch_size=batch_size)
    checks.in_unit_interval(probability, "probability", zero=False)
    if isinstance(cost_difference, int | float) and cost_difference not in (1, 2):
        raise ValueError(
            f"{user} needs cost_difference to be 1 or 2 gradients, "
            f"got {cost_difference}"
        )


def root(num_components):
    """⌈√m⌉, the customary number S of differences."""
    return jnp.ceil(jnp.sqrt(jnp.asarray(num_components, jnp.float64)))


def is_full(key, version, probability):
    """Does this version collect the full gradient? The first one does.

    Args:
      key: `cluster.server_key` of the version.
      probability: p, of the others.
    """
    coin = jax.random.uniform(key, dtype=jnp.float64)
    return (version == 0) | (coin < probability)


def work(kind, cost_difference):
    """Gradients that a job of this kind costs."""
    return jnp.where(kind == 0, 1, jnp.asarray(cost_difference, jnp.int32))


def drawn(workers: cluster.Cluster, worker, length):
    """⌊u · length⌋, with the number u in [0, 1) of the worker's running job."""
    uniform = cluster.job_uniform(workers.key, worker, workers.job[worker])
    return jnp.floor(uniform * length).astype(jnp.int32)
