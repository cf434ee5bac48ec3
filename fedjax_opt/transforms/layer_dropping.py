"""Drop-Muon: only some layers move in each step. arXiv:2510.02239."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .. import static, tree
from ..types import Array, Tree
from .momentum import MomentumState
from .momentum import momentum as averaged

Law = Callable[[Array, int], Array]


class LayerDroppingState(NamedTuple):
    """State of `layer_dropping_momentum`.

    Attributes:
      key: from which the coming subsets are drawn.
      momentum: that of `momentum`; of a layer outside the subset it stays.
    """

    key: Array
    momentum: Any


def layer_dropping_momentum(
    momentum: Any,
    key: Array,
    *,
    law: Law | None = None,
    layers: Tree | Callable[[Tree], Tree] | None = None,
) -> optax.GradientTransformation:
    """Momentum of a random subset of the layers; the others keep theirs, and rest.

        i in S:  mᵢ ← β mᵢ + (1 − β) gᵢ, the direction;    otherwise mᵢ stays, and 0

    Drop-Muon is `chain(layer_dropping_momentum(β, key), scale_by_gluon(geometry),
    optax.scale_by_learning_rate(γ))`, or `scale_by_lmo` in place of the sharp operator:
    both make 0 of 0 where the norm is the largest of norms of leaves. With all layers
    in S it is `momentum`. The saving of time is that of gradients not computed, which a
    transformation cannot see: it is given all of them.

    Args:
      momentum: β, as for `momentum`, which starts at 0.
      key: random key; drawn from once per update.
      law: (key, number of layers) -> which layers move, bool [layers]; by default
        `progressive()`.
      layers: the number of the layer, 0 for that of the inputs, of every leaf: a tree
        like the parameters or a prefix of them, or a function that makes one; by
        default every leaf is a layer, in the order of the tree (of dicts: of the keys).

    Reference: Gruntkowska, Maziane, Qu, Richtárik (2025). arXiv:2510.02239.
    """
    inner = averaged(momentum)
    law = progressive() if law is None else law

    def init(params):
        return LayerDroppingState(key, inner.init(params))

    def update(updates, state, params=None):
        next_key, drawn = jax.random.split(state.key)
        numbers = _numbers(layers, updates)
        moves = law(drawn, 1 + max(numbers, default=0))
        average, _ = inner.update(updates, state.momentum, params)
        leaves, structure = jax.tree.flatten(average)

        def chosen(others: Tree) -> Tree:
            """The new average of the layers that move."""
            return structure.unflatten(
                jnp.where(moves[number], x, other)
                for number, x, other in zip(
                    numbers, leaves, jax.tree.leaves(others), strict=True
                )
            )

        count = optax.safe_increment(state.momentum.updates)
        kept = MomentumState(chosen(state.momentum.momentum), count)
        return chosen(tree.zeros_like(average)), LayerDroppingState(next_key, kept)

    return optax.GradientTransformation(init, update)


@static.memoised
def progressive() -> Law:
    """Randomized progressive training: layers s, ..., b, and s uniform in 0, ..., b.

    Backpropagation may stop at layer s. Experimental.

    Deviation: the paper's law of s is not known here.
    """
    return _progressive


def _progressive(key: Array, num_layers: int) -> Array:
    return jnp.arange(num_layers) >= jax.random.randint(key, (), 0, num_layers)


def _numbers(layers, updates: Tree) -> list[int]:
    """The layer of each leaf."""
    if layers is None:
        return list(range(len(jax.tree.leaves(updates))))
    layers = layers(updates) if callable(layers) else layers
    return [int(i) for i in jax.tree.leaves(jax.tree.broadcast(layers, updates))]
