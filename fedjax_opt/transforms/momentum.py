"""Momentum as an exponential moving average of gradients."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .. import tree
from ..types import Array, Tree


class MomentumState(NamedTuple):
    """State of `momentum`.

    Attributes:
      momentum: m, like the parameters.
      updates: how many gradients m has seen, int32.
    """

    momentum: Tree
    updates: Array


def momentum(
    momentum: Any, *, nesterov: bool = False, from_first: bool = False
) -> optax.GradientTransformation:
    """Averages gradients, old ones with exponentially small weight; no bias correction.

        m ← β m + (1 - β) g        then the direction is m, or with Nesterov
        u = β m + (1 - β) g        with the new m

    The heavy-ball buffer of torch and `optax.trace` is m / (1 - β).

    Args:
      momentum: β, the weight of the old m, in [0, 1); may be traced, or be a function
        of the number of updates before this one. 0 passes gradients on.
      nesterov: look one step ahead.
      from_first: m starts at the first gradient; otherwise at 0.

    Raises:
      ValueError: if momentum is a number outside [0, 1).
    """
    if isinstance(momentum, int | float) and not 0 <= momentum < 1:
        raise ValueError(
            f"momentum needs the weight of the old buffer, in [0, 1); got {momentum}. "
            "For a weight alpha of the new gradient pass 1 - alpha."
        )

    def init(params):
        return MomentumState(tree.zeros_like(params), jnp.zeros((), jnp.int32))

    def update(updates, state, params=None):
        del params
        beta: Any = momentum(state.updates) if callable(momentum) else momentum
        beta = jnp.where(from_first & (state.updates == 0), 0.0, beta)
        average = _average(beta, state.momentum, updates)
        direction = _average(beta, average, updates) if nesterov else average
        count = optax.safe_increment(state.updates)
        return direction, MomentumState(average, count)

    return optax.GradientTransformation(init, update)


def growing_momentum(updates: Array) -> Array:
    """β for `momentum` that needs no tuning: 1 − 1/√k after k updates, 0 at first.

        m ← (1 − αₖ) m + αₖ g,   αₖ = 1/√k,   α₀ = 1

    Reference: Sadiev, Maranjyan, Ilin, Richtárik (2026). arXiv:2605.18174, the
      parameter-agnostic method.
    """
    return 1 - 1 / jnp.sqrt(jnp.maximum(updates, 1).astype(float))


def _average(beta: Array, old: Tree, new: Tree) -> Tree:
    """β · old + (1 - β) · new, rounded once: in bfloat16 β + (1 - β) is not 1."""

    def leaf(x, y):
        wide = jnp.promote_types(x.dtype, jnp.float32)
        kept, added = beta.astype(wide), (1 - beta).astype(wide)
        return (kept * x.astype(wide) + added * y.astype(wide)).astype(x.dtype)

    return jax.tree.map(leaf, old, new)
