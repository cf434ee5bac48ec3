"""Long runs: saved, killed, resumed, watched; what must not happen to a checkpoint."""

import contextlib
import errno
import hashlib
import itertools
import json
import multiprocessing
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import long_run
import numpy as np
import orbax.checkpoint
import pytest

import fedjax_opt as fo
from fedjax_opt.cli import main
from fedjax_opt.experiment import compare
from fedjax_opt.experiment import run as run_function
from fedjax_opt.experiment.fingerprint import digest

RUN = sys.modules[run_function.__module__]
N, UPDATES = 4, 60
TIMES = np.array([1.0, 1.5, 2.5, 6.0])
QUADRATIC = fo.problems.tridiagonal(6, noise="coordinates", noise_level=0.01)
ASGD = fo.methods.asgd(step_size=0.1)
METHODS = {
    "asgd": ASGD,
    "rennala_sgd": fo.methods.rennala_sgd(step_size=0.1, batch_size=3),
    "ringleader_asgd": fo.methods.ringleader_asgd(step_size=0.1),
    "picky_sgd": fo.methods.picky_sgd(step_size=0.1, radius=1.0),
    "ef21_gd": fo.methods.ef21_gd(step_size=0.1, compressor=fo.compressors.top_k(2)),
    "diana_gd": fo.methods.diana_gd(step_size=0.1, compressor=fo.compressors.rand_k(2)),
}


def run(method=ASGD, problem=QUADRATIC, key=0, times=TIMES, **options):
    return fo.run(
        method,
        problem,
        num_workers=N,
        key=jax.random.key(key),
        compute_time=fo.timing.fixed(times),
        **{"num_updates": UPDATES} | options,
    )


class Interrupted(Exception):
    """What stops a run in a test."""


def stop_after(count):
    """Reports to it end in an exception, the first `count` of them apart."""
    calls = itertools.count()

    def report(*_):
        if next(calls) == count:
            raise Interrupted

    return report


def interrupted(folder, *, after, call=run, **options):
    with pytest.raises(Interrupted):
        call(checkpoint=folder, progress=stop_after(after), **options)


def same(one, other):
    """Bit for bit, NaN included."""
    for name in one.columns:
        np.testing.assert_array_equal(one.columns[name], other.columns[name])
    jax.tree.map(np.testing.assert_array_equal, one.params, other.params)


