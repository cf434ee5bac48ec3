"""A horizon in bits: numbers by hand, lengths that vary, silence, and real data."""

import os
import pathlib

import jax
import numpy as np
import pytest

import fedjax_opt as fo
from fedjax_opt.compressors import identity, rand_k, top_k
from fedjax_opt.experiment import SweepWarning, compare, equal_bits, setting
from fedjax_opt.experiment.equal_bits import at_bits
from fedjax_opt.methods.registry import METHODS, lookup

DATA = os.environ.get("FEDJAX_OPT_DATA")
N, D, ROWS = 4, 7, 10
QUADRATIC = fo.problems.tridiagonal(D, noise="none")
# 7 numbers of 64 bits; two of them, or one, with an index of 8 bits each.
DENSE, TWO, ONE = 7 * 64, 2 * 72, 72
BITS = 18 * DENSE  # 56 messages of two numbers, 112 of one
OWN = {
    "gd": METHODS["dcgd_gd"].with_options({"compressor": identity()}),
    "dcgd": METHODS["dcgd_gd"].with_options({"compressor": rand_k(2)}),
    "ef21": METHODS["ef21_gd"].with_options({"compressor": top_k(1)}),
}
SETTINGS = {"num_workers": N, "bits": BITS, "seeds": [0], "num_rows": ROWS}


@pytest.fixture(scope="module")
def comparison():
    return compare(QUADRATIC, methods=OWN, step_sizes=[0.5, 1e12], **SETTINGS)


def test_all_methods_have_sent_the_same_in_every_row(comparison):
    for columns in comparison.curves().values():
        np.testing.assert_allclose(
            columns["bits_up"][0], N * np.linspace(0, BITS, ROWS), rtol=1e-12
        )


def test_rounds_at_the_horizon_by_hand(comparison):
    last = {name: c["update"][0, -1] for name, c in comparison.curves().items()}
    rounds = {"gd": 18, "dcgd": BITS / TWO, "ef21": BITS / ONE}
    assert last == pytest.approx(rounds)
    assert rounds["dcgd"] == 56 and rounds["ef21"] == 112


def test_gradient_descent_by_hand(comparison):
    A = (2 * np.eye(D) - np.eye(D, k=1) - np.eye(D, k=-1)) / 4
    b = -np.eye(D)[0] / 4
    x = np.sqrt(D) * np.eye(D)[0]
    losses = []
    for _ in range(19):
        losses.append(x @ A @ x / 2 - b @ x)
        x = x - 0.5 * (A @ x - b)
    curve = comparison.curves()["gd"]["loss"][0]
    np.testing.assert_allclose(curve, losses[::2], rtol=1e-12)
    row = comparison.summary.set_index("method").loc["gd"]
    assert row.best_step_size == 0.5
    assert row.diverged_runs == 1
    assert row.final_loss == pytest.approx(losses[18])


def test_the_target_is_at_a_third_of_the_bits(comparison):
    best = min(c["loss"][0, 3] for c in comparison.curves().values())
    assert comparison.target == best
    reached = comparison.summary.bits_up_to_target
    assert reached.min() == pytest.approx(N * BITS / 3)
    assert (reached.dropna() / (N * BITS / 9) % 1).max() < 1e-9


def test_folder_and_pictures(comparison, tmp_path):
    comparison.save(tmp_path / "new")
    assert (tmp_path / "new" / "loss_bits_up.png").exists()
    assert comparison.config["bits"] == BITS
    assert comparison.config["until"] is None


def test_rows_are_linear_between_rounds_and_nan_behind_the_last():
    columns = {
        "bits_up": np.array([0.0, 40.0, 80.0, np.nan]),
        "loss": np.array([4.0, 2.0, 1.0, np.nan]),
    }
    found = at_bits(columns, np.array([0.0, 10.0, 30.0, 40.0, 41.0]), 2)
    np.testing.assert_allclose(found["loss"], [4, 3, 1.5, 1, np.nan])
    np.testing.assert_allclose(found["bits_up"], [0, 20, 60, 80, np.nan])


def test_what_was_sent_in_silence_counts_at_its_end():
    columns = {"bits_up": np.array([0.0, 8, 8, 16]), "loss": np.array([4.0, 3, 2, 1])}
    assert at_bits(columns, np.array([8.0]), 1)["loss"] == 2


def test_a_coin_makes_runs_longer_until_all_have_sent_enough():
    options = {"compressor": rand_k(1), "probability": 0.1}
    found = fo.sweep(
        METHODS["marina_gd"].with_options(options).recipe,
        QUADRATIC,
        grid={"step_size": [0.1, 0.3]},
        seeds=[0, 1, 2],
        num_workers=N,
        bits=BITS,
        num_rows=500,  # more than rounds: all are recorded
    )
    grid = np.linspace(0, BITS, 500)
    assert np.isfinite(found.columns["loss"]).all()
    rounds = found.columns["update"][..., -1]
    assert (rounds > 18).all() and (rounds < BITS / ONE).all()
    alone = fo.run(
        fo.methods.marina_gd(step_size=0.3, **options),
        QUADRATIC,
        num_workers=N,
        key=jax.random.key(2),
        num_updates=112,
    )
    expected = np.interp(grid, alone.bits_up / N, alone.loss)
    np.testing.assert_allclose(found.columns["loss"][1, 2], expected, rtol=1e-9)


