"""The mean that partial participation would have been of everybody."""

from typing import Any

import jax
import jax.numpy as jnp

from ..types import Aggregator


def weighted(probabilities: Any) -> Aggregator:
    """The unbiased estimate of the mean over all workers from those who came.

        A(c₁, ..., cₙ) = (1/n) Σ_{i came} cᵢ / pᵢ

    A server that adds up messages, such as that of EF21, then has (1/n) Σᵢ gᵢ/pᵢ: it is
    for mechanisms without memory.

    Args:
      probabilities: pᵢ with which worker i comes, one number or [n]; τ/n for
        `uniform_participation(τ)`. May be traced.

    Returns:
      An Aggregator without state.
    """

    def init(params):
        return ()

    def weights(mask):
        return jnp.where(mask, 1 / (mask.size * jnp.asarray(probabilities)), 0.0)

    def aggregate(keys, messages, mask, state):
        of_each = weights(mask)

        def total(x):
            wide = jnp.promote_types(x.dtype, jnp.float32)
            return jnp.tensordot(of_each.astype(wide), x.astype(wide), 1).astype(
                x.dtype
            )

        return jax.tree.map(total, messages), state

    return Aggregator(init, aggregate, weights)
