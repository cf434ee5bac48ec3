"""The mean."""

import jax.numpy as jnp

from ..static import memoised
from ..tree import mean_over_workers
from ..types import Aggregator


@memoised
def mean() -> Aggregator:
    """The mean over all n workers.

        A(c₁, ..., cₙ) = (1/n) Σᵢ cᵢ

    Workers that did not come count with their zero message: the sum is divided by n,
    not by the number of those who came.

    Returns:
      An Aggregator without state.
    """

    def init(params):
        return ()

    def aggregate(keys, messages, mask, state):
        return mean_over_workers(messages), state

    def weights(mask):
        return jnp.where(mask, 1 / mask.size, 0.0)

    return Aggregator(init, aggregate, weights)
