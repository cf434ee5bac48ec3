"""Methods in rounds on local finite sums: L-SVRG, SARAH, SAGA, random reshuffling."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from mechanism_draws import of_all, rand_k_draws, round_keys
from reference import compressed, trajectories, variance_reduced
from trajectory import COORDINATES, UPDATES, D, N, measured

import fedjax_opt as fo
from fedjax_opt import keys, theory
from fedjax_opt.compressors import rand_k, top_k
from fedjax_opt.mechanisms.coins import common_coin
from fedjax_opt.methods.diana_rr import diana_rr
from fedjax_opt.methods.ec_lsvrg_diana import ec_lsvrg_diana
from fedjax_opt.methods.l_svrg import l_svrg
from fedjax_opt.methods.q_rr import q_rr
from fedjax_opt.methods.saga import saga
from fedjax_opt.methods.sarah import sarah
from fedjax_opt.methods.vr_diana import vr_diana
from fedjax_opt.simulate import numbers, reshuffled_order, uniform_order

KEY, STEP, P, M, L2 = jax.random.key(8), 0.5, 0.3, 4, 0.1
OMEGA = D / 2 - 1  # of rand_k(2)
RNG = np.random.default_rng(5)
FEATURES = RNG.standard_normal((N * M, D)) + np.repeat(RNG.normal(size=(N, D)), M, 0)
LABELS = np.where(RNG.random(N * M) < 0.5, 1.0, -1.0)
START = np.zeros(D)
SAMPLE_KEY = jax.random.split(jax.random.split(KEY)[1])[0]


def rows(samples, features=FEATURES, num_workers=N):
    """Logistic regression whose metrics are the coordinates of the point."""
    problem = fo.problems.logistic_regression(
        features,
        LABELS[: len(features)],
        num_workers,
        l2=L2,
        samples_per_gradient=samples,
    )
    return problem._replace(metrics=COORDINATES)


PAIRS, SINGLE, QUIET = rows(2), rows(1), rows(None)
ONE_EACH = rows(1, FEATURES[:N])


def component(worker, j, x, num_components=M):
    """∇fᵢⱼ(x) = −b a / (1 + exp(b aᵀx)) + λx."""
    row = worker * num_components + j
    a, b = FEATURES[row], LABELS[row]
    return -b * a / (1 + np.exp(b * (a @ x))) + L2 * x


def gradient(worker, x, t=None):
    return variance_reduced.full(component, worker, M, x)


def gradient_of_one(worker, x, t=None):
    return component(worker, 0, x, 1)


def jobs(draw, length=UPDATES):
    """draw(key) of every worker's jobs, [n, length, ...]."""

    def of_job(worker, job):
        return draw(keys.of_job(SAMPLE_KEY, worker, job))

    each = jax.vmap(jax.vmap(of_job, (None, 0)), (0, None))
    return np.asarray(jax.jit(each)(jnp.arange(N), jnp.arange(length)))


@functools.cache
def pairs():
    """picks(worker, round): two rows of the worker's own."""
    drawn = jobs(lambda key: jax.random.randint(key, (2,), 0, M, jnp.int32))
    return lambda worker, t: drawn[worker, t]


