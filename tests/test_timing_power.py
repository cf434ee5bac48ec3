"""Powers that change in time, and windows of absence, against plain loops."""

import dataclasses

import jax
import numpy as np
import pytest

from fedjax_opt import events, keys, timing
from fedjax_opt.simulate import trace

INF = float("inf")


@jax.jit
def sample(law, key, worker, job, now, work):
    return law.sample(key, worker, job, now, work)


@jax.jit
def samples(law, worker, starts, work):
    """Durations of one worker from each start, all with the same key."""
    key = jax.random.key(5)
    return jax.vmap(lambda now: law.sample(key, worker, 0, now, work))(starts)


def from_power(law, worker, starts, work=1):
    return np.asarray(samples(law, worker, np.asarray(starts, float), work))


# ------------------------------------------------- references, in plain Python


def finish(power, start, work, step=2.0**-10, until=60.0):
    """When `work` is done, by adding up tiny steps; inf after `until`."""
    now = start
    while work > 1e-9:
        if now >= until:
            return INF
        work -= power(now) * step
        now += step
    return now


def piecewise(grid, powers):
    """v(t) of one worker."""
    return lambda t: powers[max(j for j in range(len(grid)) if grid[j] <= t)]


def walk(grid, powers, start, work):
    """When `work` is done, piece by piece."""
    now = start
    for j, rate in enumerate(powers):
        end = grid[j + 1] if j + 1 < len(grid) else INF
        if end <= now:
            continue
        if rate > 0 and rate * (end - now) >= work:
            return now + work / rate
        work -= rate * (end - now) if rate > 0 else 0
        now = end
    return INF


def pause(windows, start, seconds):
    """When a job ends that pauses in the windows."""
    now = start
    for begin, end in windows:
        if end <= now:
            continue
        if now < begin and now + seconds <= begin:
            break
        seconds -= max(begin - now, 0)
        now = end
    return now + seconds


def retry(windows, start, seconds):
    """When a job ends that starts over after each window that interrupts it."""
    now = start
    for begin, end in windows:
        if end <= now:
            continue
        if now < begin and now + seconds <= begin:
            break
        now = end
    return now + seconds


# ------------------------------------------------- the power model

GRID = [0.0, 1.0, 2.5, 4.0, 7.0, 7.25]
POWERS = [
    [1.0, 0.0, 3.0, 0.5, 0.0, 2.0],
    [0.0, 0.0, 0.25, 4.0, 1.0, 0.0],  # stops for ever
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],  # never works
    [2.0, 2.0, 2.0, 2.0, 2.0, 2.0],
]
LAW = timing.power(GRID, POWERS)
STARTS = np.concatenate([np.linspace(0, 12, 97), GRID])


@pytest.mark.parametrize("work", [1, 2, 7, 13])
@pytest.mark.parametrize("worker", range(4))
def test_jobs_end_when_the_work_is_done(worker, work):
    found = from_power(LAW, worker, STARTS, work)
    expected = [walk(GRID, POWERS[worker], start, work) - start for start in STARTS]
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("worker", range(4))
def test_jobs_end_where_a_fine_integration_ends(worker):
    starts, work = [0.0, 0.75, 1.5, 3.0, 6.5, 9.0], 3
    found = from_power(LAW, worker, starts, work)
    power = piecewise(GRID, POWERS[worker])
    expected = [finish(power, start, work) - start for start in starts]
    np.testing.assert_allclose(found, expected, atol=2.0**-9)


