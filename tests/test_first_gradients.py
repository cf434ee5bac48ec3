"""Where ∇fᵢ(x⁰) is sent as it is: in place of the first message, or before it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

import fedjax_opt as fo
from fedjax_opt import compressors, estimators, events, mechanisms, methods, simulate
from fedjax_opt.methods.entries_in_rounds import ENTRIES
from fedjax_opt.simulate import cost
from fedjax_opt.simulate.rounds import _with_first_gradients
from fedjax_opt.static import constant
from fedjax_opt.types import Method

N, D, STEP = 4, 40, 0.1
DENSE, ENTRY = 64 * D, 64 + 8  # bits
CENTRES = np.random.default_rng(0).standard_normal((N, D))
X0 = np.linspace(-1.0, 1.0, D)
KEY = jax.random.key(0)


def problem(noise_level=0.0):
    """fᵢ(x) = |x − cᵢ|²/2."""
    matrices = np.stack([np.eye(D)] * N)
    return fo.problems.quadratics(matrices, CENTRES, x0=X0, noise_level=noise_level)


def by_name(name):
    """The method with the first of the values over which the command line tunes it."""
    entry = ENTRIES[name]
    tuned = {k: v[0] for k, v in entry.axes(N).items() if k not in entry.options}
    return entry.recipe(step_size=STEP, **tuned)


def silent(name):
    method = by_name(name)
    in_rounds = method.mechanism is not None and method.order is None
    return in_rounds and method.mechanism().silent_start


SILENT = [name for name in ENTRIES if silent(name)]
BEGINNING = [name for name in ENTRIES if by_name(name).first_gradients]


def run(method, *, key=KEY, **options):
    options = {"num_updates": 4} | options
    data = options.pop("data", None)
    data = problem() if data is None else data
    return fo.run(method, data, num_workers=N, key=key, **options)


# ---------------------------------------------------------------- nothing moves


def test_what_is_tested_here():
    assert {"marina_gd", "dasha_pp", "lag_gd", "frecon_gd"} <= set(BEGINNING)
    assert set(BEGINNING) | {"ef21_gd", "diana_gd", "ef_bv_gd"} <= set(SILENT)


@pytest.mark.parametrize("name", SILENT)
def test_the_first_message_moves_nothing(name):
    """Neither a worker nor the server, with any coin; the estimate is the mean."""
    mechanism, grads = by_name(name).mechanism(), jnp.asarray(X0 - CENTRES)

    @jax.jit
    def first_round(key):
        adapter = simulate.distribute(mechanism, N, key=key, first_grads=grads)
        before = adapter.init(jnp.asarray(X0))
        estimate, after = adapter.update(grads, before, jnp.asarray(X0))
        return estimate, before, after

    for seed in range(6):
        estimate, before, after = first_round(jax.random.key(seed))
        np.testing.assert_allclose(estimate, X0 - CENTRES.mean(axis=0), atol=1e-14)
        for role in ("worker", "server"):
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a, b, atol=1e-14),
                getattr(after, role),
                getattr(before, role),
            )


@pytest.mark.parametrize("name", BEGINNING)
def test_the_first_step_is_along_the_first_gradients(name):
    first = run(by_name(name), num_updates=1)
    expected = X0 - STEP * (X0 - CENTRES.mean(axis=0))
    np.testing.assert_allclose(first.params, expected, atol=1e-14)


@pytest.mark.parametrize("name", ["dasha_mvr", "dasha_pp_mvr"])
def test_with_noise_it_is_along_the_same_samples(name):
    """Those of minibatch SGD with the same key."""
    plain = by_name("dcgd_gd")
    plain = dataclasses.replace(
        plain,
        mechanism=Partial(constant(mechanisms.dcgd(compressors.identity()))),
        full_gradients=False,
    )
    data = problem(noise_level=0.5)
    first, expected = (run(m, data=data, num_updates=1) for m in (by_name(name), plain))
    np.testing.assert_allclose(first.params, expected.params, atol=1e-14)
    exact = X0 - STEP * (X0 - CENTRES.mean(axis=0))
    assert np.abs(expected.params - exact).max() > 0.01


@pytest.mark.parametrize("name", ["dasha_page", "dasha_pp_page", "vr_marina"])
def test_with_noise_it_is_along_full_gradients_where_they_are_due(name):
    first = run(by_name(name), data=problem(noise_level=0.5), num_updates=1)
    expected = X0 - STEP * (X0 - CENTRES.mean(axis=0))
    np.testing.assert_allclose(first.params, expected, atol=1e-14)


# ---------------------------------------------------------------- bits and time


def test_full_rounds_alone_cost_as_much_as_gradient_descent():
    """It was one round more."""
    method = methods.marina_gd(
        step_size=STEP, compressor=compressors.rand_k(1), probability=1.0
    )
    np.testing.assert_array_equal(run(method).bits_up, N * DENSE * np.arange(5))


LATER = {  # bits of a worker in a later round, and the longest that they may be
    "of one length": (
        methods.dasha_gd(step_size=STEP, compressor=compressors.rand_k(2)),
        {2 * ENTRY},
        2 * ENTRY,
    ),
    "of two lengths": (
        methods.marina_gd(
            step_size=STEP, compressor=compressors.rand_k(2), probability=0.5
        ),
        {2 * ENTRY, DENSE},
        DENSE,
    ),
    "a flag": (methods.lag_gd(step_size=STEP, trigger=1e-9), {8 + DENSE}, 8 + DENSE),
}


@pytest.mark.parametrize("name", LATER)
def test_first_gradients_are_sent_in_place_of_messages(name):
    method, lengths, longest = LATER[name]
    trace = run(method, link=fo.timing.linear(up_bandwidth=1.0))
    first, *later = np.diff(trace.bits_up)
    assert first == N * DENSE
    assert {bits / N for bits in later} <= lengths
    seconds = [1 + DENSE] + 3 * [1 + longest]
    np.testing.assert_array_equal(np.diff(trace.time), seconds)


def test_with_few_workers_all_send_their_first_gradients():
    method = methods.dasha_pp(
        step_size=STEP, compressor=compressors.rand_k(2), probability=0.5
    )
    first, *later = np.diff(run(method, num_updates=20).bits_up)
    assert first == N * DENSE
    came = np.asarray(later) / (2 * ENTRY)
    assert set(came) <= set(range(N + 1)) and 0 < came.mean() < N


def begins_at_gradients(mechanism, **parts):
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=Partial(constant(mechanism)),
        optimizer=Partial(optax.sgd, STEP),
        full_gradients=True,
        first_gradients=True,
        **parts,
    )


RULE = Partial(constant(simulate.uniform_participation(3)))


@pytest.mark.parametrize(("parts", "come"), [({}, N), ({"participation": RULE}, 3)])
def test_elsewhere_messages_follow_at_once(parts, come):
    """EC-DIANA sends C(h) at x⁰, from which its first step is made."""
    top_1, rand_2 = compressors.top_k(1), compressors.rand_k(2)
    method = begins_at_gradients(mechanisms.ec_diana(top_1, rand_2), **parts)
    trace = run(method, link=fo.timing.linear(up_bandwidth=1.0))
    sent = come * 3 * ENTRY * np.arange(5) + N * DENSE * (np.arange(5) > 0)
    np.testing.assert_array_equal(trace.bits_up, sent)
    seconds = [1 + DENSE + 3 * ENTRY] + 3 * [1 + 3 * ENTRY]
    np.testing.assert_array_equal(np.diff(trace.time), seconds)


@pytest.mark.parametrize(
    "make",
    [
        lambda c: mechanisms.dcgd(c),
        lambda c: mechanisms.ef14(compressors.wrap.scaled(c)),
        lambda c: mechanisms.ec_diana(compressors.top_k(1), c),
        lambda c: mechanisms.fixed_shift(c, shifts=jnp.zeros((N, D))),
        lambda c: mechanisms.power_sgd(1),
    ],
)
def test_those_whose_first_step_is_made_of_messages_are_not_silent(make):
    assert not make(compressors.rand_k(2)).silent_start


def test_rows_within_the_first_round_count_who_has_arrived():
    """Workers of 1, 2 and 3 seconds, rows between their arrivals."""
    found = simulate.trace(
        events.synchronous(),
        fo.timing.fixed([1.0, 2.0, 3.0]),
        num_workers=3,
        key=KEY,
        num_events=6,
    )
    rows = np.array([0, 1, 2, 3, 4, 6])
    times = np.array([0.5, 1.5, 2.5, 3.5, 4.5, 6.0])
    lengths = {"bits_up": 10, "bits_down": 1, "first_bits_up": 64}
    columns = cost.accounts(found, rows, times, **lengths)
    np.testing.assert_array_equal(
        columns["bits_up"], [0, 64, 128, 3 * 64, 3 * 64 + 10, 3 * 64 + 30]
    )


def test_first_gradients_are_counted_in_64_bits_in_a_session_of_32():
    with jax.enable_x64(False):
        messages, many = jnp.float32(72), float(2**24 + 1)
        besides = _with_first_gradients(messages, many, jnp.array(True), False)
        instead = _with_first_gradients(messages, many, jnp.array(True), True)
        later = _with_first_gradients(messages, many, jnp.array(False), True)
    assert (besides, instead, later) == (2**24 + 73, 2**24 + 1, 72)