def singles():
    """picks(worker, round): one row, drawn for an epoch of M rounds at once."""
    drawn = jobs(lambda key: jax.random.randint(key, (M,), 0, M), -(-UPDATES // M))
    return lambda worker, t: [drawn[worker, t // M, t % M]]


@functools.cache
def orders(num_components=M):
    """order[worker][epoch][position]."""
    epochs = -(-UPDATES // num_components)
    return jobs(lambda key: jax.random.permutation(key, num_components), epochs)


@functools.cache
def flips():
    """The common coin of every round."""
    found = of_all(lambda own: common_coin(own, P), round_keys(KEY))[:, 0]
    assert 5 < found.sum() < 45
    return found


def coin(t):
    return flips()[t]


@functools.cache
def messages():
    """Rand-2 on every worker and in every round."""
    return rand_k_draws(2, round_keys(KEY), (D,))


COMMON = (M, N, START, UPDATES, STEP)
RAND = {"step_size": STEP, "compressor": rand_k(2)}


def iterates(method, problem):
    return measured(method, KEY, problem=problem)[0].reshape(-1, D)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)


# ---------------------------------------------------------------- trajectories


def ec_lsvrg_diana_reference():
    """EC-SGD-DIANA of the gradients of L-SVRG, which keep their own w."""
    reference, picks = [START], pairs()

    def estimate(worker, x, t):
        w, drawn = reference[-1], picks(worker, t)
        change = sum(component(worker, j, x) - component(worker, j, w) for j in drawn)
        if worker == N - 1 and coin(t):
            reference.append(x)
        return change / 2 + gradient(worker, w)

    return compressed.ec_diana(
        estimate,
        lambda worker, t, vector: trajectories.top_k(vector, 2),
        rand_k_draws(2, round_keys(KEY), (D,), part=1),
        N,
        START,
        UPDATES,
        STEP,
        shift_step=1 / (1 + OMEGA),
    )


TRAJECTORIES = {
    "l_svrg": (
        PAIRS,
        lambda: l_svrg(step_size=STEP, probability=P),
        lambda: variance_reduced.l_svrg(component, *COMMON, picks=pairs(), coin=coin),
    ),
    "sarah": (
        PAIRS,
        lambda: sarah(step_size=STEP, period=7),
        lambda: variance_reduced.sarah(component, *COMMON, picks=pairs(), period=7),
    ),
    "saga": (
        PAIRS,  # It takes one row all the same.
        lambda: saga(step_size=STEP),
        lambda: variance_reduced.saga(
            component, *COMMON, picks=singles(), table=np.zeros((N, M, D))
        ),
    ),
    "vr_diana": (
        PAIRS,
        lambda: vr_diana(**RAND, probability=P),
        lambda: variance_reduced.vr_diana_lsvrg(
            component,
            messages(),
            *COMMON,
            shift_step=1 / (1 + OMEGA),
            picks=pairs(),
            coin=coin,
        ),
    ),
    "ec_lsvrg_diana": (
        PAIRS,
        lambda: ec_lsvrg_diana(
            step_size=STEP,
            compressor=top_k(2),
            shift_compressor=rand_k(2),
            probability=P,
        ),
        ec_lsvrg_diana_reference,
    ),
    "q_rr": (
        SINGLE,
        lambda: q_rr(**RAND),
        lambda: variance_reduced.q_rr(component, messages(), *COMMON, order=orders()),
    ),
    "diana_rr": (
        SINGLE,
        lambda: diana_rr(**RAND),
        lambda: variance_reduced.diana_rr(
            component, messages(), *COMMON, shift_step=1 / (1 + OMEGA), order=orders()
        ),
    ),
}


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_trajectory(name):
    problem, method, expected = TRAJECTORIES[name]
    close(iterates(method(), problem), expected())


# ---------------------------------------------------------------- reductions


def descent(of_worker):
    """Gradient descent on f."""
    x = [START]
    for _ in range(UPDATES):
        x.append(x[-1] - STEP * np.mean([of_worker(i, x[-1]) for i in range(N)], 0))
    return np.stack(x)


@pytest.mark.parametrize(
    ("method", "problem", "of_worker"),
    [
        (l_svrg(step_size=STEP, probability=P), QUIET, gradient),
        (sarah(step_size=STEP, period=1), PAIRS, gradient),
        (saga(step_size=STEP), ONE_EACH, gradient_of_one),
    ],
)
def test_what_is_gradient_descent(method, problem, of_worker):
    close(iterates(method, problem), descent(of_worker))


def diana(of_worker, shift_step):
    """DIANA of exact gradients; with a step of 0 DCGD."""
    compress, x = messages(), [START]
    h = np.zeros((N, D))
    for t in range(UPDATES):
        sent = [compress(i, t, of_worker(i, x[-1]) - h[i]) for i in range(N)]
        x.append(x[-1] - STEP * np.mean(h + sent, axis=0))
        h += shift_step * np.stack(sent)
    return np.stack(x)


@pytest.mark.parametrize(
    ("method", "problem", "of_worker", "shift_step"),
    [
        (vr_diana(**RAND, probability=P), QUIET, gradient, 1 / (1 + OMEGA)),
        (diana_rr(**RAND), ONE_EACH, gradient_of_one, 1 / (1 + OMEGA)),
        (q_rr(**RAND), ONE_EACH, gradient_of_one, 0),
    ],
)
def test_what_is_diana(method, problem, of_worker, shift_step):
    close(iterates(method, problem), diana(of_worker, shift_step))


def test_diana_rr_without_learning_is_q_rr():
    own = iterates(diana_rr(**RAND, shift_step=0.0), SINGLE)
    close(own, iterates(q_rr(**RAND), SINGLE))


def test_over_a_mesh():
    mesh = jax.make_mesh((3,), ("workers",))
    for method in (diana_rr(**RAND), l_svrg(step_size=STEP, probability=P)):
        spread = measured(method, KEY, problem=SINGLE, mesh=mesh)[0]
        close(spread, measured(method, KEY, problem=SINGLE)[0])


# ---------------------------------------------------------------- limits


def test_limits():
    """With theory's steps Q-RR stays away, DIANA-RR gets nearer, VR-DIANA arrives."""
    smooth = np.max(np.sum(FEATURES**2, axis=1)) / 4 + L2
    x_star = START
    for _ in range(3000):
        x_star = x_star - np.mean([gradient(i, x_star) for i in range(N)], 0)
    rr = theory.diana_rr(
        smooth, OMEGA, num_workers=N, num_components=M, strong_convexity=L2
    )
    compressor = rand_k(2)
    methods = {
        "q_rr": q_rr(
            step_size=theory.q_rr_step_size(smooth, omega=OMEGA, num_workers=N),
            compressor=compressor,
        ),
        "diana_rr": diana_rr(
            step_size=rr.step_size, compressor=compressor, shift_step=rr.shift_step
        ),
        "vr_diana": vr_diana(
            step_size=rr.step_size, compressor=compressor, probability=1 / M
        ),
    }
    distances = {}
    for name, method in methods.items():
        points, _ = measured(method, KEY, 3000, SINGLE)
        late = points.reshape(-1, D)[-400:]
        distances[name] = np.mean(np.sum((late - x_star) ** 2, axis=1))
    assert distances["q_rr"] > 30 * distances["diana_rr"]
    assert distances["diana_rr"] > 1e-8
    assert distances["vr_diana"] < 1e-20


# ---------------------------------------------------------------- orders and coins


def test_reshuffling_takes_every_component_once_in_an_epoch():
    m = 7
    order = reshuffled_order(m)
    each = jax.vmap(jax.vmap(order, (None, None, 0)), (None, 0, None))
    found = np.asarray(each(KEY, jnp.arange(3), jnp.arange(5)))
    np.testing.assert_array_equal(np.sort(found) - np.arange(m), 0)
    # All workers' epochs differ: 15 permutations of 7! = 5040, of a fixed key.
    assert len({tuple(p) for p in found.reshape(-1, m)}) == 15


def test_uniform_order_is_uniform():
    found = jax.vmap(uniform_order(5), (None, None, 0))(KEY, 0, jnp.arange(2000))
    counts = np.bincount(found.ravel(), minlength=5)
    assert len(counts) == 5
    # 6 standard deviations of a binomial of 1/5.
    np.testing.assert_allclose(counts, 2000, atol=6 * np.sqrt(10_000 * 0.2 * 0.8))


@pytest.mark.parametrize("make", [reshuffled_order, uniform_order])
def test_orders_of_nothing_are_refused(make):
    with pytest.raises(ValueError, match="num_components must be at least 1, got 0"):
        make(0)


FULL = []  # workers whose full gradient was computed


def counted(grad, data, params, worker, sample):
    if sample is None:
        jax.debug.callback(lambda i: FULL.append(int(i)), worker)
    return grad(data, params, worker, sample)


def test_full_gradients_are_computed_where_the_coin_falls_only():
    FULL.clear()
    problem = PAIRS._replace(grad=functools.partial(counted, PAIRS.grad))
    measured(l_svrg(step_size=STEP, probability=P), KEY, problem=problem)
    jax.effects_barrier()
    rounds = int(flips()[1:].sum()) + 1  # the first round is always one
    assert sorted(FULL) == sorted(list(range(N)) * rounds)


def test_numbers_share_a_program():
    method = sarah(step_size=STEP, period=7)
    iterates(method, PAIRS)
    programs = numbers.advance._cache_size()
    iterates(sarah(step_size=0.2, period=3), PAIRS)
    iterates(diana_rr(**RAND), SINGLE)
    found = numbers.advance._cache_size()
    iterates(diana_rr(step_size=0.1, compressor=rand_k(2)), SINGLE)
    assert (found - programs <= 1) and numbers.advance._cache_size() == found


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "method", [saga(step_size=STEP), q_rr(**RAND), diana_rr(**RAND)]
)
def test_workers_with_unequal_rows_are_refused(method):
    uneven = rows(1, FEATURES[: N * M - 1])
    with pytest.raises(ValueError, match="equally many.*remainder='drop'"):
        measured(method, KEY, problem=uneven)


def test_problems_without_rows_are_refused():
    with pytest.raises(ValueError, match="a problem of rows"):
        measured(saga(step_size=STEP), KEY)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"mechanism": None}, "takes no refresh"),
        ({"refresh": None}, "reference point.*give it mechanism= and refresh="),
        (
            {"participation": Partial(fo.simulate.uniform_participation, 2)},
            "reference point.*leave participation out",
        ),
        ({"mechanism": None, "refresh": None}, "reference point.*give it mechanism="),
    ],
)
def test_a_reference_point_needs_a_coin_and_all_workers(parts, message):
    method = l_svrg(step_size=STEP, probability=P)
    with pytest.raises(ValueError, match=message):
        measured(dataclasses.replace(method, **parts), KEY, problem=PAIRS)


def test_an_order_needs_a_mechanism():
    method = dataclasses.replace(saga(step_size=STEP), mechanism=None)
    with pytest.raises(ValueError, match="takes no order"):
        measured(method, KEY, problem=SINGLE)


@pytest.mark.parametrize("period", [0, -1, 2.5])
def test_sarah_refuses_a_period_that_is_no_count(period):
    with pytest.raises(ValueError, match="sarah needs period to be 1, 2, ..., got"):
        sarah(step_size=STEP, period=period)


def test_a_biased_compressor_is_refused():
    with pytest.raises(ValueError, match="diana_rr needs an unbiased compressor"):
        measured(diana_rr(step_size=STEP, compressor=top_k(2)), KEY, problem=SINGLE)


def test_bits_do_not_count_the_shift():
    _, trace = measured(diana_rr(**RAND), KEY, problem=SINGLE)
    _, plain = measured(q_rr(**RAND), KEY, problem=SINGLE)
    np.testing.assert_array_equal(trace.columns["bits_up"], plain.columns["bits_up"])
