"""50 updates of the methods with tables and LMO steps against independent loops."""

import functools

import jax
import numpy as np
import pytest
from reference import asynchronous, trajectories
from trajectory import (
    COMPUTE_TIME,
    UPDATES,
    X0,
    N,
    durations4,
    measured,
    noisy_gradient,
)

from fedjax_opt import events, geometry, methods, simulate

NORMS = {
    "l2": (geometry.l2(), trajectories.lmo_l2),
    "linf": (geometry.linf(), trajectories.lmo_sign),
    "spectral": (geometry.spectral(kernel="svd"), trajectories.lmo_spectral),
}


def in_norm(ours, theirs, norm, stop=None, **numbers):
    """(recipe, reference, numbers of both), with one norm and mode."""
    geometry_, lmo = NORMS[norm]
    mode = {} if stop is None else {"stop": stop}
    return (
        functools.partial(ours, geometry=geometry_, **mode),
        functools.partial(theirs, lmo=lmo, **mode),
        numbers,
    )


agnostic = functools.partial(
    in_norm,
    functools.partial(methods.ringmaster_lmo, parameter_agnostic=True),
    asynchronous.ringmaster_lmo_agnostic,
)
rennala = functools.partial(in_norm, methods.rennala_lmo, asynchronous.rennala_lmo)
adaptive = functools.partial(
    in_norm, methods.delay_adaptive_lmo, asynchronous.delay_adaptive_lmo
)
CASES = {
    "ringleader_asgd": (methods.ringleader_asgd, asynchronous.ringleader_asgd, {}),
    "ia2sgd": (methods.ia2sgd, asynchronous.ia2sgd, {}),
    "parameter-agnostic, l2": agnostic("l2", stop=False),
    "parameter-agnostic, linf, stop": agnostic("linf", stop=True),
    "parameter-agnostic, spectral": agnostic("spectral", stop=False),
    "parameter-agnostic, spectral, stop": agnostic("spectral", stop=True),
    "rennala_lmo, l2, S=7": rennala("l2", stop=False, batch_size=7, momentum=0.8),
    "rennala_lmo, linf, S=37": rennala("linf", stop=True, batch_size=37, momentum=0.6),
    "rennala_lmo, spectral, S=18": rennala(
        "spectral", stop=False, batch_size=18, momentum=0.8
    ),
    "delay_adaptive_lmo, l2": adaptive("l2", momentum=0.8),
    "delay_adaptive_lmo, linf": adaptive("linf", momentum=0.3),
    "delay_adaptive_lmo, spectral": adaptive("spectral", momentum=0.8),
}


@pytest.mark.parametrize("name", CASES)
def test_trajectory(name):
    ours, theirs, parameters = CASES[name]
    key = jax.random.key(11)
    _, number_key = jax.random.split(key)
    iterates, _ = measured(ours(step_size=0.05, **parameters), key)
    expected = theirs(
        noisy_gradient(number_key),
        durations4,
        N,
        X0,
        0.05,
        num_events=10**6,
        num_updates=UPDATES,
        **parameters,
    ).iterates
    assert len(expected) == UPDATES + 1
    np.testing.assert_allclose(iterates, expected, rtol=1e-10, atol=1e-13)


def clock_of(schedule):
    """The events up to the last update of the tests above."""
    found = simulate.trace(
        schedule, COMPUTE_TIME, num_workers=N, key=jax.random.key(11), num_events=3000
    )
    last = np.flatnonzero(found.step)[UPDATES - 1]
    return jax.tree.map(lambda x: x[: last + 1], found)


def test_the_cases_have_late_rejected_and_restarted_jobs():
    for schedule in (events.ringleader(), events.ia2sgd()):
        found = clock_of(schedule)
        assert (found.delay >= 3).any() and found.accepted.all()
    ringleader = clock_of(events.ringleader())
    of_worker = np.bincount(ringleader.worker)
    assert of_worker[0] > 3 * of_worker[-1]  # rows with many gradients, and with one

    ignore = clock_of(events.ringmaster_agnostic())
    assert (ignore.delay[ignore.accepted] >= 3).any() and (~ignore.accepted).any()
    stop = clock_of(events.ringmaster_agnostic(stop=True))
    assert (stop.delay >= 3).any() and stop.accepted.all()
    assert any((np.diff(stop.job[stop.worker == i]) > 1).any() for i in range(N))

    adaptive = clock_of(events.delay_adaptive_asgd())
    assert (adaptive.step < 1).any() and (adaptive.step == 1).any()
