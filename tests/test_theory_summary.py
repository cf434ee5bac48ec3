"""The table of all methods, in Python and on the command line."""

import json
import math

import pytest

from fedjax_opt import cli, theory

INF = math.inf
GOLDEN = (1, 2, 4, 8)


def rows_of(data, *args, **kwargs):
    rows = theory.summary(*args, **kwargs)
    return {row.method: row for row in rows if row.data == data}


def test_every_method_of_the_golden_cluster():
    hom = rows_of("homogeneous", GOLDEN, 8)
    assert list(hom)[-2:] == ["mindflayer", "delay_adaptive_asgd"]
    assert hom["mindflayer"].time == pytest.approx(44 / 7)
    assert hom["mindflayer"].parameters == {
        "step_size": 1 / 2,
        "batch_size": 10,
        "num_workers": 3,
        "num_updates": 8,
    }
    assert hom["delay_adaptive_asgd"].time == pytest.approx(6.4)
    het = rows_of("heterogeneous", GOLDEN, 8)
    assert list(het)[-2:] == ["ringleader", "rescaled_asgd"]
    assert het["ringleader"].time == het["rescaled_asgd"].time == 15.5
    # B = max {1, 8/(2 · 3.75)}; max {8 · 4, 80/B} = 75
    assert het["ringleader"].parameters["step_size"] == pytest.approx(1 / 75)
    assert het["rescaled_asgd"].parameters == {}


def test_the_first_rows_stay_as_they_are():
    plain = theory.summary(GOLDEN, 8)
    more = theory.summary(GOLDEN, 8, num_components=9)
    assert [row for row in more if row in plain] == plain
    assert {row.data for row in plain} == {"homogeneous", "heterogeneous"}


def test_finite_sum_rows():
    """m = 100, LΔ/ε = 120; 104/1.875 and 13/1.75."""
    units = {"smoothness": 2.0, "initial_gap": 6.0, "accuracy": 0.1}
    rows = rows_of("finite_sum", GOLDEN, 8, num_components=100, **units)
    full, batch = 104 / 1.875, 13 / 1.75
    expected = {
        "lower_bound": full * 13,
        "freya_page": full + 120 * batch,
        "soviet_page": 2 * (100 + 1200),
        "hero_page": 100 + 1200,
        "soviet_gd": 2 * 12_000,
        "hero_gd": 12_000,
    }
    assert {name: row.time for name, row in rows.items()} == pytest.approx(expected)
    assert rows["hero_gd"].ratio == pytest.approx(12_000 / (full * 13))
    assert rows["freya_page"].parameters["batch_size"] == 10
    assert rows["freya_page"].parameters["probability"] == 0.1
    assert rows["soviet_page"].parameters["probability"] == pytest.approx(1 / 11)


def test_dead_workers_and_no_noise():
    hom = rows_of("homogeneous", (3, INF, 1), 0)
    assert hom["mindflayer"].time == 2  # one gradient at least, and one job lost
    assert hom["mindflayer"].parameters["num_workers"] == 1
    het = rows_of("heterogeneous", (3, INF, 1), 0)
    assert all(row.time == INF and row.ratio == 1 for row in het.values())
    sums = rows_of("finite_sum", (3, INF, 1), 0, num_components=4)
    assert sums["soviet_page"].ratio == INF and sums["freya_page"].ratio < 2


def called(capsys, *arguments):
    with pytest.raises(SystemExit) as exit:
        cli.main(["theory", "--times", "1,2,4,8", "--noise-ratio", "8", *arguments])
    return exit.value.code, *capsys.readouterr()


def test_the_command_line_lists_every_method(capsys):
    code, out, _ = called(capsys, "--components", "100", "--json")
    rows = {(row["method"], row["data"]): row for row in json.loads(out)}
    assert code == 0
    assert rows["hero_gd", "finite_sum"]["time"] == 100
    assert rows["mindflayer", "homogeneous"]["parameters"]["num_workers"] == 3
    assert rows["ringleader", "heterogeneous"]["time"] == 15.5
    code, out, _ = called(capsys)
    assert code == 0 and "rescaled_asgd" in out and "hero_gd" not in out


def test_a_finite_sum_of_nothing_is_refused(capsys):
    code, out, err = called(capsys, "--components", "0")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "num_components must be a whole number" in err
