"""Compression from the server to the workers: a mechanism with its roles swapped."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from .. import keys
from ..types import Mechanism, Tree
from .round_trip import (
    RoundInfo,
    announced,
    message_bits,
    no_round,
    nothing_sent,
)


class DownlinkState(NamedTuple):
    """State of `downlink`.

    Attributes:
      key: from which the coming rounds draw, or None.
      optimizer: state of the wrapped optimizer.
      sender: the mechanism's state at the server, which sends.
      receiver: the mechanism's state at the workers, equal on all of them.
      seen: the parameters that workers have, wᵏ.
      info: of the last broadcast, which counts once.
    """

    key: keys.Key
    optimizer: optax.OptState
    sender: Tree
    receiver: Tree
    seen: Tree
    info: RoundInfo


def downlink(
    optimizer: optax.GradientTransformation,
    mechanism: Mechanism,
    *,
    key: keys.Key | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Broadcasts the parameters through a mechanism; workers see what arrives.

    The server is the mechanism's only "worker": in place of a gradient it sends the
    new parameters, and the workers play the mechanism's "server". With `ef21` this is
    EF21-P, primal error feedback:

        x^{k+1} = x^k − γ g(w^k),   p = C(x^{k+1} − w^k),   w^{k+1} = w^k + p,   w⁰ = x⁰

    Gradients belong at w = `eval_params(state)`, never at x. The server's x is exact:
    updates pass through unchanged. With C = identity w is x.

    Args:
      optimizer: the server's, whole: an update that is changed after it is one that
        the workers do not hear of.
      mechanism: who sends what; its memory starts at x⁰, which everybody has.
      key: `jax.random.key(...)`, from which all broadcasts draw; a mechanism that
        draws nothing, such as `ef21(top_k(10))`, needs none.

    Returns:
      An optax transformation whose update needs `params`, the server's x. Message
      cost: that of the mechanism, once per round.

    Raises:
      TypeError: from its update, if params are missing, or a key that is needed.

    Reference: Gruntkowska, Tyurin, Richtárik (2022). arXiv:2209.15218.
    """
    inner = optax.with_extra_args_support(optimizer)

    def init(params):
        roles = mechanism.init(params, params)
        state = DownlinkState(
            key=key,
            optimizer=inner.init(params),
            sender=roles.worker,
            receiver=roles.server,
            seen=params,
            info=no_round(),
        )
        # Copies of its own: callers may donate the buffers of a state.
        return jax.tree.map(jnp.copy, state)

    def update(updates, state, params=None, **extra):
        if params is None:
            raise TypeError(
                "downlink sends the parameters, so its update needs them: "
                "update(grads, state, params)"
            )
        updates, optimizer_state = inner.update(
            updates, state.optimizer, params, **extra
        )
        next_key, sender_keys, receiver_keys = _round_keys(state.key)
        message, sender = mechanism.worker(
            sender_keys,
            optax.apply_updates(params, updates),
            state.sender,
            **announced(mechanism, state.receiver),
        )
        seen, receiver = mechanism.server(
            receiver_keys,
            mechanism.decode(keys.public(sender_keys), message, params),
            jnp.ones(1, bool),
            state.receiver,
        )
        bits = mechanism.bits(keys.public(sender_keys), message, params)
        return updates, DownlinkState(
            key=next_key,
            optimizer=optimizer_state,
            sender=sender,
            receiver=receiver,
            seen=seen,
            info=RoundInfo(message_bits(bits), jnp.ones((), jnp.int32), nothing_sent()),
        )

    return optax.GradientTransformationExtraArgs(init, update)


def _round_keys(key: keys.Key | None):
    """The key of the next round; the keys of sender and receivers in this one."""
    if key is None:
        return None, keys.NOT_GIVEN, keys.NOT_GIVEN
    next_key, of_round = jax.random.split(key)
    sender, receiver = (keys.in_round(of_round, i, 1) for i in (0, keys.SERVER))
    return next_key, sender, receiver


def eval_params(state: DownlinkState) -> Tree:
    """The parameters that the workers see, at which gradients are taken."""
    return state.seen
