"""Recorded times read from files."""

import jax
import numpy as np
import pandas
import pytest

from fedjax_opt import events, timing
from fedjax_opt.simulate import trace

INF = float("inf")

# Not sorted; worker 1 has one row, worker 2 never delivers its second job.
ROWS = pandas.DataFrame(
    {
        "worker": [2, 0, 0, 1, 0, 2, 0],
        "start": [0.0, 7.0, 0.0, 0.5, 3.0, 4.0, 3.0],
        "duration": [4.0, 1.0, 3.0, 2.5, 4.0, INF, 0.25],
        "host": ["a", "b", "b", "c", "b", "a", "b"],
    }
)
# By start; the two rows of worker 0 that start at 3 stay in order.
JOBS = [[3.0, 4.0, 0.25, 1.0], [2.5], [4.0, INF]]


@jax.jit
def sample(law, worker, job, work):
    return law.sample(jax.random.key(0), worker, job, 0.0, work)


@pytest.fixture(params=["csv", "parquet"])
def path(request, tmp_path):
    path = tmp_path / f"times.{request.param}"
    if request.param == "csv":
        ROWS.to_csv(path, index=False)
    else:
        ROWS.to_parquet(path)
    return path


def test_jobs_take_the_recorded_times_in_order_and_cyclically(path):
    law = timing.from_file(path)
    for worker, times in enumerate(JOBS):
        for job in range(9):
            assert sample(law, worker, job, 1) == times[job % len(times)]
    assert sample(law, 0, 1, 3) == 12.0
    assert sample(law, 2, 1, 0) == INF
    assert sample(law, 0, 1, 1).dtype == np.float64


def test_means_bounds_and_cdf_are_those_of_the_rows(path):
    law = timing.from_file(path)
    np.testing.assert_array_equal(law.mean, [8.25 / 4, 2.5, INF])
    np.testing.assert_array_equal(law.lower_bound, [0.25, 2.5, 4.0])
    for t in [-1.0, 0.0, 0.25, 1.0, 2.499, 2.5, 3.0, 4.0, 1e9, INF]:
        expected = [np.mean(np.asarray(times) <= t) for times in JOBS]
        np.testing.assert_array_equal(law.cdf(np.full(3, t)), expected)
        np.testing.assert_array_equal(law.cdf(t), expected)
    np.testing.assert_array_equal(timing.median(law), [1.0, 2.5, 4.0])
    np.testing.assert_array_equal(timing.quantile(law, 0.9), [4.0, 2.5, INF])


def test_a_file_drives_a_schedule(path):
    law = timing.from_file(path, num_workers=3)
    found = trace(
        events.asgd(), law, num_workers=3, key=jax.random.key(0), num_events=9
    )
    np.testing.assert_array_equal(found.time, [2.5, 3, 4, 5, 7, 7.25, 7.5, 8.25, 10])
    np.testing.assert_array_equal(found.worker, [1, 0, 2, 1, 0, 0, 1, 0, 1])


def test_a_replayed_trace_repeats_itself(tmp_path):
    law = timing.half_normal([1.0, 2.0, 0.7], scale=1.0)
    run = dict(num_workers=3, key=jax.random.key(0), num_events=60)
    first = trace(events.asgd(), law, **run)
    rows = pandas.DataFrame({"worker": first.worker, "end": first.time})
    before = rows.groupby("worker")["end"].shift(fill_value=0.0)
    rows["start"], rows["duration"] = before, rows["end"] - before
    rows.to_parquet(tmp_path / "run")
    again = trace(events.asgd(), timing.from_file(tmp_path / "run"), **run)
    # After the last row of a worker its first comes again, so only what was recorded.
    np.testing.assert_allclose(again.time[:50], first.time[:50], rtol=1e-12)
    np.testing.assert_array_equal(again.worker[:50], first.worker[:50])


def test_names_of_columns_are_read_kindly(tmp_path):
    path = tmp_path / "times.csv"
    path.write_text("\ufeffWorker, Duration ,START\n0, 2.0, 1\n\n0,3,0\n1,inf,0\n")
    law = timing.from_file(path)
    assert [sample(law, 0, j, 1) for j in range(3)] == [3.0, 2.0, 3.0]
    np.testing.assert_array_equal(law.mean, [2.5, INF])
    np.testing.assert_array_equal(law.lower_bound, [2.0, INF])


