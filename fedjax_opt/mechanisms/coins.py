"""Coins that need no message: worker and server flip them alike."""

import functools

import jax
import jax.numpy as jnp

from ..keys import Keys, for_leaf, of_worker, required
from ..types import Array, Bits

_COIN = 2**31 - 2  # the part of a round's keys that coins are drawn from: no leaf's


def common_coin(keys: Keys, probability) -> Array:
    """True with this probability, the same for all workers and the server."""
    key = required(for_leaf(keys, _COIN).shared)
    return jax.random.bernoulli(key, probability)


def own_coin(keys: Keys, probability) -> Array:
    """True with this probability, for each worker its own, which the server knows."""
    return jax.random.bernoulli(of_worker(for_leaf(keys, _COIN)), probability)


def uniform_subset(keys: Keys, size) -> Array:
    """Is this worker one of `size` workers, drawn uniformly and alike by everybody?"""
    key = required(for_leaf(keys, _COIN - 1).shared)
    return jax.random.permutation(key, keys.num_workers)[keys.worker] < size


def either(condition, bits: Bits, otherwise: Bits) -> Bits:
    """The length of a message that is one of two, in floating point."""
    pairs = zip(bits, otherwise, strict=True)
    return Bits(
        *(
            jnp.where(condition, jnp.asarray(a, float), jnp.asarray(b, float))
            for a, b in pairs
        )
    )


def common(probability):
    """The coin of `common_coin`, as a function of the keys: for `Method.refresh`."""
    return functools.partial(common_coin, probability=probability)
