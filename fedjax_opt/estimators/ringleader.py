"""A table with the mean of each worker's gradients in a round. arXiv:2509.22860."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from .. import tree
from ..static import memoised
from ..types import Accumulator, Tree


class RingleaderState(NamedTuple):
    """State of `ringleader`.

    Attributes:
      table: leaves [n, ...]; row i is Gᵢ/bᵢ until the step of worker i, and from then
        on that of the next round's table, empty at first: 0.
      counts: bᵢ, [n], of these rows.
      mean: (1/n) Σᵢ Gᵢ/bᵢ of the table that makes steps.
      next_mean: likewise of the table that is being filled.
      steps: made in this round.
    """

    table: Tree
    counts: Any
    mean: Tree
    next_mean: Tree
    steps: Any


@memoised
def ringleader() -> Accumulator:
    """The mean of the workers' mean gradients, in rounds of n steps.

        Gᵢ ← Gᵢ + g, bᵢ ← bᵢ + 1,   ḡ = (1/n) Σᵢ Gᵢ/bᵢ

    Each worker makes one step a round; what it sends afterwards is for the next round.
    So its row of this round's table is not needed any more, only its part of ḡ, and
    one table serves for both rounds. A gradient costs O(d), whatever n; n + 2 vectors
    are kept.

    Reference: the server of Ringleader ASGD. arXiv:2509.22860.
    """

    def init(params, num_workers):
        zero = tree.zeros_like(params)
        return RingleaderState(
            tree.with_rows(zero, num_workers),
            jnp.zeros(num_workers, jnp.int32),
            zero,
            zero,
            jnp.zeros((), jnp.int32),
        )

    def update(grad, worker, weight, stepping, state):
        del weight
        (num_workers,) = state.counts.shape
        count = state.counts[worker] + 1
        old = tree.row(state.table, worker)
        change = tree.scale(1 / count.astype(float), tree.sub(grad, old))

        # At the first step of a round the table that was filled takes over.
        first = state.steps == 0
        mean = tree.select(stepping & ~first, state.mean, state.next_mean)
        mean = tree.add_scaled(mean, 1 / num_workers, change)
        emptied = tree.select(first, tree.zeros_like(mean), state.next_mean)
        row = tree.select(stepping, tree.zeros_like(old), tree.add(old, change))
        return mean, RingleaderState(
            table=tree.set_row(state.table, worker, row, after=mean),
            counts=state.counts.at[worker].set(jnp.where(stepping, 0, count)),
            mean=tree.select(stepping, mean, state.mean),
            next_mean=tree.select(stepping, emptied, mean),
            steps=(state.steps + stepping) % num_workers,
        )

    return Accumulator(init, update)
