"""Laws of compute times against SciPy: cdf, draws, means, bounds, quantiles."""

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
import scipy.stats

from fedjax_opt import keys, timing
from fedjax_opt.types import ComputeTime

INF = float("inf")
DRAWS = 20_000
# sup |F_n − F| exceeds 2.7/√n with probability 2 exp(−2 · 2.7²) < 1e-6 (DKW).
KOLMOGOROV = 2.7 / np.sqrt(DRAWS)


class Case(NamedTuple):
    """A law of three workers, the third of them dead.

    Attributes:
      make: builds it from (base of the second worker, other numbers scaled by this).
      cdf: of the first and second worker, for (base, scaled) = (2, 1).
      mean: theirs.
      bound: theirs.
      tolerance: of the cdf.
    """

    make: Any
    cdf: tuple[Any, Any]
    mean: tuple[float, float]
    bound: tuple[float, float] = (0.0, 2.0)
    tolerance: float = 1e-14


def log_cauchy(scale, median, base):
    def cdf(t):
        with np.errstate(divide="ignore"):
            log = np.log(np.maximum(t - base, 0) / median)
        return scipy.stats.cauchy.cdf(log, scale=scale)

    return cdf


def just_below(times):
    """The floats below; subnormal ones, which a CPU may flush to 0, left out."""
    below = np.nextafter(times, -INF)
    return np.where(np.abs(below) < 1e-300, -1e-300, below)


def steps(*pairs):
    """The cdf of a law with finitely many values: pairs (value, probability)."""
    return lambda t: sum(p * (np.asarray(t) >= value) for value, p in pairs)


def mixed(p, first, second):
    return lambda t: p * first(t) + (1 - p) * second(t)


def poisson(rate, scale, base):
    return lambda t: scipy.stats.poisson.cdf(np.floor((t - base) / scale), rate)


