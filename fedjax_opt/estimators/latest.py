"""A table with the latest gradient of every worker. arXiv:2509.22860."""

from typing import NamedTuple

import jax

from .. import tree
from ..static import memoised
from ..types import Accumulator, Tree


class LatestState(NamedTuple):
    """State of `latest`.

    Attributes:
      table: G, leaves [n, ...].
      mean: (1/n) Σᵢ Gᵢ.
    """

    table: Tree
    mean: Tree


@memoised
def latest() -> Accumulator:
    """The mean of the latest gradients, one of each worker.

        ḡ ← ḡ + (g − Gᵢ)/n,   Gᵢ ← g

    Rows start at 0. A gradient costs O(d), whatever n; n + 1 vectors are kept.

    Reference: the server of IA²SGD, baseline of arXiv:2509.22860.
    """

    def init(params, num_workers):
        return LatestState(
            tree.with_rows(tree.zeros_like(params), num_workers),
            tree.zeros_like(params),
        )

    def update(grad, worker, weight, stepping, state):
        del weight, stepping
        num_workers = jax.tree.leaves(state.table)[0].shape[0]
        change = tree.sub(grad, tree.row(state.table, worker))
        mean = tree.add_scaled(state.mean, 1 / num_workers, change)
        table = tree.set_row(state.table, worker, grad, after=mean)
        return mean, LatestState(table, mean)

    return Accumulator(init, update)
