"""The numbers of a method that goes in rounds: all workers, one message each."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from .. import keys, tree
from ..types import Mechanism, Method
from .distribute import DistributeState, coming_keys, distribute
from .downlink import downlink, eval_params
from .layout import over, stacked


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
    sample_key, mechanism_key = jax.random.split(key)
    estimator = method.estimator()
    layout = stacked() if mesh is None else over(mesh, num_workers)
    workers = jnp.arange(num_workers, dtype=jnp.int32)
    draws = problem.draw is not None and not method.full_gradients
    two_points = estimator.points == 2
    mixed = method.refresh is not None and not estimator.reference

    refresh = None if method.refresh is None else method.refresh()
    order = None if method.order is None else method.order()

    def sampled(worker, component, point, server):
        """The gradient of a worker on its sample of this round."""
        round_index, data, sample_key = server
        sample = None
        if order is not None:
            sample = problem.local_component(data, worker, component)
        elif draws:
            job_key = keys.of_job(sample_key, worker, round_index)
            sample = problem.draw(job_key, data, worker)
        return problem.grad(data, point, worker, sample)

    def whole(index, full, point, data, otherwise):
        """The full local gradients, if anybody takes one."""

        def local(worker):
            return problem.grad(data, point, worker, None)

        return jax.lax.cond(
            full.any(), lambda: jax.vmap(local)(index), lambda: otherwise
        )

    def gradients_of(workers, server):
        index, component, full = workers
        point, *server = server
        grads = jax.vmap(lambda i, j: sampled(i, j, point, server))(index, component)
        if mixed:
            local = whole(index, full, point, server[1], grads)
            grads = jax.vmap(tree.select)(full, local, grads)
        return grads, ()

    def at_references_of(workers, server):
        index, component, full, references = workers
        point, *server = server
        grads = jax.vmap(lambda i, j, w: sampled(i, j, w, server))(
            index, component, references
        )
        nothing = tree.zeros_like(grads)
        return (grads, whole(index, full, point, server[1], nothing)), ()

    def gradients(point, round_index, component, full):
        server = (point, round_index, data, sample_key)
        own = (workers, component, full)
        return layout.spread(gradients_of)(own, server)[0]

    def at_references(references, point, round_index, component, full):
        """Gradients at the reference points; at `point` full ones where these move."""
        server = (point, round_index, data, sample_key)
        own = (workers, component, full, references)
        return layout.spread(at_references_of)(own, server)[0]

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

    beginning = jnp.zeros((), jnp.int32)
    first_grads = None
    if method.first_gradients:
        _, component = renewed(components(0), beginning)
        everybody = jnp.ones(num_workers, bool)
        first_grads = gradients(params, beginning, component, everybody)
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
    optimizer = optax.chain(uplink, method.optimizer())
    if method.downlink is not None:
        down_key = jax.random.fold_in(mechanism_key, num_workers)
        optimizer = downlink(optimizer, method.downlink(), key=down_key)

    def lengths(optimizer_state):
        """Of the last round: up; down where that is not the model."""
        info = _adapter(method, optimizer_state).info
        if method.downlink is not None:
            return info.bits.wire, optimizer_state.info.bits.wire
        if mechanism.bits_down is not None:
            return info.bits.wire, info.down.wire
        return (info.bits.wire,)

    def seen(state):
        if method.downlink is None:
            return state.params
        return eval_params(state.optimizer)

    def moved(previous, point, full):
        """What `RoundsState.previous` is in the next round."""
        if estimator.reference:
            return jax.vmap(tree.select, (0, None, 0))(full, point, previous)
        return point if two_points else ()

    def one_round(_, state):
        point, full, extra = seen(state), coins(state), {}
        epoch, component = renewed(state.order, state.round)
        given = (state.round, component, full)
        if estimator.reference:
            extra["previous_grads"], extra["full_grads"] = at_references(
                state.previous, point, *given
            )
        elif two_points:
            extra["previous_grads"] = gradients(state.previous, *given)
        if refresh is not None:
            extra["full"] = full
        if order is not None:
            extra["component"] = component
        grads = gradients(point, *given)
        updates, optimizer_state = optimizer.update(
            grads, state.optimizer, state.params, **extra
        )
        return RoundsState(
            params=optax.apply_updates(state.params, updates),
            previous=moved(state.previous, point, full),
            order=epoch,
            optimizer=optimizer_state,
            round=state.round + 1,
            bits=_counted(state.bits, lengths(optimizer_state)),
        )

    def advance(state, stream, first, last):
        return jax.lax.fori_loop(first, last, one_round, state)

    optimizer_state = optimizer.init(params)
    at_start = params if two_points else ()
    if estimator.reference:
        at_start, _ = layout.place(tree.with_rows(params, num_workers), ())
    state = RoundsState(
        params=params,
        previous=at_start,
        order=components(0),
        optimizer=optimizer_state,
        round=beginning,
        bits=_nothing_sent(len(lengths(optimizer_state))),
    )
    return state, advance


def _adapter(method: Method, optimizer_state) -> DistributeState:
    """The state of `distribute`, of a chain that may be wrapped by `downlink`."""
    wrapped = method.downlink is not None
    return (optimizer_state.optimizer if wrapped else optimizer_state)[0]


def _nothing_sent(directions: int):
    with jax.enable_x64(True):
        return (jnp.zeros((), jnp.float64),) * directions


def _counted(bits, lengths):
    """The bits of one more round, in 64 bits also where the numbers have 32."""
    with jax.enable_x64(True):
        return tuple(
            total + length.astype(jnp.float64)
            for total, length in zip(bits, lengths, strict=True)
        )