S = scipy.stats
CASES = {
    "fixed": Case(
        lambda b, s: timing.fixed([3.0 * s, b, INF]),
        (steps((3.0, 1.0)), steps((2.0, 1.0))),
        (3.0, 2.0),
        (3.0, 2.0),
    ),
    "half_normal": Case(
        lambda b, s: timing.half_normal([0.0, b, INF], scale=[1.5 * s, 3.0 * s, s]),
        (S.halfnorm(scale=1.5).cdf, S.halfnorm(2, 3).cdf),
        (S.halfnorm(scale=1.5).mean(), S.halfnorm(2, 3).mean()),
    ),
    "exponential": Case(
        lambda b, s: timing.exponential([0.5 * s, 3.0 * s, INF], base=[0.0, b, 0.0]),
        (S.expon(scale=0.5).cdf, S.expon(2, 3).cdf),
        (0.5, 5.0),
    ),
    "mean + exponential": Case(
        lambda b, s: timing.exponential([0.5 * s, b, INF], base=[0.5 * s, b, INF]),
        (S.expon(0.5, 0.5).cdf, S.expon(2, 2).cdf),
        (1.0, 4.0),
        (0.5, 2.0),
    ),
    "gamma": Case(
        lambda b, s: timing.gamma([0.0, b, 1.0], shape=[0.3, 40, 1], scale=[s, s, INF]),
        (S.gamma(0.3).cdf, S.gamma(40, 2, 1).cdf),
        (0.3, 42.0),
        tolerance=3e-14,
    ),
    "uniform": Case(
        lambda b, s: timing.uniform([0.0, b, 1.0], high=[3.0 * s, b + s, INF]),
        (S.uniform(0, 3).cdf, S.uniform(2, 1).cdf),
        (1.5, 2.5),
    ),
    "lognormal": Case(
        lambda b, s: timing.lognormal(
            [s, 3.0 * s, INF], sigma=[2.0, 0.5, 1.0], base=[0.0, b, 0.0]
        ),
        (S.lognorm(2.0).cdf, S.lognorm(0.5, 2, 3).cdf),
        (S.lognorm(2.0).mean(), S.lognorm(0.5, 2, 3).mean()),
    ),
    "folded_cauchy": Case(
        lambda b, s: timing.folded_cauchy(
            [0.0, b, INF], scale=[2.0 * s, 0.1 * s, s], location=[0.0, 3.0 * s, s]
        ),
        (S.halfcauchy(scale=2).cdf, S.foldcauchy(30, 2, 0.1).cdf),
        (INF, INF),
    ),
    "log_cauchy": Case(
        lambda b, s: timing.log_cauchy(
            [0.0, b, INF], scale=[1.0, 0.2, 1], median=3 * s
        ),
        (log_cauchy(1.0, 3.0, 0.0), log_cauchy(0.2, 3.0, 2.0)),
        (INF, INF),
    ),
    "levy": Case(
        lambda b, s: timing.levy([0.0, b, INF], scale=[s, 5.0 * s, s]),
        (S.levy(0, 1).cdf, S.levy(2, 5).cdf),
        (INF, INF),
    ),
    "infinite_bernoulli": Case(
        lambda b, s: timing.infinite_bernoulli(
            [3.0 * s, b, INF], probability=[1.0, 0.7, 0.5]
        ),
        (steps((3.0, 1.0)), steps((2.0, 0.7), (INF, 0.3))),
        (3.0, INF),
        (3.0, 2.0),
    ),
    "alpha_bernoulli": Case(
        lambda b, s: timing.alpha_bernoulli(
            [0.1 * s, b, INF], alpha=[1.0, 7.0, 2.0], probability=[0.5, 0.7, 0.5]
        ),
        (steps((0.1, 1.0)), steps((2.0, 0.7), (14.0, 0.3))),
        (0.1, 5.6),
        (0.1, 2.0),
    ),
    "poisson": Case(
        lambda b, s: timing.poisson(
            [0.0, b, INF], rate=[4.0, 80.0, 1.0], scale=0.25 * s
        ),
        (poisson(4.0, 0.25, 0.0), poisson(80.0, 0.25, 2.0)),
        (1.0, 22.0),
        tolerance=1e-13,
    ),
    "mixture": Case(
        lambda b, s: timing.mixture(
            timing.exponential([s, 2.0 * s, INF], base=[0.0, b, 0.0]),
            timing.levy([0.0, b, INF], scale=s),
            probability=[0.3, 0.9, 0.5],
        ),
        (
            mixed(0.3, S.expon(scale=1).cdf, S.levy(0, 1).cdf),
            mixed(0.9, S.expon(2, 2).cdf, S.levy(2, 1).cdf),
        ),
        (INF, INF),
    ),
    "common": Case(
        lambda b, s: timing.common(
            timing.half_normal([0.0, b, INF], scale=[1.5 * s, 3.0 * s, s]),
            jax.random.key(8),
        ),
        (S.halfnorm(scale=1.5).cdf, S.halfnorm(2, 3).cdf),
        (S.halfnorm(scale=1.5).mean(), S.halfnorm(2, 3).mean()),
    ),
    "dead": Case(
        lambda b, s: timing.dead(timing.exponential([s, s, s], base=[0.0, b, 0.0]), 2),
        (S.expon().cdf, S.expon(2).cdf),
        (1.0, 3.0),
    ),
    "with_link": Case(
        lambda b, s: timing.with_link(
            timing.exponential([s, s, s]),
            timing.linear(up_latency=[0.0, b, INF]),
            bits_up=0,
            bits_down=0,
        ),
        (S.expon().cdf, S.expon(2).cdf),
        (1.0, 3.0),
    ),
}
LAWS = {name: case.make(2.0, 1.0) for name, case in CASES.items()}


@jax.jit
def draws(law, key):
    """[3, DRAWS] durations of one gradient, of the first jobs of all workers."""

    def one(worker, job):
        return law.sample(keys.of_job(key, worker, job), worker, job, 0.0, 1)

    jobs = np.arange(DRAWS)
    return jax.lax.map(lambda i: jax.vmap(lambda j: one(i, j))(jobs), np.arange(3))


@jax.jit
def sample(law, key, worker, job, now, work):
    return law.sample(key, worker, job, now, work)


@jax.jit
def cdfs(cdf, times):
    """[3, T] probabilities at times [T]."""
    return jax.vmap(lambda t: cdf(np.zeros(3) + t), out_axes=1)(times)


def instants(case):
    """Times near and far from the bounds, which no float can fill: [T]."""
    steps = np.concatenate([np.logspace(-8, 12, 101), np.linspace(0, 40, 41)])
    return np.unique([at + step for at in {0.0, *case.bound} for step in steps])


# ------------------------------------------------- cdf


