"""Coins that need no message: worker and server flip them alike."""

import jax
import jax.numpy as jnp

from .. import checks
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
    """Is this worker one of `size` workers, drawn uniformly and alike by everybody?

    Raises:
      ValueError: if size is a Python number above the number of workers.
    """
    if isinstance(size, int) and size > keys.num_workers:
        raise ValueError(
            f"cannot draw {size} of {keys.num_workers} workers; make count at most "
            f"{keys.num_workers}"
        )
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
    """The coin of `common_coin`, for `Method.refresh`.

    Raises:
      ValueError: if probability is a Python number outside (0, 1].
    """
    checks.in_unit_interval(probability, "probability", zero=False)

    def coin(keys, round):
        return common_coin(keys, probability)

    return coin


def every(period):
    """True in the rounds 0, `period`, 2 `period`, ...: for `Method.refresh`.

    Raises:
      ValueError: if period is a Python number that is not 1, 2, ...
    """
    checks.counts("every", period=period)

    def coin(keys, round):
        return round % period == 0

    return coin
