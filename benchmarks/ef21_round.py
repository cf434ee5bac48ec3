"""A round of EF21 with Top-K, against the selection of the K entries alone."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

import fedjax_opt as fo

from .harness import Row, alternate, rates

N, D, K = 32, 10**6, 10**4


def ef21_round() -> list[Row]:
    """Against the faster of two selections, and against reading what a round reads."""
    grads = [_normal(seed) for seed in (1, 2)]
    selections = {
        "numpy.argpartition": _argpartition(grads[0]),
        "a vmapped jax.lax.top_k": _top_k(grads[0]),
    }
    ours, reading, *others = alternate(
        _rounds(grads), _reading(*grads), *selections.values()
    )
    fastest, selection = min(
        zip(selections, others, strict=True), key=lambda pair: pair[1].median
    )
    described = {"n": N, "d": D}
    gigabytes = 2 * grads[0].nbytes / 1e9
    return [
        rates(
            "ef21_round",
            ours,
            selection,
            work=(1, 1),
            unit="rounds/s",
            against=f"the K largest absolute values of every worker, by {fastest}, the "
            f"faster of {' and '.join(selections)}",
            target="ratio ≥ 0.5",
            **described,
        ),
        rates(
            "ef21_round_bandwidth",
            ours,
            reading,
            work=(gigabytes, gigabytes),
            unit="GB/s",
            against="reading the gradients and the workers' states once, in a jitted "
            "sum of |gradient − state|",
            **described,
        ),
    ]


def _normal(seed: int):
    return jax.random.normal(jax.random.key(seed), (N, D), jnp.float32)


def _rounds(grads):
    """A function that makes the next round of a training loop, its state donated."""
    mechanism = fo.mechanisms.ef21(fo.compressors.top_k(K))
    adapter = fo.simulate.distribute(mechanism, N, key=jax.random.key(0))
    update = jax.jit(adapter.update, donate_argnums=1)
    state = adapter.init(jnp.zeros(D, jnp.float32))
    coming = itertools.cycle(grads)

    def one_round():
        nonlocal state
        estimate, state = update(next(coming), state)
        return estimate, state

    return one_round


def _argpartition(grads):
    """Row by row, which is never slower than all at once: less fresh memory."""
    rows = np.asarray(grads)
    return lambda: [np.argpartition(np.abs(row), D - K)[D - K :] for row in rows]


def _top_k(grads):
    select = jax.jit(jax.vmap(lambda x: jax.lax.top_k(jnp.abs(x), K)[1]))
    return lambda: select(grads)


def _reading(grads, states):
    read = jax.jit(lambda x, y: jnp.sum(jnp.abs(x - y), axis=1))
    return lambda: read(grads, states)