@pytest.mark.parametrize("name", CASES)
def test_the_cdf_is_that_of_scipy(name):
    case, law = CASES[name], LAWS[name]
    times = instants(case)
    found = cdfs(law.cdf, times)
    for worker in (0, 1):
        expected = case.cdf[worker](times)
        error = np.abs(found[worker] - expected).max()
        assert error <= case.tolerance, (worker, error)
    np.testing.assert_array_equal(found[2], 0)
    assert (np.diff(found, axis=1) >= -1e-15).all()


@pytest.mark.parametrize("name", CASES)
def test_the_cdf_at_the_ends_is_0_and_1(name):
    law = LAWS[name]
    ends = cdfs(law.cdf, np.array([-INF, -1.0, -1e-300, INF]))
    np.testing.assert_array_equal(ends, np.tile([0.0, 0, 0, 1], (3, 1)))
    below = np.where(np.isfinite(law.lower_bound), law.lower_bound, 1e300)
    np.testing.assert_array_equal(law.cdf(just_below(below)), 0)


def test_small_probabilities_have_their_digits():
    tiny = np.array([1e-290, 1e-200, 1e-12, 1e-4])
    for name, expected in {
        "half_normal": np.sqrt(2 / np.pi) * tiny / 1.5 * (1 - (tiny / 1.5) ** 2 / 6),
        "exponential": -np.expm1(-tiny / 0.5),
        "folded_cauchy": 2 / np.pi * np.arctan(tiny / 2),
        "log_cauchy": np.arctan(1 / -np.log(tiny / 3)) / np.pi,
    }.items():
        found = cdfs(LAWS[name].cdf, tiny)[0]
        np.testing.assert_allclose(found, expected, rtol=1e-13, err_msg=name)
    # A location far from the origin, of density 2/(π s (1 + (c/s)²)).
    law = timing.folded_cauchy([0.0], scale=1.0, location=1e6)
    expected = 2 / np.pi * tiny / (1 + 1e12)
    np.testing.assert_allclose([law.cdf([t])[0] for t in tiny], expected, rtol=1e-12)


def test_facts_on_truncation():
    t = np.array([0.5, 1.0, 7.0])
    erfc = scipy.special.erfc
    for law, expected in [
        (timing.exponential(np.full(3, 2.0)), 1 - np.exp(-t / 2)),
        (timing.folded_cauchy(np.zeros(3), scale=2.0), 2 / np.pi * np.arctan(t / 2)),
        (timing.levy(np.zeros(3), scale=2.0), erfc(np.sqrt(2 / (2 * t)))),
        (timing.infinite_bernoulli(np.zeros(3), probability=0.3), np.full(3, 0.3)),
    ]:
        np.testing.assert_allclose(law.cdf(t), expected, rtol=1e-14)


# ------------------------------------------------- draws


def distance(seconds, cdf):
    """sup |F_n − F| over all t, jumps of F included."""
    values, counts = np.unique(seconds, return_counts=True)
    counts, values = counts[np.isfinite(values)], values[np.isfinite(values)]
    after = np.cumsum(counts) / len(seconds)
    before = after - counts / len(seconds)
    right, left = cdf(values), cdf(just_below(values))
    return max(np.abs(after - right).max(), np.abs(before - left).max())


@pytest.mark.parametrize("name", CASES)
def test_draws_follow_scipy_and_the_cdf(name):
    case, law = CASES[name], LAWS[name]
    seconds = np.asarray(draws(law, jax.random.key(1)))
    assert seconds.dtype == np.float64
    assert not np.isnan(seconds).any()
    assert (seconds >= law.lower_bound[:, None]).all()
    np.testing.assert_array_equal(seconds[2], INF)
    for worker in (0, 1):
        own = lambda t, worker=worker: np.asarray(cdfs(law.cdf, t))[worker]
        assert distance(seconds[worker], case.cdf[worker]) < KOLMOGOROV
        assert distance(seconds[worker], own) < KOLMOGOROV