def test_random_grids():
    generator = np.random.default_rng(0)
    for _ in range(20):
        grids = np.cumsum(generator.exponential(size=(2, 12)), axis=1)
        grids -= grids[:, :1]
        powers = generator.exponential(size=(2, 12)) * (generator.random((2, 12)) < 0.6)
        law = timing.power(grids, powers)
        for worker in range(2):
            starts = generator.uniform(0, 15, 20)
            found = from_power(law, worker, starts, 2)
            expected = [walk(grids[worker], powers[worker], s, 2) - s for s in starts]
            np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_means_and_bounds_of_powers():
    np.testing.assert_array_equal(LAW.lower_bound, [1 / 3, 1 / 4, INF, 1 / 2])
    np.testing.assert_array_equal(LAW.mean, [1 / 2, INF, INF, 1 / 2])
    assert LAW.cdf is None
    for worker in range(4):
        assert (from_power(LAW, worker, STARTS) >= LAW.lower_bound[worker]).all()


def test_constant_power_is_a_fixed_time_to_the_last_bit():
    times = np.array([0.1, 3.0, 7.7])
    law = timing.power([0.0], 1 / times[:, None])
    for worker in range(3):
        found = from_power(law, worker, np.linspace(0, 1e9, 7), 5)
        np.testing.assert_array_equal(found, 5 / (1 / times[worker]))


def test_a_duration_far_from_the_origin_does_not_cancel():
    law = timing.power([0.0, 1e9], [[1.0, 8.0]])
    np.testing.assert_array_equal(from_power(law, 0, [1e8, 1e12]), [1.0, 0.125])
    # Across the change: half of the work before, half after.
    np.testing.assert_allclose(from_power(law, 0, [1e9 - 0.5]), 0.5625, rtol=1e-12)


def test_rounding_does_not_wait_for_the_end_of_an_outage():
    # Ten jobs of 0.1 seconds, or three of 0.7, end at the outage but for rounding.
    for seconds, jobs in [(0.1, 10), (0.7, 3), (1 / 3, 9), (0.1, 1000)]:
        stop = seconds * jobs
        down = [[(stop, stop + 100)]]
        for law in (
            timing.outages([seconds], down),
            timing.availability(timing.fixed([seconds]), down, keep=True),
            timing.availability(timing.fixed([seconds]), down, keep=False),
        ):
            found = trace(
                events.asgd(),
                law,
                num_workers=1,
                key=jax.random.key(0),
                num_events=jobs + 1,
            )
            np.testing.assert_allclose(found.time[-2], stop, rtol=1e-12)
            np.testing.assert_allclose(found.time[-1], stop + 100 + seconds, rtol=1e-12)


def test_a_stopped_clock_and_no_work():
    for law in (LAW, timing.periodic(GRID, POWERS, period=9.0)):
        assert (from_power(law, 0, [INF]) == INF).all()
        np.testing.assert_array_equal(from_power(law, 0, STARTS, 0), 0)


# ------------------------------------------------- what is built on it

DOWN = [
    [(0.0, 1.0), (2.0, 2.5), (6.0, 9.0)],
    [],
    [(3.0, INF)],
    [(1.0, 2.0), (2.0, 3.0)],
]
TIMES = np.array([0.75, 1.0, 0.5, 0.4])


