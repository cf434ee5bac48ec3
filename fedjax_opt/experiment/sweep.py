"""Many experiments at once: a grid of hyperparameters times seeds, one program."""

import dataclasses
import itertools
import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import numpy as np
import pandas as pd

from ..types import Method, Problem
from .chunks import Chunks, Report
from .equal_bits import run_to_bits
from .prepare import Horizon
from .progress_bar import progress_bar
from .ray_cluster import execute_on_ray
from .record import Trace, diverged
from .run import execute


class SweepWarning(UserWarning):
    """The best setting lies on the edge of its grid, or there is none."""


@dataclasses.dataclass(frozen=True)
class Sweep:
    """All traces of a sweep, with named axes.

    Attributes:
      grid: {name: values}, the axes in order; behind them come "seed" and "row".
      seeds: the seeds.
      columns: {name: array [*grid, seed, row]}.
      score: [*grid], the metric at the horizon, averaged over seeds; inf if diverged.
      params: leaves [*grid, seed, ...] if they were kept, else None.
      label: the method's name.
    """

    grid: dict[str, np.ndarray]
    seeds: np.ndarray
    columns: dict[str, np.ndarray]
    score: np.ndarray
    params: Any = None
    label: str = ""

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes of every column."""
        return (*self.grid, "seed", "row")

    @property
    def diverged(self) -> np.ndarray:
        """[*grid, seed]: which runs diverged."""
        return diverged(self.columns)

    @property
    def best_index(self) -> tuple[int, ...]:
        """Where the score is least."""
        return tuple(map(int, np.unravel_index(self.score.argmin(), self.score.shape)))

    @property
    def best(self) -> dict[str, float]:
        """The best setting, {name: value}."""
        pairs = zip(self.grid.items(), self.best_index, strict=True)
        return {name: values[i].item() for (name, values), i in pairs}

    @property
    def best_columns(self) -> dict[str, np.ndarray]:
        """The columns [seed, row] of the best setting."""
        return {name: c[self.best_index] for name, c in self.columns.items()}

    @property
    def at_edge(self) -> tuple[str, ...]:
        """The axes on whose edge the best setting lies; none if all scores are inf."""
        if np.isinf(self.score).all():
            return ()
        return tuple(
            name
            for (name, values), i in zip(
                self.grid.items(), self.best_index, strict=True
            )
            if len(values) > 2 and i in (0, len(values) - 1)
        )

    def to_pandas(self) -> pd.DataFrame:
        """A long table: one line per setting, seed and row."""
        shape = next(iter(self.columns.values())).shape
        axes = [*self.grid.values(), self.seeds, np.arange(shape[-1])]
        mesh = np.meshgrid(*axes, indexing="ij")
        table = {name: m.ravel() for name, m in zip(self.axes, mesh, strict=True)}
        return pd.DataFrame(table | {n: c.ravel() for n, c in self.columns.items()})


def sweep(
    make_method: Callable[..., Method],
    problem: Problem,
    *,
    grid: dict[str, Any],
    seeds: Sequence[int],
    metric: str | Callable[[dict[str, np.ndarray]], np.ndarray] = "loss",
    keep_params: bool = False,
    num_rows: int = 101,
    num_workers: int,
    compute_time=None,
    link=None,
    num_updates: int | None = None,
    until: float | None = None,
    bits: float | None = None,
    record_every: int = 1,
    cluster: Literal["ray"] | None = None,
    checkpoint: str | os.PathLike | None = None,
    chunk: int | None = None,
    progress: bool | Report = False,
) -> Sweep:
    """Runs a method for every point of a grid and every seed, as one program.

    The clock runs once for each distinct schedule and seed, however many step sizes
    share it. The numbers are spread over all local devices, run by run, unless
    `jax_default_device` names one of them; each has a copy of the problem's data. A
    CPU is one device unless `jax_num_cpu_devices` was set before JAX began.

    Args:
      make_method: called with one keyword per axis, e.g. `fo.methods.asgd`.
      problem: of `fo.problems`.
      grid: {keyword: values}; numbers only.
      seeds: integers; seed s uses `jax.random.key(s)`.
      metric: the column whose last value is least at the best setting, or a function
        of the columns [*grid, seed, row] that gives such a score [*grid, seed].
      keep_params: keep every final point.
      num_rows: rows of the traces when `until` or `bits` is given: they share one grid
        of times, or of bits.
      num_workers, compute_time, link, num_updates, until, record_every: as in `run`.
      bits: instead of `num_updates` and `until`: when to stop, in bits sent up by all
        workers over their number. For methods that go in rounds. Rows are linear
        between rounds; the final points are those of the round behind. Where the
        length of messages varies, runs are repeated, longer, until all have sent
        enough; who falls silent has NaN where it has not.
      cluster: "ray" spreads the runs over a Ray cluster on which this package is
        installed: the one of RAY_ADDRESS, or else the CPUs (or GPUs) of this machine.
      checkpoint, chunk: as in `run`, for all runs together, in this process; a chunk
        is so many rows of the traces when `until` is given.
      progress: show a bar with updates per second and the remaining time; or a
        function to be called with (updates done, updates in all), of all runs.

    Returns:
      A `Sweep`. It warns when the best setting lies on the edge of the grid.
    """
    if cluster not in (None, "ray"):
        raise ValueError(
            f"cluster must be 'ray', or None for this process alone, not {cluster!r}"
        )
    if cluster == "ray" and not (checkpoint is chunk is None and progress is False):
        raise ValueError(
            "checkpoint=, chunk= and progress= are for runs in this process: leave "
            "them out, or cluster='ray'"
        )
    if bits is not None and not (num_updates is until is None and record_every == 1):
        raise ValueError(
            "bits= stands instead of num_updates=, until= and record_every=: leave it "
            "out, or them"
        )
    if bits is not None and not 0 < bits < np.inf:
        raise ValueError(f"bits must be positive and finite, got {bits}")
    grid = {name: np.atleast_1d(np.asarray(v)) for name, v in grid.items()}
    seeds = list(seeds)
    if not seeds or any(v.size == 0 for v in grid.values()):
        raise ValueError("a sweep needs at least one seed and one value on every axis")
    settings = [
        dict(zip(grid, values, strict=True))
        for values in itertools.product(*grid.values())
    ]
    methods = [
        make_method(**{name: value.item() for name, value in setting.items()})
        for setting in settings
    ]
    runs = (
        [method for method in methods for _ in seeds],
        problem,
        [jax.random.key(seed) for _ in methods for seed in seeds],
    )
    same = {"num_workers": num_workers, "compute_time": compute_time, "link": link}

    def execute_to(horizon: Horizon, chunks: Chunks) -> list[Trace]:
        if cluster == "ray":
            return execute_on_ray(*runs, horizon, **same)
        return execute(*runs, horizon, **same, chunks=chunks)

    with progress_bar(progress, methods[0].label) as report:
        chunks = Chunks(chunk, checkpoint, report)
        if bits is None:
            times = None if until is None else np.linspace(0.0, until, num_rows)
            horizon = Horizon(num_updates, until, record_every, times)
            traces = execute_to(horizon, chunks)
        else:
            traces = run_to_bits(
                execute_to, chunks, methods[0], problem, num_workers, bits, num_rows
            )
    shape = (*(len(v) for v in grid.values()), len(seeds))
    columns = {
        name: np.stack([t.columns[name] for t in traces]).reshape(*shape, -1)
        for name in traces[0].columns
    }
    result = Sweep(
        grid=grid,
        seeds=np.asarray(seeds),
        columns=columns,
        score=_score(columns, metric),
        params=_stacked_params(traces, shape) if keep_params else None,
        label=methods[0].label,
    )
    if np.isinf(result.score).all():
        warnings.warn(
            f"no setting of {result.label} has a finite score: every one diverged, or "
            "did not reach what the metric asks for; try smaller steps or a longer run",
            SweepWarning,
            stacklevel=2,
        )
    if result.at_edge:
        warnings.warn(
            f"the best setting {result.best} of {result.label} lies on the edge of the "
            f"grid in {', '.join(result.at_edge)}; widen it",
            SweepWarning,
            stacklevel=2,
        )
    return result


def _score(columns, metric):
    if isinstance(metric, str) and metric not in columns:
        raise ValueError(f"no column {metric!r}; the metric is one of {list(columns)}")
    last = columns[metric][..., -1] if isinstance(metric, str) else metric(columns)
    bad = diverged(columns) | ~np.isfinite(last)
    return np.where(bad, np.inf, last).mean(axis=-1)


def _stacked_params(traces, shape):
    return jax.tree.map(
        lambda *leaves: np.stack(leaves).reshape(*shape, *np.shape(leaves[0])),
        *(t.params for t in traces),
    )