@pytest.mark.parametrize("name", CASES)
def test_means_and_bounds(name):
    case, law = CASES[name], LAWS[name]
    np.testing.assert_allclose(law.mean, [*case.mean, INF], rtol=1e-13)
    np.testing.assert_array_equal(law.lower_bound, [*case.bound, INF])
    # The bound is tight: something above it is possible, as close as one likes.
    if name not in ("lognormal", "levy", "mixture"):  # whose cdf is below any float
        assert (law.cdf(law.lower_bound * (1 + 1e-6) + 1e-6)[:2] > 0).all()
    for worker in (0, 1):
        if np.isfinite(case.mean[worker]):
            seconds = np.asarray(draws(law, jax.random.key(1)))[worker]
            margin = 4.5 * seconds.std() / np.sqrt(DRAWS)
            if name != "lognormal" or worker == 1:  # σ = 2 hides its mean in the tail
                assert abs(seconds.mean() - law.mean[worker]) <= margin + 1e-12


def test_the_gamma_law_of_ata():
    mean = np.array([2.0, 8.0, 50.0])
    x = np.sqrt(mean / 2)
    law = timing.gamma(x, shape=x**3, scale=1 / x)
    np.testing.assert_allclose(law.mean, x + x**2, rtol=1e-14)
    seconds = draws(law, jax.random.key(2))
    np.testing.assert_allclose(seconds.var(axis=1), x, rtol=0.06)


def test_a_large_shape_costs_digits_as_stated():
    shape = np.array([1e3, 1e6])
    law = timing.gamma([0.0, 0.0], shape=shape, scale=1.0)
    for z in np.linspace(-4, 4, 9):
        times = shape + z * np.sqrt(shape)
        error = np.abs(law.cdf(times) - scipy.stats.gamma.cdf(times, shape))
        assert (error < 3e-15 * shape + 3e-14).all()
    law = timing.poisson([0.0, 0.0], rate=shape)
    for z in np.linspace(-4, 4, 9):
        times = np.round(shape + z * np.sqrt(shape))
        error = np.abs(law.cdf(times) - scipy.stats.poisson.cdf(times, shape))
        assert (error < 3e-15 * shape + 3e-14).all()


# ------------------------------------------------- exactness at jumps


@pytest.mark.parametrize(
    ("base", "scale"), [(0.1, 0.3), (1000.3, 0.001), (0.0, 0.1), (1e6, 1e-7)]
)
def test_the_poisson_cdf_jumps_at_the_very_draws(base, scale):
    law = timing.poisson([base] * 3, rate=20.0, scale=scale)
    values = np.unique(draws(law, jax.random.key(0))[0])
    count = np.round((values - base) / scale)
    found = cdfs(law.cdf, values)[0]
    np.testing.assert_allclose(found, scipy.stats.poisson.cdf(count, 20), atol=1e-14)
    found = cdfs(law.cdf, just_below(values))[0]
    expected = scipy.stats.poisson.cdf(count - 1, 20)
    np.testing.assert_allclose(found, expected, atol=1e-14)


@pytest.mark.parametrize(
    ("first", "second"), [(1, 1), (1, 1e6), (1e6, 1), (1e-3, 1e13)]
)
def test_a_link_moves_jumps_to_the_very_sums(first, second):
    generator = np.random.default_rng(0)
    times, messages = first * generator.random(5000), second * generator.random(5000)
    link = timing.linear(up_latency=messages)
    law = timing.with_link(timing.fixed(times), link, bits_up=0, bits_down=0)
    np.testing.assert_array_equal(law.cdf(law.mean), 1)
    np.testing.assert_array_equal(law.cdf(np.nextafter(law.mean, 0)), 0)


# ------------------------------------------------- quantiles