@pytest.mark.parametrize("work", [1, 3])
@pytest.mark.parametrize("worker", range(4))
def test_outages_pause_the_work(worker, work):
    law = timing.outages(TIMES, DOWN)
    found = from_power(law, worker, STARTS, work)
    expected = [
        pause(DOWN[worker], start, work * TIMES[worker]) - start for start in STARTS
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    np.testing.assert_array_equal(law.lower_bound, 1 / (1 / TIMES))
    np.testing.assert_array_equal(
        law.mean, [*(1 / (1 / TIMES))[:2], INF, 1 / (1 / 0.4)]
    )


def test_powers_with_outages_are_zero_there():
    law = timing.power(GRID, POWERS, down=DOWN)
    for worker in range(4):
        power = piecewise(GRID, POWERS[worker])
        windows = DOWN[worker]

        def rate(t, power=power, windows=windows):
            return 0 if any(a <= t < b for a, b in windows) else power(t)

        starts = [0.0, 0.75, 2.25, 5.0, 8.0]
        expected = [finish(rate, start, 2) - start for start in starts]
        found = from_power(law, worker, starts, 2)
        np.testing.assert_allclose(found, expected, atol=2.0**-8)


def test_a_dead_worker_and_one_that_is_always_down():
    law = timing.outages([INF, 1.0], [[], [(0.0, INF)]])
    assert (law.lower_bound == INF).all() and (law.mean == INF).all()
    assert from_power(law, 0, [0.0]) == from_power(law, 1, [0.0]) == INF


def test_trends_follow_their_integral():
    c, p, until = np.array([0.5, 2.0, 1.0]), np.array([1.0, -0.5, 2.0]), 8.0
    law = timing.trend(c, exponent=p, until=until, steps=4000)
    for worker in range(3):
        starts = np.linspace(0, 5, 11)
        # V⁻¹(V(t) + w) with V = c t^(p+1) / (p+1).
        q = p[worker] + 1
        expected = (starts**q + 2 * q / c[worker]) ** (1 / q)
        inside = expected < until
        found = starts + from_power(law, worker, starts, 2)
        np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-5)
        late = from_power(law, worker, [100.0])
        np.testing.assert_allclose(late, 1 / (c[worker] * until ** p[worker]))
    np.testing.assert_allclose(law.mean, 1 / (c * until**p))
    growing = law.mean[[0, 2]]
    np.testing.assert_allclose(law.lower_bound[[0, 2]], growing)


def test_the_work_of_a_trend_is_exact_at_the_steps():
    law = timing.trend([3.0], exponent=1.0, until=2.0, steps=2)
    # 1.5 t² = 1.5 at 1, 6 at 2, then 6 per second.
    expected = [1.0, 2.0, 3.0, 4.0]
    found = [from_power(law, 0, [0.0], work)[0] for work in (1.5, 6, 12, 18)]
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("work", [1, 2, 5, 9])
def test_periodic_powers_repeat_for_ever(work):
    grid, powers, period = [0.0, 1.0, 1.5], [[2.0, 0.0, 0.5], [0.0, 1.0, 0.0]], 4.0
    law = timing.periodic(grid, powers, period=[period, 2.0])
    for worker, period in ((0, 4.0), (1, 2.0)):
        many = [k * period + t for k in range(60) for t in grid]
        rates = powers[worker] * 60
        starts = np.linspace(0, 11, 45)
        expected = [walk(many, rates, s, work) - s for s in starts]
        found = from_power(law, worker, starts, work)
        np.testing.assert_allclose(found, expected, rtol=1e-13)
        later = from_power(law, worker, starts + 2**20 * period, work)
        np.testing.assert_allclose(later, expected, rtol=1e-9)
    np.testing.assert_allclose(law.mean, [4 / 3.25, 2 / 0.5])
    np.testing.assert_array_equal(law.lower_bound, [0.5, 1.0])


@pytest.mark.parametrize("cycles", [1, 3, 7, 10, 90])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.7])
def test_whole_periods_of_work_end_when_the_power_goes(share, cycles):
    # 1/cycles of a gradient per period, all of it in the first part of each.
    law = timing.periodic([0.0, share], [[1 / cycles / share, 0.0]], period=1.0)
    for start in (share, 0.9, 5.75, 1000.95):
        found = start + from_power(law, 0, [start])[0]
        np.testing.assert_allclose(found, np.ceil(start) + cycles - 1 + share)


def test_a_period_without_power_never_ends():
    law = timing.periodic([0.0, 1.0], [[0.0, 0.0], [1.0, 0.0]], period=2.0)
    assert from_power(law, 0, [0.5]) == INF
    assert law.mean[0] == law.lower_bound[0] == INF
    assert from_power(law, 1, [INF]) == INF
    assert from_power(law, 1, [0.5], 0) == 0