def test_files_of_equally_many_rows_share_a_program(tmp_path):
    traces = []

    @jax.jit
    def program(law):
        traces.append(law)
        return law.sample(jax.random.key(0), 0, 1, 0.0, 1), law.cdf(np.ones(2))

    path = tmp_path / "times.csv"
    for rows in ("0,0,1\n0,1,2\n1,0,3\n", "0,0,5\n1,1,6\n1,2,7\n"):
        path.write_text("worker,start,duration\n" + rows)
        law = timing.from_file(path)
        assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(law))
        program(law)
    assert len(traces) == 1


HEAD = "worker,start,duration\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: write worker, start, duration"),
        (" \n\n", "is empty"),
        (
            "worker,start\n0,1\n",
            "0 columns called duration, among worker, start: it nee",
        ),
        (
            "worker;start;duration\n0;1;2\n",
            "0 columns called worker, among worker;start",
        ),
        ("0,1,2\n0,1,2\n", "0 columns called worker"),
        ("worker,Worker,start,duration\n0,0,1,2\n", "2 columns called worker"),
        (HEAD, "has no rows: write one per job"),
        (HEAD + "0,0,1\n0,1,-2\n", "row 2, column duration: -2 is not allowed: give"),
        (HEAD + "0,0,1\n0,1,\n", "row 2, column duration: nan is not allowed"),
        (HEAD + "0,0,nan\n", "row 1, column duration: nan is not allowed"),
        (HEAD + "0,0,soon\n", "row 1, column duration: 'soon' is not a number"),
        (HEAD + "0,inf,1\n", "row 1, column start: inf is not allowed: give finite"),
        (HEAD + "0,,1\n", "row 1, column start: nan"),
        (HEAD + "0.5,0,1\n", "row 1, column worker: 0.5 is not allowed: number the"),
        (HEAD + "-1,0,1\n", "row 1, column worker: -1 is not allowed"),
        (HEAD + "inf,0,1\n", "row 1, column worker: inf is not allowed"),
        (HEAD + ",0,1\n", "row 1, column worker: nan is not allowed"),
        (HEAD + "a,0,1\n", "row 1, column worker: 'a' is not a number"),
        (HEAD + "1,0,1\n2,0,1\n", "has no rows of worker 0: number the workers"),
        (HEAD + "0,0,1\n3,0,1\n1,0,1\n", "has no rows of worker 2: number the workers"),
        (HEAD + "0,0,1,9\n0,1,2,9\n", "is neither CSV nor Parquet: Length of header"),
        (HEAD + "0,0,1\n0,1,2,9\n", "is neither CSV nor Parquet: .*Expected 3 fields"),
        ("PAR1 but not really", "is neither CSV nor Parquet"),
        ("\0\1\2", "columns called worker"),
    ],
)
def test_mistakes_in_files_are_named(tmp_path, text, message):
    path = tmp_path / "times.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        timing.from_file(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_times_of_other_types(tmp_path):
    path = tmp_path / "times.parquet"
    rows = ROWS.assign(duration=pandas.to_timedelta(ROWS["start"], unit="s"))
    rows.to_parquet(path)
    with pytest.raises(
        ValueError, match="column duration: timedelta.* write plain num"
    ):
        timing.from_file(path)
    rows = ROWS.assign(duration=pandas.array([1, 2, None, 4, 5, 6, 7], dtype="Int64"))
    rows.to_parquet(path)
    with pytest.raises(ValueError, match="row 3, column duration: nan is not allowed"):
        timing.from_file(path)
    ROWS.assign(worker=ROWS["worker"].astype("uint8")).to_parquet(path)
    np.testing.assert_array_equal(timing.from_file(path).mean, [8.25 / 4, 2.5, INF])


def test_the_number_of_workers_is_checked(path):
    with pytest.raises(ValueError, match="no rows of worker 3: number the workers"):
        timing.from_file(path, num_workers=4)
    with pytest.raises(ValueError, match="rows of worker 2, but num_workers is 2"):
        timing.from_file(path, num_workers=2)


def test_a_missing_file_and_bytes_that_are_no_text(tmp_path):
    with pytest.raises(FileNotFoundError, match="no times .*: give the path of a CSV"):
        timing.from_file(tmp_path / "nothing.csv")
    path = tmp_path / "times.csv"
    path.write_bytes(b"\xff\xfe\x80worker\n")
    with pytest.raises(ValueError, match="is neither CSV nor Parquet"):
        timing.from_file(path)
