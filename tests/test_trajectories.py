"""50 updates of every recipe against independent NumPy loops, in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial
from reference import trajectories
from trajectory import (
    COMPUTE_TIME,
    DURATIONS,
    UPDATES,
    X0,
    D,
    N,
    durations,
    full_gradient,
    measured,
    noisy_gradient,
)

from fedjax_opt import (
    compressors,
    estimators,
    events,
    geometry,
    keys,
    mechanisms,
    methods,
    simulate,
)
from fedjax_opt.static import constant
from fedjax_opt.types import Method

RINGMASTER = {"delay_threshold": 5}
SPECTRAL = geometry.spectral(kernel="svd")
ASYNCHRONOUS = {
    "minibatch_sgd": (methods.minibatch_sgd, trajectories.minibatch_sgd, {}, {}),
    "hero_sgd": (
        methods.hero_sgd,
        trajectories.hero_sgd,
        {},
        {"means": DURATIONS.mean(axis=1)},
    ),
    "asgd": (methods.asgd, trajectories.asgd, {}, {}),
    "delay_adaptive_asgd": (
        methods.delay_adaptive_asgd,
        trajectories.delay_adaptive_asgd,
        {},
        {},
    ),
    **{
        f"rennala_sgd, S={size}, {mode}": (
            functools.partial(methods.rennala_sgd, stop=mode == "stop"),
            functools.partial(trajectories.rennala_sgd, stop=mode == "stop"),
            {"batch_size": size},
            {},
        )
        for size in (7, 37)  # one by one; in batched calls with a remainder
        for mode in ("ignore", "stop")
    },
    **{
        f"ringmaster_asgd, {mode}": (
            functools.partial(methods.ringmaster_asgd, stop=mode == "stop"),
            functools.partial(trajectories.ringmaster_asgd, stop=mode == "stop"),
            RINGMASTER,
            {},
        )
        for mode in ("ignore", "stop")
    },
    **{
        f"ringmaster_lmo, {norm}": (
            functools.partial(methods.ringmaster_lmo, geometry=ours, stop=stop),
            functools.partial(trajectories.ringmaster_lmo, lmo=theirs, stop=stop),
            RINGMASTER | {"momentum": 0.8},
            {},
        )
        for norm, ours, theirs, stop in (
            ("l2", geometry.l2(), trajectories.lmo_l2, False),
            ("linf", geometry.linf(), trajectories.lmo_sign, False),
            ("spectral", SPECTRAL, trajectories.lmo_spectral, True),
        )
    },
    **{
        f"rennala_mvr, B={size}, {mode}": (
            functools.partial(methods.rennala_mvr, stop=mode == "stop"),
            functools.partial(trajectories.rennala_mvr, stop=mode == "stop"),
            {"batch_size": size, "first_batch_size": 20, "momentum": 0.7},
            {},
        )
        for size, mode in ((5, "ignore"), (18, "stop"))
    },
}


@pytest.mark.parametrize("name", ASYNCHRONOUS)
def test_asynchronous_trajectory(name):
    ours, theirs, parameters, known = ASYNCHRONOUS[name]
    key = jax.random.key(11)
    _, number_key = jax.random.split(key)
    iterates, _ = measured(ours(step_size=0.05, **parameters), key)
    expected = theirs(
        noisy_gradient(number_key),
        durations,
        N,
        X0,
        UPDATES,
        0.05,
        **parameters,
        **known,
    )
    np.testing.assert_allclose(iterates, expected, rtol=1e-10, atol=1e-13)


def test_the_cases_have_late_rejected_and_restarted_jobs():
    def trace(schedule):
        return simulate.trace(
            schedule,
            COMPUTE_TIME,
            num_workers=N,
            key=jax.random.key(11),
            num_events=UPDATES + 10,
        )

    ignore = trace(events.ringmaster(**RINGMASTER))
    stop = trace(events.ringmaster(**RINGMASTER, stop=True))
    assert (ignore.delay[ignore.accepted] >= 3).any()
    assert (~ignore.accepted).any()
    assert stop.accepted.all()
    # Some worker's jobs are not numbered in a row: the missing ones were interrupted.
    assert any((np.diff(stop.job[stop.worker == i]) > 1).any() for i in range(N))


def _top_k_reference(worker, round_, vector):
    return trajectories.top_k(vector.ravel(), 2).reshape(vector.shape)


def _rand_k_reference(mechanism_key):
    """The draws of Rand-2 in every round, by the adapter's documented keys."""
    apply = jax.jit(lambda k, x: _decoded(compressors.rand_k(2), k, x))
    round_keys, key = [], mechanism_key
    for _ in range(UPDATES):
        key, of_round, *_ = jax.random.split(key, 4)
        round_keys.append(of_round)

    def compress(worker, round_, vector):
        of_worker = keys.for_leaf(keys.in_round(round_keys[round_], worker, N), 0)
        ones = np.asarray(apply(of_worker, jnp.ones_like(vector)))
        return ones * vector  # Rand-K is linear given its indices

    return compress


