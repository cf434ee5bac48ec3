"""The random choices of mechanisms in a run, drawn by the documented keys."""

import jax
import jax.numpy as jnp
import numpy as np
from trajectory import UPDATES, N

from fedjax_opt import keys
from fedjax_opt.compressors import rand_k


def round_keys(key):
    """The key of each round of `run(..., key=key)`."""
    next_key = jax.random.split(jax.random.split(key)[1])[1]
    found = []
    for _ in range(UPDATES):
        next_key, of_round, *_ = jax.random.split(next_key, 4)
        found.append(of_round)
    return jnp.stack(found)


def of_all(draw, rounds):
    """draw(keys) of every round and worker, [T, n]; keys as the server has them."""

    def of_worker(round_key, worker):
        return draw(keys.public(keys.in_round(round_key, worker, N)))

    workers = jnp.arange(N)
    table = jax.vmap(lambda r: jax.vmap(lambda i: of_worker(r, i))(workers))
    return np.asarray(jax.jit(table)(rounds))


def rand_k_draws(k, rounds, shape, part=None):
    """compress(worker, round, vector) of Rand-K on one leaf; of part `part` of two."""
    compressor, like = rand_k(k), jnp.ones(shape)

    def of_worker(round_key, worker):
        own = keys.in_round(round_key, worker, N)
        own = keys.for_leaf(own if part is None else keys.for_leaf(own, part), 0)
        return compressor.decode(own, compressor.encode(own, like), like)

    workers = jnp.arange(N)
    table = jax.vmap(lambda r: jax.vmap(lambda i: of_worker(r, i))(workers))
    kept = np.asarray(jax.jit(table)(rounds))
    # Rand-K is linear given its indices.
    return lambda worker, round_, vector: kept[round_, worker] * vector
