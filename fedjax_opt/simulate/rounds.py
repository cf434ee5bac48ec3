"""The numbers of a method that goes in rounds: all workers, one message each."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from .. import needs, tree
from ..types import Mechanism, Method
from .cost import dense_bits
from .distribute import DistributeState, coming_keys, distribute
from .downlink import downlink, eval_params
from .layout import over, stacked
from .round_grads import Common, Oracle, Own, round_grads


class RoundsState(NamedTuple):
    """The server, the workers, and the point of the round before.

    Attributes:
      params: x^k.
      previous: the point of the last gradients where a worker needs it; the reference
        points of the workers, leaves [n, ...], where they have such; else ().
      order: [n, m], the components of each worker in the rounds of this epoch; () where
        samples are drawn.
      optimizer: state of the adapter and the server's optimizer, chained.
      round: k.
      bits: the `wire` bits sent so far, in 64 bits: up; down where that is not x^k.
    """

    params: Any
    previous: Any
    order: Any
    optimizer: Any
    round: Any
    bits: Any


def rounds(
    method: Method,
    mechanism: Mechanism,
    problem,
    data,
    params,
    key,
    num_workers: int,
    mesh: Mesh | None,
):
    """The rounds as (state, advance), where `advance(state, stream, first, last)`.

    On a mesh every device has the data and the model; it computes the gradients and
    keeps the states of its own workers.
    """
    sample_key, mechanism_key, down_key = jax.random.split(key, 3)
    estimator, server = method.estimator(), method.optimizer()
    layout = stacked() if mesh is None else over(mesh, num_workers)
    workers = jnp.arange(num_workers, dtype=jnp.int32)
    refresh = None if method.refresh is None else method.refresh()
    order = None if method.order is None else method.order()
    asked, told = needs.inputs(estimator, params), needs.inputs(server, params)
    looks_back = bool(asked & needs.OF_ONE_SAMPLE)
    references = "reference_grads" in asked
    oracle = Oracle(
        grad=problem.grad,
        draw=problem.draw,
        local_component=problem.local_component,
        inputs=asked,
        draws=problem.draw is not None and not method.full_gradients,
        ordered=order is not None,
        mixed=refresh is not None and not references,
        between=needs.mixes(estimator, params),
    )

    def of_workers(own, common):
        return round_grads(oracle, own, common), ()

    def components(epoch):
        """Those of each worker in the rounds of an epoch, [n, m]."""
        if order is None:
            return ()
        return jax.vmap(order, (None, 0, None))(sample_key, workers, epoch)

    def renewed(old, round_index):
        """The components of the epoch, and of the round: [n, m], [n]."""
        if order is None:
            return (), ()
        epoch, position = jnp.divmod(round_index, old.shape[1])
        new = jax.lax.cond(position == 0, lambda: components(epoch), lambda: old)
        return new, new[:, position]

    def coins(state):
        """Who takes a full gradient, [n]."""
        if refresh is None:
            return jnp.zeros(num_workers, bool)
        adapter = _adapter(method, state.optimizer)
        coming = coming_keys(adapter, num_workers)
        return jax.vmap(refresh, (0, None))(coming, state.round) | (state.round == 0)

    def placed(x):
        """Leaves [n, ...], each row with its worker."""
        return layout.place(x, ())[0]

    beginning = jnp.zeros((), jnp.int32)
    at_start = params if looks_back else ()
    if references:
        at_start = placed(tree.with_rows(params, num_workers))
    first_grads = None
    if method.first_gradients:
        _, component = renewed(components(0), beginning)
        everybody = jnp.ones(num_workers, bool)
        own = Own(workers, component, everybody, at_start if references else ())
        common = Common(params, params, beginning, data, sample_key)
        (first_grads, _), _ = layout.spread(of_workers)(own, common)
    make_participation, make_aggregator = method.participation, method.aggregator
    uplink = distribute(
        mechanism,
        num_workers,
        key=mechanism_key,
        worker_transform=estimator,
        participation=make_participation and make_participation(),
        aggregator=make_aggregator and make_aggregator(),
        mesh=mesh,
        first_grads=first_grads,
    )
    optimizer = optax.chain(uplink, server)
    if method.downlink is not None:
        optimizer = downlink(optimizer, method.downlink(), key=down_key)

    def lengths(round_index, optimizer_state):
        """Of this round: up; down where that is not the model."""
        info = _adapter(method, optimizer_state).info
        up = info.bits.wire
        if method.first_gradients:
            silent = mechanism.silent_start
            first = float(num_workers * dense_bits(params))
            up = _with_first_gradients(up, first, round_index == 0, silent)
        if method.downlink is not None:
            return up, optimizer_state.info.bits.wire
        if mechanism.bits_down is not None:
            return up, info.down.wire
        return (up,)

    def seen(state):
        """The point that workers are sent."""
        if method.downlink is not None:
            return eval_params(state.optimizer)
        _, server_state = state.optimizer
        return needs.point(server_state, state.params)

    def moved(previous, point, full):
        """What `RoundsState.previous` is in the next round."""
        if references:
            return jax.vmap(tree.select, (0, None, 0))(full, point, previous)
        return point if looks_back else ()

    def one_round(_, state):
        point, full = seen(state), coins(state)
        epoch, component = renewed(state.order, state.round)
        own = Own(workers, component, full, state.previous if references else ())
        before = state.previous if looks_back else ()
        common = Common(point, before, state.round, data, sample_key)
        (grads, extra), _ = layout.spread(of_workers)(own, common)
        of_loss = needs.of_the_loss(told, functools.partial(problem.loss, data), point)
        updates, optimizer_state = optimizer.update(
            grads, state.optimizer, state.params, **extra, **of_loss
        )
        return RoundsState(
            params=optax.apply_updates(state.params, updates),
            previous=moved(state.previous, point, full),
            order=epoch,
            optimizer=optimizer_state,
            round=state.round + 1,
            bits=_counted(state.bits, lengths(state.round, optimizer_state)),
        )

    def advance(state, stream, first, last):
        return jax.lax.fori_loop(first, last, one_round, state)

    optimizer_state = optimizer.init(params)
    state = RoundsState(
        params=params,
        previous=at_start,
        order=components(0),
        optimizer=optimizer_state,
        round=beginning,
        bits=_nothing_sent(len(lengths(beginning, optimizer_state))),
    )
    return state, advance


def _adapter(method: Method, optimizer_state) -> DistributeState:
    """The state of `distribute`, of a chain that may be wrapped by `downlink`."""
    wrapped = method.downlink is not None
    return (optimizer_state.optimizer if wrapped else optimizer_state)[0]


def _nothing_sent(directions: int):
    with jax.enable_x64(True):
        return (jnp.zeros((), jnp.float64),) * directions


def _with_first_gradients(messages, first: float, begins, silent: bool):
    """The length of the first gradients and of messages, in 64 bits."""
    with jax.enable_x64(True):
        messages = messages.astype(jnp.float64)
        opening = jnp.float64(first) if silent else first + messages
        return jnp.where(begins, opening, messages)


def _counted(bits, lengths):
    """The bits of one more round, in 64 bits also where the numbers have 32."""
    with jax.enable_x64(True):
        return tuple(
            total + length.astype(jnp.float64)
            for total, length in zip(bits, lengths, strict=True)
        )
