"""The benchmarks' baselines simulate the same methods; the table says what was run."""

import importlib
import itertools
import json
import pathlib
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fedjax_opt as fo

sys.path.append(str(pathlib.Path(__file__).parent.parent))  # of the checkout

from benchmarks import __main__ as command
from benchmarks import harness, rows, table
from benchmarks.baselines import clock, eager, network, strong

N, DIM, UPDATES = 7, 12, 60
TIMES = np.sqrt(np.arange(1.0, N + 1))
FIXED = eager.Cluster(TIMES, np.zeros(N), noise=0.0)
X0 = np.sqrt(DIM) * np.eye(1, DIM)[0]

RINGMASTER = {"step_size": 0.3, "delay_threshold": 4}
RENNALA = {"step_size": 0.7, "batch_size": 5}
CASES = {
    "asgd, eager": (
        lambda c, rng: eager.ringmaster(
            X0, c, rng, step_size=0.1, delay_threshold=np.inf, stop=False
        ),
        fo.methods.asgd(step_size=0.1),
    ),
    "ringmaster, ignoring, eager": (
        lambda c, rng: eager.ringmaster(X0, c, rng, **RINGMASTER, stop=False),
        fo.methods.ringmaster_asgd(**RINGMASTER),
    ),
    "ringmaster, eager": (
        lambda c, rng: eager.ringmaster(X0, c, rng, **RINGMASTER, stop=True),
        fo.methods.ringmaster_asgd(**RINGMASTER, stop=True),
    ),
    "ringmaster, strong": (
        lambda c, rng: strong.ringmaster(X0, c, rng, **RINGMASTER),
        fo.methods.ringmaster_asgd(**RINGMASTER, stop=True),
    ),
    "rennala, eager": (
        lambda c, rng: eager.rennala(X0, c, rng, **RENNALA),
        fo.methods.rennala_sgd(**RENNALA, stop=True),
    ),
    "rennala, strong": (
        lambda c, rng: strong.rennala(X0, c, rng, **RENNALA),
        fo.methods.rennala_sgd(**RENNALA, stop=True),
    ),
}


def loss(x):
    """½xᵀAx − bᵀx of the tridiagonal quadratic, matrix and all."""
    matrix = (2 * np.eye(DIM) - np.eye(DIM, k=1) - np.eye(DIM, k=-1)) / 4
    return 0.5 * x @ matrix @ x + x[0] / 4


@pytest.mark.parametrize("name", CASES)
def test_a_baseline_simulates_the_same_method(name, key):
    simulate, method = CASES[name]
    trace = fo.run(
        method,
        fo.problems.tridiagonal(DIM),
        num_workers=N,
        key=key,
        compute_time=fo.timing.fixed(TIMES),
        num_updates=UPDATES,
    )
    updates = itertools.islice(simulate(FIXED, np.random.default_rng(0)), UPDATES)
    pairs = [(seconds, x.copy()) for seconds, x in updates]
    seconds, models = zip(*pairs, strict=True)
    np.testing.assert_allclose(trace.columns["time"][1:], seconds, rtol=1e-10)
    losses = [loss(x) for x in models]
    np.testing.assert_allclose(trace.columns["loss"][1:], losses, rtol=1e-10)
    np.testing.assert_allclose(trace.params, models[-1], atol=1e-10)


@pytest.mark.parametrize("name", [name for name in CASES if "strong" in name])
def test_the_strong_baseline_draws_from_the_same_law(name):
    """Mean seconds of 4000 updates, and mean and spread of the model around x*."""
    cluster = eager.Cluster(TIMES, TIMES, noise=0.5)

    def statistics(name):
        simulation = CASES[name][0](cluster, np.random.default_rng(1))
        updates = [(t, x.copy()) for t, x in itertools.islice(simulation, 5000)]
        seconds, models = zip(*updates[1000:], strict=True)
        away = np.array(models) @ np.ones(DIM)
        return (seconds[-1] - seconds[0]) / 3999, away.mean(), away.std()

    found, expected = statistics(name), statistics(name.replace("strong", "eager"))
    np.testing.assert_allclose(found[0], expected[0], rtol=0.03)
    np.testing.assert_allclose(found[1], expected[1], atol=0.3 * expected[2])
    np.testing.assert_allclose(found[2], expected[2], rtol=0.15)


@pytest.mark.parametrize(
    ("schedule", "loop"),
    [
        (fo.events.asgd(), clock.asgd(TIMES.tolist(), 50)),
        (fo.events.rennala(batch_size=3), clock.rennala(TIMES.tolist(), 50, 3)),
        (fo.events.ringmaster(delay_threshold=4), clock.ringmaster(TIMES, 50, 4)),
    ],
    ids=["asgd", "rennala", "ringmaster"],
)
def test_the_heap_yields_the_same_events(schedule, loop, key):
    events = fo.simulate.trace(
        schedule, fo.timing.fixed(TIMES), num_workers=N, key=key, num_events=100
    )
    seconds, workers, delays, accepted = zip(*next(loop), *next(loop), strict=True)
    np.testing.assert_allclose(events.time, seconds, rtol=1e-12)
    np.testing.assert_array_equal(events.worker, workers)
    np.testing.assert_array_equal(events.delay, delays)
    np.testing.assert_array_equal(events.accepted, accepted)


