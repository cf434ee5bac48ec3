"""`compare`: the summary agrees with the traces, the traces with `run`; folders."""

import json
import os

import jax
import matplotlib.image
import numpy as np
import optax
import pandas as pd
import pytest
from jax.tree_util import Partial

import fedjax_opt as fo
from fedjax_opt.experiment import compare
from fedjax_opt.experiment.folder import whole
from fedjax_opt.methods.registry import METHODS, Entry, lookup

N, UNTIL, ROWS = 4, 60.0, 16
TIMES = np.array([1.0, 1.5, 2.5, 6.0])
CLUSTER = fo.timing.fixed(TIMES)
STEP_SIZES = [0.05, 0.4, 1e12]
NAMES = ["minibatch_sgd", "asgd", "ringmaster_asgd"]
QUADRATIC = fo.problems.tridiagonal(6, noise="coordinates", noise_level=0.01)
SETTINGS = {
    "num_workers": N,
    "compute_time": CLUSTER,
    "until": UNTIL,
    "seeds": [3, 5],
    "num_rows": ROWS,
}


@pytest.fixture(scope="module")
def comparison():
    return compare(QUADRATIC, methods=NAMES, step_sizes=STEP_SIZES, **SETTINGS)


@pytest.fixture(scope="module")
def rows(comparison):
    return comparison.summary.set_index("method")


# ---------------------------------------------------------------- the summary


def test_best_setting_has_the_least_final_loss(comparison, rows):
    for name in NAMES:
        found = comparison.sweeps[name].to_pandas()
        axes = [axis for axis in ("step_size", "delay_threshold") if axis in found]
        last = found[found.row == ROWS - 1].groupby(axes).loss.mean()
        assert rows.final_loss[name] == pytest.approx(last.min(), rel=1e-12)
        best = np.atleast_1d(last.idxmin())
        assert rows.best_step_size[name] == best[0]
        if len(best) == 2:
            assert rows.best_delay_threshold[name] == best[1]
        else:
            assert rows.best_delay_threshold.isna()[name]


def test_every_method_is_tuned_over_the_same_step_sizes(comparison):
    for sweep in comparison.sweeps.values():
        assert sweep.grid["step_size"].tolist() == STEP_SIZES
    thresholds = comparison.sweeps["ringmaster_asgd"].grid["delay_threshold"]
    assert thresholds.tolist() == [1, 2, 3]  # 4^(1/4), 4^(1/2), 4^(3/4), rounded


def test_a_curve_is_that_of_run(comparison, rows):
    method = fo.methods.asgd(step_size=rows.best_step_size["asgd"])
    alone = fo.run(
        method,
        QUADRATIC,
        num_workers=N,
        compute_time=CLUSTER,
        key=jax.random.key(5),
        until=UNTIL,
    )
    at = np.searchsorted(alone.time, np.linspace(0, UNTIL, ROWS), side="right") - 1
    curve = comparison.curves()["asgd"]
    np.testing.assert_allclose(curve["loss"][1], alone.loss[at], rtol=1e-10)
    np.testing.assert_array_equal(curve["time"][1], np.linspace(0, UNTIL, ROWS))


def test_target_is_the_best_loss_at_a_third_of_the_horizon(comparison, rows):
    third = (ROWS - 1) // 3  # 20 of 60 seconds
    losses = {
        name: columns["loss"].mean(axis=0)[third]
        for name, columns in comparison.curves().items()
    }
    best = min(losses, key=losses.__getitem__)
    assert comparison.target == losses[best]
    assert rows.seconds_to_target[best] == UNTIL / 3