def test_who_falls_silent_has_nan_where_it_has_not_sent(monkeypatch):
    monkeypatch.setattr(equal_bits, "SILENT", 2)
    with pytest.warns(SweepWarning, match="no setting of lag_gd has a finite score"):
        found = fo.sweep(
            METHODS["lag_gd"].with_options({"trigger": 1e30}).recipe,
            QUADRATIC,
            grid={"step_size": [1e-6]},
            seeds=[0],
            num_workers=N,
            bits=2.5 * DENSE,
            num_rows=6,  # at 0, half, one, ... of a gradient
        )
    known = np.isfinite(found.columns["loss"][0, 0])  # one gradient, then six flags
    assert known.tolist() == [True, True, True, False, False, False]


def test_progress_ends_where_all_is_done():
    calls = []
    options = {"compressor": rand_k(1), "probability": 0.1}
    fo.sweep(
        METHODS["marina_gd"].with_options(options).recipe,
        QUADRATIC,
        grid={"step_size": [0.1]},
        seeds=[0],
        num_workers=N,
        bits=BITS,
        progress=lambda *call: calls.append(call),
    )
    assert calls[-1][0] == calls[-1][1] > 18
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_a_checkpoint_belongs_to_its_bits(tmp_path):
    options = SETTINGS | {"methods": lookup(["marina_gd"]), "step_sizes": [0.3]}
    options |= {"chunk": 100}
    folder = tmp_path / "saved"
    first = compare(QUADRATIC, checkpoint=folder, **options)
    again = compare(QUADRATIC, checkpoint=folder, **options)
    without = compare(QUADRATIC, **options)
    for other in (again, without):
        for name, column in first.sweeps["marina_gd"].columns.items():
            np.testing.assert_array_equal(
                column, other.sweeps["marina_gd"].columns[name]
            )
    with pytest.raises(ValueError, match="differs in bits"):
        compare(QUADRATIC, checkpoint=folder, **options | {"bits": 2 * BITS})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"until": 9.0}, "give one of until= and bits="),
        ({"bits": None}, "give one of until= and bits="),
        ({"bits": 0.0}, "bits must be positive and finite"),
        ({"bits": np.inf}, "bits must be positive and finite"),
        ({"methods": ["asgd"]}, "asgd does not go in rounds.*until= instead of bits="),
    ],
)
def test_refusals_of_compare(change, message):
    arguments = SETTINGS | {"methods": ["ef21_gd"], "step_sizes": [0.1]} | change
    with pytest.raises(ValueError, match=message):
        compare(QUADRATIC, **arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"until": 9.0}, "leave it out, or them"),
        ({"num_updates": 9}, "leave it out, or them"),
        ({"record_every": 2}, "leave it out, or them"),
        ({"bits": -1.0}, "bits must be positive and finite"),
    ],
)
def test_refusals_of_sweep(change, message):
    arguments = {"grid": {"step_size": [0.1]}, "seeds": [0], "num_workers": N}
    with pytest.raises(ValueError, match=message):
        fo.sweep(OWN["gd"].recipe, QUADRATIC, **arguments | {"bits": BITS} | change)


def test_sweep_refuses_methods_without_rounds():
    with pytest.raises(ValueError, match="asgd does not go in rounds"):
        fo.sweep(
            fo.methods.asgd,
            QUADRATIC,
            grid={"step_size": [0.1]},
            seeds=[0],
            num_workers=N,
            bits=BITS,
        )


@pytest.mark.skipif(not DATA, reason="FEDJAX_OPT_DATA names no folder")
def test_ef21_is_below_dcgd_on_mushrooms():
    """Rows split by label, Top-5 % against Rand-5 %, the bits of ten gradients."""
    data = pathlib.Path(str(DATA)) / "mushrooms.svm.gz"
    made = setting.logistic(num_workers=20, seed=0, data=str(data))
    found = compare(
        made.problem,
        methods=["dcgd_gd", "ef21_gd"],
        num_workers=20,
        bits=10 * 64 * made.description["features"],
        seeds=[0],
        step_sizes=made.step_sizes[2:10],
        num_rows=11,
    )
    loss = found.summary.set_index("method").final_loss
    norm = {name: c["grad_norm_sq"][0, -1] for name, c in found.curves().items()}
    assert loss["ef21_gd"] < loss["dcgd_gd"]
    assert norm["ef21_gd"] < 0.1 * norm["dcgd_gd"]
