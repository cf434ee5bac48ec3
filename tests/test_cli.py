"""The command line: what it prints and writes, and what it refuses, in one line."""

import json
import os
import pathlib
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from fedjax_opt.cli import main
from fedjax_opt.experiment import setting
from fedjax_opt.methods.registry import METHODS

FAST = ["--workers", "3", "--until", "12", "--seeds", "2", "--hidden", "0"]
GRID = ["--step-sizes", "0.01,0.1,1e30"]
FILES = {
    "data.csv": "a,b,label\n"
    + "".join(f"{i % 7},{i % 5},{i % 2}\n" for i in range(40)),
    "empty.csv": "",
    "blank.csv": "\n \n",
    "one.csv": "1\n2\n3\n",
    "regression.csv": "a,b,y\n1,2,0.5\n2,3,1.7\n3,4,2.2\n",
    "single.csv": "a,b,y\n1,2,1\n2,3,1\n3,4,1\n",
    "nan.csv": "a,b,y\n1,2,0\n2,nan,1\n3,4,1\n4,5,0\n",
    "inf.csv": "a,b,y\n1,2,0\n2,inf,1\n3,4,1\n4,5,0\n",
    "three.csv": "a,b,y\n" + "".join(f"{i},{i % 4},{i % 3}\n" for i in range(12)),
    "words.csv": "a,b,y\n1,2,0\n2,two,1\n3,4,1\n4,5,0\n",
    "two_times.csv": "1\n2\n",
    "negative_times.csv": "time\n1\n-2\n3\n",
    "zero_times.csv": "1\n0\n3\n",
    "word_times.csv": "1\n2\nthree\n",
    "no_column.csv": "worker,speed\n0,1\n1,2\n2,3\n",
    "dead_times.csv": "1\n2\ninf\n",
    "all_dead.csv": "inf\ninf\ninf\n",
    "full/precious.txt": "x",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "noise.bin").write_bytes(bytes(range(256)) * 4)
    return folder


@pytest.fixture
def here(files, monkeypatch):
    monkeypatch.chdir(files)
    return files


def call(capsys, *arguments):
    """(exit code, stdout, stderr) of a command."""
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return (stopped.value.code, *capsys.readouterr())


# ---------------------------------------------------------------- methods, theory


def test_methods_as_json(capsys):
    code, out, err = call(capsys, "methods", "--json")
    assert (code, err) == (0, "")
    listed = json.loads(out)
    assert [set(method) for method in listed] == [
        {"name", "title", "arxiv", "group"}
    ] * len(METHODS)
    papers = {method["name"]: method["arxiv"] for method in listed}
    assert papers["ringmaster_asgd"] == "2501.16168"
    assert papers["ef21_gd"] == "2106.05203"
    assert list(papers) == list(METHODS)


def test_methods_as_a_table(capsys):
    code, out, err = call(capsys, "methods")
    assert (code, err) == (0, "")
    for name, entry in METHODS.items():
        assert any(name in line and entry.arxiv in line for line in out.splitlines())


def test_theory_as_json(capsys):
    code, out, _ = call(
        capsys, "theory", "--times", "1,2,4,8", "--noise-ratio", "8", "--json"
    )
    rows = {(row["method"], row["data"]): row for row in json.loads(out)}
    # min_m (m + 8) / H_m over 9/1, 10/1.5, 11/1.75, 12/1.875, and 8 (1 + 8/4).
    assert code == 0
    assert rows["lower_bound", "homogeneous"]["time"] == pytest.approx(11 / 1.75)
    assert rows["asgd", "homogeneous"]["time"] == pytest.approx(12 / 1.875)
    assert rows["minibatch", "homogeneous"]["time"] == pytest.approx(24)
    assert rows["ringmaster", "homogeneous"]["parameters"]["delay_threshold"] == 8


