"""ATA: adaptive task allocation. arXiv:2502.00775."""

import math

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from .. import checks
from ..static import bind
from ..types import Schedule
from . import cluster
from .allocation import History, Plan, allocated
from .optimal_allocation import optimal_tasks

BOUNDS = ("empirical", "theory")
ETA = 2.0  # of the authors' code


def ata(*, batch_size, alpha=None, bound: str = "empirical") -> Schedule:
    """B tasks a round, allocated by optimistic guesses of how long they take.

        sᵢ = μ̂ᵢ − 4e α (√(l/Kᵢ) + l/Kᵢ),   l = ln(2k²)
        a = argmin maxᵢ aᵢ sᵢ   over   Σᵢ aᵢ = B

    with the mean μ̂ᵢ of the Kᵢ tasks that worker i has finished, in round k = 1, 2, ...
    New workers get a task each, and what is left goes evenly to those with sᵢ <= 0
    while there are any: at random where it does not divide. Nothing need be known of
    the times. Workers without a task are idle and cost nothing.

    Args:
      batch_size: B.
      alpha: with the bound "theory" α, seconds, at least the largest ψ₁-norm of the
        times; with "empirical" α is this times μ̂ᵢ, 2 by default: so wide that rounds
        stay even for the first 10⁴ tasks of a worker or so, while 0.02 takes a few.
      bound: "empirical" or "theory".

    Reference: Maranjyan, Saad, Richtárik, Orabona (2025). arXiv:2502.00775.
    """
    checks.counts("ata", batch_size=batch_size)
    if bound not in BOUNDS:
        raise ValueError(f"ata needs bound to be one of {BOUNDS}, got {bound!r}")
    if alpha is None:
        if bound == "theory":
            raise ValueError(
                "ata with the bound 'theory' needs alpha, in seconds: at least every "
                "ψ₁-norm of the times; for an exponential law its scale"
            )
        alpha = ETA
    if isinstance(alpha, int | float) and not alpha >= 0:
        raise ValueError(f"ata needs alpha >= 0, got {alpha}")
    if isinstance(alpha, int):
        alpha = float(alpha)
    plan = Partial(bind(_plan, bound), batch_size, alpha)
    return allocated(plan, cluster.all_alive)


def _plan(bound, batch_size, alpha, key, history: History, compute_time):
    del compute_time
    score = _scores(bound, alpha, history)
    new = history.counts == 0
    low = ~new & (score <= 0)
    tasks = jax.lax.cond(
        (new | low).any(),
        lambda: _explore(batch_size, new, low, key),
        lambda: optimal_tasks(score, batch_size),
    )
    return Plan(tasks, 1 / jnp.float64(batch_size), jnp.inf)


def _scores(bound, alpha, history: History):
    """Lower confidence bounds on the seconds of a task, [n]."""
    k = (history.round + 1).astype(jnp.float64)
    finished = jnp.maximum(history.counts, 1).astype(jnp.float64)
    mean = history.seconds / finished
    scale = alpha * mean if bound == "empirical" else alpha
    ratio = jnp.log(2 * k**2) / finished
    score = mean - 4 * math.e * scale * (jnp.sqrt(ratio) + ratio)
    return jnp.where(history.counts > 0, score, -jnp.inf)


def _explore(batch_size, new, low, key):
    """A task for each new worker; the rest for those of low score, else for the new."""
    order = jax.random.permutation(key, new.shape[0])
    first = jnp.minimum(batch_size, new.sum()).astype(jnp.int32)
    rest = _spread(batch_size - first, jnp.where(low.any(), low, new), order)
    return _spread(first, new, order) + rest


def _spread(num_tasks, chosen, order):
    """Tasks [n], evenly over the chosen; one more for the first ones in the order."""
    size = jnp.maximum(chosen.sum(), 1)
    place = jnp.cumsum(chosen[order])[jnp.argsort(order)] - 1
    tasks = num_tasks // size + (place < num_tasks % size)
    return jnp.where(chosen, tasks, 0).astype(jnp.int32)
