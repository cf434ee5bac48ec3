"""Lost updates: writes that are not atomic. arXiv:1802.03801."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from .. import checks, tree


def overwrite(probability: Any) -> optax.GradientTransformationExtraArgs:
    """Some coordinates are written as if nothing had happened since they were read.

        [x ← x + u]_c        or, with probability q if u_c ≠ 0,        [x ← x̂ + u]_c

    x̂ is the point that the update u was computed at. Goes last in a chain: u is what
    is added to the parameters.

    Args:
      probability: q in [0, 1], of each coordinate that is written, independently; may
        be traced. With 0 nothing is drawn.

    Returns:
      A transformation whose `update(updates, state, params, *, read_params, key)`
      needs x̂ and a key; leaf l draws from the key with l folded in.

    Raises:
      ValueError: if probability is a number outside [0, 1].

    Reference: the model of Hogwild's lost updates, Niu, Recht, Ré, Wright (2011).
    """
    checks.in_unit_interval(probability, "probability")

    def update(updates, state, params=None, *, read_params=None, key=None, **extra):
        del extra
        if params is None or read_params is None or key is None:
            raise TypeError(
                "overwrite needs to know the point that was read: update(updates, "
                "state, params, read_params=..., key=...)"
            )
        lost = jax.lax.cond(
            jnp.asarray(probability) > 0,
            lambda: _lost(key, probability, updates),
            lambda: jax.tree.map(lambda u: jnp.zeros(u.shape, bool), updates),
        )
        changes = tree.sub(read_params, params)

        def written(lost, change, u):
            return jnp.where(lost & (u != 0), u + change, u)

        return jax.tree.map(written, lost, changes, updates), state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)


def _lost(key, probability, updates):
    leaves, structure = jax.tree.flatten(updates)
    coins = [
        jax.random.bernoulli(jax.random.fold_in(key, index), probability, leaf.shape)
        for index, leaf in enumerate(leaves)
    ]
    return jax.tree.unflatten(structure, coins)