def test_to_target_by_hand():
    d, step = 6, 0.5
    exact = fo.problems.tridiagonal(d, noise="none")
    A = (2 * np.eye(d) - np.eye(d, k=1) - np.eye(d, k=-1)) / 4
    b = -np.eye(d)[0] / 4
    x = np.sqrt(d) * np.eye(d)[0]
    for _ in range(3):
        x = x - step * (A @ x - b)
    found = compare(
        exact,
        methods=["minibatch_sgd"],
        step_sizes=[step],
        target=x @ A @ x / 2 - b @ x + 1e-9,
        **SETTINGS,
    )
    # Three rounds of 6 s end at 18 s, the next row is at 20 s. Until then two of the
    # workers have delivered again, at 19 and 19.5 s; a message is 6 numbers of 64 bits.
    row = found.summary.iloc[0]
    assert row.seconds_to_target == pytest.approx(20)
    assert row.gradients_to_target == 3 * 4 + 2
    assert row.bits_up_to_target == (3 * 4 + 2) * d * 64


def test_who_never_reaches_the_target_has_an_empty_cell(tmp_path):
    found = compare(
        QUADRATIC, methods=["asgd"], step_sizes=[0.1], target=-1.0, **SETTINGS
    )  # below f* > -1/8
    found.save(tmp_path / "new")
    table = pd.read_csv(tmp_path / "new" / "summary.csv")
    columns = ["seconds_to_target", "gradients_to_target", "bits_up_to_target"]
    assert table[columns].isna().all(axis=None)
    assert np.isfinite(table.final_loss[0])


def test_spread_is_the_sample_deviation_over_seeds(comparison, rows):
    first, second = comparison.curves()["asgd"]["loss"][:, -1]
    deviation = abs(first - second) / np.sqrt(2)
    assert rows.final_loss_std["asgd"] == pytest.approx(deviation)


# ---------------------------------------------------------------- divergence


def test_diverging_runs_are_counted_and_harm_nobody(rows):
    assert rows.diverged_runs.to_dict() == {
        "minibatch_sgd": 2,
        "asgd": 2,
        "ringmaster_asgd": 6,
    }
    assert rows.runs.to_dict() == {
        "minibatch_sgd": 6,
        "asgd": 6,
        "ringmaster_asgd": 18,
    }
    assert not rows.diverged.any()
    assert np.isfinite(rows.final_loss).all()


def test_a_method_that_always_diverges_is_marked(tmp_path):
    methods = {"calm": METHODS["asgd"], "wild": METHODS["asgd"]._replace(make=_wild)}
    found = compare(QUADRATIC, methods=methods, step_sizes=[0.05, 0.1], **SETTINGS)
    alone = compare(QUADRATIC, methods=["asgd"], step_sizes=[0.05, 0.1], **SETTINGS)
    assert found.diverged == ["wild"]
    table = found.summary.set_index("method")
    assert table.diverged_runs["wild"] == table.runs["wild"] == 4
    empty = ["best_step_size", "seconds_to_target", "final_loss", "final_loss_std"]
    assert table.loc["wild", empty].isna().all()
    assert table.final_loss["calm"] == alone.summary.final_loss[0]
    assert found.target == alone.target
    assert set(found.traces().method) == {"calm"}
    labels = [t.get_text() for t in found.plot().legends[0].get_texts()]
    assert labels == ["calm", "wild (diverged)", "target"]
    found.save(tmp_path / "new")
    assert (tmp_path / "new" / "comparison.png").exists()


def _wild(step_size):
    return fo.methods.asgd(step_size=1e9 * step_size)


def test_everything_may_diverge(tmp_path):
    found = compare(QUADRATIC, methods=["asgd"], step_sizes=[1e12], **SETTINGS)
    assert np.isnan(found.target)
    assert found.summary.diverged.all()
    found.save(tmp_path / "new")
    config = json.loads((tmp_path / "new" / "config.json").read_text())
    assert config["target"] is None


# ---------------------------------------------------------------- methods of one's own