def test_theory_scales_with_its_constants(capsys):
    arguments = ["theory", "--times", "equal", "--workers", "4", "--noise-ratio", "0"]
    unit = json.loads(call(capsys, *arguments, "--json")[1])[0]["time"]
    constants = ["--smoothness", "3", "--initial-gap", "5", "--accuracy", "0.5"]
    scaled = json.loads(call(capsys, *arguments, *constants, "--json")[1])[0]["time"]
    assert scaled == pytest.approx(unit * 3 * 5 / 0.5)


def test_theory_of_a_dead_worker_is_valid_json(capsys):
    arguments = ["theory", "--times", "1,inf", "--noise-ratio", "1"]
    rows = json.loads(call(capsys, *arguments, "--json")[1], parse_constant=pytest.fail)
    assert [row["time"] for row in rows if row["method"] == "minibatch"] == [None] * 2
    table = call(capsys, *arguments)[1]
    assert "inf" in next(line for line in table.splitlines() if " minibatch" in line)


# ---------------------------------------------------------------- compare


@pytest.fixture(scope="module")
def compared(files):
    """One comparison in a process of its own, as a user would start it."""
    options = ["--data", "data.csv", "--methods", "minibatch_sgd,asgd,ringmaster_asgd"]
    done = subprocess.run(
        [sys.executable, "-c", "from fedjax_opt.cli import main; main()", "compare"]
        + [*options, *FAST, *GRID, "--output", "out/first", "--json"],
        capture_output=True,
        text=True,
        cwd=files,
        env=os.environ | {"PYTHONPATH": str(pathlib.Path(__file__).parent.parent)},
    )
    assert done.returncode == 0, done.stderr
    return files / "out" / "first", done


def test_compare_prints_json_alone(compared):
    folder, done = compared
    printed = json.loads(done.stdout, parse_constant=pytest.fail)
    assert printed["folder"] == "out/first"
    table = pd.read_csv(folder / "summary.csv")
    assert [row["method"] for row in printed["summary"]] == table.method.tolist()
    losses = [row["final_loss"] for row in printed["summary"]]
    np.testing.assert_allclose(losses, table.final_loss, rtol=1e-12)
    # The progress bar: 3 step sizes and 2 seeds, once, once, and for 2 thresholds.
    assert "24/24" in done.stderr


def test_compare_writes_its_folder(compared):
    folder, _ = compared
    assert {path.name for path in folder.iterdir()} == {
        "summary.csv",
        "traces.csv",
        "config.json",
        "comparison.png",
        "loss_time.png",
        "loss_gradients_computed.png",
        "loss_bits_up.png",
        "accuracy.png",
    }
    assert [path.name for path in folder.parent.iterdir()] == ["first"]


def test_compare_summary(compared):
    table = pd.read_csv(compared[0] / "summary.csv").set_index("method")
    assert {
        "best_step_size",
        "best_delay_threshold",
        "seconds_to_target",
        "gradients_to_target",
        "bits_up_to_target",
        "final_loss",
        "final_loss_std",
        "accuracy",
        "diverged",
        "diverged_runs",
        "at_edge",
    } <= set(table)
    assert table.accuracy.between(0, 1).all()
    assert table.seconds_to_target.min() <= 12 / 3
    assert not table.diverged.any()


def test_a_step_of_1e30_is_not_the_best_and_marks_its_runs(compared):
    traces = pd.read_csv(compared[0] / "traces.csv")
    table = pd.read_csv(compared[0] / "summary.csv")
    assert (table.best_step_size < 1).all()
    assert (table.diverged_runs > 0).all()
    assert np.isfinite(traces.loss).all()
    assert set(traces.seed) == {0, 1}


def test_compare_config(compared):
    config = json.loads((compared[0] / "config.json").read_text())
    assert config["problem"]["name"] == "data"
    assert config["problem"]["hidden"] == 0
    assert config["arguments"]["workers"] == 3
    assert config["seeds"] == [0, 1]
    assert config["methods"]["minibatch_sgd"]["step_size"] == [0.01, 0.1, 1e30]
    assert config["x64"] is False


