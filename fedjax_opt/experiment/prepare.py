"""What cannot run is refused here, in one line, before anything is computed."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from .. import checks, needs
from ..simulate import cost, replay, round_grads
from ..simulate.layout import over
from ..simulate.order import made_for
from ..simulate.trace import check_key, check_outermost, check_workers
from ..timing import fixed, with_link
from ..types import Event, Method, Problem


class Horizon(NamedTuple):
    """When runs stop and what they record.

    Attributes:
      num_updates, until, record_every: as in `run`.
      times: seconds at which to record, instead of every so many updates.
    """

    num_updates: int | None
    until: float | None
    record_every: int = 1
    times: np.ndarray | None = None


def prepare(methods, problem, keys, horizon, num_workers, compute_time, link):
    """Refuses what cannot run, before anything does.

    Returns:
      The compute times, messages included; the mechanism; the length of a message up
      and down, the largest where it varies, and of the first one up where that is
      another; which of them must be counted in the run.

    Raises:
      ValueError: if sizes disagree, or a method can never make a step.
    """
    compute_time = _check(
        methods, problem, keys, horizon, num_workers, compute_time, link
    )
    method, point = made_for(methods[0], problem), problem.init
    mechanism = None if method.mechanism is None else method.mechanism()
    up, up_varies = message_bits(method, point, num_workers)
    down, counted = cost.broadcast_bits(mechanism, point, num_workers), []
    if up_varies or method.participation is not None:
        counted.append("bits_up")
    if method.downlink is not None:
        down, _ = cost.message_bits(method.downlink(), point, 1)
    if method.downlink is not None or (mechanism and mechanism.bits_down):
        counted.append("bits_down")
    bits = {"bits_up": up, "bits_down": down}
    if method.first_gradients and mechanism is not None:
        bits["first_bits_up"] = cost.opening_bits(mechanism, point, up)
    if link is not None:
        compute_time = with_link(compute_time, link, **bits)
    return compute_time, mechanism, bits, counted


def message_bits(method: Method, point, num_workers: int) -> tuple[int, bool]:
    """`cost.message_bits` of a method, made for its problem."""
    if method.mechanism is None:
        return cost.message_bits(None, point, num_workers)
    estimate = _estimate(method, point)
    return cost.message_bits(method.mechanism(), point, num_workers, estimate)


def check_mesh(method: Method, mesh: Mesh, num_workers: int) -> None:
    """Refuses a mesh that the workers of a run cannot be spread over.

    Raises:
      ValueError: if the method does not go in rounds, or the mesh does not fit.
    """
    if method.mechanism is None:
        raise ValueError(
            f"{method.label or 'the method'} has no mechanism: its gradients come one "
            "after the other, which a mesh cannot share; leave mesh= out, or take a "
            "method that goes in rounds, such as ef21_gd"
        )
    over(mesh, num_workers)


def check_pairs(method: Method, asked: frozenset, events: list[Event]) -> None:
    """Refuses single gradients where the estimator needs pairs.

    Args:
      asked: what the estimator needs.
      events: of schedules of one kind.

    Raises:
      ValueError: if a job after the first step is not a pair.
    """
    if method.mechanism is not None or "full" in asked:
        return
    if not asked & needs.OF_ONE_SAMPLE:
        return
    for event in events:
        if np.any((event.kind == 0) & (event.version > 0) & event.accepted):
            raise ValueError(
                f"{method.label or 'the method'} has an estimator that needs pairs of "
                "gradients, but its schedule has single ones: take one with pairs, "
                "such as events.rennala(pairs=True)"
            )


def _check(methods, problem, keys, horizon, num_workers, compute_time, link):
    """Refuses what cannot run, before anything does; returns the compute times."""
    check_outermost("run", methods, keys, compute_time, link)
    if compute_time is None:
        compute_time = fixed(np.ones(num_workers))
    check_workers(compute_time, num_workers)
    if problem.num_workers not in (None, num_workers):
        raise ValueError(
            f"num_workers is {num_workers}, but the problem's data are split between "
            f"{problem.num_workers} workers; make them equal"
        )
    if horizon.num_updates is None and horizon.until is None:
        raise ValueError("give num_updates= or until=, or both")
    if horizon.record_every < 1:
        raise ValueError(f"record_every must be at least 1, got {horizon.record_every}")
    for key in keys:
        check_key(key)
    _check_parts(made_for(methods[0], problem))
    _check_inputs(made_for(methods[0], problem), problem)
    _check_components(methods[0], problem)
    alive = np.isfinite(compute_time.lower_bound)
    for method in methods:
        if not bool(method.schedule.possible(alive)):
            raise ValueError(
                f"{method.label or 'the method'} can never make a step: {_dead(alive)}"
            )
    _check_schedule(methods[0].schedule, compute_time, problem, keys[0])
    return compute_time


def _dead(alive: np.ndarray) -> str:
    """Who is dead, and what to do about it."""
    dead = np.flatnonzero(~alive)
    if not len(dead):
        return f"it waits for more results than {len(alive)} workers ever have at once"
    return (
        f"{len(dead)} of {len(alive)} workers are dead (worker "
        f"{', '.join(map(str, dead[:5]))}{', ...' if len(dead) > 5 else ''}); "
        "give them finite times, or choose a method that does not need them"
    )


def _check_parts(method: Method) -> None:
    """Refuses parts of which one would be ignored."""
    of_events = {
        "accumulator": method.accumulator,
        "read": method.read,
        "components": method.components or None,
    }
    given = [name for name, part in of_events.items() if part is not None]
    of_rounds = {
        "refresh": method.refresh,
        "order": method.order,
        "participation": method.participation,
        "aggregator": method.aggregator,
        "downlink": method.downlink,
        "first_gradients": method.first_gradients or None,
    }
    idle = [name for name, part in of_rounds.items() if part is not None]
    name = method.label or "the method"
    if method.mechanism is None and idle:
        raise ValueError(
            f"{name} has no mechanism, so it does not go in rounds and takes no "
            f"{' or '.join(idle)}: leave it out, or give it mechanism="
        )
    if method.mechanism is not None and given:
        raise ValueError(
            f"{name} has a mechanism, which goes in rounds and takes no "
            f"{' or '.join(given)}: leave one out"
        )
    mechanism = None if method.mechanism is None else method.mechanism()
    if mechanism is not None:
        checks.company(
            mechanism,
            participation=method.participation,
            aggregator=method.aggregator and method.aggregator(),
            user=name,
        )
    if mechanism and mechanism.bits_down and method.downlink is not None:
        raise ValueError(
            f"{name} has a mechanism whose server sends other things than the model, "
            "so it takes no downlink: leave it out"
        )


def _check_inputs(method: Method, problem: Problem) -> None:
    """Refuses parts that need what they would not be given."""
    name = method.label or "the method"
    _check_optimizer(method, problem, name)
    _check_points(method, problem, name)
    asked = needs.inputs(method.estimator(), problem.init)
    in_rounds = method.mechanism is not None
    unknown = asked - (round_grads.SUPPLIED if in_rounds else replay.SUPPLIED)
    if "reference_grads" in asked:
        _check_reference(method, name)
    if unknown:
        raise ValueError(
            f"{name} has an estimator that needs {_listed(unknown)}, which a run does "
            f"not supply{'' if in_rounds else ' without mechanism='}: take another one"
        )
    if "component" in asked and method.order is None:
        raise ValueError(
            f"{name} has an estimator that needs the component of a gradient, which "
            "an order names: give it order="
        )
    if "full" in asked and in_rounds and method.refresh is None:
        raise ValueError(
            f"{name} has an estimator that needs to know which gradients are full, "
            "which a coin says: give it refresh="
        )
    if method.schedule.feedback is not None and asked & needs.OF_ONE_SAMPLE:
        raise ValueError(
            f"{name} has a schedule that looks at the model, whose jobs are single "
            "gradients, and an estimator that needs pairs: take another one"
        )
    if method.accumulator is not None and asked & needs.OF_ONE_SAMPLE:
        raise ValueError(
            f"{name} has an accumulator, which takes single gradients, and an "
            "estimator that needs pairs: leave one out"
        )


def _check_optimizer(method: Method, problem: Problem, name: str) -> None:
    """Refuses a server's optimizer that needs what a server does not have."""
    told = needs.inputs(method.optimizer(), problem.init)
    unknown = told - needs.OF_THE_LOSS
    if unknown:
        raise ValueError(
            f"{name} has an optimizer that needs {_listed(unknown)}, which a server "
            "that is sent gradients does not have: make what needs it the estimator, "
            "or take another optimizer"
        )
    noisy = problem.draw is not None and not method.full_gradients
    if told and (noisy or method.components or method.order is not None):
        raise ValueError(
            f"{name} has an optimizer that needs {_listed(told)} of the sample of a "
            "gradient, and a server knows the loss of all data alone: take a problem "
            "without noise (samples_per_gradient=None), or another optimizer"
        )