def test_own_methods_and_options():
    def make(step_size, momentum, decay):
        return fo.Method(
            schedule=fo.events.asgd(),
            estimator=Partial(fo.estimators.sgd),
            optimizer=Partial(optax.sgd, step_size * decay, momentum),
            label="heavy_ball",
        )

    mine = Entry(
        make,
        "Heavy ball",
        "2206.07638",
        "own",
        options={"decay": 0.5},
        axes=lambda num_workers: {"momentum": [0.0, 0.5]},
    )
    found = compare(
        QUADRATIC,
        methods={"mine": mine, "asgd": METHODS["asgd"]},
        step_sizes=[0.2],
        **SETTINGS,
    )
    plain = compare(QUADRATIC, methods=["asgd"], step_sizes=[0.1], **SETTINGS)
    without_momentum = found.sweeps["mine"].columns["loss"][0, 0]
    np.testing.assert_allclose(
        without_momentum, plain.curves()["asgd"]["loss"], rtol=1e-12
    )


def test_registry_lists_all_recipes():
    recipes = {name for name in vars(fo.methods) if callable(getattr(fo.methods, name))}
    assert set(METHODS) == recipes
    for name, entry in METHODS.items():
        grid = entry.grid([0.1], 1000)
        method = entry.recipe(**{axis: values[0] for axis, values in grid.items()})
        assert method.label == name


def test_tuned_sizes_grow_with_the_cluster_and_never_repeat():
    axes = METHODS["rennala_sgd"].axes
    assert axes(1) == {"batch_size": [1]}
    assert axes(2) == {"batch_size": [1, 2]}
    assert axes(10_000) == {"batch_size": [10, 100, 1000]}


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ["asdg"]}, "did you mean asgd"),
        ({"methods": ["asgd", "asgd"]}, "given twice"),
        ({"methods": []}, "no method given"),
        ({"step_sizes": [0.1, 0.0]}, "step_sizes must be positive"),
        ({"step_sizes": []}, "step_sizes must be positive"),
        ({"until": np.inf}, "until must be positive and finite"),
        ({"target": np.nan}, "target must be a finite loss"),
        ({"seeds": []}, "at least one seed"),
        ({"num_rows": 3}, "num_rows must be at least 4"),
        ({"num_workers": 5}, "compute_time describes 4 workers"),
        ({"compute_time": fo.timing.dead(CLUSTER, [3])}, "minibatch_sgd can never"),
        ({"compute_time": fo.timing.fixed([np.inf] * N)}, "can never make a step"),
    ],
)
def test_bad_arguments(change, message):
    arguments = SETTINGS | {"methods": NAMES, "step_sizes": [0.1]} | change
    with pytest.raises(ValueError, match=message):
        compare(QUADRATIC, **arguments)


@pytest.mark.parametrize("compressor", ["top_k", "rand_k"])
def test_a_compressor_that_keeps_more_than_a_leaf_has(compressor):
    name = {"top_k": "ef21_gd", "rand_k": "diana_gd"}[compressor]
    compressor = getattr(fo.compressors, compressor)(7)
    methods = {name: METHODS[name]._replace(options={"compressor": compressor})}
    started = []
    with pytest.raises(ValueError, match="7"):
        compare(
            QUADRATIC,
            methods=methods,
            step_sizes=[0.1],
            progress=lambda *_: started.append(_),
            **SETTINGS,
        )
    assert started == []


def test_a_batch_that_never_fills_is_refused_before_anything_runs():
    started = []
    with pytest.raises(ValueError, match="rennala_sgd can never make a step"):
        compare(
            QUADRATIC,
            methods=["rennala_sgd", "asgd"],
            step_sizes=[0.1],
            progress=lambda *_: started.append(_),
            **SETTINGS | {"compute_time": fo.timing.fixed([np.inf] * N)},
        )
    assert started == []


def test_unknown_names_list_the_known():
    with pytest.raises(ValueError, match="rennala_mvr") as error:
        lookup(["nothing_like_it"])
    assert "did you mean" not in str(error.value)