def test_the_network_in_numpy_is_the_same_network(key):
    """Full batches, so that neither side draws."""
    rng = np.random.default_rng(0)
    features, labels = rng.standard_normal((9, 5)), np.arange(9) % 3
    problem = fo.problems.classifier(
        features, labels, hidden=(4,), samples_per_gradient=None
    )
    first, second = problem.init["params"]["Dense_0"], problem.init["params"]["Dense_1"]
    start = network.Network(
        *map(np.asarray, (first["kernel"], first["bias"] + 0.1)),
        *map(np.asarray, (second["kernel"], second["bias"] - 0.2)),
    )
    init = {
        "params": {
            "Dense_0": {"kernel": start.w1, "bias": start.b1},
            "Dense_1": {"kernel": start.w2, "bias": start.b2},
        }
    }
    trace = fo.run(
        fo.methods.asgd(step_size=0.1),
        problem._replace(init=jax.tree.map(jnp.asarray, init)),
        num_workers=N,
        key=key,
        compute_time=fo.timing.fixed(TIMES),
        num_updates=UPDATES,
    )
    everything = types.SimpleNamespace(
        integers=lambda num_rows, size: np.tile(np.arange(num_rows), (size[0], 1))
    )
    simulation = network.asgd(
        start, features, labels, TIMES, everything, step_size=0.1, batch_size=9
    )
    *_, (seconds, model) = itertools.islice(simulation, UPDATES)
    assert trace.columns["time"][-1] == pytest.approx(seconds, rel=1e-12)
    layers = trace.params["params"]
    np.testing.assert_allclose(layers["Dense_0"]["kernel"], model.w1, atol=1e-10)
    np.testing.assert_allclose(layers["Dense_0"]["bias"], model.b1, atol=1e-10)
    np.testing.assert_allclose(layers["Dense_1"]["kernel"], model.w2, atol=1e-10)
    np.testing.assert_allclose(layers["Dense_1"]["bias"], model.b2, atol=1e-10)


# ---------------------------------------------------------------- harness, table


def test_calls_are_measured_in_alternation():
    called = []
    calls = [lambda: called.append("ours"), lambda: called.append("baseline")]
    row = harness.compare("x", *calls, work=(6, 2), unit="u/s", repeats=3, n=7)
    assert called == ["ours", "baseline"] * 4
    assert row.ratio == pytest.approx(row.ours / row.baseline)
    assert (row.name, row.unit, row.n, row.d) == ("x", "u/s", 7, None)


def test_rates_are_work_per_second():
    ours, baseline = harness.Timing(5.0, 2.0), harness.Timing(9.0, 4.0)
    row = harness.rates("x", ours, baseline, work=(10, 1), unit="u/s")
    assert row[:4] == ("x", 5.0, 0.25, 20.0)
    assert row.compile_seconds == 3.0


ROW = harness.Row("fast", 12.5, 5.0, 2.5, "u/s", "a loop", n=3, target="ratio ≥ 2")


@pytest.fixture
def stubbed(monkeypatch):
    """The command with two benchmarks that take no time."""
    results = {"fast": [ROW], "absent": [harness.skipped("absent", "no such device")]}
    monkeypatch.setattr(command, "ROWS", dict.fromkeys(results))
    monkeypatch.setattr(command, "rows_of", results.__getitem__)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["python -m benchmarks", *arguments])
        command.main()

    return run


def test_json_stands_alone_on_standard_output(stubbed, capsys):
    stubbed("--json")
    fast, absent = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert fast["name"] == "fast"
    assert [fast[key] for key in ("ours", "baseline", "ratio")] == [12.5, 5.0, 2.5]
    assert (fast["unit"], fast["n"], fast["d"]) == ("u/s", 3, None)
    assert fast["versions"]["jax"] == jax.__version__
    assert (absent["ratio"], absent["note"]) == (None, "skipped: no such device")


def test_json_to_a_file_of_one_benchmark(stubbed, capsys, tmp_path):
    stubbed("--only", "fast", "--json", str(tmp_path / "rows.json"))
    assert capsys.readouterr().out == ""
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert row["name"] == "fast"


def test_the_table_says_how_it_was_made(stubbed, capsys):
    stubbed("--only", "fast")
    lines = capsys.readouterr().out.splitlines()
    assert any("python -m benchmarks --only fast" in line for line in lines)
    assert any(f"jax {jax.__version__}" in line for line in lines)
    assert "| `fast` | 12.5 | 5 | 2.5 | u/s | ratio ≥ 2 | 3 |  |  |" in lines
    assert "* against a loop: `fast`" in lines


def test_numbers_have_three_digits():
    row = ROW._replace(ours=123456.0, baseline=0.0123456, n=123456)
    (line,) = [s for s in table.markdown([row], "").splitlines() if "`fast` |" in s]
    assert "| 123000 | 0.0123 |" in line
    assert "| 123456 |" in line


def test_an_unknown_benchmark_is_refused(stubbed, capsys):
    with pytest.raises(SystemExit) as stopped:
        stubbed("--only", "slow")
    assert stopped.value.code == 2
    assert "slow" in capsys.readouterr().err


@pytest.mark.parametrize("name", rows.ROWS)
def test_every_benchmark_is_there(name):
    module = importlib.import_module(f"benchmarks.{rows.ROWS[name]}")
    assert callable(getattr(module, name))