# ------------------------------------------------- windows for any law


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("work", [1, 4])
@pytest.mark.parametrize("worker", range(4))
def test_windows_interrupt_jobs(worker, work, keep):
    law = timing.exponential(0.5 * TIMES, base=TIMES)
    absent = timing.availability(law, DOWN, keep=keep)
    found = from_power(absent, worker, STARTS, work)
    seconds = from_power(law, worker, STARTS, work)
    assert len(np.unique(seconds)) == 1
    reference = pause if keep else retry
    expected = [reference(DOWN[worker], start, seconds[0]) - start for start in STARTS]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("keep", [True, False])
def test_random_windows_interrupt_jobs(keep):
    down = timing.random_windows(3, up=2.0, down=[0.5, 3.0, 0.1], until=40.0, seed=1)
    law = timing.fixed([0.3, 1.7, 6.0])
    absent = timing.availability(law, down, keep=keep)
    reference = pause if keep else retry
    starts = np.linspace(0, 60, 241)
    for worker in range(3):
        windows = [w for w in down[worker].tolist() if w[0] < INF]
        seconds = float(law.mean[worker])
        expected = [reference(windows, s, seconds) - s for s in starts]
        found = from_power(absent, worker, starts)
        np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_kept_work_of_fixed_times_is_the_power_model():
    one = timing.outages(TIMES, DOWN)
    two = timing.availability(timing.fixed(TIMES), DOWN, keep=True)
    for worker in range(4):
        found = from_power(one, worker, STARTS, 3)
        np.testing.assert_allclose(
            found, from_power(two, worker, STARTS, 3), rtol=1e-12
        )


def test_lost_work_of_powers_starts_over_at_the_later_power():
    law = timing.power([0.0, 4.0], [[1.0, 2.0]])
    absent = timing.availability(law, [[(1.0, 5.0)]], keep=False)
    found = from_power(absent, 0, [0.0, 0.5, 2.0, 6.0], 2)
    np.testing.assert_array_equal(found, [6.0, 5.5, 4.0, 1.0])


@pytest.mark.parametrize("keep", [True, False])
def test_means_bounds_and_cdf_of_windows(keep):
    law = timing.exponential([1.0, 1.0, 1.0])
    down = [[(0.0, INF)], [(5.0, INF)], [(1.0, 2.0)]]
    absent = timing.availability(law, down, keep=keep)
    np.testing.assert_array_equal(absent.lower_bound, [INF, 0, 0])
    np.testing.assert_array_equal(absent.mean, [INF, INF, 1])
    assert absent.cdf is None
    assert (from_power(absent, 0, [0.0, 1.0]) == INF).all()
    assert (
        timing.availability(dataclasses.replace(law, mean=None), down, keep=keep).mean
        is None
    )


@pytest.mark.parametrize("keep", [True, False])
def test_without_windows_nothing_changes(keep):
    law = timing.exponential([1.0, INF])
    absent = timing.availability(law, [[], []], keep=keep)
    for worker in (0, 1):
        np.testing.assert_array_equal(
            from_power(absent, worker, STARTS), from_power(law, worker, STARTS)
        )
    assert (from_power(absent, 0, [INF]) >= 0).all()


def test_random_windows_alternate_with_the_stated_means():
    n, until = 40, 500.0
    down = timing.random_windows(n, up=3.0, down=1.5, until=until, seed=4)
    start, end = down[:, :, 0], down[:, :, 1]
    assert down.shape[1] & (down.shape[1] - 1) == 0
    real = np.isfinite(start)
    assert (start[real] < until).all() and (np.diff(real.astype(int)) <= 0).all()
    before = np.hstack([np.zeros((n, 1)), end[:, :-1]])
    for seconds, mean in [((start - np.where(real, before, 0))[real], 3.0)] + [
        ((end[real] - start[real]), 1.5)
    ]:
        assert abs(seconds.mean() - mean) < 4.5 * mean / np.sqrt(seconds.size)
    # A worker's windows do not depend on who else there is.
    few = timing.random_windows(2, up=3.0, down=1.5, until=until, seed=4)
    width = few.shape[1]
    np.testing.assert_array_equal(few, down[:2, :width])
    other = timing.random_windows(2, up=3.0, down=1.5, until=until, seed=5)
    assert not np.isin(other[np.isfinite(other)], few).any()


