"""Sweeps on a local Ray cluster of two workers, of which one is killed midway."""

import concurrent.futures
import functools
import os
import pathlib
import secrets
import signal
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import io_callback

import fedjax_opt as fo
from fedjax_opt.experiment.ray_cluster import _by_clock, _capacity, _connect

ray = pytest.importorskip("ray")

PATIENCE = 60  # seconds, after which a test has failed
N, DIM, UPDATES = 5, 6, 20
TIMES = np.array([1.0, 1.7, 2.9, 5.3, 11.1]) / 3
NOISY = fo.problems.tridiagonal(DIM, noise="coordinates", noise_level=0.05)
asgd_sweep = functools.partial(
    fo.sweep,
    fo.methods.asgd,
    grid={"step_size": [0.1, 0.05]},
    seeds=[0, 1],
    num_workers=N,
    compute_time=fo.timing.fixed(TIMES),
    num_updates=UPDATES,
)


@pytest.fixture(scope="module")
def two_workers():
    """A cluster; started here because it ends with the thread that starts it."""
    small = functools.partial(
        ray.init,
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=100 * 2**20,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "init", small)
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex())  # else Ray writes a file
        _connect(ray)
        yield
        ray.shutdown()


def started(function, *args, **options) -> concurrent.futures.Future:
    """Begins in a daemon thread: Ray waits without a limit, the test must not."""
    future = concurrent.futures.Future()

    def work():
        try:
            future.set_result(function(*args, **options))
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future


def on_ray(function, *args, **options):
    return started(function, *args, cluster="ray", **options).result(PATIENCE)


def assert_same_sweep(first, second, rtol=1e-10):
    for name, column in second.columns.items():
        np.testing.assert_allclose(
            first.columns[name], column, rtol=rtol, atol=1e-10, err_msg=name
        )
    np.testing.assert_array_equal(first.columns["time"], second.columns["time"])


# ------------------------------------------------------------------ the same numbers


def test_a_sweep_of_anybodys_loss_is_the_same_on_ray(two_workers):
    features = np.random.default_rng(0).normal(size=(20, DIM))
    problem = fo.problems.from_loss(
        lambda params, batch: jnp.mean((batch @ params - 1) ** 2),
        features,
        N,
        init=jnp.zeros(DIM),
        samples_per_gradient=2,
        metrics={"largest": lambda params, rows: jnp.max(params)},
    )
    recipe = functools.partial(
        fo.methods.ef21_gd,
        compressor=fo.compressors.wrap.scaled(fo.compressors.rand_k(2)),
    )
    sweep = functools.partial(
        fo.sweep,
        recipe,
        problem,
        grid={"step_size": [0.01, 0.02]},
        seeds=[3, 4],
        keep_params=True,
        num_workers=N,
        compute_time=fo.timing.common(fo.timing.exponential(TIMES), jax.random.key(9)),
        link=fo.timing.linear(up_latency=0.3),
        until=20.0,
    )
    ours, alone = on_ray(sweep), sweep()
    assert_same_sweep(ours, alone)
    np.testing.assert_allclose(ours.params, alone.params, rtol=1e-10)


def test_workers_compute_in_the_callers_precision(two_workers):
    problem = fo.problems.tridiagonal(DIM, noise="none", dtype=jnp.float32)

    def in_32_bits(**options):
        with jax.enable_x64(False):
            return asgd_sweep(problem, keep_params=True, **options)

    ours, alone = on_ray(in_32_bits), in_32_bits()
    assert ours.params.dtype == np.float32
    assert_same_sweep(ours, alone, rtol=1e-6)  # times agree bit for bit all the same


# ------------------------------------------------------------------ deaths, errors