VARIANTS = [
    "rennala_sgd:stop=true:batch_size=2",
    "rennala_mvr:inexact=true",
    "delay_adaptive_asgd:rule=koloskova",
    "asgrad:assignment=random",
    "asgrad:assignment=pure:batch_size=2",
    "hogwild:read=consistent:worst=true",
    "ringmaster_lmo:parameter_agnostic=true:delay_threshold=none",
    "rescaled_asgd:observed=true",
]
TINY = ["--workers", "2", "--times", "1,2", "--seeds", "1", "--step-sizes", "0.1"]


def test_all_methods_on_a_classifier(capsys, here):
    names = [*METHODS, *VARIANTS]
    options = ["--data", "data.csv", "--hidden", "0", "--until", "120"]
    code, out, err = call(
        capsys,
        "compare",
        *TINY,
        *options,
        "--methods",
        ",".join(names),
        "--output",
        "out/all",
    )
    assert code == 0, err
    table = pd.read_csv("out/all/summary.csv")
    assert table.method.tolist() == names
    assert not table.diverged.any()
    assert np.isfinite(table.final_loss).all()
    assert "out/all" in out
    for name in names:
        assert name in out


LOGISTIC = ["compare", "--problem", "logistic", "--data", "data.csv", "--seeds", "1"]
LOGISTIC += ["--workers", "4", "--times", "equal"]


def test_logistic_regression_at_equal_bits(capsys, here):
    """Two features: a message is 2 numbers, or 1 number and 1 index."""
    code, out, err = call(
        capsys, *LOGISTIC, "--bits", "640", "--output", "out/bits", "--json"
    )
    assert code == 0, err
    rows = {row["method"]: row for row in json.loads(out)["summary"]}
    assert tuple(rows) == setting.METHODS_OF_BITS
    config = json.loads(pathlib.Path("out/bits/config.json").read_text())
    assert (config["bits"], config["until"]) == (640, None)
    assert config["problem"]["nonconvex"] == 0.1
    assert config["problem"]["split"] == "label"
    smoothness = config["constants"]["smoothness"]
    steps = np.array(config["methods"]["ef21_gd"]["step_size"]) * smoothness
    np.testing.assert_allclose(steps, 2.0 ** np.arange(-8, 8))
    traces = pd.read_csv("out/bits/traces.csv").set_index("method")
    last = traces[traces.row == traces.row.max()]
    np.testing.assert_allclose(last.bits_up, 4 * 640)
    number, index = 8 * np.dtype(jnp.result_type(float)).itemsize, 8
    assert last["update"]["dcgd_gd:compressor=identity"] == 640 / (2 * number)
    assert last["update"]["ef21_gd"] == pytest.approx(640 / (number + index))
    # Four equal workers, each with rows of one class: f is the mean over all rows.
    assert traces.loss[traces.row == 0].to_numpy() == pytest.approx(np.log(2))