def test_random_windows_at_the_extremes():
    down = timing.random_windows(3, up=[INF, 1, 1], down=[1, INF, 0], until=9, seed=0)
    assert np.isinf(down[0]).all() and np.isinf(down[2]).all()
    assert np.isfinite(down[1, 0, 0]) and down[1, 0, 1] == INF


def test_death_is_a_window_without_end():
    law = timing.exponential([1.0] * 4, base=1.0)
    deaths = np.array([0.0, 3.0, 6.5, INF])
    dying = timing.dies(law, deaths)
    down = [[(t, INF)] if t < INF else [] for t in deaths]
    np.testing.assert_array_equal(dying.lower_bound, [INF, 1, 1, 1])
    np.testing.assert_array_equal(dying.mean, [INF, INF, INF, 2])
    assert dying.cdf is None
    for keep in (True, False):
        absent = timing.availability(law, down, keep=keep)
        np.testing.assert_array_equal(dying.lower_bound, absent.lower_bound)
        np.testing.assert_array_equal(dying.mean, absent.mean)
        for worker in range(4):
            np.testing.assert_array_equal(
                from_power(dying, worker, STARTS), from_power(absent, worker, STARTS)
            )


# ------------------------------------------------- on the clock


def test_schedules_run_on_changing_clusters():
    law = timing.power([0.0, 2.0, 5.0], [[1.0, 0.0, 2.0], [0.5, 0.5, 0.0]])
    found = trace(
        events.asgd(), law, num_workers=2, key=jax.random.key(0), num_events=6
    )
    # Worker 0 at 1, 2, pauses to 5, then every half second; worker 1 at 2 and 4.
    np.testing.assert_allclose(found.time, [1, 2, 2, 4, 5.5, 6], rtol=1e-14)
    np.testing.assert_array_equal(found.worker, [0, 0, 1, 1, 0, 0])


def test_a_cluster_that_dies_out_ends():
    law = timing.dies(timing.half_normal([1.0, 1.0], scale=1.0), [3.0, 5.0])
    found = trace(
        events.asgd(), law, num_workers=2, key=jax.random.key(0), num_events=20
    )
    happened = np.isfinite(found.time)
    assert (found.time[happened] <= 5).all() and not happened[-1]
    assert (found.time[happened & (found.worker == 0)] <= 3).all()
    np.testing.assert_array_equal(found.accepted, happened)


def test_draws_of_a_law_survive_its_windows():
    law = timing.exponential([1.0, 2.0])
    absent = timing.availability(law, [[(50.0, 60.0)], []], keep=False)
    key = jax.random.key(0)
    for worker in (0, 1):
        for job in range(5):
            job_key = keys.of_job(key, worker, job)
            one = sample(law, job_key, worker, job, 0.0, 1)
            assert sample(absent, job_key, worker, job, 0.0, 1) == one


MAKERS = {
    "power": lambda x: timing.power([0.0, x], [[x, 0.0], [1.0, x]]),
    "outages": lambda x: timing.outages([x, 1.0], [[(x, 2 * x)], []]),
    "trend": lambda x: timing.trend([x, 1.0], exponent=0.5 * x, until=x, steps=9),
    "periodic": lambda x: timing.periodic([0.0, 1.0], [[x, 0], [1, x]], period=2 * x),
    "kept": lambda x: timing.availability(
        timing.exponential([x, x]), [[(x, 2 * x)], [(0, x)]], keep=True
    ),
    "lost": lambda x: timing.availability(
        timing.exponential([x, x]), [[(x, 2 * x)], [(0, x)]], keep=False
    ),
    "dies": lambda x: timing.dies(timing.exponential([x, x]), [x, INF]),
}