def waits_for_its_death(folder: pathlib.Path):
    """A metric at whose fourth value one of the workers writes its id and waits."""

    def value():
        log = folder / f"rows-{os.getpid()}"
        with log.open("a") as file:
            file.write(".")
        if log.stat().st_size == 4:
            try:
                with (folder / "victim").open("x") as file:
                    file.write(str(os.getpid()))
            except FileExistsError:  # another worker has done so
                return np.zeros(())
            time.sleep(PATIENCE)
        return np.zeros(())

    def metric(data, params):
        return io_callback(value, jax.ShapeDtypeStruct((), float))

    return metric


def content(path: pathlib.Path) -> str:
    """What a file holds as soon as it holds something."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if path.exists() and path.read_text():
            return path.read_text()
        time.sleep(0.05)
    raise TimeoutError(f"{path} stays empty")


def test_a_killed_worker_has_its_runs_repeated(two_workers, tmp_path):
    problem = NOISY._replace(metrics={"waiting": waits_for_its_death(tmp_path)})
    sweep = started(asgd_sweep, problem, cluster="ray")
    victim = int(content(tmp_path / "victim"))
    os.kill(victim, signal.SIGKILL)
    assert_same_sweep(sweep.result(PATIENCE), asgd_sweep(NOISY))
    rows = {path.name: path.stat().st_size for path in tmp_path.glob("rows-*")}
    assert rows.pop(f"rows-{victim}") == 4
    assert sum(rows.values()) >= 4 * (1 + UPDATES)  # all four runs, by the others


def test_an_error_in_a_worker_arrives_as_it_is(two_workers):
    mortal = fo.timing.infinite_bernoulli(TIMES, probability=0.1)
    with pytest.raises(ValueError, match="asgd never makes a step") as caught:
        on_ray(asgd_sweep, NOISY, compute_time=mortal)
    assert type(caught.value) is ValueError
    assert isinstance(caught.value.__cause__, ray.exceptions.RayTaskError)


# ------------------------------------------------------------------ refusals, shares


def test_what_no_other_process_can_be_sent_is_refused():
    lock = threading.Lock()
    problem = NOISY._replace(metrics={"locked": lambda data, params: lock.locked()})
    with pytest.raises(TypeError, match="sends the problem .* '_thread.lock'.*; make"):
        asgd_sweep(problem, cluster="ray")


def test_what_cannot_run_is_refused_before_a_cluster_starts(monkeypatch):
    monkeypatch.setattr(ray, "init", None)
    with pytest.raises(ValueError, match="num_workers is 4"):
        asgd_sweep(NOISY, num_workers=4, cluster="ray")


def test_another_cluster_is_refused():
    with pytest.raises(ValueError, match="must be 'ray', or None .* not 'dask'"):
        asgd_sweep(NOISY, cluster="dask")


def test_without_ray_the_cure_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install 'fedjax-opt\[cluster\]'"):
        asgd_sweep(NOISY, cluster="ray")


def test_runs_that_share_a_clock_are_neighbours():
    methods = [fo.methods.asgd(step_size=s) for s in (0.1, 0.2) for _ in range(3)]
    keys = [jax.random.key(seed) for _ in range(2) for seed in (5, 6, 5)]
    np.testing.assert_array_equal(_by_clock(methods, keys), [0, 2, 3, 5, 1, 4])
    thresholds = [2, 3, 2]
    methods = [
        fo.methods.ringmaster_asgd(step_size=0.1, delay_threshold=r) for r in thresholds
    ]
    keys = [jax.random.key(0)] * 3
    np.testing.assert_array_equal(_by_clock(methods, keys), [0, 2, 1])


@pytest.mark.parametrize(
    ("resources", "tasks"),
    [
        ({"CPU": 3.0, "memory": 1e9}, (3, {"num_cpus": 1})),
        ({"CPU": 64.0, "GPU": 4.0}, (4, {"num_gpus": 1})),
        ({"memory": 1e9}, (1, {"num_cpus": 1})),
    ],
)
def test_a_task_takes_a_gpu_where_there_are_any_else_a_cpu(resources, tasks):
    assert _capacity(resources) == tasks