@pytest.mark.parametrize("p", [1e-12, 0.1, 0.5, 0.999])
def test_quantiles_are_those_of_scipy(p):
    for law, expected in [
        (LAWS["exponential"], [S.expon(scale=0.5), S.expon(2, 3)]),
        (LAWS["gamma"], [S.gamma(0.3), S.gamma(40, 2)]),
        (LAWS["uniform"], [S.uniform(0, 3), S.uniform(2, 1)]),
        (LAWS["lognormal"], [S.lognorm(2.0), S.lognorm(0.5, 2, 3)]),
        (LAWS["levy"], [S.levy(0, 1), S.levy(2, 5)]),
    ]:
        found = timing.quantile(law, p)
        assert isinstance(found, np.ndarray) and found.dtype == np.float64
        # Where 1 − p is small, p itself limits the digits.
        expected = [law.ppf(p) for law in expected]
        np.testing.assert_allclose(found[:2], expected, rtol=1e-12)
        assert found[2] == INF
    normal = np.sqrt(2) * scipy.special.erfinv(p)  # SciPy's ppf loses digits here
    found = timing.quantile(LAWS["half_normal"], p)
    np.testing.assert_allclose(found, [1.5 * normal, 2 + 3 * normal, INF], rtol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_a_quantile_is_the_first_float_that_reaches_p(name):
    law = LAWS[name]
    p = np.array([0.2, 0.65, 0.5])
    found = timing.quantile(law, p)
    reached = law.cdf(found) >= p
    assert reached.all()
    if name not in ("gamma", "poisson"):  # whose cdf is not monotone to the last bit
        reached = law.cdf(just_below(found)) >= p
        np.testing.assert_array_equal(reached[:2], False)


def test_quantiles_of_heavy_tails_and_of_what_never_ends():
    law = timing.log_cauchy([0.0, 0.0], scale=1.0)
    np.testing.assert_allclose(timing.median(law), 1.0, rtol=1e-13)
    p = np.arctan(1 / 300) / np.pi  # exp(−300), and its mirror image
    np.testing.assert_allclose(timing.quantile(law, p), np.exp(-300.0), rtol=1e-9)
    assert (timing.quantile(law, 1 - 1e-6) == INF).all()  # exp(318310)
    law = timing.infinite_bernoulli([2.0, 2.0], probability=[0.4, 0.5])
    np.testing.assert_array_equal(timing.median(law), [INF, 2.0])
    law = timing.alpha_bernoulli([0.1], alpha=3.0, probability=0.5)
    np.testing.assert_array_equal(timing.quantile(law, 0.5), [0.1])
    np.testing.assert_array_equal(timing.quantile(law, 0.51), [3 * 0.1])
    np.testing.assert_array_equal(timing.median(timing.fixed([0.0, 3.0])), [0.0, 3.0])
    np.testing.assert_allclose(
        timing.median(timing.folded_cauchy([1.0], scale=4.0)), [5.0], rtol=1e-15
    )


def test_quantiles_are_exact_in_a_session_of_32_bits_and_work_inside_jit():
    law = timing.levy([0.0, 2.0], scale=3.0)
    expected = [S.levy(0, 3).median(), S.levy(2, 3).median()]
    with jax.enable_x64(False):
        np.testing.assert_allclose(timing.median(law), expected, rtol=1e-12)
        single = jax.jit(timing.quantile)(law, 0.5)
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, expected, rtol=1e-5)
    double = jax.jit(timing.quantile)(law, 0.5)
    np.testing.assert_allclose(double, expected, rtol=1e-12)


# ------------------------------------------------- keys


@pytest.mark.parametrize("name", [name for name in CASES if name != "fixed"])
def test_only_the_key_and_the_worker_decide(name):
    law, key = LAWS[name], jax.random.key(3)
    one = [sample(law, jax.random.fold_in(key, k), 1, 0, 0.0, 1) for k in range(20)]
    again = [sample(law, jax.random.fold_in(key, k), 1, 0, 9.0, 1) for k in range(20)]
    assert one == again
    assert len(set(map(float, one))) > 1 or name == "common"


def test_common_noise_belongs_to_the_job_and_to_its_own_key():
    equal = timing.half_normal([1.0, 1.0, 1.0], scale=2.0)
    shared = timing.common(equal, jax.random.key(8))
    seconds = np.asarray(draws(shared, jax.random.key(0)))
    np.testing.assert_array_equal(seconds[0], seconds[1])
    assert len(np.unique(seconds[0])) == DRAWS
    np.testing.assert_array_equal(seconds, draws(shared, jax.random.key(1)))
    other = timing.common(equal, jax.random.key(9))
    assert (np.asarray(draws(other, jax.random.key(0))) != seconds).all()
    independent = np.asarray(draws(equal, jax.random.key(0)))
    assert (independent[0] != independent[1]).all()
    # Workers keep their own laws: the same noise, on their own scales.
    law = timing.common(timing.exponential([1.0, 4.0], base=[0, 1]), jax.random.key(8))
    first, second = (sample(law, jax.random.key(i), i, 5, 0.0, 1) for i in (0, 1))
    np.testing.assert_allclose(second, 1 + 4 * first, rtol=1e-14)


