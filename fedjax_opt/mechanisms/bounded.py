"""Memories that move by messages of bounded length, clipped or normalized ones."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .. import tree
from ..compressors.identity import identity
from ..compressors.wrap import per_leaf
from ..keys import Keys, for_leaf, required
from ..types import Mechanism, Roles, Tree
from .shifts import first_or_zero


def tracking(
    bounded: Callable[[Tree], Tree],
    *,
    shift_step: Any,
    estimate_step: Any,
    noise: Any = None,
) -> Mechanism:
    """Shifts that follow the gradients by messages B(u) of bounded length.

        cᵢ = B(∇fᵢ(x) − hᵢ),   hᵢ ← hᵢ + a cᵢ,   the message is mᵢ = cᵢ + zᵢ
        g = h + b (1/n) Σᵢ mᵢ,   h ← h + a (1/n) Σᵢ mᵢ

    The noise zᵢ ~ N(0, σ²I) is drawn from the worker's own key and leaves its shift
    alone. All shifts start at 0, or at the first gradients where they are given.

    Args:
      bounded: B, on trees.
      shift_step: a; may be traced.
      estimate_step: b; may be traced.
      noise: σ >= 0, may be traced; None for no noise.

    Returns:
      A Mechanism. Worker state: hᵢ, like params. Server state: h, like params. Its
      messages are like params, d numbers each.

    Raises:
      ValueError: if noise is a number below 0.
    """
    if isinstance(noise, int | float) and not noise >= 0:
        raise ValueError(f"noise must be at least 0, got {noise}; None is no noise")
    plain = per_leaf(identity())

    def init(params, first_grad=None):
        start = first_or_zero(params, first_grad)
        return Roles(worker=start, server=start)

    def worker(keys, grad, h_i):
        c_i = bounded(tree.sub(grad, h_i))
        sent = c_i if noise is None else _noisy(keys, c_i, noise)
        return plain.encode(keys, sent), tree.add_scaled(h_i, shift_step, c_i)

    def server(keys, aggregate, mask, h):
        estimate = tree.add_scaled(h, estimate_step, aggregate)
        return estimate, tree.add_scaled(h, shift_step, aggregate)

    return Mechanism(
        init, worker, plain.decode, server, plain.bits, plain.add, linear=True
    )


def _noisy(keys: Keys, message: Tree, deviation) -> Tree:
    """The message plus Gaussian noise, rounded once."""

    def of_leaf(key, x):
        dtype = jnp.promote_types(x.dtype, jnp.float32)
        draw = jax.random.normal(key, x.shape, dtype)
        return (x + jnp.asarray(deviation, dtype) * draw).astype(x.dtype)

    leaves, structure = jax.tree.flatten(message)
    own = [required(for_leaf(keys, i).private) for i in range(len(leaves))]
    return structure.unflatten(map(of_leaf, own, leaves))
