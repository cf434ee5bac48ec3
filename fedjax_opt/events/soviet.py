"""Soviet GD and PAGE: equal shares for all, and everybody is waited for."""

import jax.numpy as jnp
from jax.tree_util import Partial

from ..types import Schedule
from . import cluster, page
from .allocation import Plan, allocated


def soviet_gd() -> Schedule:
    """A full gradient in every round, its m components split equally.

        x^{k+1} = x^k − γ (1/m) Σⱼ ∇fⱼ(x^k)

    Worker i computes a block of consecutive components, one per job; sizes differ by
    at most one, larger ones first. A round takes as long as its slowest worker.

    Reference: baseline of arXiv:2405.15545.
    """
    plan = Partial(_full)
    return allocated(plan, cluster.all_alive, replan=False, components="soviet_gd")


def soviet_page(*, batch_size=None, probability=None, cost_difference=2) -> Schedule:
    """The full gradient or S differences in every round, split equally.

        round 0, and others with probability p:  ∇f(x^k), a component per job
        otherwise:  (1/S) Σ_{j∈S^k} (∇fⱼ(x^k) − ∇fⱼ(x^{k−1})), a difference per job

    The full gradient is split as in `soviet_gd`; the components of the differences are
    drawn uniformly from all m. Belongs with `estimators.page`, which keeps g.

    Args:
      batch_size: S; ⌈√m⌉ by default.
      probability: p; S/(S + m) by default.
      cost_difference: gradients that a difference costs, 1 or 2.

    Reference: baseline of arXiv:2405.15545; PAGE is arXiv:2008.10898.
    """
    page.check("soviet_page", batch_size, probability, cost_difference)
    plan = Partial(_full_or_differences, batch_size, probability, cost_difference)
    return allocated(plan, cluster.all_alive, components="soviet_page")


def _full(key, history, compute_time):
    tasks, first = _shares(history.components, history.counts.shape[0])
    return Plan(tasks, _inverse(history.components), jnp.inf, first=first)


def _full_or_differences(
    batch_size, probability, cost_difference, key, history, compute_time
):
    components = history.components
    size = page.root(components) if batch_size is None else batch_size
    size = jnp.asarray(size, jnp.int32)
    if probability is None:
        probability = size * _inverse(size + components)
    full = page.is_full(key, history.round, probability)
    total = jnp.where(full, components, size)
    tasks, first = _shares(total, history.counts.shape[0])
    kind = (~full).astype(jnp.int32)
    return Plan(
        tasks,
        _inverse(total),
        jnp.inf,
        work=page.work(kind, cost_difference),
        kind=kind,
        first=jnp.where(full, first, -1),
    )


def _inverse(count):
    return 1 / count.astype(jnp.float64)  # of an int32 it would be a float32


def _shares(total, num_workers: int):
    """Sizes and starts of consecutive blocks of range(total), larger ones first."""
    workers = jnp.arange(num_workers, dtype=jnp.int32)
    size, larger = total // num_workers, total % num_workers
    return size + (workers < larger), workers * size + jnp.minimum(workers, larger)