def test_draws_leave_the_key_that_the_clock_folds_in():
    # The clock's own number of a job comes from the key with 1 folded in.
    key = jax.random.key(0)
    n = 4000

    @jax.jit
    def pairs(law):
        job_keys = jax.vmap(lambda j: keys.of_job(key, 0, j))(np.arange(n))
        clock = jax.vmap(lambda k: jax.random.uniform(jax.random.fold_in(k, 1)))
        duration = jax.vmap(lambda k: law.sample(k, 0, 0, 0.0, 1))
        return clock(job_keys), duration(job_keys)

    half = timing.mixture(timing.fixed([1.0]), timing.fixed([2.0]), probability=0.5)
    for law in [half, timing.gamma([0.0], shape=2.0, scale=1.0)]:
        correlation = np.corrcoef(*pairs(law))[0, 1]
        assert abs(correlation) < 4.5 / np.sqrt(n)


# ------------------------------------------------- infinities, bits, programs


@pytest.mark.parametrize("name", CASES)
def test_jobs_of_several_gradients_and_of_none(name):
    law, key = LAWS[name], jax.random.key(3)
    if name == "with_link":  # a job sends once
        return
    for worker in range(3):
        one = sample(law, key, worker, 0, 0.0, 1)
        expected = INF if one == INF else 3 * one
        np.testing.assert_allclose(sample(law, key, worker, 0, 0.0, 3), expected)
        expected = INF if one == INF else 0
        assert sample(law, key, worker, 0, 0.0, 0) == expected
        assert sample(law, key, worker, 0, INF, 1) == one


EXTREMES = {
    "half_normal": timing.half_normal([0.0, 1e300, 1.0], scale=[0.0, 1e300, INF]),
    "gamma": timing.gamma([0.0, 1.0, 1.0], shape=[0, 1e-9, 5], scale=[1.0, 1, INF]),
    "lognormal": timing.lognormal([0.0, 1.0, INF], sigma=[300.0, 300.0, 0.0]),
    "folded_cauchy": timing.folded_cauchy(
        [0.0, 0.0, 1.0], scale=[1e-300, 1e300, 0.0], location=[1e300, 1e300, 2.0]
    ),
    "log_cauchy": timing.log_cauchy(
        [0.0, 0.0, 1.0], scale=[1e3, 0, 1], median=[1, 0, 0]
    ),
    "levy": timing.levy([0.0, 0.0, 1.0], scale=[0.0, 1e308, 1e-308]),
    "alpha": timing.alpha_bernoulli([0.0, 1.0, INF], alpha=2, probability=[0, 1, 0]),
    "infinite": timing.infinite_bernoulli([0.0, 1.0, INF], probability=[0, 1, 0]),
    "poisson": timing.poisson(
        [0.0, 1.0, 1.0], rate=[0, 1e6, 0], scale=[1, 1e-300, INF]
    ),
    "uniform": timing.uniform([0.0, 1.0, 1e308], high=[0.0, INF, 1e308]),
}


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_numbers_never_give_nan(name):
    law = EXTREMES[name]
    seconds = np.asarray(draws(law, jax.random.key(0)))
    assert not np.isnan(seconds).any()
    assert (seconds >= law.lower_bound[:, None]).all()
    times = np.array([-INF, 0, 5e-324, 1e-300, 1e-9, 1, 1e9, 1e300, 1.7e308, INF])
    found = np.asarray(cdfs(law.cdf, times))
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found, axis=1) >= 0).all()
    np.testing.assert_array_equal(found[:, -1], 1)
    assert not np.isnan(law.mean).any()
    assert not np.isnan(timing.quantile(law, [0.1, 0.5, 0.9])).any()
    for worker in range(3):
        finite = np.sort(seconds[worker][np.isfinite(seconds[worker])])
        # The draws still follow the cdf, unless most of them round to the bound.
        if finite.size and name not in ("gamma", "log_cauchy"):
            own = lambda t, worker=worker: np.asarray(cdfs(law.cdf, t))[worker]
            assert distance(seconds[worker], own) < KOLMOGOROV


