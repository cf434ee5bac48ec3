"""The contracts between the parts.

Everything is a NamedTuple of pure functions. What carries numbers that a sweep may
change (`Schedule`, `ComputeTime`, `Link`, `Method`) is a pytree: see `static.py`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import optax

from .keys import Keys as Keys

Tree = Any
Array = Any


# ---------------------------------------------------------------- messages


class Certificate(NamedTuple):
    """What a compressor promises, for a vector of d numbers; None is no promise.

    Attributes:
      omega: E C(x) = x and E|C(x) - x|² <= omega |x|²: it is unbiased.
      alpha: E|C(x) - x|² <= (1 - alpha) |x|²: it is contractive.
      eta, variance: |E C(x) - x| <= eta |x| and E|C(x) - E C(x)|² <= variance |x|², the
        bias and the noise of a compressor that may have both, the class C(η, ω) of
        EF-BV. An unbiased one has 0 and omega: these need not be given.
      absolute: E|C(x) - x|² <= absolute, however small x is.
    """

    omega: float | None = None
    alpha: float | None = None
    eta: float | None = None
    variance: float | None = None
    absolute: float | None = None


class Joint(NamedTuple):
    """What n compressors promise together, one for each worker, around their means.

        E|(1/n) Σ (Cᵢ(aᵢ) − E Cᵢ(aᵢ))|² <= A (1/n) Σ |aᵢ|² − B |ā|²,   ā = (1/n) Σ aᵢ

    Attributes:
      a, b: A and B. Independent ones have ω/n, or variance/n, and 0.
    """

    a: float
    b: float


class Bits(NamedTuple):
    """The length of one message, in bits.

    Attributes:
      values: the numbers alone, without indices.
      wire: what the message's arrays take, 8 times their bytes.
      entropy: what an ideal code would take.
    """

    values: Any
    wire: Any
    entropy: Any


class Compressor(NamedTuple):
    """A stateless map on one array, split at the link.

    Attributes:
      encode: (keys, x) -> message, a pytree of arrays of static shape: what is sent.
      decode: (keys, message, like) -> array with the shape and dtype of `like`. The
        keys are those of `encode`, but without the private one: what both ends draw
        from `keys.shared` and `keys.worker` is not sent.
      bits: (keys, message, like) -> Bits, keys as for `decode`. Works on shapes alone,
        and gives Python numbers, unless the length varies with the data or a coin.
      certificate: (d) -> Certificate.
      label: how it was built, for error messages.
      add: (onto, message, weight) -> onto + weight · decode(message, onto), without
        the dense array. A stack of messages with as many weights is added up; what
        has the weight 0 adds nothing, be it NaN. None where decoding is as cheap, or
        draws.
      joint: (d, n) -> Joint of the compressors of n workers; None where they are
        independent.
    """

    encode: Callable[..., Any]
    decode: Callable[..., Any]
    bits: Callable[..., Bits]
    certificate: Callable[[int], Certificate]
    label: str = ""
    add: Callable[..., Any] | None = None
    joint: Callable[[int, int], Joint] | None = None


class TreeCompressor(NamedTuple):
    """The same on whole pytrees; the tuple of leaf sizes stands for d."""

    encode: Callable[..., Any]
    decode: Callable[..., Any]
    bits: Callable[..., Bits]
    certificate: Callable[[tuple[int, ...]], Certificate]
    label: str = ""
    add: Callable[..., Any] | None = None
    joint: Callable[[tuple[int, ...], int], Joint] | None = None


class Roles(NamedTuple):
    """The state of one worker (or of all, with a leading axis) and of the server."""

    worker: Tree
    server: Tree


class Mechanism(NamedTuple):
    """Who sends what, on pytrees.

    Attributes:
      init: (params, first_grad=None) -> Roles. Methods that may begin at the first
        gradients are given them: the worker's state is built from that worker's own,
        the server's from their mean (the adapter calls `init` once for each).
      worker: (keys, grad, worker_state) -> (message, worker_state), for one worker; it
        is also given `announced=` where there is something.
      decode: (keys, message, like) -> tree like the parameters; the keys are those of
        `worker`, but without the private one.
      server: (keys, aggregate, mask, server_state) -> (estimate, server_state),
        where `aggregate` is the aggregated decoded messages, `mask` [n] who came.
      bits: (keys, message, like) -> Bits, as in `Compressor`.
      add: (onto, messages, weights) -> onto + Σ weights · decode(messages), as in
        `Compressor`; None where every message must be decoded.
      announce: (server_state) -> tree, what workers know of the server's state before a
        round; None where they need the point alone.
      bits_down: (keys, server_state, like) -> Bits of what the server sends to all
        after the round that led to this state, counted once; None where that is the
        model.
      everybody: do all workers have to come in every round?
      linear: does the aggregator have to be linear, as where the server's state is the
        mean of the workers' states? A median of changes is not the change of a median.
      silent_start: built from the first gradients, and then given them, does it stay
        where it is, whatever it draws, with their mean as its estimate? Then nothing
        has to be sent in round 0 besides them.
    """

    init: Callable[..., Roles]
    worker: Callable[..., Any]
    decode: Callable[..., Tree]
    server: Callable[..., Any]
    bits: Callable[..., Bits]
    add: Callable[..., Tree] | None = None
    announce: Callable[..., Tree] | None = None
    bits_down: Callable[..., Bits] | None = None
    everybody: bool = False
    linear: bool = False
    silent_start: bool = False


class Aggregator(NamedTuple):
    """What the server makes of n decoded messages.

    Attributes:
      init: (params) -> state.
      aggregate: (keys, messages, mask, state) -> (tree, state); `messages` has a
        leading axis n, `mask` [n] is False for workers that did not come (their
        messages are zero).
      weights: (mask) -> [n], of an aggregator without state that is the linear
        combination Σ weightsᵢ · messagesᵢ; None for others, which mechanisms that need
        a linear one refuse.
    """

    init: Callable[..., Any]
    aggregate: Callable[..., Any]
    weights: Callable[[Array], Array] | None = None


# ---------------------------------------------------------------- geometry


class Geometry(NamedTuple):
    """A norm on one array.

    Attributes:
      norm: (x) -> number.
      dual: (g) -> number, max <g, x> over norm(x) <= 1.
      lmo: (g) -> argmin <g, x> over norm(x) <= 1, a descent direction; 0 at g = 0.
    """

    norm: Callable[[Array], Array]
    dual: Callable[[Array], Array]
    lmo: Callable[[Array], Array]


class TreeGeometry(NamedTuple):
    """The same on whole pytrees."""

    norm: Callable[[Tree], Array]
    dual: Callable[[Tree], Array]
    lmo: Callable[[Tree], Tree]


# ---------------------------------------------------------------- estimators


class Accumulator(NamedTuple):
    """What the server makes of gradients that arrive one by one.

    The weighted sum of a batch needs none; these are the tables with a row per worker.

    Attributes:
      init: (params, num_workers) -> state.
      update: (grad, worker, weight, stepping, state) -> (estimate, state), called with
        every gradient that is used; `stepping` says whether the server steps now, and
        only then is the estimate read.
    """

    init: Callable[..., Any]
    update: Callable[..., Any]


# ---------------------------------------------------------------- time


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ComputeTime:
    """How long a job takes, for each of n workers. A pytree.

    Attributes:
      sample: (key, worker, job, now, work) -> seconds, for one job of one worker
        that starts at time `now` and computes `work` gradients; inf means never.
        The key belongs to this (worker, job).
      lower_bound: [n] seconds per gradient that no job can beat; inf for the dead.
      mean: [n] expected seconds per gradient, or None where unknown.
      cdf: (seconds [n]) -> [n], the probability that a job of one gradient of worker
        i takes at most so long; None where unknown.
      steady: does `sample` give the same whatever `now` is? Then durations can be drawn
        beforehand, which makes clocks many times faster.
      of_all: (jobs [n]) -> [n], the seconds of one job of each worker, where they are
        at hand already; None elsewhere.
    """

    sample: Callable[..., Array]
    lower_bound: Array
    mean: Array | None
    cdf: Callable[..., Array] | None = None
    steady: bool = dataclasses.field(default=False, metadata={"static": True})
    of_all: Callable[..., Array] | None = None


class Link(NamedTuple):
    """How long a message takes, for each of n workers. A pytree.

    Attributes:
      up: (worker, bits) -> seconds from the worker to the server.
      down: (worker, bits) -> seconds from the server to the worker.
    """

    up: Callable[..., Array]
    down: Callable[..., Array]


class Event(NamedTuple):
    """One arrival at the server.

    Attributes:
      time: simulated seconds.
      worker: index, 0-based.
      job: which of the worker's jobs, counted from 0, interrupted ones included.
      version: the model version (number of server steps) that the job started from.
      delay: server steps between that version and the arrival.
      accepted: is the gradient used?
      weight: its weight in the server's accumulator.
      step: 0: the model stays; otherwise the server steps now, and its update is
        multiplied by this. It may step where no gradient was accepted: then the batch
        is what came before, possibly nothing.
      work: gradients that the job computed; 0 for a job that was given up, which sends
        nothing.
      kind: which computation: 0 one gradient, 1 a pair on one sample.
      busy: workers that were computing in the interval that ends with this event.
      sample: index of the component where the schedule chooses it, else -1.
    """

    time: Any
    worker: Any
    job: Any
    version: Any
    delay: Any
    accepted: Any
    weight: Any
    step: Any
    work: Any
    kind: Any
    busy: Any
    sample: Any


class Arrivals(NamedTuple):
    """What arrives at a server whose workers never rest, whatever it makes of it.

    NumPy arrays, one entry per arrival in order of time; times are finite.

    Attributes:
      num_workers: n, an int.
      time, worker, job, busy: as in `Event`.
      started: index of the arrival at which the job started; -1 at time 0.
    """

    num_workers: int

    time: Any
    worker: Any
    job: Any
    busy: Any
    started: Any


class Schedule(NamedTuple):
    """Who works when; pure timing logic. A pytree.

    Attributes:
      init: (key, compute_time, num_components) -> clock state; `num_components` is
        the m of a finite sum, None where the problem is none.
      next: (clock, compute_time, feedback) -> (Event, clock), one arrival.
      possible: (alive [n]) -> can the model ever step with these workers alive?
      weigh: (events) -> events, on the host: fills weights that are known only when a
        batch closes. None where `next` knows them.
      feedback: (params, point) -> number, for rules that look at numbers: `next` is
        then given a function worker -> feedback(xᵏ, the point of its running job).
        None for the others, whose clock runs before the numbers.
      events: (arrivals) -> events, on the host: the stream of `next` without a queue,
        for schedules whose workers start a job of one gradient whenever one has
        arrived, and never stop one. None for the others.
      longest: (events) -> seconds, on the host, for schedules that interrupt jobs of
        one gradient: the longest that any job ran without arriving, if its worker
        starts anew only when it is interrupted. Workers that need longer play no part.
        None for the others.
    """

    init: Callable[..., Any]
    next: Callable[..., Any]
    possible: Callable[..., Any]
    weigh: Callable[..., Any] | None = None
    feedback: Callable[..., Any] | None = None
    events: Callable[..., Any] | None = None
    longest: Callable[..., Any] | None = None


# ---------------------------------------------------------------- problems, methods


class Problem(NamedTuple):
    """The objective and what is known about it.

    Attributes:
      data: pytree of arrays; travels as an argument, never as a constant.
      init: the starting point x⁰, a pytree.
      loss: (data, params) -> f(params).
      draw: (key, data, worker) -> sample, or None if gradients carry no noise.
      grad: (data, params, worker, sample) -> gradient of one worker; `sample` None
        gives the full local gradient.
      num_workers: n where the data are split between workers; None where every
        worker samples the same distribution.
      metrics: {name: (data, params) -> number}.
      constants: what is known: smoothness, strong_convexity, variance (E|noise|² of
        one gradient), f_star, x_star.
      num_components: m where f = (1/m) Σⱼ fⱼ and every worker can evaluate every ∇fⱼ;
        None for other problems.
      component: (data, j) -> the sample with which `grad` gives ∇fⱼ; None likewise.
      local_components: m where fᵢ = (1/m) Σⱼ fᵢⱼ for every worker i, with the same m;
        None for other problems.
      local_component: (data, worker, j) -> the sample with which `grad` gives ∇fᵢⱼ;
        None likewise.
    """

    data: Tree
    init: Tree
    loss: Callable[..., Array]
    draw: Callable[..., Any] | None
    grad: Callable[..., Tree]
    num_workers: int | None
    metrics: Mapping[str, Callable[..., Array]]
    constants: Mapping[str, Any]
    num_components: int | None = None
    component: Callable[..., Any] | None = None
    local_components: int | None = None
    local_component: Callable[..., Any] | None = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Method:
    """What `run` accepts: parts put together. A pytree whose leaves are its numbers.

    Attributes:
      schedule: who works when.
      optimizer: () -> optax transformation, the server's. It may name the point that
        workers are sent, `needs.Needs.point`; otherwise that is the model itself.
      estimator: () -> optax transformation, from raw gradients to an estimate: on each
        worker where there is a mechanism, on the mean of the batch otherwise. It says
        in its state what it must be given besides: see `needs`.
      mechanism: () -> Mechanism, or None where gradients are sent as they are.
      accumulator: () -> Accumulator, or None for the weighted sum of a batch.
      read: (key, ring, version, updates) -> the point at which a gradient is taken,
        put together from the last versions; `ring` has them on a leading axis, version
        v at v modulo its length. None where a job has one version.
      full_gradients: workers compute their full local gradients, without noise.
      components: gradients are those of the components that the schedule names.
      refresh: () -> (keys, round) -> bool, the coin of a worker: does it take its full
        local gradient in this round, or one on a sample? As PAGE does; the first round
        is full, and the estimator is told (`full=`). None where all gradients are of
        one kind. For methods with a mechanism.
      order: (m) -> (key, worker, epoch) -> [m], of `fo.simulate`: of which of its m
        components a worker takes the gradient in each of the m rounds of an epoch,
        whatever the problem draws. The estimator is told (`component=`); it and the
        mechanism are then made for m as well: (m) -> transformation, (m) -> Mechanism.
        None where samples are drawn. Likewise.
      participation: () -> who takes part in a round, of `fo.simulate`; None for all.
        Likewise.
      aggregator: () -> what the server makes of the messages; None for the mean.
        Likewise.
      downlink: () -> the mechanism by which the server sends its points, at which
        gradients are then taken; None where x^k is sent. Likewise.
      first_gradients: the mechanism begins at ∇fᵢ(x⁰), which every worker sends once as
        it is, in round 0: in place of its message where the mechanism has a silent
        start, for which the estimator has to begin with the gradient itself; before it
        elsewhere. Likewise.
      label: name in tables and plots.
    """

    schedule: Schedule
    optimizer: Callable[[], optax.GradientTransformation]
    estimator: Callable[..., optax.GradientTransformation]
    mechanism: Callable[..., Mechanism] | None = None
    accumulator: Callable[[], Accumulator] | None = None
    read: Callable[..., Tree] | None = None
    full_gradients: bool = dataclasses.field(default=False, metadata={"static": True})
    components: bool = dataclasses.field(default=False, metadata={"static": True})
    refresh: Callable[[], Callable[..., Array]] | None = None
    order: Callable[..., Callable[..., Array]] | None = None
    participation: Callable[[], Callable[..., Array]] | None = None
    aggregator: Callable[[], Aggregator] | None = None
    downlink: Callable[[], Mechanism] | None = None
    first_gradients: bool = dataclasses.field(default=False, metadata={"static": True})
    label: str = dataclasses.field(default="", metadata={"static": True})