def contents(folder):
    """{path: digest} of all files."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in pathlib.Path(folder).rglob("*")
        if path.is_file()
    }


def numbers(folder):
    """The checkpoints of the numbers, in order."""
    return sorted(path for path in folder.iterdir() if path.name.isdigit())


# ---------------------------------------------------------------- chunks


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("record_every", [1, 7])
def test_chunks_change_nothing(name, record_every, tmp_path):
    method = METHODS[name]
    whole = run(method, record_every=record_every)
    options = {"record_every": record_every, "chunk": 13, "checkpoint": tmp_path}
    chunked = run(method, **options)
    assert list(chunked.columns) == list(whole.columns)
    for column, expected in whole.columns.items():
        np.testing.assert_allclose(chunked.columns[column], expected, rtol=1e-10)
    np.testing.assert_allclose(chunked.params, whole.params, rtol=1e-10, atol=1e-15)


def test_a_run_that_ends_early(tmp_path):
    options = {"until": 20.0, "num_updates": 500, "record_every": 3}
    whole, chunked = (
        run(**options, **more) for more in ({}, {"checkpoint": tmp_path, "chunk": 4})
    )
    assert len(whole.loss) == len(chunked.loss) == 1 + 500 // 3
    assert np.isnan(whole.loss[-1])
    same(whole, chunked)


def test_no_updates_at_all(tmp_path):
    whole, chunked = (
        run(num_updates=None, until=0.5, **more)
        for more in ({}, {"checkpoint": tmp_path})
    )
    assert len(whole.loss) == 1
    same(whole, chunked)
    same(whole, run(num_updates=None, until=0.5, checkpoint=tmp_path))


def test_rows_of_a_chunk_are_all_there(tmp_path):
    """Each loss is that of the point: a chunk that ends between rows adds none."""
    trace = run(
        fo.methods.asgd(step_size=0.0), chunk=7, record_every=5, checkpoint=tmp_path
    )
    at_start = float(QUADRATIC.loss(QUADRATIC.data, QUADRATIC.init))
    np.testing.assert_allclose(trace.loss, np.full(13, at_start), rtol=1e-14)
    np.testing.assert_array_equal(trace.update, np.arange(0, 61, 5))


def test_metrics_may_have_any_name(tmp_path):
    metrics = {"a/b %.c": lambda data, x: jnp.sum(x), "..": lambda data, x: x[0]}
    problem = QUADRATIC._replace(metrics=metrics)
    whole = run(problem=problem)
    interrupted(tmp_path, after=3, problem=problem, chunk=10)
    resumed = run(problem=problem, chunk=10, checkpoint=tmp_path)
    assert list(resumed.columns) == list(whole.columns)
    same(whole, resumed)


# ---------------------------------------------------------------- resuming


@pytest.mark.parametrize("name", METHODS)
def test_goes_on_where_it_was_interrupted(name, tmp_path):
    method = METHODS[name]
    whole = run(method, checkpoint=tmp_path / "whole", chunk=7, record_every=2)
    for after in (1, 3, 3):
        folder = tmp_path / "folder"
        interrupted(folder, after=after, method=method, chunk=7, record_every=2)
    done = []
    resumed = run(
        method,
        checkpoint=folder,
        chunk=7,
        record_every=2,
        progress=lambda *call: done.append(call),
    )
    assert 0 < done[0][0] < UPDATES
    assert done[-1] == (UPDATES, UPDATES)
    same(whole, resumed)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_narrow_numbers_keep_their_type(dtype, tmp_path):
    with jax.enable_x64(False):
        problem = other_noise()
        problem = problem._replace(init=problem.init.astype(dtype))
        whole = run(problem=problem)
        interrupted(tmp_path, after=3, problem=problem, chunk=10)
        resumed = run(problem=problem, chunk=10, checkpoint=tmp_path)
    assert resumed.params.dtype == dtype
    same(whole, resumed)


def test_the_clock_runs_once(tmp_path, monkeypatch):
    whole = run()
    interrupted(tmp_path, after=2, chunk=10)
    monkeypatch.setattr(RUN, "_events", None)  # a call would raise
    same(whole, run(chunk=10, checkpoint=tmp_path))


def test_a_finished_run_returns_its_trace_at_once(tmp_path, monkeypatch):
    first = run(checkpoint=tmp_path, chunk=10)
    files = contents(tmp_path)
    for name in ("_events", "advance"):
        monkeypatch.setattr(RUN, name, None)
    same(first, run(checkpoint=tmp_path, chunk=10))
    assert contents(tmp_path) == files


def test_only_the_last_checkpoints_are_kept(tmp_path):
    run(checkpoint=tmp_path, chunk=5)
    names = [path.name for path in numbers(tmp_path)]
    assert names == ["000000056", "000000062"]  # 0, ..., 55; the rest, and the end
    assert {p.name for p in tmp_path.iterdir()} == {"run.json", "clock", *names}


def test_a_mesh_of_workers(tmp_path):
    mesh = jax.make_mesh((2,), ("workers",))
    method = METHODS["ef21_gd"]
    whole = run(method, mesh=mesh)
    interrupted(tmp_path, after=3, method=method, chunk=10, mesh=mesh)
    same(whole, run(method, chunk=10, mesh=mesh, checkpoint=tmp_path))


# ---------------------------------------------------------------- killed


def count(reports):
    """How many reports come until the process ends."""
    number = 0
    with contextlib.suppress(EOFError):
        while reports.recv_bytes():
            number += 1
    return number


def test_killed_twenty_times(tmp_path):
    """SIGKILL at random moments; each process but the first goes on from the folder."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fedjax_opt", "orbax.checkpoint"])

    def start(folder, result):
        reports, end = context.Pipe(duplex=False)
        arguments = (tmp_path / folder, tmp_path / result, tmp_path / "cache", end)
        process = context.Process(target=long_run.start, args=arguments)
        process.start()
        end.close()
        return process, reports

    process, reports = start("whole", "whole.npz")
    assert count(reports) == 1 + long_run.UPDATES // long_run.CHUNK
    process.join()
    assert process.exitcode == 0
    rng = np.random.default_rng(4)
    for _ in range(20):
        process, reports = start("killed", "result.npz")
        chunks = rng.integers(0, 6)
        for _ in range(chunks):
            reports.recv_bytes()
        time.sleep(rng.uniform(0.0, 0.06 if chunks else 0.25))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert numbers(tmp_path / "killed")
    process, reports = start("killed", "result.npz")
    assert 1 < count(reports) < long_run.UPDATES // long_run.CHUNK
    process.join()
    assert process.exitcode == 0
    whole, result = (np.load(tmp_path / f"{n}.npz") for n in ("whole", "result"))
    assert set(whole) == set(result) >= {"params", "loss", "time", "bits_up"}
    for name in whole:
        np.testing.assert_array_equal(whole[name], result[name])
    assert {p.name for p in (tmp_path / "killed").iterdir()} == {
        p.name for p in (tmp_path / "whole").iterdir()
    }


