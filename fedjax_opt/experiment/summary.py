"""The table of a comparison: one row per method, from its sweep."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .sweep import Sweep

TARGET_AT = 3  # the best method's loss at this part of the horizon is the target

# Columns of a trace, and what the summary calls them where the target is reached.
TO_TARGET = {
    "time": "seconds_to_target",
    "gradients_computed": "gradients_to_target",
    "bits_up": "bits_up_to_target",
}


def default_target(sweeps: Mapping[str, Sweep]) -> float:
    """The least loss that a method has at a third of the horizon; NaN if all diverged.

    Of each method's best setting, averaged over seeds, at the last row until then.
    """
    curves = [
        sweep.best_columns["loss"].mean(axis=0)
        for sweep in sweeps.values()
        if not _all_diverged(sweep)
    ]
    losses = (curve[(len(curve) - 1) // TARGET_AT] for curve in curves)
    return float(min(losses, default=np.nan))


def summarize(
    sweeps: Mapping[str, Sweep], target: float, metrics: Sequence[str]
) -> pd.DataFrame:
    """One row per method; the columns are those that `compare` lists."""
    axes = list(dict.fromkeys(axis for sweep in sweeps.values() for axis in sweep.grid))
    rows = [_row(n, s, target, axes, metrics) for n, s in sweeps.items()]
    table = pd.DataFrame(rows)
    for column in (f"best_{axis}" for axis in axes if axis != "step_size"):
        if all(value % 1 == 0 for value in table[column].dropna()):
            table[column] = table[column].astype("Int64")  # has empty cells, unlike int
    return table


def _row(name: str, sweep: Sweep, target, axes, metrics) -> dict[str, Any]:
    failed = _all_diverged(sweep)
    best = {} if failed else sweep.best
    columns = {
        column: np.full_like(values, np.nan) if failed else values
        for column, values in sweep.best_columns.items()
    }
    curves = {column: values.mean(axis=0) for column, values in columns.items()}
    reached = np.flatnonzero(curves["loss"] <= target)
    last = columns["loss"][:, -1]
    return {
        "method": name,
        **{f"best_{axis}": best.get(axis, np.nan) for axis in axes},
        **{
            label: curves[column][reached[0]] if reached.size else np.nan
            for column, label in TO_TARGET.items()
        },
        "final_loss": last.mean(),
        "final_loss_std": last.std(ddof=1) if last.size > 1 else np.nan,
        **{metric: curves[metric][-1] for metric in metrics},
        "diverged": failed,
        "diverged_runs": int(sweep.diverged.sum()),
        "runs": sweep.diverged.size,
        "at_edge": "" if failed else " ".join(sweep.at_edge),
    }


def _all_diverged(sweep: Sweep) -> bool:
    return not np.isfinite(sweep.score).any()
