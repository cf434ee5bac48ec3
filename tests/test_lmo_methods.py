"""The LMO methods: lengths of steps, reductions, the growing momentum, mistakes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial
from trajectory import COMPUTE_TIME, PROBLEM, X0, N, full_gradient, measured

import fedjax_opt as fo
from fedjax_opt import estimators, events, geometry, methods, transforms

KEY = jax.random.key(5)
EXACT = PROBLEM._replace(draw=None)
NORMS = {
    "l2": (geometry.l2(), np.linalg.norm),
    "linf": (geometry.linf(), lambda x: np.abs(x).max()),
    "spectral": (geometry.spectral(kernel="svd"), lambda x: np.linalg.norm(x, 2)),
}
SVD = NORMS["spectral"][0]
agnostic = functools.partial(methods.ringmaster_lmo, parameter_agnostic=True)


# ------------------------------------------------- one worker alone


def alone(method, problem=EXACT):
    return measured(
        method,
        KEY,
        12,
        problem._replace(num_workers=1),
        num_workers=1,
        compute_time=fo.timing.fixed([1.0]),
    )


def lmo_descent(step_sizes, momenta, direction):
    """Serial LMO descent with momentum, without noise."""
    x, m, iterates = X0, 0 * X0, [X0]
    for eta, beta in zip(step_sizes, momenta, strict=True):
        m = beta * m + (1 - beta) * full_gradient(0, x)
        x = x - eta * direction(m)
        iterates.append(x)
    return np.stack(iterates)


def test_alone_the_lmo_methods_are_serial():
    def polar(m):
        u, _, v = np.linalg.svd(m, full_matrices=False)
        return u @ v

    expected = lmo_descent([0.1] * 12, [0.7] * 12, polar)
    options = {"step_size": 0.1, "momentum": 0.7, "geometry": SVD}
    for method in (
        methods.ringmaster_lmo(delay_threshold=1, **options),
        methods.rennala_lmo(batch_size=1, **options),
        methods.delay_adaptive_lmo(**options),
    ):
        found, _ = alone(method)
        np.testing.assert_allclose(found, expected, rtol=1e-9, err_msg=method.label)

    k = np.arange(12)
    expected = lmo_descent(
        0.1 / (k + 1) ** 0.75, 1 - 1 / np.sqrt(np.maximum(k, 1)), polar
    )
    for stop in (False, True):
        found, trace = alone(agnostic(step_size=0.1, geometry=SVD, stop=stop))
        np.testing.assert_allclose(found, expected, rtol=1e-9)
        np.testing.assert_array_equal(trace.time, np.arange(13))


# ------------------------------------------------- LMO steps


def lengths(method, norm, num_updates=40):
    iterates, _ = measured(method, KEY, num_updates)
    return np.array([norm(step) for step in np.diff(iterates, axis=0)])


@pytest.mark.parametrize("name", NORMS)
def test_steps_have_the_length_of_the_step_size(name):
    ours, norm = NORMS[name]
    make = {"step_size": 0.3, "geometry": ours}
    k = np.arange(40)
    assert_equal = functools.partial(np.testing.assert_allclose, rtol=1e-11)
    for method in (
        methods.ringmaster_lmo(delay_threshold=4, **make),
        methods.rennala_lmo(batch_size=5, **make),
    ):
        assert_equal(lengths(method, norm), 0.3)
    assert_equal(lengths(agnostic(**make), norm), 0.3 / (k + 1) ** 0.75)
    delay = fo.simulate.trace(
        events.asgd(), COMPUTE_TIME, num_workers=N, key=KEY, num_events=40
    ).delay
    assert delay.max() > N
    assert_equal(
        lengths(methods.delay_adaptive_lmo(**make), norm),
        0.3 * N / np.maximum(N, delay),
    )


def test_without_memory_and_threshold_it_is_normalised_asgd():
    options = {"step_size": 0.1, "momentum": 0.0, "geometry": geometry.l2()}
    normalised = fo.Method(
        schedule=events.asgd(),
        estimator=Partial(estimators.sgd),
        optimizer=Partial(_normalised_sgd, 0.1),
    )
    expected, _ = measured(normalised, KEY)
    unlimited = methods.ringmaster_lmo(delay_threshold=np.inf, **options)
    np.testing.assert_allclose(measured(unlimited, KEY)[0], expected, rtol=1e-11)
    equal = {"compute_time": fo.timing.fixed(np.ones(N))}  # delays below n
    np.testing.assert_allclose(
        measured(methods.delay_adaptive_lmo(**options), KEY, **equal)[0],
        measured(normalised, KEY, **equal)[0],
        rtol=1e-11,
    )


def _normalised_sgd(step_size):
    unit = optax.stateless(lambda g, _: g / jnp.linalg.norm(g))
    return optax.chain(unit, optax.sgd(step_size))


def test_rennala_without_memory_normalises_its_batches():
    options = {"step_size": 0.1, "batch_size": 5}
    lmo, _ = measured(
        methods.rennala_lmo(momentum=0.0, geometry=geometry.l2(), **options), KEY, 1
    )
    sgd, _ = measured(methods.rennala_sgd(**options), KEY, 1)
    step = np.diff(sgd, axis=0)[0]
    expected = sgd[0] + 0.1 * step / np.linalg.norm(step)
    np.testing.assert_allclose(lmo[1], expected, rtol=1e-12)


def test_by_default_matrices_have_the_spectral_norm():
    def make(geometry):
        return methods.rennala_lmo(step_size=0.1, batch_size=2, geometry=geometry)

    muon = geometry.matrices(geometry.spectral(), geometry.l2())
    np.testing.assert_array_equal(
        measured(make(None), KEY, 5)[0], measured(make(muon), KEY, 5)[0]
    )


def test_momentum_may_be_a_function_of_the_number_of_updates():
    sequence = np.random.default_rng(0).normal(size=(6, 4))

    def outputs(transform):
        state, out = transform.init(jnp.zeros(4)), []
        for g in sequence:
            direction, state = transform.update(jnp.asarray(g), state)
            out.append(np.asarray(direction))
        return np.array(out)

    # β = 1 − 1/(k + 1) averages all gradients.
    average = outputs(transforms.momentum(lambda k: 1 - 1 / (k + 1.0)))
    means = np.cumsum(sequence, axis=0) / np.arange(1, 7)[:, None]
    np.testing.assert_allclose(average, means, rtol=1e-12)

    m, expected = 0, []
    for k, g in enumerate(sequence):
        alpha = 1 / np.sqrt(max(k, 1))
        m = (1 - alpha) * m + alpha * g
        expected.append(m)
    found = outputs(transforms.momentum(transforms.growing_momentum))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


# ------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: methods.ringmaster_lmo(step_size=1.0), "needs a delay_threshold, or"),
        (lambda: agnostic(step_size=1.0, delay_threshold=3), "leave both out"),
        (lambda: agnostic(step_size=1.0, momentum=0.5), "leave both out"),
        (
            lambda: methods.ringmaster_lmo(step_size=1.0, delay_threshold=0),
            "at least 1 .* got 0",
        ),
        (
            lambda: methods.ringmaster_lmo(
                step_size=1.0, delay_threshold=2, momentum=1.0
            ),
            r"momentum must lie in \[0, 1\), got 1.0",
        ),
        (
            lambda: methods.rennala_lmo(step_size=1.0, batch_size=0),
            "batch_size to be 1, 2",
        ),
        (
            lambda: methods.rennala_lmo(step_size=1.0, batch_size=1, momentum=-0.1),
            "momentum must lie in",
        ),
        (
            lambda: methods.delay_adaptive_lmo(step_size=1.0, momentum=2),
            "momentum must lie in",
        ),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
