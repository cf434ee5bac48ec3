"""`run` and `sweep`: columns, counters, keys, programs, errors, and the reductions."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

import fedjax_opt as fo
from fedjax_opt.simulate import numbers
from fedjax_opt.simulate.trace import _advance

N, DIM = 5, 6
TIMES = np.array([1.0, 1.7, 2.9, 5.3, 11.1])
CLUSTER = fo.timing.fixed(TIMES)
NOISY = fo.problems.tridiagonal(DIM, noise="coordinates", noise_level=0.05)
EXACT = fo.problems.tridiagonal(DIM, noise="none")
go = functools.partial(fo.run, num_workers=N, compute_time=CLUSTER)

RECIPES = {
    "minibatch_sgd": (fo.methods.minibatch_sgd, {}, {}),
    "hero_sgd": (fo.methods.hero_sgd, {}, {}),
    "asgd": (fo.methods.asgd, {}, {}),
    "delay_adaptive_asgd": (fo.methods.delay_adaptive_asgd, {}, {}),
    "rennala_sgd": (fo.methods.rennala_sgd, {"batch_size": 4}, {"batch_size": 7}),
    "ringmaster_asgd": (
        fo.methods.ringmaster_asgd,
        {"delay_threshold": 3},
        {"delay_threshold": 4},
    ),
    "ringmaster_lmo": (
        functools.partial(fo.methods.ringmaster_lmo, geometry=fo.geometry.l2()),
        {"delay_threshold": 3, "momentum": 0.9},
        {"delay_threshold": 2, "momentum": 0.5},
    ),
    "rennala_mvr": (
        fo.methods.rennala_mvr,
        {"batch_size": 3, "momentum": 0.9},
        {"batch_size": 5, "momentum": 0.5},
    ),
    "ef21_gd": (
        lambda step_size: fo.methods.ef21_gd(
            step_size=step_size, compressor=fo.compressors.top_k(2)
        ),
        {},
        {},
    ),
    "diana_gd": (
        lambda step_size: fo.methods.diana_gd(
            step_size=step_size, compressor=fo.compressors.rand_k(2)
        ),
        {},
        {},
    ),
    "ef21_muon": (
        lambda **numbers: fo.methods.ef21_muon(
            compressor=fo.compressors.top_k(2), geometry=fo.geometry.l2(), **numbers
        ),
        {"momentum": 0.9},
        {"momentum": 0.5},
    ),
}


def losses(method, problem=EXACT, *, key=0, num_updates=12, **options):
    return go(
        method,
        problem,
        key=jax.random.key(key),
        num_updates=num_updates,
        **options,
    ).loss


# ------------------------------------------------------------------ the record


def test_a_trace_has_its_columns_and_rows():
    trace = go(
        fo.methods.asgd(step_size=0.1),
        NOISY,
        key=jax.random.key(0),
        num_updates=10,
        record_every=4,
    )
    assert list(trace.columns)[:10] == [
        "update",
        "time",
        "worker_seconds",
        "gradients_computed",
        "gradients_used",
        "bits_up",
        "bits_down",
        "loss",
        "grad_norm_sq",
        "distance_sq",
    ]
    np.testing.assert_array_equal(trace.update, [0, 4, 8])
    arrivals = np.sort(np.concatenate([np.arange(1, 20) * t for t in TIMES]))
    np.testing.assert_allclose(trace.time, [0, arrivals[3], arrivals[7]])
    np.testing.assert_allclose(trace.worker_seconds, N * trace.time)
    np.testing.assert_array_equal(trace.gradients_used, [0, 4, 8])
    np.testing.assert_array_equal(trace.bits_up, np.array([0, 4, 8]) * DIM * 64)
    np.testing.assert_array_equal(trace.bits_down, np.array([0, 4, 8]) * DIM * 64)
    x0 = np.asarray(NOISY.init)
    assert trace.loss[0] == pytest.approx((DIM + np.sqrt(DIM)) / 4)
    assert trace.distance_sq[0] == pytest.approx(
        np.sum((x0 - NOISY.constants["x_star"]) ** 2)
    )
    table = trace.to_pandas()
    assert list(table) == list(trace.columns) and len(table) == 3


def test_final_params_are_those_of_the_last_update_not_of_the_last_row():
    method = fo.methods.asgd(step_size=0.1)
    short = go(method, NOISY, key=jax.random.key(0), num_updates=10, record_every=4)
    full = go(method, NOISY, key=jax.random.key(0), num_updates=10, record_every=10)
    np.testing.assert_allclose(short.params, full.params, rtol=1e-12)
    assert full.loss[-1] == pytest.approx(float(NOISY.loss(NOISY.data, short.params)))


def test_until_is_inclusive_and_an_early_end_is_padded():
    method = fo.methods.hero_sgd(step_size=0.1)
    trace = go(method, EXACT, key=jax.random.key(0), until=4.0)
    np.testing.assert_array_equal(trace.time, [0, 1, 2, 3, 4])
    trace = go(method, EXACT, key=jax.random.key(0), until=4.0, num_updates=6)
    np.testing.assert_array_equal(trace.time, [0, 1, 2, 3, 4, np.nan, np.nan])
    assert np.isnan(trace.loss[5:]).all() and np.isfinite(trace.loss[:5]).all()
    assert not trace.diverged


def test_save_and_plot(tmp_path):
    import pandas as pd

    trace = go(
        fo.methods.asgd(step_size=0.1), EXACT, key=jax.random.key(0), num_updates=3
    )
    for name in ("trace.csv", "trace.parquet"):
        path = trace.save(tmp_path / name)
        read = {".csv": pd.read_csv, ".parquet": pd.read_parquet}[path.suffix](path)
        np.testing.assert_allclose(read["loss"], trace.loss)
    with pytest.raises(ValueError, match=r"\.csv or \.parquet"):
        trace.save(tmp_path / "trace.xlsx")
    axes = trace.plot(x="bits_up")
    assert axes.get_xlabel() == "bits, workers to server"
    with pytest.raises(AttributeError, match="no column 'speed'"):
        _ = trace.speed


# ------------------------------------------------------------------ the accounts


def test_ignored_gradients_are_counted_but_not_used():
    method = fo.methods.ringmaster_asgd(step_size=0.1, delay_threshold=2)
    trace = go(method, EXACT, key=jax.random.key(0), num_updates=30)
    events = fo.simulate.trace(
        fo.events.ringmaster(delay_threshold=2),
        CLUSTER,
        num_workers=N,
        key=jax.random.key(0),
        num_events=200,
    )
    last = np.flatnonzero(events.accepted)[29]
    assert trace.gradients_used[-1] == 30
    assert trace.gradients_computed[-1] == last + 1 > 30
    assert trace.bits_up[-1] == (last + 1) * DIM * 64


def test_pairs_cost_two_gradients():
    method = fo.methods.rennala_mvr(step_size=0.1, batch_size=3, first_batch_size=4)
    trace = go(method, NOISY, key=jax.random.key(0), num_updates=5)
    np.testing.assert_array_equal(trace.gradients_used, [0, 4, 10, 16, 22, 28])


def test_bits_of_messages_and_broadcasts():
    method, _, _ = RECIPES["ef21_gd"]
    trace = go(method(step_size=0.1), EXACT, key=jax.random.key(0), num_updates=4)
    message = 2 * (64 + 8)  # two float64 values, two indices of one byte
    np.testing.assert_array_equal(trace.bits_up, np.arange(5) * N * message)
    np.testing.assert_array_equal(trace.bits_down, np.arange(5) * DIM * 64)
    np.testing.assert_allclose(trace.time, np.arange(5) * TIMES.max())
    np.testing.assert_allclose(trace.worker_seconds, np.arange(5) * TIMES.sum())


def test_restarts_at_one_instant_are_one_broadcast():
    method = fo.methods.rennala_sgd(step_size=0.1, batch_size=4, stop=True)
    trace = go(method, EXACT, key=jax.random.key(0), num_updates=6)
    np.testing.assert_array_equal(trace.bits_down, np.arange(7) * DIM * 64)


def test_a_link_takes_time():
    link = fo.timing.linear(
        up_latency=0.5, up_bandwidth=DIM * 64, down_bandwidth=2 * DIM * 64
    )
    trace = go(
        fo.methods.minibatch_sgd(step_size=0.1),
        EXACT,
        key=jax.random.key(0),
        num_updates=3,
        link=link,
    )
    np.testing.assert_allclose(trace.time, np.arange(4) * (0.5 + 1 + 0.5 + 11.1))


# ------------------------------------------------------------------ keys, programs


@pytest.mark.parametrize("name", RECIPES)
def test_other_numbers_need_no_other_program(name):
    make, numbers_a, numbers_b = RECIPES[name]

    def once(step_size, parameters, times, key):
        return fo.run(
            make(step_size=step_size, **parameters),
            NOISY,
            num_workers=N,
            key=jax.random.key(key),
            compute_time=fo.timing.fixed(times),
            num_updates=20,
        )

    first = once(0.1, numbers_a, TIMES, 0)
    programs = numbers.advance._cache_size(), _advance._cache_size()
    other = once(0.2, numbers_b, 1.001 * TIMES, 1)
    assert (numbers.advance._cache_size(), _advance._cache_size()) == programs
    assert not np.array_equal(first.loss, other.loss)
    again = once(0.1, numbers_a, TIMES, 0)
    for column in first.columns:
        np.testing.assert_array_equal(first.columns[column], again.columns[column])
    np.testing.assert_array_equal(first.params, again.params)


def test_other_horizons_need_no_other_program():
    times = fo.timing.exponential(np.ones(N), base=TIMES)
    method = fo.methods.ringmaster_asgd(step_size=0.1, delay_threshold=8)

    def rows(key, **horizon):
        options = dict(num_workers=N, compute_time=times, **horizon)
        return len(fo.run(method, NOISY, key=jax.random.key(key), **options).time)

    rows(0, until=20.0)
    programs = numbers.advance._cache_size(), _advance._cache_size()
    assert len({rows(1, until=20.0), rows(2, until=18.0), rows(3, until=22.0)}) == 3
    assert rows(4, num_updates=30) == 31
    assert (numbers.advance._cache_size(), _advance._cache_size()) == programs


def test_other_keys_and_workers_draw_differently():
    # Two workers of equal speed deliver in turn; with equal noise the two first
    # gradients, both at x⁰, would be equal.
    def gradients(key):
        trace = fo.run(
            fo.methods.asgd(step_size=1.0),
            NOISY._replace(metrics={f"x{i}": _coordinates[i] for i in range(DIM)}),
            num_workers=2,
            key=jax.random.key(key),
            num_updates=2,
        )
        x = np.stack([trace.columns[f"x{i}"] for i in range(DIM)], axis=-1)
        return x[0] - x[1], x[1] - x[2]

    first, second = gradients(0)
    other, _ = gradients(1)
    assert np.abs(first - second).min() > 1e-6
    assert np.abs(first - other).min() > 1e-6


_coordinates = [functools.partial(lambda i, data, x: x[i], i) for i in range(DIM)]


class Counter:
    """A problem that counts how often a gradient is really evaluated."""

    def __init__(self):
        self.calls = 0

    def problem(self):
        def grad(data, params, worker, sample):
            jax.debug.callback(self.count, worker)
            return EXACT.grad(data, params, worker, None)

        return EXACT._replace(grad=grad)

    def count(self, worker):
        self.calls += 1


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (fo.methods.asgd(step_size=0.1), 20),
        (fo.methods.ringmaster_asgd(step_size=0.1, delay_threshold=2), 20),
        (fo.methods.rennala_sgd(step_size=0.1, batch_size=3), 60),
        (fo.methods.rennala_sgd(step_size=0.1, batch_size=37, stop=True), 740),
        (fo.methods.minibatch_sgd(step_size=0.1), 20 * N),
        (fo.methods.rennala_mvr(step_size=0.1, batch_size=3), 3 + 19 * 6),
        (fo.methods.ef21_gd(step_size=0.1, compressor=fo.compressors.top_k(1)), 20 * N),
    ],
    ids=lambda value: getattr(value, "label", ""),
)
def test_gradients_that_are_not_used_are_not_evaluated(method, expected):
    counter = Counter()
    trace = go(method, counter.problem(), key=jax.random.key(0), num_updates=20)
    jax.effects_barrier()
    assert counter.calls == expected == trace.gradients_used[-1]


@pytest.mark.filterwarnings("ignore:the best setting")
def test_nor_are_they_inside_a_sweep():
    counter = Counter()
    result = fo.sweep(
        fo.methods.rennala_sgd,
        counter.problem(),
        grid={"step_size": [0.1, 0.2, 0.3], "batch_size": [1, 3, 37]},
        seeds=[0, 1],
        num_workers=N,
        compute_time=CLUSTER,
        until=60.0,
    )
    jax.effects_barrier()
    # Gradients of batches that are not full at the horizon are accepted, never used.
    full = result.columns["update"][..., -1] * np.array([1, 3, 37])[:, None]
    assert counter.calls == full.sum()


# ------------------------------------------------------------------ sweeps


@pytest.mark.filterwarnings("ignore:the best setting")
def test_a_run_in_a_sweep_is_the_run_alone():
    result = fo.sweep(
        fo.methods.ringmaster_asgd,
        NOISY,
        grid={"step_size": [0.05, 0.1, 0.2], "delay_threshold": [1, 3, 50]},
        seeds=[3, 4],
        num_workers=N,
        compute_time=CLUSTER,
        num_updates=40,
        keep_params=True,
    )
    assert result.axes == ("step_size", "delay_threshold", "seed", "row")
    assert result.columns["loss"].shape == (3, 3, 2, 41)
    for i, j, s in [(0, 2, 0), (1, 1, 1), (2, 0, 1)]:
        alone = go(
            fo.methods.ringmaster_asgd(
                step_size=result.grid["step_size"][i].item(),
                delay_threshold=result.grid["delay_threshold"][j].item(),
            ),
            NOISY,
            key=jax.random.key(int(result.seeds[s])),
            num_updates=40,
        )
        np.testing.assert_allclose(
            result.params[i, j, s], alone.params, rtol=1e-10, atol=1e-12
        )
        for name, column in alone.columns.items():
            np.testing.assert_allclose(
                result.columns[name][i, j, s], column, rtol=1e-10, atol=1e-12
            )


@pytest.mark.filterwarnings("ignore:the best setting")
def test_runs_side_by_side_equal_runs_one_after_the_other(monkeypatch):
    method = functools.partial(fo.methods.rennala_mvr, batch_size=18)
    options = dict(
        grid={"step_size": [0.05, 0.1], "momentum": [0.0, 0.5]},
        seeds=[0, 1],
        num_workers=N,
        compute_time=CLUSTER,
        num_updates=5,
    )
    one_by_one = fo.sweep(method, NOISY, **options)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    together = fo.sweep(method, NOISY, **options)
    np.testing.assert_allclose(
        together.columns["loss"], one_by_one.columns["loss"], rtol=1e-10
    )


def test_a_sweep_in_seconds_shares_one_time_grid():
    times = fo.timing.exponential(np.ones(N), base=TIMES)
    options = dict(num_workers=N, compute_time=times, until=30.0)
    result = fo.sweep(
        fo.methods.asgd,
        NOISY,
        grid={"step_size": [0.01, 0.1, 1.0]},
        seeds=[0, 1, 2],
        num_rows=31,
        **options,
    )
    np.testing.assert_array_equal(
        result.columns["time"], np.broadcast_to(np.arange(31.0), (3, 3, 31))
    )
    alone = fo.run(
        fo.methods.asgd(step_size=0.1), NOISY, key=jax.random.key(1), **options
    )
    at = np.searchsorted(alone.time, np.arange(31.0), side="right") - 1
    for name in ("update", "loss", "gradients_used", "bits_up"):
        np.testing.assert_allclose(result.columns[name][1, 1], alone.columns[name][at])
    assert result.best == {"step_size": 0.1} and result.at_edge == ()
    assert len(result.to_pandas()) == 3 * 3 * 31


def test_a_diverging_run_is_marked_and_the_others_are_not_touched():
    with pytest.warns(UserWarning, match="lies on the edge of the grid in step_size"):
        result = fo.sweep(
            fo.methods.asgd,
            EXACT,
            grid={"step_size": [0.01, 0.1, 1e30]},
            seeds=[0],
            metric=lambda columns: columns["grad_norm_sq"][..., -1] * 0 + 1.0,
            num_workers=N,
            compute_time=CLUSTER,
            num_updates=50,
        )
    np.testing.assert_array_equal(result.diverged, [[False], [False], [True]])
    assert result.score[2] == np.inf and np.isfinite(result.score[:2]).all()
    alone = losses(fo.methods.asgd(step_size=0.1), num_updates=50)
    np.testing.assert_allclose(result.columns["loss"][1, 0], alone, rtol=1e-10)


# ------------------------------------------------------------------ reductions


def test_one_worker_makes_every_method_sgd():
    def gradient_descent():
        x, out = NOISY.init, []
        for _ in range(13):
            out.append(float(NOISY.loss(NOISY.data, x)))
            x = x - 0.3 * jax.grad(lambda y: NOISY.loss(NOISY.data, y))(x)
        return out

    alone = functools.partial(
        fo.run, problem=EXACT, num_workers=1, key=jax.random.key(0), num_updates=12
    )
    m = fo.methods
    for method in (
        m.minibatch_sgd(step_size=0.3),
        m.hero_sgd(step_size=0.3),
        m.asgd(step_size=0.3),
        m.delay_adaptive_asgd(step_size=0.3),
        m.rennala_sgd(step_size=0.3, batch_size=1),
        m.ringmaster_asgd(step_size=0.3, delay_threshold=1),
        m.rennala_mvr(step_size=0.3, batch_size=1, momentum=0.6),
        m.ef21_gd(step_size=0.3, compressor=fo.compressors.identity()),
        m.diana_gd(step_size=0.3, compressor=fo.compressors.identity()),
    ):
        np.testing.assert_allclose(
            alone(method).loss, gradient_descent(), rtol=1e-10, err_msg=method.label
        )


def test_without_noise_rennala_and_minibatch_are_gradient_descent():
    expected = losses(fo.methods.minibatch_sgd(step_size=0.3))
    for size in (1, 4, 20):
        for stop in (False, True):
            method = fo.methods.rennala_sgd(step_size=0.3, batch_size=size, stop=stop)
            np.testing.assert_allclose(losses(method), expected, rtol=1e-10)


def test_ringmaster_without_threshold_is_asgd_bit_for_bit():
    asgd = losses(fo.methods.asgd(step_size=0.1), NOISY, num_updates=60)
    for stop in (False, True):
        method = fo.methods.ringmaster_asgd(
            step_size=0.1, delay_threshold=np.inf, stop=stop
        )
        np.testing.assert_array_equal(losses(method, NOISY, num_updates=60), asgd)


def test_thresholds_of_one_leave_the_hero():
    hero = losses(fo.methods.hero_sgd(step_size=0.1), NOISY)
    for method in (
        fo.methods.ringmaster_asgd(step_size=0.1, delay_threshold=1),
        fo.methods.rennala_sgd(step_size=0.1, batch_size=1),
    ):
        np.testing.assert_array_equal(losses(method, NOISY), hero)


def test_mvr_without_memory_is_rennala():
    """A pair takes twice as long: with half the seconds the same jobs meet."""
    options = {"step_size": 0.1, "batch_size": 4, "stop": True}
    mvr = fo.methods.rennala_mvr(momentum=0.0, **options)
    rennala = fo.methods.rennala_sgd(**options)
    seconds = np.array([1.0, 1.6, 2.3, 3.1, 4.2])
    np.testing.assert_allclose(
        losses(mvr, NOISY, compute_time=fo.timing.fixed(seconds / 2)),
        losses(rennala, NOISY, compute_time=fo.timing.fixed(seconds)),
        rtol=1e-10,
    )


def test_delay_adaptive_with_short_delays_is_asgd():
    equal = dict(compute_time=fo.timing.fixed(np.ones(N)))
    np.testing.assert_allclose(
        losses(fo.methods.delay_adaptive_asgd(step_size=0.1), NOISY, **equal),
        losses(fo.methods.asgd(step_size=0.1), NOISY, **equal),
        rtol=1e-12,
    )


def test_euclidean_lmo_without_memory_is_normalised_ringmaster():
    lmo = fo.methods.ringmaster_lmo(
        step_size=0.1, delay_threshold=3, momentum=0.0, geometry=fo.geometry.l2()
    )
    normalised = fo.Method(
        schedule=fo.events.ringmaster(delay_threshold=3),
        estimator=Partial(fo.estimators.sgd),
        optimizer=Partial(_normalised_sgd, 0.1),
    )
    np.testing.assert_allclose(
        losses(lmo, NOISY), losses(normalised, NOISY), rtol=1e-10
    )


def _normalised_sgd(step_size):
    unit = optax.stateless(lambda g, _: g / jnp.linalg.norm(g))
    return optax.chain(unit, optax.sgd(step_size))


def test_a_dead_worker_changes_nothing_for_batch_collectors():
    more = dict(num_workers=N + 1, compute_time=fo.timing.fixed([*TIMES, np.inf]))
    for method in (
        fo.methods.rennala_sgd(step_size=0.1, batch_size=4),
        fo.methods.ringmaster_asgd(step_size=0.1, delay_threshold=3),
    ):
        np.testing.assert_array_equal(
            losses(method, NOISY), losses(method, NOISY, **more)
        )


# ------------------------------------------------------------------ errors, dtypes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_workers": 4}, "compute_time describes 5 workers"),
        ({"num_updates": None}, "num_updates= or until="),
        ({"record_every": 0}, "at least 1"),
        ({"key": jnp.zeros(2, jnp.uint32)}, "typed key"),
        ({"compute_time": fo.timing.fixed([np.inf] * N)}, "never make a step: 5 of 5"),
    ],
)
def test_what_cannot_run_is_refused(change, message):
    options = dict(
        num_workers=N, key=jax.random.key(0), compute_time=CLUSTER, num_updates=3
    )
    with pytest.raises(ValueError, match=message):
        fo.run(fo.methods.asgd(step_size=0.1), EXACT, **(options | change))


def test_minibatch_with_a_dead_worker_is_refused():
    with pytest.raises(ValueError, match=r"minibatch_sgd can never make a step.*\(wor"):
        go(
            fo.methods.minibatch_sgd(step_size=0.1),
            EXACT,
            key=jax.random.key(0),
            compute_time=fo.timing.dead(CLUSTER, [2]),
            num_updates=3,
        )


def test_a_split_problem_wants_its_workers():
    problem = fo.problems.quadratics(
        np.stack([np.eye(2)] * 3), np.ones((3, 2)), noise_level=0.0
    )
    with pytest.raises(ValueError, match="split between 3 workers"):
        go(fo.methods.asgd(step_size=0.1), problem, key=jax.random.key(0), until=1.0)


def test_run_inside_jit_is_refused():
    @jax.jit
    def inside(step_size):
        method = fo.methods.asgd(step_size=step_size)
        return go(method, EXACT, key=jax.random.key(0), num_updates=2).params

    with pytest.raises(ValueError, match="outermost"):
        inside(0.1)


def test_a_grid_may_not_change_structure():
    with pytest.raises(ValueError, match="numbers only"):
        fo.sweep(
            lambda stop: fo.methods.ringmaster_asgd(
                step_size=0.1, delay_threshold=2, stop=bool(stop)
            ),
            EXACT,
            grid={"stop": [0, 1]},
            seeds=[0],
            num_workers=N,
            num_updates=2,
        )


def test_float32_parameters_stay_float32_and_the_clock_stays_exact():
    with jax.enable_x64(False):
        problem = fo.problems.tridiagonal(DIM, noise="coordinates", noise_level=0.05)
        trace = fo.run(
            fo.methods.rennala_mvr(step_size=0.1, batch_size=3),
            problem,
            num_workers=N,
            key=jax.random.key(0),
            compute_time=fo.timing.fixed(TIMES * np.pi),
            num_updates=30,
        )
    assert trace.params.dtype == np.float32
    wide = go(
        fo.methods.rennala_mvr(step_size=0.1, batch_size=3),
        NOISY,
        key=jax.random.key(0),
        compute_time=fo.timing.fixed(TIMES * np.pi),
        num_updates=30,
    )
    np.testing.assert_array_equal(trace.time, wide.time)


def test_a_sweep_without_a_finite_score_says_so():
    with pytest.warns(UserWarning, match="no setting of asgd has a finite score"):
        result = fo.sweep(
            fo.methods.asgd,
            EXACT,
            grid={"step_size": [1e30, 1e31, 1e32]},
            seeds=[0],
            num_workers=N,
            compute_time=CLUSTER,
            num_updates=50,
        )
    assert result.at_edge == ()


def test_parts_that_do_not_fit_are_refused():
    ef21 = fo.methods.ef21_gd(step_size=0.1, compressor=fo.compressors.top_k(2))
    mixed = dataclasses.replace(ef21, accumulator=Partial(fo.estimators.latest))
    with pytest.raises(ValueError, match="in rounds and takes no accumulator"):
        go(mixed, EXACT, key=jax.random.key(0), num_updates=2)
    few = Partial(fo.simulate.uniform_participation, 2)
    marina = fo.methods.marina_gd(
        step_size=0.1, compressor=fo.compressors.rand_k(2), probability=0.5
    )
    with pytest.raises(ValueError, match="marina_gd has .* everybody has to come"):
        go(
            dataclasses.replace(marina, participation=few),
            EXACT,
            key=jax.random.key(0),
            num_updates=2,
        )
    median = Partial(fo.aggregators.coordinate_median)
    with pytest.raises(ValueError, match="ef21_gd has .* linear in the messages"):
        go(
            dataclasses.replace(ef21, aggregator=median),
            EXACT,
            key=jax.random.key(0),
            num_updates=2,
        )
    table = fo.methods.ia2sgd(step_size=0.1)
    pairs = dataclasses.replace(table, estimator=Partial(fo.estimators.mvr, 0.9))
    with pytest.raises(ValueError, match="takes single gradients"):
        go(pairs, EXACT, key=jax.random.key(0), num_updates=2)
