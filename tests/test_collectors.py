"""Methods that collect batches: golden figures, reductions, unbiasedness, accounts."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import collectors

import fedjax_opt as fo
from fedjax_opt import events, methods, timing
from fedjax_opt.simulate import numbers
from fedjax_opt.simulate.trace import _advance

N, DIM = 5, 6
TIMES = np.array([1.0, 1.7, 2.9, 5.3, 11.1])
CLUSTER = timing.exponential(0.5 * TIMES, base=TIMES)
NOISY = fo.problems.tridiagonal(DIM, noise="coordinates", noise_level=0.05)
EXACT = fo.problems.tridiagonal(DIM, noise="none")
INF = float("inf")

RECIPES = {  # two sets of numbers each
    "accelerated_rennala_sgd": (
        methods.accelerated_rennala_sgd,
        {"batch_size": 4},
        {"batch_size": 7},
    ),
    "inexact rennala_mvr": (
        functools.partial(methods.rennala_mvr, inexact=True),
        {"batch_size": 3, "momentum": 0.9},
        {"batch_size": 5, "momentum": 0.5},
    ),
    "malenia_sgd": (methods.malenia_sgd, {"batch_size": 9}, {"batch_size": 8}),
    "mindflayer_sgd": (methods.mindflayer_sgd, {"batch_size": 4}, {"batch_size": 5.5}),
    "mindflayer_sgd, t": (
        methods.mindflayer_sgd,
        {"batch_size": 4, "extra_time": 0.5},
        {"batch_size": 9, "extra_time": 1.0},
    ),
    "vecna_sgd": (
        methods.vecna_sgd,
        {"trials": [1, 2, 3, 4, 5], "extra_time": 0.5},
        {"trials": [2, 2, 2, 1, 1], "extra_time": 1.0},
    ),
    "ata": (methods.ata, {"batch_size": 8}, {"batch_size": 9, "alpha": 0.1}),
    "ata, theory": (
        functools.partial(methods.ata, bound="theory"),
        {"batch_size": 8, "alpha": 0.1},
        {"batch_size": 9, "alpha": 0.2},
    ),
    "gta": (methods.gta, {"batch_size": 8}, {"batch_size": 9}),
    "ofta": (methods.ofta, {"batch_size": 8}, {"batch_size": 9}),
    "uta": (methods.uta, {"batch_size": 8}, {"batch_size": 9}),
}


def clock(schedule, compute_time=CLUSTER, num_events=2000, key=0):
    """Events; the compute times may be a list of fixed ones."""
    if not isinstance(compute_time, fo.types.ComputeTime):
        compute_time = timing.fixed(compute_time)
    return fo.simulate.trace(
        schedule,
        compute_time,
        num_workers=len(compute_time.lower_bound),
        key=jax.random.key(key) if isinstance(key, int) else key,
        num_events=num_events,
    )


def clock_key(key=0):
    """Of the clock in `run`."""
    return jax.random.split(jax.random.key(key))[0]


def run(method, problem=EXACT, compute_time=CLUSTER, num_updates=12, key=0):
    return fo.run(
        method,
        problem,
        num_workers=len(compute_time.lower_bound),
        key=jax.random.key(key),
        compute_time=compute_time,
        num_updates=num_updates,
    )


def counts(found, num_workers, used=None):
    """[rounds, n] arrivals per worker in every closed batch, or the used ones."""
    used = np.ones_like(found.accepted) if used is None else used
    round_ = np.cumsum(found.step != 0) - (found.step != 0)
    closed = (round_ < np.count_nonzero(found.step)) & used
    table = np.zeros((np.count_nonzero(found.step), num_workers), int)
    np.add.at(table, (round_[closed], found.worker[closed]), 1)
    return table


def sums(found, num_workers, values):
    """[rounds, n] sums of `values` over every closed batch."""
    round_ = np.cumsum(found.step != 0) - (found.step != 0)
    closed = round_ < np.count_nonzero(found.step)
    table = np.zeros((np.count_nonzero(found.step), num_workers))
    np.add.at(table, (round_[closed], found.worker[closed]), values[closed])
    return table


def ends(found):
    """The times of the steps."""
    return found.time[found.step != 0]


def assert_same_events(first, second, but=()):
    for name in set(first._fields) - set(but):
        np.testing.assert_allclose(
            getattr(first, name), getattr(second, name), rtol=1e-14, err_msg=name
        )


def assert_mean(values, expected, deviations=4.0):
    """The mean of independent values, within so many standard deviations."""
    margin = deviations * np.std(values, axis=0, ddof=1) / np.sqrt(len(values))
    assert (np.abs(np.mean(values, axis=0) - expected) <= margin + 1e-12).all()


# ------------------------------------------------- golden figures


@pytest.mark.parametrize(
    ("batch_size", "time", "of_worker"),
    [(3, 4, (4, 2, 1)), (6, 6, (6, 3, 1)), (12, 12, (12, 6, 2))],
)
def test_golden_malenia(batch_size, time, of_worker):
    found = clock(events.malenia(batch_size=batch_size, stop=True), [1, 2, 4])
    np.testing.assert_array_equal(counts(found, 3), [of_worker] * len(ends(found)))
    np.testing.assert_allclose(ends(found), time * np.arange(1, 1 + len(ends(found))))


@pytest.mark.parametrize(
    ("times", "batch_size", "time", "of_worker"),
    [((1, 2, 3, 4), 5, 3, (3, 1, 1, 0)), ((1, 2, 4, 8), 8, 5, (5, 2, 1, 0))],
)
def test_golden_greedy_allocation(times, batch_size, time, of_worker):
    schedule = methods.gta(step_size=1.0, batch_size=batch_size).schedule
    found = clock(schedule, times)
    np.testing.assert_array_equal(counts(found, 4), [of_worker] * len(ends(found)))
    np.testing.assert_allclose(ends(found), time * np.arange(1, 1 + len(ends(found))))


@pytest.mark.parametrize(
    ("means", "batch_size", "tasks", "seconds"),
    [
        ((1, 2, 4, 8), 10, (6, 3, 1, 0), 6),
        (tuple(range(2, 42, 2)), 5, (3, 1, 1) + 17 * (0,), 6),
        ((1, 1, 1), 4, (2, 1, 1), 2),
    ],
)
def test_golden_optimal_allocation(means, batch_size, tasks, seconds):
    found = clock(events.optimal_allocation(batch_size=batch_size), means)
    np.testing.assert_array_equal(counts(found, len(means)), [tasks] * len(ends(found)))
    np.testing.assert_allclose(
        ends(found), seconds * np.arange(1, 1 + len(ends(found)))
    )


@pytest.mark.parametrize(
    ("law", "trials", "expected", "bound"),
    [
        (
            timing.infinite_bernoulli([1, 2, 4, 8], probability=0.5),
            (10, 5, 2, 1),
            9,
            10.666666666667,
        ),
        (timing.fixed([1, 2, 4, 8]), (6, 3, 1, 0), 10, 6.285714285714),
    ],
)
def test_golden_mindflayer(law, trials, expected, bound):
    found = clock(events.mindflayer(batch_size=8, extra_time=0), law)
    np.testing.assert_array_equal(counts(found, 4), [trials] * len(ends(found)))
    np.testing.assert_allclose(found.weight[found.accepted], 1 / expected)
    np.testing.assert_array_equal(found.work, found.accepted)
    assert (np.diff(ends(found), prepend=0) <= bound * (1 + 1e-12)).all()
    assert np.diff(ends(found)).max() == max(np.multiply(trials, [1, 2, 4, 8]))


# ------------------------------------------------- Malenia


@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize("batch_size", [3, 40])
def test_malenia_is_unbiased_with_a_small_variance_in_time(batch_size, stop):
    schedule = events.malenia(batch_size=batch_size, stop=stop)
    found = clock(schedule, num_events=20000)
    np.testing.assert_allclose(sums(found, N, found.weight), 1 / N)  # of each ∇fᵢ
    variance = sums(found, N, found.weight**2).sum(axis=1)  # over σ²
    assert (variance <= (1 + 1e-12) / batch_size).all()
    assert variance.max() > 0.5 / max(batch_size, N)
    fixed = clock(schedule, TIMES, num_events=20000)
    longest = (3 - stop) * (TIMES.max() + batch_size / N * TIMES.mean())
    assert np.diff(ends(fixed), prepend=0).max() <= longest


def test_malenia_of_one_worker_is_rennala():
    assert_same_events(
        clock(events.malenia(batch_size=7), [2.0], num_events=7 * 20),
        clock(events.rennala(batch_size=7), [2.0], num_events=7 * 20),
    )


def test_malenia_on_equal_workers_is_rennala_and_minibatch():
    malenia = clock(events.malenia(batch_size=3 * N, stop=True), [2.0] * N, 300)
    rennala = clock(events.rennala(batch_size=3 * N, stop=True), [2.0] * N, 300)
    assert_same_events(malenia, rennala)
    np.testing.assert_array_equal(counts(malenia, N), 3)
    np.testing.assert_array_equal(ends(malenia), 6.0 * np.arange(1, 21))
    once = clock(events.malenia(batch_size=N, stop=True), [2.0] * N, 300)
    minibatch = clock(events.synchronous(), [2.0] * N, 300)
    assert_same_events(once, minibatch, but=("job", "busy"))  # nobody idles


def test_malenia_rounds_local_batches_up():
    found = clock(events.malenia(batch_size=3 * N + 1, stop=True), [2.0] * N)
    # The batch closes with the first of the last arrivals that suffices.
    harmonic = N / np.sum(1 / counts(found, N), axis=1)
    assert (harmonic >= 3 + 1 / N - 1e-12).all()
    np.testing.assert_array_equal(ends(found), 8.0 * np.arange(1, 1 + len(ends(found))))


def test_malenia_does_not_step_with_a_dead_worker():
    found = clock(events.malenia(batch_size=3), [1.0, INF, 2.0])
    assert found.accepted.all() and not found.step.any()
    with pytest.raises(ValueError, match="malenia_sgd can never make a step: 1 of 2"):
        run(
            methods.malenia_sgd(step_size=0.1, batch_size=2),
            compute_time=timing.fixed([1.0, INF]),
        )


def _two_parabolas():
    """f₁ = x²/2, f₂ = (x − 1)²: the minimiser of the mean is 2/3."""

    def loss(data, x):
        return x**2 / 4 + (x - 1) ** 2 / 2

    def grad(data, x, worker, sample):
        return jnp.where(worker == 0, x, 2 * (x - 1))

    return EXACT._replace(
        data=(), init=jnp.array(3.0), loss=loss, grad=grad, num_workers=2, constants={}
    )


def test_on_heterogeneous_data_malenia_converges_and_rennala_does_not():
    times = timing.fixed([1.0, 5.0])
    malenia = run(
        methods.malenia_sgd(step_size=0.5, batch_size=4),
        _two_parabolas(),
        times,
        num_updates=60,
    )
    assert malenia.params == pytest.approx(2 / 3, abs=1e-8)
    rennala = run(
        methods.rennala_sgd(step_size=0.5, batch_size=6, stop=True),
        _two_parabolas(),
        times,
        num_updates=60,
    )
    # Five gradients of f₁ and one of f₂ in every batch: 5x + 2(x − 1) = 0.
    assert rennala.params == pytest.approx(2 / 7, abs=1e-8)


# ------------------------------------------------- acceleration


def test_acceleration_meets_its_bound_and_beats_gradient_descent():
    problem = fo.problems.tridiagonal(40, noise="none")
    smoothness = problem.constants["smoothness"]
    radius_sq = float(jnp.sum((problem.init - problem.constants["x_star"]) ** 2))
    step_size = 1 / (2 * smoothness)
    method = methods.accelerated_rennala_sgd(step_size=step_size, batch_size=3)
    gap = run(method, problem, num_updates=200).loss - problem.constants["f_star"]
    k = np.arange(1, 201)
    bound = radius_sq / (step_size * k * (k + 1))
    assert (gap[1:] <= bound).all()
    plain = methods.rennala_sgd(step_size=1 / smoothness, batch_size=3)
    descent = run(plain, problem, num_updates=200).loss - problem.constants["f_star"]
    assert gap[-1] < 0.3 * descent[-1]


def test_the_first_accelerated_batch_is_taken_at_the_start():
    accelerated = methods.accelerated_rennala_sgd(step_size=0.1, batch_size=4)
    plain = methods.rennala_sgd(step_size=0.1, batch_size=4)
    np.testing.assert_allclose(
        run(accelerated, NOISY, num_updates=1).params,
        run(plain, NOISY, num_updates=1).params,
        rtol=1e-12,
    )


def test_ac_sa_by_hand():
    transform = fo.transforms.ac_sa(0.5)
    params = {"a": jnp.array([1.0, 2.0], jnp.float32), "b": jnp.array(3.0)}
    state = transform.init(params)
    x = u = np.array([1.0, 2.0, 3.0])
    for k in range(4):
        alpha = 2 / (k + 2)
        y = (1 - alpha) * x + alpha * u
        point = fo.transforms.ac_sa_eval_params(state, params)
        np.testing.assert_allclose(np.hstack([point["a"], point["b"]]), y, rtol=1e-6)
        u = u - 0.5 * (k + 1) * y  # the gradient of |y|²/2
        x = (1 - alpha) * x + alpha * u
        updates, state = jax.jit(transform.update)(point, state, params)
        params = optax.apply_updates(params, updates)
        np.testing.assert_allclose(np.hstack([params["a"], params["b"]]), x, rtol=1e-6)
        assert params["a"].dtype == jnp.float32
        assert params["b"].dtype == jnp.float64
    with pytest.raises(TypeError, match="ac_sa needs the parameters"):
        transform.update(params, state)


# ------------------------------------------------- variance reduction


@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize("numbers", [{"momentum": 0.0}, {"correction": 1.0}])
def test_where_inexact_mvr_is_rennala(numbers, stop):
    """Without memory, and with the whole correction, which cancels the memory."""
    options = {"step_size": 0.1, "batch_size": 4, "stop": stop}
    inexact = run(methods.rennala_mvr(inexact=True, **numbers, **options), NOISY)
    rennala = run(methods.rennala_sgd(**options), NOISY)
    np.testing.assert_allclose(inexact.loss, rennala.loss, rtol=1e-12)
    np.testing.assert_array_equal(inexact.time, rennala.time)


def test_mvr_without_noise_is_gradient_descent():
    expected = run(methods.minibatch_sgd(step_size=0.3)).loss
    for batch_size in (1, 5):
        method = methods.rennala_mvr(
            step_size=0.3, batch_size=batch_size, first_batch_size=7
        )
        np.testing.assert_allclose(run(method).loss, expected, rtol=1e-10)


def test_pairs_double_the_time_of_all_batches_but_the_first():
    pairs = methods.rennala_mvr(step_size=0.1, batch_size=4, stop=True)
    single = methods.rennala_sgd(step_size=0.1, batch_size=4, stop=True)
    fixed = timing.fixed(TIMES)
    slow, fast = (np.diff(run(m, compute_time=fixed).time) for m in (pairs, single))
    np.testing.assert_allclose(slow[0], fast[0])
    np.testing.assert_allclose(slow[1:], 2 * fast[1:])


@pytest.mark.parametrize("momentum", [0.5, 1.0])
def test_additive_noise_contracts_in_the_exact_variant(momentum):
    """eᵏ = gᵏ − ∇f(xᵏ) obeys eᵏ⁺¹ = (1−a) eᵏ + a · (mean noise of a batch)."""
    metrics = {f"x{i}": functools.partial(_coordinate, i) for i in range(DIM)}
    problem = NOISY._replace(metrics=metrics)
    method = methods.rennala_mvr(step_size=0.1, batch_size=4, momentum=momentum)
    trace = run(method, problem, num_updates=1000)
    x = np.stack([trace.columns[name] for name in metrics], axis=1)
    gradient = jax.vmap(lambda y: EXACT.grad(EXACT.data, y, 0, None))(x[:-1])
    error = (x[:-1] - x[1:]) / 0.1 - np.asarray(gradient)
    fresh = error[1:] - momentum * error[:-1]
    if momentum == 1.0:
        np.testing.assert_allclose(fresh, 0, atol=1e-12)
    else:  # (1 − β)² ν²/B in each of 6000 coordinates, 2 % accurate
        assert np.mean(fresh**2) == pytest.approx(0.5**2 * 0.05**2 / 4, rel=0.08)


def _coordinate(index, data, x):
    return x[index]


def test_inexact_mvr_by_hand():
    estimator = fo.estimators.inexact_mvr(0.75, correction=0.3)
    batches = np.random.default_rng(0).normal(size=(5, 3))
    state = estimator.init(jnp.zeros(3))
    g = h = batches[0]
    for batch in batches:
        # The first batch changes nothing: it is both memories already.
        g, h = 0.25 * batch + 0.75 * g + 0.225 * (batch - h), batch
        estimate, state = estimator.update(jnp.asarray(batch), state)
        np.testing.assert_allclose(estimate, g, rtol=1e-14)
    with pytest.raises(ValueError, match=r"momentum must lie in \[0, 1\], got 2"):
        fo.estimators.inexact_mvr(2)


# ------------------------------------------------- trials

LAWS = {
    "exponential": timing.exponential(TIMES, base=0.3 * TIMES),
    "lognormal": timing.lognormal(TIMES, sigma=1.5),
    "folded Cauchy": timing.folded_cauchy(0.3 * TIMES, scale=TIMES),
    "infinite Bernoulli": timing.infinite_bernoulli(TIMES, probability=0.3),
}


@pytest.mark.parametrize("law", LAWS)
def test_mindflayer_is_unbiased_and_ends_in_time(law):
    schedule = events.mindflayer(batch_size=6.5, extra_time=0.4)
    found = clock(schedule, LAWS[law], num_events=20000)
    limits = np.asarray(LAWS[law].lower_bound) + 0.4
    p = np.asarray(LAWS[law].cdf(limits))
    trials, bound = collectors.mindflayer_trials(limits, p, 6.5)
    np.testing.assert_array_equal(counts(found, N), [trials] * len(ends(found)))
    theory = fo.theory.mindflayer_allocation(limits, p, 6.5)
    np.testing.assert_array_equal(theory.trials, trials)
    assert p @ trials >= 6.5
    assert np.diff(ends(found), prepend=0).max() <= bound * (1 + 1e-12)
    assert_mean(sums(found, N, found.weight).sum(axis=1), 1.0)
    # A worker without trials does nothing.
    assert set(found.worker) == set(np.flatnonzero(trials))


def test_half_of_the_trials_succeed_by_default():
    found = clock(events.mindflayer(batch_size=30), LAWS["lognormal"], 20000)
    assert len(set(found.worker)) > 2
    for worker in set(found.worker):
        assert_mean(found.accepted[found.worker == worker].astype(float), 0.5)
    # A fixed time is its own median.
    found = clock(events.mindflayer(batch_size=30), TIMES)
    assert found.accepted.all()


def test_mindflayer_never_hangs_where_rennala_does():
    law = timing.infinite_bernoulli([2.0], probability=0.3)
    rennala = clock(events.rennala(batch_size=1), law)
    assert np.isinf(rennala.time[-1])
    found = clock(events.mindflayer(batch_size=1, extra_time=0.5), law, 20000)
    assert np.isfinite(found.time).all()
    successes = found.time[found.accepted]
    assert_mean(np.diff(successes), (2.0 * 0.3 + 2.5 * 0.7) / 0.3)  # success at 2.0


def test_a_round_without_success_leaves_the_model():
    law = timing.infinite_bernoulli([1.0], probability=0.1)
    method = methods.mindflayer_sgd(step_size=0.3, batch_size=0.1, extra_time=0.0)
    found = clock(method.schedule, law, num_events=200, key=clock_key())
    np.testing.assert_array_equal(counts(found, 1), 1)  # ⌈(0.1 + 0.1)/0.1 − 1⌉
    trace = run(method, compute_time=law, num_updates=200)
    stayed = np.diff(trace.loss) == 0
    np.testing.assert_array_equal(stayed, ~found.accepted)
    assert 0 < trace.gradients_used[-1] == trace.gradients_computed[-1] < 50


@pytest.mark.parametrize("extra_time", [1e7, np.full(N, 1e9)])
def test_a_very_long_limit_waits_for_all(extra_time):
    schedule = events.mindflayer(batch_size=2 * N + 2, extra_time=extra_time)
    found = clock(schedule, LAWS["exponential"])
    np.testing.assert_array_equal(counts(found, N), 3)
    assert found.accepted.all()
    np.testing.assert_allclose(found.weight, 1 / (3 * N))


def test_fixed_times_are_allocated_as_in_a_greedy_round():
    found = clock(events.mindflayer(batch_size=20, extra_time=0), TIMES)
    assert found.accepted.all()
    trials, bound = collectors.mindflayer_trials(TIMES, np.ones(N), 20)
    np.testing.assert_allclose(np.diff(ends(found)), max(trials * TIMES))
    greedy = ends(clock(events.rennala(batch_size=20, stop=True), TIMES))[0]
    assert greedy <= bound <= 2 * greedy


def test_workers_may_be_left_out():
    extra = [0.0, INF, 0.0, 0.0, INF]
    found = clock(events.mindflayer(batch_size=30, extra_time=extra), TIMES)
    alone = clock(
        events.mindflayer(batch_size=30, extra_time=0), [1.0, INF, 2.9, 5.3, INF]
    )
    assert set(found.worker) == {0, 2, 3}
    assert_same_events(found, alone)


@pytest.mark.parametrize(
    "schedule",
    [
        events.mindflayer(batch_size=9),
        events.mindflayer(batch_size=9, extra_time=0.3),
        events.optimal_allocation(batch_size=9),
    ],
)
def test_a_dead_worker_changes_nothing(schedule):
    def law(scale):
        return timing.exponential(scale, base=0.5)

    assert_same_events(clock(schedule, law(TIMES)), clock(schedule, law([*TIMES, INF])))


def test_vecna_is_unbiased_for_each_worker():
    schedule = events.vecna(trials=[5, 4, 3, 2, 1], extra_time=0.4)
    found = clock(schedule, LAWS["folded Cauchy"], num_events=30000)
    np.testing.assert_array_equal(
        counts(found, N), [[5, 4, 3, 2, 1]] * len(ends(found))
    )
    assert_mean(sums(found, N, found.weight), 1 / N)


def test_vecna_with_one_trial_that_succeeds_is_minibatch():
    assert_same_events(
        clock(events.vecna(trials=1, extra_time=INF), TIMES),
        clock(events.synchronous(), TIMES),
    )


# ------------------------------------------------- tasks


def test_ata_finds_the_optimal_allocation():
    """Fixed times, a small α: after a warm-up it does what OFTA does."""
    for times, batch_size in (([1, 2, 4, 8], 10), ([3, 1, 2.5, 7.1, 1.9], 23)):
        schedule = events.ata(batch_size=batch_size, alpha=1e-3, bound="theory")
        found = counts(clock(schedule, times), len(times))
        best = collectors.optimal_allocation(times, batch_size)
        np.testing.assert_array_equal(found.sum(axis=1), batch_size)
        np.testing.assert_array_equal(found[-50:], [best] * 50)
        assert (found[0] > 0).all()


def test_ata_without_width_is_ofta_once_it_has_seen_everybody():
    ata = clock(events.ata(batch_size=9, alpha=0), TIMES)
    ofta = clock(events.optimal_allocation(batch_size=9), TIMES)
    np.testing.assert_array_equal(counts(ata, N)[1:], counts(ofta, N)[1:])
    np.testing.assert_allclose(
        np.diff(ends(ata)), np.diff(ends(ofta))[: len(ends(ata)) - 1]
    )


def test_one_task_goes_to_the_fastest_in_the_end():
    law = timing.exponential(0.2 * TIMES, base=TIMES)
    found = clock(events.ata(batch_size=1, alpha=0.02, bound="theory"), law)
    assert set(found.worker[:N]) == set(range(N))
    assert not found.worker[-500:].any()


def test_ata_asks_everybody_once_before_anybody_twice():
    found = clock(events.ata(batch_size=4), np.arange(1.0, 15.0), num_events=400)
    tasks = counts(found, 14)
    np.testing.assert_array_equal(tasks[:3].sum(axis=0).max(), 1)
    np.testing.assert_array_equal(tasks[:4].sum(axis=0) >= 1, True)
    np.testing.assert_array_equal(tasks.sum(axis=1), 4)


@pytest.mark.parametrize("method", [methods.ata, methods.ofta, methods.uta])
def test_one_worker_does_all_tasks(method):
    schedule = method(step_size=1.0, batch_size=7).schedule
    assert_same_events(
        clock(schedule, [2.0], 140), clock(events.rennala(batch_size=7), [2.0], 140)
    )


def test_the_authors_confidence_is_wide():
    """Empirical widths stay above the means for thousands of tasks: even rounds."""
    tasks = counts(clock(events.ata(batch_size=10), [1, 2, 4, 8], 8000), 4)
    assert tasks.max() <= 3
    assert tasks.min() >= 2
    np.testing.assert_allclose(tasks.mean(axis=0), 2.5, atol=0.1)  # 4 deviations


def test_uniform_remainders_go_to_everybody_alike():
    tasks = counts(clock(events.uniform_allocation(batch_size=7), TIMES, 14000), N)
    assert set(np.unique(tasks)) == {1, 2}
    np.testing.assert_array_equal(tasks.sum(axis=1), 7)
    assert_mean(tasks.astype(float), 7 / 5)


def test_worker_seconds_are_those_of_the_tasks():
    fixed = timing.fixed([1.0, 2.0, 4.0, 8.0])
    ofta = run(methods.ofta(step_size=0.1, batch_size=10), compute_time=fixed)
    rounds = np.arange(13)
    np.testing.assert_allclose(ofta.time, 6 * rounds)
    np.testing.assert_allclose(ofta.worker_seconds, (6 + 3 * 2 + 4) * rounds)
    gta = run(methods.gta(step_size=0.1, batch_size=10), compute_time=fixed)
    np.testing.assert_allclose(gta.worker_seconds, 4 * gta.time)

    method = methods.ata(step_size=0.1, batch_size=9)
    found = clock(method.schedule, num_events=9 * 12, key=clock_key())
    ata = run(method)
    np.testing.assert_allclose(ata.worker_seconds[-1], _task_seconds(found))


def _task_seconds(found):
    """How long all tasks took: from the one before, or from the start of the round."""
    total, last, start = 0.0, {}, 0.0
    for time, worker, step in zip(found.time, found.worker, found.step, strict=True):
        total += time - last.get(worker, start)
        last[worker] = time
        if step:
            last, start = {}, time
    return total


def test_ata_spends_less_than_the_greedy_rule():
    """On many workers; once they are known, in rounds that are not much longer."""
    mean = 0.5 * np.arange(1, 101)
    law = timing.exponential(mean, base=mean)
    ata, gta = (
        run(method(step_size=0.1, batch_size=5), compute_time=law, num_updates=1000)
        for method in (functools.partial(methods.ata, alpha=0.02), methods.gta)
    )
    assert ata.worker_seconds[-1] < 0.2 * gta.worker_seconds[-1]
    assert ata.time[-1] - ata.time[500] < 5 * (gta.time[-1] - gta.time[500])


# ------------------------------------------------- programs, oracle calls, mistakes


@pytest.mark.parametrize("name", RECIPES)
def test_other_numbers_need_no_other_program(name):
    make, numbers_a, numbers_b = RECIPES[name]

    def once(step_size, parameters, scale, key):
        law = timing.exponential(scale * TIMES, base=TIMES)
        method = make(step_size=step_size, **parameters)
        return run(method, NOISY, law, num_updates=20, key=key)

    first = once(0.1, numbers_a, 1.0, 0)
    programs = numbers.advance._cache_size(), _advance._cache_size()
    other = once(0.2, numbers_b, 1.1, 1)
    assert (numbers.advance._cache_size(), _advance._cache_size()) == programs
    assert not np.array_equal(first.loss, other.loss)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (events.malenia, {"batch_size": 9}),
        (events.mindflayer, {"batch_size": 9, "extra_time": 0.5}),
        (events.vecna, {"trials": 3, "extra_time": 0.5}),
        (events.ata, {"batch_size": 9, "alpha": 0.125}),
        (events.optimal_allocation, {"batch_size": 9}),
        (events.uniform_allocation, {"batch_size": 9}),
    ],
)
def test_numbers_may_be_short_arrays(make, options):
    short = {
        name: jnp.array(value, jnp.int32 if value == int(value) else jnp.float32)
        for name, value in options.items()
    }
    assert_same_events(clock(make(**options)), clock(make(**short)))


def test_labels_are_the_names():
    for name, (make, parameters, _) in RECIPES.items():
        label = make(step_size=0.1, **parameters).label
        assert label == name.removeprefix("inexact ").partition(",")[0]


@pytest.mark.parametrize("name", RECIPES)
def test_gradients_that_are_not_used_are_not_evaluated(name):
    make, parameters, _ = RECIPES[name]
    calls = []

    def grad(data, params, worker, sample):
        jax.debug.callback(calls.append, worker)
        return EXACT.grad(data, params, worker, None)

    method = make(step_size=0.1, **parameters)
    trace = run(method, EXACT._replace(grad=grad), num_updates=20)
    jax.effects_barrier()
    assert len(calls) == trace.gradients_used[-1] > 0
    given_up = name.startswith(("mindflayer", "vecna", "ata", "ofta", "uta"))
    assert given_up <= (trace.gradients_discarded[-1] == 0)  # they compute no gradient


@pytest.mark.filterwarnings("ignore:the best setting")
def test_a_sweep_over_trials_and_limits():
    options = {
        "num_workers": N,
        "compute_time": CLUSTER,
        "num_updates": 10,
        "keep_params": True,
    }
    grid = {"step_size": [0.1, 0.2], "batch_size": [2.0, 7.5], "extra_time": [0.5, 2.0]}
    result = fo.sweep(methods.mindflayer_sgd, NOISY, grid=grid, seeds=[0, 1], **options)
    alone = run(
        methods.mindflayer_sgd(step_size=0.2, batch_size=2.0, extra_time=2.0),
        NOISY,
        num_updates=10,
        key=1,
    )
    np.testing.assert_allclose(result.params[1, 0, 1, 1], alone.params, rtol=1e-10)
    np.testing.assert_array_equal(result.columns["time"][1, 0, 1, 1], alone.time)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: events.malenia(batch_size=0), "batch_size to be 1, 2, ..., got 0"),
        (lambda: events.mindflayer(batch_size=0), "batch_size must be positive, got 0"),
        (
            lambda: events.mindflayer(batch_size=2, extra_time=-1.0),
            r"mindflayer needs extra_time >= 0, seconds .* got -1.0",
        ),
        (
            lambda: events.mindflayer(batch_size=2, extra_time=[0, float("nan")]),
            "extra_time >= 0",
        ),
        (
            lambda: events.mindflayer(batch_size=2, extra_time=INF),
            "leaves out the workers with an infinite extra_time",
        ),
        (lambda: events.vecna(trials=0), "vecna needs trials to be 1, 2, ..., got 0"),
        (lambda: events.vecna(trials=[1, 1.5]), "trials to be 1, 2, ..., got 1.5"),
        (lambda: events.vecna(trials=1, extra_time=-1), "vecna needs extra_time >= 0"),
        (lambda: events.ata(batch_size=1.5), "batch_size to be 1, 2, ..., got 1.5"),
        (lambda: events.ata(batch_size=2, alpha=-1), "ata needs alpha >= 0, got -1"),
        (
            lambda: events.ata(batch_size=2, bound="tight"),
            r"bound to be one of \('empirical', 'theory'\), got 'tight'",
        ),
        (lambda: events.ata(batch_size=2, bound="theory"), "needs alpha, in seconds"),
        (lambda: events.optimal_allocation(batch_size=0), "1, 2, ..., got 0"),
        (lambda: events.uniform_allocation(batch_size=0), "1, 2, ..., got 0"),
        (
            lambda: methods.accelerated_rennala_sgd(step_size=0.1, batch_size=0),
            "1, 2, ..., got 0",
        ),
        (lambda: fo.transforms.ac_sa(0.0), "step_size must be positive, got 0.0"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("method", "change", "message"),
    [
        (
            methods.mindflayer_sgd(step_size=0.1, batch_size=3),
            {"cdf": None},
            "mindflayer needs .* have no cdf",
        ),
        (
            methods.vecna_sgd(step_size=0.1, trials=3),
            {"cdf": None},
            "vecna needs .* have no cdf",
        ),
        (
            methods.ofta(step_size=0.1, batch_size=3),
            {"mean": None},
            "optimal_allocation needs .* have no mean",
        ),
        (
            methods.mindflayer_sgd(step_size=0.1, batch_size=3, extra_time=[1.0, 2.0]),
            {},
            "extra_time for 2 workers out of 5; give one number",
        ),
        (
            methods.vecna_sgd(step_size=0.1, trials=[1, 2]),
            {},
            "trials for 2 workers out of 5; give one number",
        ),
        (
            methods.ata(step_size=0.1, batch_size=3),
            {"lower_bound": np.array([1, 1, 1, 1, INF])},
            "ata can never make a step: 1 of 5",
        ),
    ],
)
def test_clusters_that_do_not_suffice_are_refused(method, change, message):
    with pytest.raises(ValueError, match=message):
        run(method, compute_time=dataclasses.replace(CLUSTER, **change))
