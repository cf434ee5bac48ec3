"""One round: every worker sends a message, the server makes an estimate of them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from .. import keys, tree
from ..compressors.payload import wire_bits
from ..types import Aggregator, Array, Bits, Mechanism, Tree


class RoundInfo(NamedTuple):
    """The account of a round.

    Attributes:
      bits: sent by all participants together; floating-point scalars.
      participants: how many workers came.
      down: bits of what the server sends to all, counted once.
    """

    bits: Bits
    participants: Array
    down: Bits


class Parts(NamedTuple):
    """What a round is made of.

    Attributes:
      mechanism: who sends what.
      aggregator: what the server makes of the messages.
      transform: of each worker's gradient before the message.
      num_workers: n.
      gather: messages of the workers at hand -> of all n workers.
    """

    mechanism: Mechanism
    aggregator: Aggregator
    transform: optax.GradientTransformationExtraArgs
    num_workers: int
    gather: Callable[[Tree], Tree]


class Workers(NamedTuple):
    """What the workers at hand begin a round with; every leaf has a worker axis.

    Attributes:
      index: 0-based.
      came: does the worker take part?
      grad: its gradient.
      extra: keyword arguments of its transform.
      state: of the mechanism.
      transform: state of its transform.
    """

    index: Array
    came: Array
    grad: Tree
    extra: dict[str, Tree]
    state: Tree
    transform: Tree


class Server(NamedTuple):
    """What the server, and with it everybody, begins a round with.

    Attributes:
      round_key: of the mechanism.
      aggregator_key: of the aggregator.
      came: [n], who takes part.
      params: of the model, or None.
      state: of the mechanism.
      aggregator: state of the aggregator.
    """

    round_key: keys.Key
    aggregator_key: keys.Key
    came: Array
    params: Tree
    state: Tree
    aggregator: Tree


def no_round() -> RoundInfo:
    """The account before the first round."""
    return RoundInfo(nothing_sent(), jnp.zeros((), jnp.int32), nothing_sent())


def nothing_sent() -> Bits:
    """The length of no message."""
    return message_bits(Bits(0, 0, 0))


def message_bits(bits: Bits) -> Bits:
    """The length of a message in floating point, where it cannot overflow."""
    return Bits(*(jnp.asarray(length, float) for length in bits))


def round_trip(parts: Parts, workers: Workers, server: Server):
    """One round of the workers at hand and the server.

    Returns:
      (states of the workers: mechanism, transform),
      (estimate, states of the server: mechanism, aggregator, RoundInfo).
    """
    messages, states = jax.vmap(lambda worker: _work(parts, worker, server))(workers)
    like = jax.tree.map(
        lambda g: jax.ShapeDtypeStruct(g.shape[1:], g.dtype), workers.grad
    )
    return states, _serve(parts, parts.gather(messages), like, server)


def announced(mechanism: Mechanism, server_state: Tree) -> dict[str, Tree]:
    """What a worker is given of the server's state, as keyword arguments."""
    if mechanism.announce is None:
        return {}
    return {"announced": mechanism.announce(server_state)}


def _work(parts: Parts, worker: Workers, server: Server):
    """One worker: its message and its new states, or the old ones if it is absent."""
    own_keys = keys.in_round(server.round_key, worker.index, parts.num_workers)
    grad, transform = parts.transform.update(
        worker.grad, worker.transform, server.params, **worker.extra
    )
    message, state = parts.mechanism.worker(
        own_keys, grad, worker.state, **announced(parts.mechanism, server.state)
    )
    old = (worker.state, worker.transform)
    return message, tree.select(worker.came, (state, transform), old)


def _serve(parts: Parts, messages, like, server: Server):
    """The server: its estimate from n messages, its new states, the account."""
    mechanism, came = parts.mechanism, server.came
    aggregate, aggregator_state = _aggregate(parts, messages, like, server)
    server_keys = keys.in_round(server.round_key, keys.SERVER, parts.num_workers)
    estimate, state = mechanism.server(server_keys, aggregate, came, server.state)
    info = RoundInfo(
        bits=_bits_of_all(parts, messages, like, server),
        participants=jnp.sum(came, dtype=jnp.int32),
        down=message_bits(broadcast_bits(mechanism, server_keys, state, like)),
    )
    return estimate, state, aggregator_state, info


def _aggregate(parts: Parts, messages, like, server: Server):
    """What the aggregator makes of n messages, and its state.

    A linear one is given no decoded messages if the mechanism can do without them:
    adding n sparse messages to a zero takes their entries, not n·d numbers.
    """
    mechanism, aggregator, came = parts.mechanism, parts.aggregator, server.came
    if mechanism.add is not None and aggregator.weights is not None:
        zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
        return mechanism.add(zero, messages, aggregator.weights(came)), ()

    def decode(worker, message, came):
        decoded = mechanism.decode(_known(parts, server, worker), message, like)
        return tree.select(came, decoded, tree.zeros_like(decoded))

    aggregator_keys = keys.in_round(
        server.aggregator_key, keys.SERVER, parts.num_workers
    )
    workers = jnp.arange(parts.num_workers)
    decoded = jax.vmap(decode)(workers, messages, came)
    return aggregator.aggregate(aggregator_keys, decoded, came, server.aggregator)


def _bits_of_all(parts: Parts, messages, like, server: Server) -> Bits:
    """Bits of those who came; one product where all messages are equally long."""

    def of_worker(worker, message):
        return parts.mechanism.bits(_known(parts, server, worker), message, like)

    one = of_worker(0, jax.tree.map(lambda x: x[0], messages))
    if not any(isinstance(length, jax.Array) for length in one):
        participants = jnp.sum(server.came, dtype=float)
        return Bits(*(participants * float(length) for length in one))
    workers = jnp.arange(parts.num_workers)
    each = jax.vmap(lambda *sent: message_bits(of_worker(*sent)))(workers, messages)
    return Bits(*(jnp.sum(jnp.where(server.came, b, 0)) for b in each))


def broadcast_bits(mechanism: Mechanism, server_keys, server_state, like) -> Bits:
    """The length of what the server sends to all: by default the model."""
    if mechanism.bits_down is not None:
        return mechanism.bits_down(server_keys, server_state, like)
    length = wire_bits(like)
    return Bits(length, length, length)


def _known(parts: Parts, server: Server, worker) -> keys.Keys:
    """What the server has of a worker's keys."""
    return keys.public(keys.in_round(server.round_key, worker, parts.num_workers))
