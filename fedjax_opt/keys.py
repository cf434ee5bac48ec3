"""Random keys: explicit, one per purpose, derived and never reused."""

from typing import Any, NamedTuple

import jax

Key = Any  # a typed key array of `jax.random.key`

SERVER = -1
SERVER_DRAWS = 2**31 - 1  # stands for a worker where the server draws from job keys


class Keys(NamedTuple):
    """What one worker, or the server, may draw from in one round.

    Attributes:
      private: key of this worker in this round; None where nothing may be drawn.
      shared: key that is equal on all workers and on the server: coins, permutations.
      worker: index, 0-based; -1 on the server.
      num_workers: n.
    """

    private: Key
    shared: Key
    worker: Any
    num_workers: int


def in_round(key: Key, worker, num_workers: int) -> Keys:
    """The keys of `worker` in the round whose key is `key` (equal for everybody)."""
    private, shared = jax.random.split(key)
    return Keys(
        jax.random.fold_in(private, worker - SERVER), shared, worker, num_workers
    )


NOT_GIVEN = Keys(None, None, SERVER, 1)  # for what draws nothing


def required(key: Key | None) -> Key:
    """The key, for whoever draws from it.

    Raises:
      TypeError: if there is none.
    """
    if key is None:
        raise TypeError(
            "this compressor draws random numbers and was given no key: pass "
            "key=jax.random.key(0) to whoever uses it"
        )
    return key


def for_leaf(keys: Keys, leaf: int) -> Keys:
    """The keys of the `leaf`-th leaf of a tree, or of the `leaf`-th part of a whole."""

    def of_leaf(key):
        return None if key is None else jax.random.fold_in(key, leaf)

    return keys._replace(private=of_leaf(keys.private), shared=of_leaf(keys.shared))


def public(keys: Keys) -> Keys:
    """What the other end knows of a worker's keys."""
    return keys._replace(private=None)


def of_worker(keys: Keys) -> Key:
    """A key of this worker in this round that the server has, too."""
    return jax.random.fold_in(required(keys.shared), keys.worker - SERVER)


def of_job(key: Key, worker, job) -> Key:
    """The key of a worker's `job`-th job: pruning or batching never changes a draw."""
    return jax.random.fold_in(jax.random.fold_in(key, worker), job)