def test_named_compressors(capsys, here):
    names = ["ef21_gd:compressor=top_k(1)", "ef21_gd:compressor=top_k(0.5)"]
    names += ["diana_gd:compressor=natural", "ef21_gd:compressor=identity"]
    code, out, err = call(
        capsys,
        *[*LOGISTIC, "--until", "9", "--step-sizes", "0.1", "--json"],
        *["--methods", ",".join(names), "--output", "out/named"],
    )
    assert code == 0, err
    losses = [row["final_loss"] for row in json.loads(out)["summary"]]
    assert losses[0] == losses[1]
    traces = pd.read_csv("out/named/traces.csv").set_index("method")
    sent = traces.bits_up[traces.row == traces.row.max()]
    number = 8 * np.dtype(jnp.result_type(float)).itemsize
    assert sent[names[0]] == 9 * 4 * (number + 8)
    assert sent[names[3]] == 9 * 4 * 2 * number


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--methods", "asgd", "--bits", "99"], "asgd does not go in rounds"),
        (["--bits", "0"], "bits must be positive"),
        (["--bits", "inf"], "bits must be positive"),
        (["--bits", "many"], "--bits"),
        (["--bits", "9", "--nonconvex", "-1"], "nonconvex must be"),
        (["--bits", "9", "--l2", "nan"], "l2 must be"),
        (["--bits", "9", "--hidden", "3"], "--hidden is for --problem classifier"),
        (["--bits", "9", "--data", "three.csv"], "two labels, but there are 3"),
        (["--methods", "ef21_gd:compressor=topk(1)"], "unknown compressor 'topk(1)'"),
        (["--methods", "ef21_gd:compressor=top_k"], "top_k(10)"),
        (["--methods", "ef21_gd:compressor=top_k(x)"], "unknown compressor"),
        (["--methods", "ef21_gd:compressor=top_k(1"], "unknown compressor"),
        (["--methods", "ef21_gd:compressor=top_k(1.5)"], "fraction"),
        (["--methods", "ef21_gd:compressor=top_k(3)"], "3"),
        (["--methods", "ef21_gd:compressor=sign(3)"], "unknown compressor"),
        (["--methods", "ef21_gd:compressor=rand_k(1)"], "needs a contractive"),
        (["--methods", "ef21_gd:compressor=__import__('os')"], "unknown compressor"),
    ],
)
def test_bad_options_of_logistic(capsys, here, options, expected):
    before = sorted(here.rglob("*"))
    code, out, err = call(capsys, *LOGISTIC, *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err
    assert sorted(here.rglob("*")) == before


def test_recorded_times(capsys, here):
    rows = "".join(f"{i % 2},{i},{1 + i % 3}\n" for i in range(12))
    (here / "jobs.csv").write_text("worker,start,duration\n" + rows)
    options = ["--data", "data.csv", "--until", "20", "--times", "jobs.csv"]
    options += ["--workers", "2", "--seeds", "1", "--step-sizes", "0.1", "--json"]
    code, out, err = call(
        capsys, "compare", *options, "--methods", "hero_sgd", "--output", "out/jobs"
    )
    assert code == 0, err
    (row,) = json.loads(out)["summary"]
    traces = pd.read_csv("out/jobs/traces.csv")
    assert row["method"] == "hero_sgd"
    # Worker 0 takes 1, 3, 2, 1, 3, 2, ... seconds: the tenth job ends at 19.
    assert traces.gradients_used.iloc[-1] == 10
    code, out, err = call(capsys, "compare", *options, "--workers", "3")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "jobs.csv has no rows of worker 2" in err


@pytest.mark.parametrize(
    ("method", "options", "expected"),
    [
        ("freya_page", ["--problem", "quadratic"], "needs a finite sum"),
        ("soviet_gd", ["--data", "data.csv", "--split", "label"], "a finite sum"),
        ("hero_gd", ["--problem", "quadratic"], "a finite sum"),
        ("malenia_sgd", ["--times", "1,inf"], "1 of 2 workers are dead (worker 1)"),
        ("ringleader_asgd", ["--times", "1,inf"], "can never make a step"),
        ("asgrad:batch_size=3", [], "waits for more results than 2 workers"),
        ("asgrad:assignment=sorted", [], "assignment must be pure, random"),
        ("rennala_sgd:stp=true", [], "has no option 'stp'; it has step_size"),
        ("rennala_sgd:stop", [], "as option=value"),
        ("ringmaster_lmo:parameter_agnostic=true", [], "leave both out"),
    ],
)
def test_what_a_method_lacks_is_said_in_one_line(
    capsys, here, method, options, expected
):
    data = [] if {"--problem", "--data"} & {*options} else ["--data", "data.csv"]
    code, out, err = call(
        capsys, "compare", *TINY, *data, *options, "--until", "4", "--methods", method
    )
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err


def test_dated_folder_and_parquet(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = call(
        capsys,
        *["compare", "--problem", "quadratic", "--dim", "3", "--methods", "hero_sgd"],
        *["--workers", "2", "--until", "5", "--seeds", "1", "--step-sizes", "0.1"],
        *["--format", "parquet"],
    )
    assert code == 0, err
    (folder,) = pathlib.Path("runs").iterdir()
    assert folder.name.startswith("20")
    traces = pd.read_parquet(folder / "traces.parquet")
    # The faster of √1 and √2 s delivers at 1, 2, ..., 5 s.
    assert traces.gradients_computed.iloc[-1] == 5


# ---------------------------------------------------------------- refusals

BAD = {
    "no file": (["--data", "nowhere.csv"], "nowhere.csv"),
    "folder": (["--data", "full"], "folder"),
    "empty file": (["--data", "empty.csv"], "empty"),
    "blank file": (["--data", "blank.csv"], "empty"),
    "binary file": (["--data", "noise.bin"], "noise.bin"),
    "one column": (["--data", "one.csv"], "single column"),
    "regression": (["--data", "regression.csv"], "0.5"),
    "one class": (["--data", "single.csv"], "1 distinct label"),
    "nan": (["--data", "nan.csv"], "row 2, column b"),
    "infinity": (["--data", "inf.csv"], "row 2, column b"),
    "words": (["--data", "words.csv"], "'two'"),
    "too few times": (["--times", "two_times.csv"], "2 times for 3 workers"),
    "too many times": (["--times", "1,2,3,4"], "4 times for 3 workers"),
    "negative time": (["--times", "negative_times.csv"], "-2"),
    "zero time": (["--times", "zero_times.csv"], "must be positive"),
    "not a time": (["--times", "word_times.csv"], "line 3"),
    "not a listed time": (["--times", "1,2,x"], "'x'"),
    "no time column": (["--times", "no_column.csv"], "2 columns"),
    "no times": (["--times", "nowhere"], "sqrt, linear, equal"),
    "binary times": (["--times", "noise.bin"], "not text"),
    "empty times": (["--times", "empty.csv"], "empty"),
    "dead worker": (["--times", "dead_times.csv"], "minibatch_sgd can never"),
    "all dead": (["--times", "all_dead.csv"], "all times are inf"),
    "unknown method": (["--methods", "asgd,rennala"], "did you mean rennala_"),
    "method twice": (["--methods", "asgd,asgd"], "twice"),
    "no method": (["--methods", ","], "no method"),
    "full folder": (["--output", "full"], "not empty"),
    "output is a file": (["--output", "data.csv"], "is a file"),
    "output in a file": (["--output", "data.csv/x"], "is a file"),
    "no worker": (["--workers", "0"], "at least 1 worker"),
    "not a number": (["--workers", "many"], "--workers"),
    "no seed": (["--seeds", "0"], "--seeds"),
    "negative seed": (["--seed", "-1"], "--seed"),
    "horizon": (["--until", "0"], "until"),
    "two horizons": (["--bits", "100"], "--until and --bits"),
    "endless": (["--until", "inf"], "until"),
    "target": (["--target", "nan"], "target"),
    "step size": (["--step-sizes", "0.1,-1"], "step_sizes"),
    "step sizes": (["--step-sizes", "a,b"], "--step-sizes"),
    "hidden": (["--hidden", "-1"], "hidden"),
    "samples": (["--samples-per-gradient", "0"], "samples_per_gradient"),
    "split": (["--split", "half"], "shared, homogeneous"),
    "too few rows": (
        ["--split", "label", "--workers", "41", "--times", "equal"],
        "40 rows",
    ),
    "format": (["--format", "xls"], "csv or parquet"),
    "problem": (["--problem", "cubic"], "classifier, logistic, quadratic"),
    "option of another": (["--dim", "3"], "--dim is for --problem quadratic"),
    "unknown option": (["--worker", "3"], "--worker"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line_and_code_2(capsys, here, case):
    before = sorted(here.rglob("*"))
    options, expected = BAD[case]
    code, out, err = call(capsys, "compare", "--data", "data.csv", *FAST, *options)
    assert (code, out) == (2, "")
    assert err.startswith("fedjax-opt: ")
    assert err.count("\n") == 1
    assert expected in err
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--data", "data.csv"], "--data is for --problem classifier or logistic"),
        (["--l2", "1"], "--l2 is for --problem logistic"),
        (["--hidden", "3"], "--hidden is for --problem classifier"),
        (["--dim", "0"], "dim must be at least 1"),
        (["--noise", "-1"], "noise must be"),
        (["--noise", "nan"], "noise must be"),
    ],
)
def test_bad_options_of_the_quadratic(capsys, here, options, expected):
    code, out, err = call(capsys, "compare", "--problem", "quadratic", *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["theory", "--times", "1,2"],
        ["theory", "--times", "1,-2", "--noise-ratio", "1"],
        ["theory", "--times", "sqrt", "--noise-ratio", "1"],
        ["theory", "--times", "1,2", "--noise-ratio", "-1"],
        ["theory", "--times", "1,2", "--noise-ratio", "1", "--accuracy", "0"],
        ["methods", "--jason"],
        ["compete"],
    ],
)
def test_other_commands_refuse_in_one_line(capsys, arguments):
    code, out, err = call(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)


# ---------------------------------------------------------------- the rules


def test_worker_times(here):
    np.testing.assert_array_equal(setting.worker_times("linear", 3), [1, 2, 3])
    np.testing.assert_allclose(setting.worker_times("sqrt", 4) ** 2, [1, 2, 3, 4])
    np.testing.assert_array_equal(setting.worker_times("equal", 2), [1, 1])
    np.testing.assert_array_equal(
        setting.worker_times("1,2.5,inf", 3), [1, 2.5, np.inf]
    )
    np.testing.assert_array_equal(setting.worker_times("3", 1), [3])


@pytest.mark.parametrize(
    "text",
    [
        "1\n2\n4\n",
        "time\n1\n2\n4",
        "worker,Seconds\na,1\nb,2\nc,4\n",
        "\ufeff1\r\n2\r\n\r\n4\r\n",
    ],
)
def test_files_of_worker_times(tmp_path, text):
    path = tmp_path / "times.csv"
    path.write_text(text, encoding="utf-8")
    np.testing.assert_array_equal(setting.worker_times(str(path), 3), [1, 2, 4])


def test_horizon_rule():
    # 3600 gradients at 2 + 2 per second; 10 each where that is more; the dead do none.
    assert setting.horizon("classifier", np.array([0.5, 0.5])) == 900
    assert setting.horizon("quadratic", np.array([0.5, 0.5])) == 2500
    assert setting.horizon("classifier", np.ones(1000)) == 10
    assert setting.horizon("classifier", np.array([1.0, np.inf])) == 3600


def test_default_methods_and_grid():
    assert set(setting.METHODS) <= set(METHODS)
    assert len(setting.STEP_SIZES) == 13
    assert (setting.STEP_SIZES[0], setting.STEP_SIZES[-1]) == (2**-10, 4)


@pytest.mark.parametrize("split", ["homogeneous", "label", "dirichlet"])
def test_splits_give_every_worker_rows_of_its_own(split):
    problem = setting.classifier(
        num_workers=5, seed=0, data="breast_cancer", hidden=0, split=split
    ).problem
    assert problem.num_workers == 5
    counts = problem.data.counts
    held = [
        set(np.asarray(line)[: None if counts is None else counts[i]].tolist())
        for i, line in enumerate(problem.data.indices)
    ]
    assert sum(map(len, held)) == len(set.union(*held)) == 569


def test_a_large_data_set_gets_a_linear_model(tmp_path):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2001, 500)).astype(np.float32)
    np.savez(tmp_path / "large.npz", X=features, y=np.arange(2001) % 2)
    large = setting.classifier(num_workers=2, seed=0, data=str(tmp_path / "large.npz"))
    small = setting.classifier(num_workers=2, seed=0)
    assert large.description["hidden"] == 0
    assert small.description["hidden"] == setting.HIDDEN
    assert large.num_rows < small.num_rows