# ---------------------------------------------------------------- refused


def other_noise():
    return fo.problems.tridiagonal(6, noise="coordinates", noise_level=0.02)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("method", {"method": fo.methods.asgd(step_size=0.2)}),
        ("method", {"method": METHODS["rennala_sgd"]}),
        ("problem", {"problem": other_noise()}),
        ("problem", {"problem": QUADRATIC._replace(loss=lambda data, x: jnp.sum(x))}),
        ("key", {"key": 1}),
        ("cluster", {"times": TIMES[::-1].copy()}),
        ("horizon", {"num_updates": UPDATES + 1}),
        ("horizon", {"record_every": 2}),
        ("chunk", {"chunk": 11}),
        ("x64", {}),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(what, change, tmp_path):
    run(checkpoint=tmp_path, chunk=10)
    files = contents(tmp_path)
    with pytest.raises(ValueError) as error, jax.enable_x64(what != "x64"):
        run(**{"checkpoint": tmp_path, "chunk": 10} | change)
    assert contents(tmp_path) == files
    message = str(error.value)
    assert str(tmp_path) in message and "\n" not in message
    assert what in message.partition("differs in ")[2].partition(":")[0]


@pytest.mark.parametrize("name", ["fedjax-opt", "jax", "python"])
def test_another_version_is_refused(name, tmp_path):
    run(checkpoint=tmp_path)
    owner = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(owner | {name: "0.0"}))
    files = contents(tmp_path)
    with pytest.raises(ValueError, match=f"differs in {name}: "):
        run(checkpoint=tmp_path)
    assert contents(tmp_path) == files


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="holds no checkpoint"):
        run(checkpoint=tmp_path)
    with pytest.raises(ValueError, match="is a file"):
        run(checkpoint=tmp_path / "thesis.tex")
    assert os.listdir(tmp_path) == ["thesis.tex"]
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_what_is_truncated_is_refused(tmp_path):
    """Each file in turn: cut in half, or gone."""
    interrupted(tmp_path, after=3, chunk=20)
    newest = numbers(tmp_path)[-1].name
    needed = [name for name in contents(tmp_path) if name.startswith(("clock", newest))]
    assert len(needed) > 8
    for name, cut in itertools.product([*needed, "run.json"], [True, False]):
        path = tmp_path / name
        kept = path.read_bytes()
        path.unlink()
        if cut and kept:
            path.write_bytes(kept[: len(kept) // 2])
        before = contents(tmp_path)
        with pytest.raises(ValueError) as error:
            run(chunk=20, checkpoint=tmp_path)
        assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)
        assert contents(tmp_path) == before
        path.write_bytes(kept)
    same(run(chunk=20), run(chunk=20, checkpoint=tmp_path))


def test_after_a_damaged_checkpoint_the_one_before_it_is_there(tmp_path):
    whole = run(checkpoint=tmp_path / "whole", chunk=10)
    folder = tmp_path / "folder"
    interrupted(folder, after=4, chunk=10)
    last = numbers(folder)[-1]
    largest = max(
        (p for p in last.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size
    )
    largest.write_bytes(largest.read_bytes()[:-7])
    with pytest.raises(ValueError, match=f"{last} is .* damaged: remove it"):
        run(checkpoint=folder, chunk=10)
    shutil.rmtree(last)
    same(whole, run(checkpoint=folder, chunk=10))


def test_a_chunk_has_a_length():
    with pytest.raises(ValueError, match="chunk must be at least 1, got 0"):
        run(chunk=0)


# ---------------------------------------------------------------- no room


def test_a_disk_that_is_full(tmp_path, monkeypatch):
    whole = run(chunk=10)
    interrupted(tmp_path, after=3, chunk=10)
    files = contents(tmp_path)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(orbax.checkpoint.Checkpointer, "save", full)
        with pytest.raises(OSError, match="No space left on device") as error:
            run(checkpoint=tmp_path, chunk=10)
    assert error.value.errno == errno.ENOSPC
    assert str(tmp_path) in str(error.value)
    assert contents(tmp_path) == files
    same(whole, run(checkpoint=tmp_path, chunk=10))


def test_a_file_that_may_not_grow(tmp_path, capfd):
    """The system itself refuses, in the middle of a file."""
    interrupted(tmp_path, after=3, chunk=10)
    files = contents(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        with pytest.raises(OSError, match="could not be written") as error:
            run(checkpoint=tmp_path, chunk=10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.value.errno == errno.EFBIG
    assert contents(tmp_path) == files
    assert "Traceback" not in capfd.readouterr().err
    same(run(chunk=10), run(checkpoint=tmp_path, chunk=10))


# ---------------------------------------------------------------- sweeps


def sweep(**options):
    return fo.sweep(
        fo.methods.rennala_sgd,
        QUADRATIC,
        grid={"step_size": [0.05, 0.1, 0.2], "batch_size": [1, 3]},
        seeds=[0, 1],
        num_workers=N,
        compute_time=fo.timing.fixed(TIMES),
        keep_params=True,
        **options,
    )


@pytest.mark.parametrize(
    "options",
    [
        {"until": 40.0, "num_rows": 31, "chunk": 4},
        {"num_updates": 40, "record_every": 3, "chunk": 5},
        {"num_updates": 40, "until": 15.0, "num_rows": 9, "chunk": 2},
    ],
)
@pytest.mark.filterwarnings("ignore::fedjax_opt.experiment.SweepWarning")
def test_a_sweep_goes_on_where_it_was_interrupted(options, tmp_path):
    whole = sweep(**options | {"chunk": None})
    interrupted(tmp_path, after=2, call=sweep, **options)
    reports = []
    resumed = sweep(
        **options, checkpoint=tmp_path, progress=lambda *call: reports.append(call)
    )
    same(whole, resumed)
    updates = np.nanmax(whole.columns["update"], axis=-1).sum()
    assert 0 < reports[0][0] < reports[-1][0] == reports[-1][1]
    assert reports[-1][1] >= updates  # rows may end before the last update


def test_ray_has_no_checkpoints(tmp_path):
    for option in ({"checkpoint": tmp_path}, {"chunk": 3}, {"progress": True}):
        with pytest.raises(ValueError, match="leave them out"):
            sweep(num_updates=3, cluster="ray", **option)


def comparison(**options):
    return compare(
        QUADRATIC,
        methods=["asgd", "ringmaster_asgd"],
        num_workers=N,
        compute_time=fo.timing.fixed(TIMES),
        until=30.0,
        seeds=[0, 1],
        step_sizes=[0.05, 0.1, 0.2],
        num_rows=16,
        **options,
    )


def test_a_comparison_goes_on_where_it_was_interrupted(tmp_path):
    whole = comparison()
    interrupted(tmp_path, after=4, call=comparison, chunk=3)
    reports = []
    resumed = comparison(
        checkpoint=tmp_path, chunk=3, progress=lambda *call: reports.append(call)
    )
    assert resumed.summary.equals(whole.summary)
    for name, one in whole.sweeps.items():
        same(one, resumed.sweeps[name])
    runs = resumed.summary.runs.sum()
    assert reports[0] == (0, runs, 0, "") and reports[-1][:2] == (runs, runs)
    assert {p.name for p in tmp_path.iterdir()} == {"run.json", *whole.sweeps}
    with pytest.raises(ValueError, match="differs in kind"):
        run(checkpoint=tmp_path)


def test_the_command_line_goes_on(tmp_path, capsys, monkeypatch):
    options = "--problem quadratic --dim 6 --workers 3 --until 30 --seeds 1"
    options += " --step-sizes 0.1,0.2,0.4 --methods asgd --json"
    arguments = ["compare", *options.split(), "--checkpoint", str(tmp_path / "saved")]
    results = []
    for name in ("first", "second"):
        with pytest.raises(SystemExit) as end:
            main([*arguments, "--output", str(tmp_path / name)])
        printed = capsys.readouterr()
        assert end.value.code == 0, printed.err
        results.append(json.loads(printed.out)["summary"])
        assert "3/3 runs" in printed.err and "updates/s, asgd" in printed.err
        monkeypatch.setattr(RUN, "advance", None)  # the second time all is there
    assert results[0] == results[1]


# ---------------------------------------------------------------- watched


def test_the_bar_shows_speed_and_remaining_time(capsys):
    run(progress=True)
    shown = capsys.readouterr().err
    assert "asgd: 100%" in shown and "60.0/60.0" in shown
    assert " updates/s]" in shown and "<" in shown
    run()
    assert capsys.readouterr().err == ""


def test_a_caller_may_watch():
    calls = []
    run(progress=lambda *call: calls.append(call), chunk=25)
    assert calls == [(0, 60), (25, 60), (50, 60), (60, 60)]


# ---------------------------------------------------------------- fingerprints


def _closure(number):
    def inner(x):
        return x * number

    return inner


def _recursive(number):
    def inner(x):
        return inner(x - number) if x else number

    return inner


@pytest.mark.parametrize(
    ("one", "like_it", "other"),
    [
        (_closure(1), _closure(1), _closure(2)),
        (_recursive(1), _recursive(1), _recursive(2)),
        (lambda x: x + 1, lambda x: x + 1, lambda x: x + 2),
        (jax.jit(_closure(1)), jax.jit(_closure(1)), jax.jit(_closure(2))),
        (np.arange(3), np.arange(3), np.arange(3.0)),
        (np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((3, 2))),
        (jnp.ones(2), np.ones(2), np.ones(3)),
        (jax.random.key(0), jax.random.key(0), jax.random.key(1)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 2, "b": 1}),
        ({"x", "y", "z"}, {"z", "y", "x"}, {"x", "y"}),
        (("ab", "c"), ("ab", "c"), ("a", "bc")),
        (([1], 2), ([1], 2), ([1, 2],)),
        (jnp.tanh, jnp.tanh, jnp.sinh),
        (METHODS["ef21_gd"], METHODS["ef21_gd"], METHODS["diana_gd"]),
    ],
)
def test_digests_tell_apart_what_differs(one, like_it, other):
    # Lambdas are named alike here, so that only what they do tells them apart.
    assert digest(one) == digest(like_it) != digest(other)


def test_digests_are_the_same_in_every_process():
    code = """
import jax, fedjax_opt as fo
from fedjax_opt.experiment.fingerprint import digest
jax.config.update("jax_enable_x64", True)
method = fo.methods.ef21_gd(step_size=0.1, compressor=fo.compressors.top_k(2))
problem = fo.problems.tridiagonal(6, noise="coordinates", noise_level=0.01)
print(digest(method), digest(problem))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONHASHSEED": "7"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [digest(METHODS["ef21_gd"]), digest(QUADRATIC)]
