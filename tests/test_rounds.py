"""Methods in rounds: who comes, what goes down, where workers begin, the account."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

import fedjax_opt as fo
from fedjax_opt import compressors, estimators, events, mechanisms, simulate
from fedjax_opt.keys import for_leaf
from fedjax_opt.static import constant
from fedjax_opt.types import Bits, Mechanism, Method, Roles

N, D, ROUNDS, STEP = 5, 10, 12, 0.1
TOP_2 = 2 * (64 + 8)  # bits of two numbers and their indices
KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
CENTRES = RNG.standard_normal((N, D))


@pytest.fixture
def problem():
    """fᵢ(x) = |x − cᵢ|²/2."""
    return fo.problems.quadratics(np.stack([np.eye(D)] * N), CENTRES)


def method(mechanism, **parts):
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=Partial(constant(mechanism)),
        optimizer=Partial(optax.sgd, STEP),
        full_gradients=True,
        **parts,
    )


def run(problem, method, **options):
    options = {"num_updates": ROUNDS, "record_every": 1} | options
    return fo.run(method, problem, num_workers=N, key=KEY, **options)


def top_2(x):
    kept = np.argsort(-np.abs(x), kind="stable")[:2]
    return np.where(np.isin(np.arange(D), kept), x, 0)


def test_those_who_come_are_counted(problem):
    rule = Partial(constant(simulate.uniform_participation(3)))
    trace = run(
        problem,
        method(mechanisms.ef21(compressors.top_k(2)), participation=rule),
    )
    np.testing.assert_array_equal(
        trace.columns["bits_up"], 3 * TOP_2 * np.arange(ROUNDS + 1)
    )


def test_everybody_is_counted_without_a_rule(problem):
    trace = run(problem, method(mechanisms.ef21(compressors.top_k(2))))
    np.testing.assert_array_equal(
        trace.columns["bits_up"], N * TOP_2 * np.arange(ROUNDS + 1)
    )


def test_points_go_down_through_a_mechanism(problem):
    """EF21-P by hand: gradients at w, the model x exact, Top-2 down."""
    down = Partial(constant(mechanisms.ef21(compressors.top_k(2))))
    trace = run(problem, method(mechanisms.dcgd(compressors.identity()), downlink=down))
    x = w = np.asarray(problem.init)
    losses = []
    for _ in range(ROUNDS + 1):
        losses.append(np.mean([np.sum((x - c) ** 2) / 2 for c in CENTRES]))
        x = x - STEP * (w - CENTRES.mean(axis=0))
        w = w + top_2(x - w)
    found = trace.columns["loss"]  # without the constant |cᵢ|²/2
    np.testing.assert_allclose(found - found[0], np.subtract(losses, losses[0]))
    np.testing.assert_array_equal(
        trace.columns["bits_down"], TOP_2 * np.arange(ROUNDS + 1)
    )
    np.testing.assert_array_equal(
        trace.columns["bits_up"], N * D * 64 * np.arange(ROUNDS + 1)
    )


def of_first_draw(own):
    """Sends a draw from these keys in round 0, and then what it is given."""

    def worker(keys, vector, round_):
        draw = jax.random.uniform(own(keys).shared, vector.shape)
        return jnp.where(round_ == 0, draw, vector), round_ + 1

    return Mechanism(
        init=lambda params, first_grad=None: Roles(jnp.int32(0), ()),
        worker=worker,
        decode=lambda keys, message, like: message,
        server=lambda keys, aggregate, mask, state: (aggregate, state),
        bits=lambda keys, message, like: Bits(64 * D, 64 * D, 64 * D),
    )


def test_both_directions_draw_from_keys_of_their_own():
    """With one worker the key of the downlink was that of the uplink's first round, so
    that what one drew for its second leaf the other drew as well."""
    alone = fo.problems.quadratics(np.eye(D)[None], np.zeros((1, D)))
    up = of_first_draw(lambda keys: for_leaf(keys, 1))
    down = of_first_draw(lambda keys: keys)
    both = method(up, downlink=Partial(constant(down)))
    x, y = (
        np.asarray(fo.run(both, alone, num_workers=1, key=KEY, num_updates=k).params)
        for k in (1, 2)
    )
    sent_up, sent_down = (alone.init - x) / STEP, (x - y) / STEP
    assert 0 < sent_up.min() and sent_up.max() < 1
    assert 0 < sent_down.min() and sent_down.max() < 1
    assert np.abs(sent_up - sent_down).max() > 0.1


def test_workers_may_begin_at_their_gradients(problem):
    """EF21 from gᵢ = ∇fᵢ(x⁰), by hand; n·d numbers are sent in place of messages."""
    trace = run(
        problem,
        method(mechanisms.ef21(compressors.top_k(2)), first_gradients=True),
    )
    x = np.asarray(problem.init)
    g = x - CENTRES
    for k in range(ROUNDS):
        if k:
            g = g + np.stack(
                [top_2(x - c - own) for c, own in zip(CENTRES, g, strict=True)]
            )
        x = x - STEP * g.mean(axis=0)
    np.testing.assert_allclose(trace.params, x, rtol=1e-12)
    sent = np.cumsum([0, N * D * 64] + (ROUNDS - 1) * [N * TOP_2])
    np.testing.assert_array_equal(trace.columns["bits_up"], sent)


def of_varying_length():
    """Sends the gradient every other round; 1 bit says whether."""

    def worker(keys, grad, round_):
        return {"grad": grad, "sends": round_ % 2 == 0}, round_ + 1

    def decode(keys, message, like):
        return jnp.where(message["sends"], message["grad"], 0)

    def bits(keys, message, like):
        length = 1 + jnp.where(message["sends"], 64 * like.size, 0)
        return Bits(length, length, length)

    return Mechanism(
        init=lambda params, first_grad=None: Roles(jnp.int32(0), ()),
        worker=worker,
        decode=decode,
        server=lambda keys, aggregate, mask, state: (aggregate, state),
        bits=bits,
    )


def test_messages_of_varying_length_are_counted_one_by_one(problem):
    trace = run(problem, method(of_varying_length()))
    k = np.arange(ROUNDS + 1)
    np.testing.assert_array_equal(
        trace.columns["bits_up"], N * (k + 64 * D * ((k + 1) // 2))
    )


def test_bits_are_counted_in_64_bits_in_a_session_of_32():
    """More than 2²⁴, from where on a sum in float32 would lose bits."""
    with jax.enable_x64(False):
        data = fo.problems.quadratics(np.stack([np.eye(D)] * N), CENTRES)
        rounds = 20_001
        trace = run(
            data, method(of_varying_length()), num_updates=rounds, record_every=rounds
        )
    sent = N * (rounds + 64 * D * ((rounds + 1) // 2))
    assert sent > 2**24
    assert trace.columns["bits_up"][-1] == sent


@pytest.mark.parametrize(
    "part",
    [
        {"participation": Partial(constant(simulate.uniform_participation(3)))},
        {"downlink": Partial(constant(mechanisms.ef21(compressors.identity())))},
        {"first_gradients": True},
    ],
)
def test_what_only_rounds_have_is_refused_without_a_mechanism(problem, part):
    alone = dataclasses.replace(fo.methods.minibatch_sgd(step_size=STEP), **part)
    with pytest.raises(ValueError, match=f"no mechanism, .* {next(iter(part))}"):
        run(problem, alone)
