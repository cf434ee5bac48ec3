"""MASHA1 and MASHA2, for variational inequalities. arXiv:2110.03313."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .. import checks, tree
from ..compressors.payload import wire_bits
from ..keys import SERVER, for_leaf, in_round, public
from ..static import memoised
from ..types import Array, Bits, Mechanism, Roles, Tree
from .coins import common_coin, either

_UP, _DOWN = 0, 1  # the parts of a round's keys


class MashaWorkerState(NamedTuple):
    """What a worker remembers.

    Attributes:
      refreshing: does it send Fᵢ(w) as it is in the coming round?
      at_w: Fᵢ(w), like the parameters.
      uplink: its state of the mechanism that sends the differences.
    """

    refreshing: Array
    at_w: Tree
    uplink: Tree


class MashaServerState(NamedTuple):
    """What the server remembers.

    Attributes:
      refreshing: is the coming round one at w?
      z, w: like the parameters; equal before a round at w.
      at_w: F(w), likewise.
      uplink: the server's state of the mechanism that sends the differences up.
      sender, receiver: the states of the mechanism that sends their mean down.
      refreshed: was the last round one at w?
      sent: the last message down in a round that was none.
    """

    refreshing: Array
    z: Tree
    w: Tree
    at_w: Tree
    uplink: Tree
    sender: Tree
    receiver: Tree
    refreshed: Array
    sent: Any


class MashaMessage(NamedTuple):
    """A message that is one of two.

    Attributes:
      refreshes: which one it is. One byte on the wire.
      full: Fᵢ(w), as it is.
      difference: the uplink's message.
    """

    refreshes: Array
    full: Tree
    difference: Any


@memoised
def masha(
    uplink: Mechanism, downlink: Mechanism, *, step_size: Any, momentum: Any
) -> Mechanism:
    """Extragradient with compressed differences from a reference point, both ways.

        z½ = τz + (1−τ)w − γF(w),   z ← z½ − γ D((1/n) Σᵢ Uᵢ(Fᵢ(z½) − Fᵢ(w)))
        w ← z   with probability 1 − τ

    U and D are what the uplink and the downlink make of a vector: `dcgd(Q)` in MASHA1,
    `ef14(C)` in MASHA2. "Gradients" are values of the operators Fᵢ, and the point at
    which they are taken is z½; in a round of its own, the first and whenever w has
    moved, it is w, and all send Fᵢ(w) as it is. The estimate is the way from this point
    to the next, to be used with `optax.sgd(1.0)` and nothing else, so that a trace
    measures the points w and z½, not z. Without compression this is loopless
    variance-reduced extragradient; with τ = 0 as well it is extragradient.

    Experimental: written from the formulas; the paper's text was not at hand.

    Args:
      uplink: how a worker sends a difference.
      downlink: how the server sends the mean of what came; it is the only "worker".
      step_size: γ; may be traced.
      momentum: τ, in [0, 1); may be traced. 1 − 1/β makes both kinds of rounds cost
        the same on average if compression shortens messages β times.

    Returns:
      A Mechanism; everybody has to come in every round. The coin is drawn from the
      shared key and costs nothing. Worker state: Fᵢ(w), like params, and that of the
      uplink. Server state: three trees like params, those of both mechanisms, and a
      message. Message cost: d numbers, or that of the uplink, and one byte; the server
      sends F(w), or the downlink's message. Both are in the arrays, one is counted.

    Raises:
      ValueError: if step_size or momentum is a Python number out of range.

    Reference: Beznosikov, Richtárik, Diskin, Ryabinin, Gasnikov (2021).
      arXiv:2110.03313.
    Deviation: memories of the uplink and the downlink are in units of F, not of γF, as
      those of `ef14`. The point is moved by differences, and their rounding adds up.
    """
    checks.positive(step_size, "step_size")
    checks.in_unit_interval(momentum, "momentum", one=False)

    def w_moves(keys):
        return common_coin(keys, 1 - momentum)

    def init(params, first_grad=None):
        nothing = tree.zeros_like(params)
        up, down = uplink.init(params), downlink.init(params)
        worker = MashaWorkerState(jnp.array(True), nothing, up.worker)
        server = MashaServerState(
            refreshing=jnp.array(True),
            z=params,
            w=params,
            at_w=nothing,
            uplink=up.server,
            sender=down.worker,
            receiver=down.server,
            refreshed=jnp.array(False),
            sent=_blank_message(downlink, params),
        )
        return Roles(worker, server)

    def worker(keys, grad, state):
        difference, moved = uplink.worker(
            for_leaf(keys, _UP), tree.sub(grad, state.at_w), state.uplink
        )
        refreshes = state.refreshing
        return MashaMessage(refreshes, grad, difference), MashaWorkerState(
            refreshing=~refreshes & w_moves(keys),
            at_w=tree.select(refreshes, grad, state.at_w),
            uplink=tree.select(refreshes, state.uplink, moved),
        )

    def decode(keys, message, like):
        difference = uplink.decode(for_leaf(keys, _UP), message.difference, like)
        return tree.select(message.refreshes, message.full, difference)

    def half(state):
        mixed = tree.add_scaled(state.w, momentum, tree.sub(state.z, state.w))
        return tree.add_scaled(mixed, -step_size, state.at_w)

    def point(state):
        return tree.select(state.refreshing, state.w, half(state))

    def refreshed(state, at_w):
        return state._replace(
            refreshing=jnp.array(False), at_w=at_w, refreshed=jnp.array(True)
        )

    def stepped(keys, state, aggregate, mask):
        up, down = for_leaf(keys, _UP), for_leaf(keys, _DOWN)
        mean, up_state = uplink.server(up, aggregate, mask, state.uplink)
        sent, sender = downlink.worker(down, mean, state.sender)
        received = downlink.decode(public(down), sent, mean)
        everybody = jnp.ones(1, bool)
        difference, receiver = downlink.server(
            down, received, everybody, state.receiver
        )
        z = tree.add_scaled(half(state), -step_size, difference)
        moves = w_moves(keys)
        return MashaServerState(
            refreshing=moves,
            z=z,
            w=tree.select(moves, z, state.w),
            at_w=state.at_w,
            uplink=up_state,
            sender=sender,
            receiver=receiver,
            refreshed=jnp.array(False),
            sent=sent,
        )

    def server(keys, aggregate, mask, state):
        new = lax.cond(
            state.refreshing,
            lambda: refreshed(state, aggregate),
            lambda: stepped(keys, state, aggregate, mask),
        )
        return tree.sub(point(state), point(new)), new

    def bits(keys, message, like):
        difference = uplink.bits(for_leaf(keys, _UP), message.difference, like)
        sent = either(message.refreshes, _whole(like), difference)
        return sent._replace(wire=sent.wire + wire_bits(message.refreshes))

    def bits_down(keys, state, like):
        difference = downlink.bits(public(for_leaf(keys, _DOWN)), state.sent, like)
        return either(state.refreshed, _whole(like), difference)

    return Mechanism(
        init,
        worker,
        decode,
        server,
        bits,
        bits_down=bits_down,
        everybody=True,
        linear=True,
    )


def _whole(like) -> Bits:
    length = wire_bits(like)
    return Bits(length, length, length)


def _blank_message(mechanism: Mechanism, params) -> Any:
    """Zeros of the shapes of a mechanism's message."""

    def message(key):
        state = mechanism.init(params).worker
        return mechanism.worker(in_round(key, SERVER, 1), params, state)[0]

    shapes = jax.eval_shape(message, jax.random.key(0))
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