def _decoded(compressor, of_worker, x):
    return compressor.decode(of_worker, compressor.encode(of_worker, x), x)


def test_ef21_gd_trajectory():
    method = methods.ef21_gd(step_size=0.05, compressor=compressors.top_k(2))
    iterates, _ = measured(method, jax.random.key(1))
    expected = trajectories.ef21(
        full_gradient, _top_k_reference, N, X0, UPDATES, 0.05, start="compressed"
    )
    np.testing.assert_allclose(iterates, expected, rtol=1e-10, atol=1e-13)


def test_diana_gd_trajectory():
    key = jax.random.key(2)
    _, mechanism_key = jax.random.split(jax.random.split(key)[1])
    method = methods.diana_gd(step_size=0.05, compressor=compressors.rand_k(2))
    iterates, _ = measured(method, key)
    expected = trajectories.diana(
        full_gradient,
        _rand_k_reference(mechanism_key),
        N,
        X0,
        UPDATES,
        0.05,
        shift_step=2 / D,  # 1 / (1 + ω), ω = d/k − 1
    )
    np.testing.assert_allclose(iterates, expected, rtol=1e-10, atol=1e-13)


def test_ef21_muon_trajectory():
    key = jax.random.key(3)
    sample_key, _ = jax.random.split(jax.random.split(key)[1])
    method = methods.ef21_muon(
        step_size=0.05,
        compressor=compressors.top_k(2),
        momentum=0.6,
        geometry=SPECTRAL,
    )
    iterates, _ = measured(method, key)
    expected = trajectories.ef21_muon(
        noisy_gradient(sample_key),
        _top_k_reference,
        N,
        X0,
        UPDATES,
        0.05,
        momentum=0.6,
        lmo=trajectories.lmo_spectral,
    )
    np.testing.assert_allclose(iterates, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("mechanism", ["dcgd", "ef14"])
def test_mechanisms_without_a_recipe(mechanism):
    make = getattr(mechanisms, mechanism)
    method = Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=Partial(constant(make(compressors.top_k(2)))),
        optimizer=Partial(optax.sgd, 0.05),
        full_gradients=True,
    )
    iterates, _ = measured(method, jax.random.key(4))
    reference = getattr(trajectories, mechanism)
    expected = reference(full_gradient, _top_k_reference, N, X0, UPDATES, 0.05)
    np.testing.assert_allclose(iterates, expected, rtol=1e-10, atol=1e-13)


def test_times_and_worker_seconds_of_a_synchronous_run():
    _, trace = measured(methods.minibatch_sgd(step_size=0.05), jax.random.key(5), 10)
    rounds = DURATIONS[:, :10]
    np.testing.assert_allclose(trace.time[1:], np.cumsum(rounds.max(axis=0)))
    np.testing.assert_allclose(
        trace.worker_seconds[1:], np.cumsum(rounds.sum(axis=0)), rtol=1e-12
    )


def test_worker_seconds_of_a_greedy_run():
    _, trace = measured(methods.asgd(step_size=0.05), jax.random.key(5), 10)
    np.testing.assert_allclose(trace.worker_seconds, N * trace.time, rtol=1e-12)