def _check_points(method: Method, problem: Problem, name: str) -> None:
    """Refuses points of evaluation to which nobody would go."""
    of_estimator = needs.of(method.estimator(), problem.init)
    if any(need.point for need in of_estimator):
        raise ValueError(
            f"{name} has an estimator that wants gradients at points of its own, which "
            "the server names: make it the optimizer, or the first of its chain"
        )
    of_optimizer = needs.of(method.optimizer(), problem.init)
    if method.downlink is not None and any(need.point for need in of_optimizer):
        raise ValueError(
            f"{name} has an optimizer that wants gradients at points of its own, but a "
            "downlink sends the model: leave one out"
        )


def _listed(names) -> str:
    return ", ".join(f"{name}=" for name in sorted(names))


def _check_reference(method: Method, name: str) -> None:
    """Refuses a reference point that would not be the one of the estimator."""
    if method.mechanism is None or method.refresh is None:
        raise ValueError(
            f"{name} has an estimator with a reference point, which moves in rounds by "
            "a coin: give it mechanism= and refresh="
        )
    if method.participation is not None:
        raise ValueError(
            f"{name} has an estimator with a reference point, which moves whether a "
            "worker comes or not: leave participation out"
        )


def _estimate(method: Method, point):
    """What a worker's estimator hands to the mechanism, as shapes."""
    if method.order is None:
        return point
    estimator = optax.with_extra_args_support(method.estimator())

    def estimate(point):
        state = estimator.init(point)
        return estimator.update(point, state, point, component=jnp.int32(0))[0]

    return jax.eval_shape(estimate, point)


def _check_components(method: Method, problem: Problem) -> None:
    """Refuses a method of finite sums where the problem is none."""
    if method.components and problem.component is None:
        raise ValueError(
            f"{method.label or 'the method'} needs a finite sum whose every component "
            "any worker can evaluate: a problem of rows (from_loss, logistic, "
            "classifier) that are not split between workers"
        )


def _check_schedule(schedule, compute_time, problem, key) -> None:
    """Lets a schedule refuse a cluster of which it must know more."""
    with jax.enable_x64(True):
        jax.eval_shape(
            lambda *clock: schedule.init(*clock, problem.num_components),
            key,
            compute_time,
        )