def test_progress_counts_runs():
    calls = []
    compare(
        QUADRATIC,
        methods=NAMES,
        step_sizes=STEP_SIZES,
        progress=lambda *call: calls.append(call),
        **SETTINGS,
    )
    assert calls[0] == (0, 30, 0, "")
    for counts in list(zip(*calls, strict=True))[0::2]:
        assert list(counts) == sorted(counts)
    assert calls[-1][:2] == (30, 30)
    assert {name for *_, name in calls} == {"", *NAMES}


# ---------------------------------------------------------------- the folder


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_traces_survive_the_file(comparison, tmp_path, format):
    folder = comparison.save(tmp_path / "deep" / "new", format=format)
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet}[format]
    traces = read(folder / f"traces.{format}")
    assert len(traces) == len(NAMES) * 2 * ROWS
    one = traces[(traces.method == "asgd") & (traces.seed == 5)].sort_values("row")
    expected = comparison.curves()["asgd"]
    for column in ("time", "gradients_computed", "bits_up", "loss"):
        np.testing.assert_allclose(one[column], expected[column][1], rtol=1e-15)
    assert os.listdir(tmp_path / "deep") == ["new"]


def test_configuration_says_how_to_repeat_it(comparison, tmp_path):
    config = json.loads((comparison.save(tmp_path / "x") / "config.json").read_text())
    assert config["seeds"] == [3, 5]
    assert config["until"] == UNTIL
    assert config["methods"]["asgd"] == {"step_size": STEP_SIZES}
    assert config["versions"]["jax"] == jax.__version__
    assert config["versions"]["numpy"] == np.__version__
    assert config["constants"]["f_star"] == pytest.approx(-6 / 56)
    assert "x_star" not in config["constants"]
    assert config["x64"] is True


def test_pictures_are_pictures(comparison, tmp_path):
    folder = comparison.save(tmp_path / "new")
    pictures = {path.stem for path in folder.glob("*.png")}
    panels = {"loss_time", "loss_gradients_computed", "loss_bits_up"}
    assert pictures == {"comparison"} | panels
    image = matplotlib.image.imread(folder / "comparison.png")
    assert image.shape[1] == 12 * 150  # inches times dots
    assert len(np.unique(image[..., :3].reshape(-1, 3), axis=0)) > 20


def test_axes_name_their_units(comparison):
    axes = comparison.plot().axes
    assert [ax.get_xlabel() for ax in axes] == [
        "simulated seconds",
        "gradients computed",
        "bits, workers to server",
    ]
    assert axes[0].get_ylabel() == "loss − f*"
    assert axes[0].get_yscale() == "log"
    for ax in axes:
        assert len(ax.lines) == len(NAMES) + 1  # and the target
    f_star = QUADRATIC.constants["f_star"]
    drawn = axes[0].lines[0].get_ydata()
    loss = comparison.curves()["minibatch_sgd"]["loss"].mean(axis=0)
    np.testing.assert_allclose(drawn, loss - f_star, rtol=1e-12)


def test_a_folder_that_holds_something_is_refused(comparison, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="not empty"):
        comparison.save(tmp_path)
    assert os.listdir(tmp_path) == ["mine.txt"]
    with pytest.raises(FileExistsError, match="is a file"):
        comparison.save(tmp_path / "mine.txt")
    with pytest.raises(FileExistsError, match="is a file"):
        comparison.save(tmp_path / "mine.txt" / "new")


def test_an_empty_folder_is_taken(comparison, tmp_path):
    comparison.save(tmp_path)
    assert (tmp_path / "summary.csv").exists()


def test_nothing_half_written_remains(tmp_path):
    with pytest.raises(RuntimeError, match="interrupted"):
        with whole(tmp_path / "new") as partial:
            (partial / "half").write_text("...")
            raise RuntimeError("interrupted")
    assert os.listdir(tmp_path) == []


def test_an_unknown_format_writes_nothing(comparison, tmp_path):
    with pytest.raises(ValueError, match="csv or .parquet"):
        comparison.save(tmp_path / "new", format="xls")
    assert os.listdir(tmp_path) == []