@pytest.mark.parametrize("name", MAKERS)
def test_other_numbers_share_one_program_of_64_bits(name):
    traces = []

    @jax.jit
    def program(law):
        traces.append(law)
        return law.sample(jax.random.key(0), 0, 0, 0.5, 1)

    first, second = MAKERS[name](1.5), MAKERS[name](3.5)
    assert program(first).dtype == program(second).dtype == np.float64
    assert len(traces) == 1
    for leaf in jax.tree.leaves(first):
        assert isinstance(leaf, np.ndarray)


# ------------------------------------------------- mistakes

TWO = timing.fixed([1.0, 2.0])


def windows(down):
    return timing.availability(TWO, down, keep=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: timing.power([0.0], [1.0]), r"shape \[n, T\].* got shape \[1\]"),
        (lambda: timing.power([0.0, 1.0], [[1.0]]), r"grid must have shape \[1\]"),
        (lambda: timing.power([1.0], [[1.0]]), "grid must begin with 0"),
        (lambda: timing.power([0.0, 0.0], [[1.0, 1.0]]), "grow from point to point"),
        (lambda: timing.power([0.0, INF], [[1.0, 1.0]]), "all finite"),
        (lambda: timing.power([0.0], [[-1.0]]), "powers must be finite and not neg"),
        (lambda: timing.power([0.0], [[INF]]), "give 0 for an outage"),
        (lambda: timing.power([0.0], [[float("nan")]]), "powers must be finite"),
        (lambda: timing.outages([0.0], [[]]), "times must be positive, but entry 0"),
        (lambda: timing.trend([1.0], exponent=-1, until=1), "exponent .* above -1"),
        (lambda: timing.trend([1.0], exponent=[1, 2], until=1), "have 1 entries"),
        (lambda: timing.trend([INF], exponent=1, until=1), "coefficient must be fin"),
        (lambda: timing.trend([1.0], exponent=1, until=0), "until must be positive"),
        (lambda: timing.trend([1.0], exponent=1, until=1, steps=0), "steps must be"),
        (
            lambda: timing.periodic([0.0, 2.0], [[1.0, 0.0]], period=2),
            "period must end after the last point of the grid, but entry 0 is 2.0",
        ),
        (lambda: windows([[]]), "for each of the 2 workers"),
        (lambda: windows(3), "for each of the 2 workers"),
        (lambda: windows([(1.0, 2.0), (3.0, 4.0)]), "windows as pairs"),
        (lambda: windows([[(1.0, 2.0, 3.0)], []]), "pairs"),
        (
            lambda: windows([[], [(3.0, 4.0), (2.0, 2.5)]]),
            r"without overlap, but window 1 of worker 1 is \(2.0, 2.5\)",
        ),
        (lambda: windows([[(2.0, 2.0)], []]), "window 0 of worker 0"),
        (lambda: windows([[(-1.0, 2.0)], []]), "0 <= start < end"),
        (lambda: windows([[(float("nan"), 2.0)], []]), "0 <= start < end"),
        (lambda: windows([[(INF, INF), (1.0, 2.0)], []]), "window 1 of worker 0"),
        (
            lambda: timing.random_windows(2, up=0, down=1, until=1, seed=0),
            "up must be positive",
        ),
        (
            lambda: timing.random_windows(2, up=1, down=-1, until=1, seed=0),
            "down must not be negative",
        ),
        (
            lambda: timing.random_windows(2, up=1, down=1, until=INF, seed=0),
            "until must be positive and finite",
        ),
        (lambda: timing.dies(TWO, [1.0]), "times has 1 entries for 2 workers"),
        (lambda: timing.dies(TWO, [1.0, -1.0]), "times must not be negative"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)
