"""Many methods on one problem, each tuned over its grid, on the same horizon."""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import platform
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from ..methods.registry import Entry, lookup
from ..types import ComputeTime, Problem
from .checkpoint import claim
from .chunks import Report
from .equal_bits import check_rounds
from .fingerprint import version
from .folder import whole
from .prepare import Horizon, prepare
from .record import save_table
from .summary import default_target, summarize
from .sweep import Sweep, SweepWarning, sweep

PACKAGES = ("jax", "jaxlib", "numpy", "optax", "fedjax-opt")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes:
      summary: one row per method, see `compare`.
      sweeps: {method: Sweep}, all settings and seeds.
      metrics: names of the problem's metrics, which are columns too.
      target: the loss of the `*_to_target` columns.
      config: everything that was asked for, and the versions that it ran with.
    """

    summary: pd.DataFrame
    sweeps: dict[str, Sweep]
    metrics: tuple[str, ...]
    target: float
    config: dict[str, Any]

    @property
    def diverged(self) -> list[str]:
        """The methods of which every setting diverged."""
        return list(self.summary.method[self.summary.diverged])

    def curves(self) -> dict[str, dict[str, np.ndarray]]:
        """{method: columns [seed, row] of its best setting}, without the diverged."""
        left_out = self.diverged
        return {
            name: sweep.best_columns
            for name, sweep in self.sweeps.items()
            if name not in left_out
        }

    def traces(self) -> pd.DataFrame:
        """A long table of the best settings: method, seed, row and the columns."""
        tables = [pd.DataFrame(columns=["method", "seed", "row"])]
        for name, columns in self.curves().items():
            seeds = self.sweeps[name].seeds
            index = np.indices(columns["loss"].shape).reshape(2, -1)
            labels = {"method": name, "seed": seeds[index[0]], "row": index[1]}
            numbers = {key: values.ravel() for key, values in columns.items()}
            tables.append(pd.DataFrame(labels | numbers))
        return pd.concat(tables[1:] or tables, ignore_index=True)

    def plot(self):
        """Loss against seconds, gradients and bits; returns a matplotlib figure."""
        from .plot import comparison_figure

        return comparison_figure(self)

    def save(self, folder, *, format: str = "csv") -> pathlib.Path:
        """Writes summary, traces, configuration and plots to a new folder.

        The folder appears when all is written. Returns its path.

        Args:
          folder: must not exist, or be empty.
          format: of the traces, "csv" or "parquet".
        """
        from .plot import save_figures

        with whole(folder) as partial:
            save_table(self.summary, partial / "summary.csv")
            save_table(self.traces(), partial / f"traces.{format}")
            text = json.dumps(self.config, indent=2, ensure_ascii=False)
            (partial / "config.json").write_text(text + "\n", encoding="utf-8")
            save_figures(self, partial)
        return pathlib.Path(folder)


def compare(
    problem: Problem,
    *,
    methods: Sequence[str] | Mapping[str, Entry],
    num_workers: int,
    compute_time: ComputeTime | None = None,
    until: float | None = None,
    bits: float | None = None,
    seeds: Sequence[int],
    step_sizes: Sequence[float],
    target: float | None = None,
    num_rows: int = 51,
    checkpoint: str | os.PathLike | None = None,
    chunk: int | None = None,
    progress: Callable[[float, int, int, str], None] | None = None,
) -> Comparison:
    """Tunes every method over its grid and compares the best settings.

    All methods have the same horizon, seeds and step sizes; those with a batch size or
    a delay threshold are also tuned over it. A method's best setting is that with the
    least loss at the horizon, averaged over seeds, of which no seed diverged.

    Args:
      problem: of `fo.problems`.
      methods: names in `fo.methods.registry.METHODS`, or entries of your own by name.
      num_workers, compute_time: the cluster; by default every gradient takes one
        second.
      until, bits: the horizon, one of them: simulated seconds; or bits that a worker
        sends, on average, for methods that go in rounds (see `sweep`).
      seeds: integers, the same for every setting.
      step_sizes: the grid.
      target: the loss of the `*_to_target` columns; by default the least that any
        method has reached, averaged over seeds, at a third of the horizon. One method
        just gets there, in a time that leaves the others three times as long.
      num_rows: rows of the traces, at equal distances from 0 to the horizon.
      checkpoint: a folder of this comparison alone, with a folder for each method, in
        which the state of its runs is saved after every chunk. The same call goes on
        from there; methods may be added, or left out.
      chunk: rows of the traces between checkpoints; by default a fiftieth, at least 8.
      progress: called with (runs done, runs in all, updates that this call has done,
        method) when the runs begin, with "" for the method, and whenever a method has
        come further; runs under way count in part.

    Returns:
      A `Comparison`. The columns of its summary: `method`; `best_*`, the setting;
      `seconds_`, `gradients_` and `bits_up_to_target`, of the curve averaged over
      seeds at its first row at or below the target, empty if it never is;
      `final_loss` and `final_loss_std` (sample deviation over seeds); the problem's
      metrics at the horizon, such as `accuracy`; `diverged`: did every setting diverge,
      or fall silent before the horizon; `diverged_runs` of `runs`; `at_edge`: on the
      edge of which axes the best lies. Bits are those of all workers together.

    Raises:
      ValueError: before anything is computed, if a method cannot run here; or if a
        checkpoint is damaged or that of another run.
      OSError: if a checkpoint cannot be written.
    """
    entries = methods if isinstance(methods, Mapping) else lookup(methods)
    grids = {
        name: entry.grid(_positive("step_sizes", step_sizes), num_workers)
        for name, entry in entries.items()
    }
    if (until is None) == (bits is None):
        raise ValueError("give one of until= and bits=")
    for name, value in (("until", until), ("bits", bits)):
        if value is not None:
            _positive(name, [value])
    if target is not None and not np.isfinite(target):
        raise ValueError(f"target must be a finite loss, got {target}")
    if num_rows < 4:
        raise ValueError(f"num_rows must be at least 4, got {num_rows}")
    if not len(seeds):
        raise ValueError("give at least one seed")
    cluster = {"num_workers": num_workers, "compute_time": compute_time}
    for name, entry in entries.items():
        _check_runs(entry, grids[name], problem, until, cluster)

    folder = None if checkpoint is None else claim(checkpoint, {"kind": "comparison"})

    def one(name, report) -> Sweep:
        return sweep(
            entries[name].recipe,
            problem,
            grid=grids[name],
            seeds=seeds,
            num_rows=num_rows,
            until=until,
            bits=bits,
            checkpoint=None if folder is None else folder / name,
            chunk=chunk,
            progress=report,
            **cluster,
        )

    sweeps = _at_once(one, _run_counts(grids, seeds), progress)
    if target is None:
        target = default_target(sweeps)
    config = {
        "methods": grids,
        "num_workers": num_workers,
        "until": until if until is None else float(until),
        "bits": bits if bits is None else float(bits),
        "seeds": [int(seed) for seed in seeds],
        "target": _or_none(target),
        "num_rows": num_rows,
        "constants": _numbers(problem.constants),
        **_environment(),
    }
    metrics = tuple(problem.metrics)
    summary = summarize(sweeps, target, metrics)
    return Comparison(summary, sweeps, metrics, float(target), config)


def _check_runs(entry: Entry, grid, problem, until, cluster) -> None:
    """Refuses a method that cannot run, before anything does."""
    method = entry.recipe(**{name: values[0] for name, values in grid.items()})
    if until is None:
        check_rounds(method)
    horizon = Horizon(num_updates=1 if until is None else None, until=until)
    keys = [jax.random.key(0)]
    prepare([method], problem, keys, horizon, **cluster, link=None)


def _run_counts(grids, seeds) -> dict[str, int]:
    return {
        name: int(np.prod([len(values) for values in grid.values()])) * len(seeds)
        for name, grid in grids.items()
    }


def _at_once(one: Callable[..., Sweep], runs: dict[str, int], progress):
    """Sweeps the methods, on a CPU several at a time: one compiles, another runs."""
    threads = (os.cpu_count() or 1) if jax.default_backend() == "cpu" else 1
    wide = _is_wide()  # a setting of this thread alone
    report_of = _reports(runs, progress)

    def in_thread(name):
        with jax.enable_x64(wide):
            return one(name, report_of(name))

    pool = concurrent.futures.ThreadPoolExecutor(min(threads, len(runs)))
    with pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", SweepWarning)  # the summary has a column
        names = {pool.submit(in_thread, name): name for name in runs}
        try:
            for future in concurrent.futures.as_completed(names):
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {name: future.result() for future, name in names.items()}


def _reports(runs: dict[str, int], progress) -> Callable[[str], Report | bool]:
    """To whom each method reports: adds them up for `progress`, if there is one."""
    if progress is None:
        return lambda name: False
    lock, total = threading.Lock(), sum(runs.values())
    done, updates, resumed = dict.fromkeys(runs, 0.0), {}, {}
    progress(0, total, 0, "")

    def report_of(name):
        def report(updates_done: int, updates_in_all: int) -> None:
            with lock:
                share = updates_done / updates_in_all if updates_in_all else 1.0
                done[name] = runs[name] * share
                updates[name] = updates_done - resumed.setdefault(name, updates_done)
                progress(sum(done.values()), total, sum(updates.values()), name)

        return report

    return report_of


def _positive(name: str, values) -> list[float]:
    values = [float(value) for value in values]
    if not values or not all(0 < value < np.inf for value in values):
        raise ValueError(f"{name} must be positive and finite, got {values}")
    return values


def _numbers(constants: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in constants.items()
        if value is not None and np.ndim(value) == 0
    }


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _environment() -> dict[str, Any]:
    device = jax.devices()[0]
    return {
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in PACKAGES},
        "platform": platform.platform(),
        "device": f"{device.platform}: {device.device_kind}",
        "x64": _is_wide(),
    }


def _is_wide() -> bool:
    return jnp.result_type(float) == jnp.float64
