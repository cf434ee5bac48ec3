"""Methods whose workers take full gradients now and then, as PAGE does."""

import dataclasses

import jax
import numpy as np
import optax
import pytest
from jax.tree_util import Partial
from mechanism_draws import of_all, rand_k_draws, round_keys
from reference import compressed, trajectories
from trajectory import (
    PROBLEM,
    SHAPE,
    UPDATES,
    X0,
    D,
    N,
    full_gradient,
    measured,
    noisy_gradient,
)

from fedjax_opt import estimators, events, timing
from fedjax_opt.compressors import identity, rand_k, top_k
from fedjax_opt.mechanisms.coins import common, common_coin
from fedjax_opt.mechanisms.dcgd import dcgd
from fedjax_opt.methods.dasha_gd import dasha_gd
from fedjax_opt.methods.dasha_page import dasha_page
from fedjax_opt.methods.ef21_gd import ef21_gd
from fedjax_opt.methods.ef21_page import ef21_page
from fedjax_opt.methods.marina_gd import marina_gd
from fedjax_opt.methods.vr_marina import vr_marina
from fedjax_opt.static import constant
from fedjax_opt.types import Method

KEY, STEP, P = jax.random.key(8), 0.05, 0.3
QUIET = PROBLEM._replace(draw=None)


def sampled(key):
    return noisy_gradient(jax.random.split(jax.random.split(key)[1])[0])


def coin(key):
    """The common coin of every round, [T]."""
    return of_all(lambda keys: common_coin(keys, P), round_keys(key))[:, 0]


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)


def test_vr_marina_trajectory():
    flips = coin(KEY)
    assert 5 < flips.sum() < 45
    method = vr_marina(step_size=STEP, compressor=rand_k(2), probability=P)
    expected = compressed.vr_marina(
        sampled(KEY),
        full_gradient,
        rand_k_draws(2, round_keys(KEY), SHAPE),
        N,
        X0,
        UPDATES,
        STEP,
        coin=lambda t: flips[t],
    )
    close(measured(method, KEY)[0], expected)


def test_dasha_page_trajectory():
    flips = coin(KEY)
    method = dasha_page(step_size=STEP, compressor=rand_k(2), probability=P)
    expected = compressed.dasha_page(
        sampled(KEY),
        full_gradient,
        rand_k_draws(2, round_keys(KEY), SHAPE),
        N,
        X0,
        UPDATES,
        STEP,
        momentum=1 / (2 * (D / 2 - 1) + 1),
        coin=lambda worker, t: flips[t],
        start="gradients",
    )
    close(measured(method, KEY)[0], expected)


def test_ef21_page_trajectory():
    """EF21 of PAGE's estimates, which are a function of the points."""
    flips, gradient = coin(KEY), sampled(KEY)
    method = ef21_page(step_size=STEP, compressor=top_k(2), probability=P)
    x, v, g = [X0], np.zeros((N, *SHAPE)), np.zeros((N, *SHAPE))
    for t in range(UPDATES):
        for i in range(N):
            if t == 0 or flips[t]:
                v[i] = full_gradient(i, x[t])
            else:
                v[i] += gradient(i, x[t], t) - gradient(i, x[t - 1], t)
            sent = trajectories.top_k((v[i] - g[i]).ravel(), 2)
            g[i] += sent.reshape(SHAPE)
        x.append(x[t] - STEP * g.mean(axis=0))
    close(measured(method, KEY)[0], np.stack(x))


@pytest.mark.parametrize(
    ("method", "parent", "compressor"),
    [
        (ef21_page, ef21_gd, top_k(2)),
        (dasha_page, dasha_gd, rand_k(2)),
    ],
)
def test_all_gradients_full_is_the_parent(method, parent, compressor):
    own = method(step_size=STEP, compressor=compressor, probability=1.0)
    full = parent(step_size=STEP, compressor=compressor)
    close(measured(own, KEY)[0], measured(full, KEY)[0])


def test_vr_marina_without_noise_is_marina():
    shared = {"step_size": STEP, "compressor": rand_k(2), "probability": P}
    own = measured(vr_marina(**shared), KEY, problem=QUIET)[0]
    close(own, measured(marina_gd(**shared), KEY, problem=QUIET)[0])


def test_vr_marina_without_noise_and_compression_is_gradient_descent():
    x = [X0]
    for _ in range(UPDATES):
        x.append(x[-1] - STEP * sum(full_gradient(i, x[-1]) for i in range(N)) / N)
    method = vr_marina(step_size=STEP, compressor=identity(), probability=P)
    close(measured(method, KEY, problem=QUIET)[0], np.stack(x))


def page_in_rounds():
    """PAGE at each worker, with the coin that all see, and their mean."""
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.page),
        mechanism=Partial(constant(dcgd(identity()))),
        optimizer=Partial(optax.sgd, STEP),
        refresh=Partial(common, P),
        first_gradients=True,
    )


@pytest.mark.parametrize("method", [vr_marina, dasha_page])
def test_without_compression_it_is_page(method):
    own = method(step_size=STEP, compressor=identity(), probability=P)
    close(measured(own, KEY)[0], measured(page_in_rounds(), KEY)[0])


def test_vr_marina_of_one_worker_without_compression_is_page():
    """On one function, so that the loop is that of the paper."""
    flips, gradient = coin(KEY), sampled(KEY)
    method = vr_marina(step_size=STEP, compressor=identity(), probability=P)
    alone = {"num_workers": 1, "compute_time": timing.fixed([1.0])}
    one = PROBLEM._replace(num_workers=1)
    x, g = [X0], np.zeros(SHAPE)
    for t in range(UPDATES):
        if t == 0 or flips[t]:
            g = full_gradient(0, x[t])
        else:
            g = g + gradient(0, x[t], t) - gradient(0, x[t - 1], t)
        x.append(x[t] - STEP * g)
    close(measured(method, KEY, problem=one, **alone)[0], np.stack(x))
    close(measured(page_in_rounds(), KEY, problem=one, **alone)[0], np.stack(x))


def test_each_worker_may_have_a_coin_of_its_own():
    """Worker 0 always takes full gradients, the others only at the start."""
    method = dataclasses.replace(
        dasha_page(step_size=STEP, compressor=rand_k(2), probability=1.0),
        refresh=Partial(_of_the_first_worker),
    )
    expected = compressed.dasha_page(
        sampled(KEY),
        full_gradient,
        rand_k_draws(2, round_keys(KEY), SHAPE),
        N,
        X0,
        UPDATES,
        STEP,
        momentum=1 / (2 * (D / 2 - 1) + 1),
        coin=lambda worker, t: worker == 0,
        start="gradients",
    )
    close(measured(method, KEY)[0], expected)


def _of_the_first_worker():
    return _is_first


def _is_first(keys, round):
    return keys.worker == 0