@pytest.mark.parametrize("name", CASES)
def test_draws_have_64_bits_on_the_clock_and_32_elsewhere(name):
    def dtype():
        shape = jax.eval_shape(law.sample, jax.random.key(0), 0, 0, 0.0, 1)
        return shape.dtype

    law = jax.tree.map(np.asarray, LAWS[name])
    traced = jax.jit(lambda law: law.sample(jax.random.key(0), 0, 0, 0.0, 1))
    with jax.enable_x64(False):
        assert traced(law).dtype == np.float32
        assert law.cdf(np.zeros(3)).dtype == np.float32
    with jax.enable_x64(True):
        assert traced(law).dtype == np.float64
        assert law.cdf(np.zeros(3)).dtype == np.float64


@pytest.mark.parametrize("name", CASES)
def test_other_numbers_share_one_program(name):
    traces = []

    @jax.jit
    def program(law):
        traces.append(law)
        return law.sample(jax.random.key(0), 0, 0, 0.0, 1), law.cdf(np.ones(3))

    case = CASES[name]
    first, second = case.make(2.0, 1.0), case.make(4.0, 3.0)
    program(first), program(second)
    assert len(traces) == 1
    for leaf in jax.tree.leaves(first):
        assert isinstance(leaf, np.ndarray)
    stacked = jax.tree.map(lambda *x: np.stack(x), first, second)
    both = jax.vmap(lambda law: law.cdf(np.ones(3)))(stacked)
    np.testing.assert_allclose(both, [first.cdf(np.ones(3)), second.cdf(np.ones(3))])


def test_what_is_unknown_stays_unknown():
    bare = dataclasses.replace(timing.fixed([1.0, 2.0]), mean=None, cdf=None)
    free = timing.linear()
    for law in [
        timing.dead(bare, 0),
        timing.with_link(bare, free, bits_up=1, bits_down=1),
        timing.mixture(bare, timing.fixed([1.0, 1.0]), probability=0.5),
        timing.common(bare, jax.random.key(0)),
    ]:
        assert law.mean is None and law.cdf is None


# ------------------------------------------------- mistakes

TWO = timing.fixed([1.0, 2.0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: timing.gamma(1.0, shape=1, scale=1), "base must be a list"),
        (lambda: timing.gamma([1.0], shape=INF, scale=1), "shape must be finite"),
        (lambda: timing.gamma([1.0], shape=2e6, scale=1), "at most 1e\\+06.* 2000000"),
        (
            lambda: timing.lognormal([1.0], sigma=INF),
            "sigma must be finite, but entry 0",
        ),
        (lambda: timing.lognormal([1.0], sigma=-1), "negative or NaN, .* is -1.0$"),
        (lambda: timing.uniform([1, 3], high=2), "worker 1 has 2.0 below 3.0"),
        (
            lambda: timing.folded_cauchy([1.0], scale=1, location=INF),
            "location must be finite",
        ),
        (lambda: timing.log_cauchy([1.0], scale=INF), "scale must be finite"),
        (lambda: timing.levy([1.0], scale=-1), "scale must not be negative"),
        (
            lambda: timing.infinite_bernoulli([1.0], probability=1.5),
            "probability must be a probability in 0..1, but entry 0 is 1.5",
        ),
        (
            lambda: timing.alpha_bernoulli([1.0], alpha=0.5, probability=0.5),
            "alpha must be at least 1, but entry 0 is 0.5",
        ),
        (lambda: timing.poisson([1.0], rate=1e7), "rate must be at most 1e\\+06"),
        (
            lambda: timing.mixture(TWO, timing.fixed([1.0]), probability=0.5),
            "two laws of the same workers, got 2 and 1",
        ),
        (
            lambda: timing.mixture(TWO, TWO, probability=[0.1, 0.2, 0.3]),
            "probability has 3 entries for 2 workers",
        ),
        (lambda: timing.mixture(TWO, TWO, probability=2), "in 0..1"),
        (lambda: timing.common(TWO, 0), "typed key, jax.random.key"),
        (lambda: timing.quantile(TWO, 0.0), r"inside \(0, 1\), got 0.0"),
        (lambda: timing.quantile(TWO, 1.0), r"inside \(0, 1\)"),
        (lambda: timing.quantile(TWO, [0.1]), "probability has 1 entries for 2 work"),
        (
            lambda: timing.median(dataclasses.replace(TWO, cdf=None)),
            "quantiles need a cdf",
        ),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_constructors_give_compute_times():
    assert all(isinstance(law, ComputeTime) for law in LAWS.values())
