"""Pictures: one curve per method, units on both axes, bands over seeds."""

import math
import pathlib
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, NullFormatter, StrMethodFormatter

UNITS = {
    "update": "server updates",
    "time": "simulated seconds",
    "worker_seconds": "worker-seconds",
    "gradients_computed": "gradients computed",
    "gradients_used": "gradients used",
    "gradients_discarded": "gradients thrown away",
    "bits_up": "bits, workers to server",
    "bits_down": "bits, server to workers",
    "loss": "loss",
    "grad_norm_sq": "squared gradient norm",
    "distance_sq": "squared distance to the solution",
}

# Okabe and Ito's palette, without its yellow: told apart by the colour-blind.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":")  # a new one each time the palette is used up

PANELS = ("time", "gradients_computed", "bits_up")
WIDE_RANGE = 10.0  # curves whose ends differ by more get a logarithmic x axis
LINE_INCHES = 0.25  # height of a line of the legend
DOTS_PER_INCH = 150
TEXT: dict[Any, Any] = {"font.size": 12}
TARGET = {"color": "grey", "linestyle": (0, (1, 2))}


def plot_curve(trace, *, x, y, ax=None, **style):
    """Draws column `y` of a trace against column `x`, on a logarithmic y axis.

    Args:
      trace: a `Trace`, or anything with `columns` and `label`.
      x, y: names of columns.
      ax: matplotlib axes; new ones by default.
      **style: for `Axes.plot`.

    Returns:
      The axes.
    """
    for name in (x, y):
        if name not in trace.columns:
            raise ValueError(f"no column {name!r}; choose from {list(trace.columns)}")
    ax = plt.subplots()[1] if ax is None else ax
    ax.plot(trace.columns[x], trace.columns[y], **({"label": trace.label} | style))
    finish_axes(ax, x, y, positive=bool(np.nanmin(trace.columns[y]) > 0))
    return ax


def finish_axes(ax, x, y, *, positive: bool = True):
    """Names both axes with their units; a logarithmic y axis if all is positive."""
    ax.set_xlabel(UNITS.get(x, x))
    ax.set_ylabel(UNITS.get(y, y))
    if positive:
        ax.set_yscale("log")
    ax.grid(True, which="major", alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)


# ---------------------------------------------------------------- comparisons


def comparison_figure(comparison) -> Figure:
    """Loss against simulated seconds, gradients computed and bits sent, side by side.

    Args:
      comparison: a `Comparison`.
    """
    with plt.rc_context(TEXT):
        handles = _handles(comparison, target=True)
        columns = min(4, len(handles))
        lines = math.ceil(len(handles) / columns)
        height = 5 + LINE_INCHES * max(lines - 4, 0)
        figure = Figure(figsize=(12, height), layout="constrained")
        axes = figure.subplots(1, len(PANELS), sharey=True)
        for ax, x in zip(axes, PANELS, strict=True):
            _loss_panel(ax, comparison, x)
        for ax in axes[1:]:
            ax.set_ylabel("")
        figure.legend(handles=handles, loc="outside upper center", ncols=columns)
    return figure


def save_figures(comparison, folder) -> None:
    """Writes `comparison.png`, its panels one by one, and one picture per metric."""
    figures = {"comparison": comparison_figure(comparison)}
    for x in PANELS:
        figures[f"loss_{x}"] = _single(comparison, _loss_panel, x)
    across = "time" if comparison.config["bits"] is None else "bits_up"
    for metric in comparison.metrics:
        figures[metric] = _single(comparison, _bands, across, metric)
    for name, figure in figures.items():
        path = pathlib.Path(folder) / f"{name}.png"
        figure.savefig(path, dpi=DOTS_PER_INCH)


def _single(comparison, panel, *columns) -> Figure:
    with plt.rc_context(TEXT):
        handles = _handles(comparison, target=panel is _loss_panel)
        height = max(4.8, LINE_INCHES * (len(handles) + 2))
        figure = Figure(figsize=(8.5, height), layout="constrained")
        panel(figure.subplots(), comparison, *columns)
        figure.legend(handles=handles, loc="outside right upper")
    return figure


def _loss_panel(ax, comparison, x: str) -> None:
    """The loss, above f* where that is known, and the target."""
    optimum = comparison.config["constants"].get("f_star", 0.0)
    least, largest = _bands(ax, comparison, x, "loss", optimum)
    if 0 < least < np.inf:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        few = largest < 10 * least  # at most one power of ten to label
        minor = StrMethodFormatter("{x:g}") if few else NullFormatter()
        ax.yaxis.set_minor_formatter(minor)
    if comparison.target > optimum or least <= 0:
        ax.axhline(comparison.target - optimum, **TARGET)
    if optimum:
        ax.set_ylabel("loss − f*")


def _bands(ax, comparison, x: str, y: str, offset: float = 0.0):
    """Means over seeds of `y` − `offset`, each in a band from least to largest.

    Returns:
      The least and the largest value in the picture.
    """
    curves = {
        name: (columns[x].mean(axis=0), columns[y] - offset)
        for name, columns in comparison.curves().items()
    }
    ends = [across[-1] for across, _ in curves.values()]
    wide = bool(ends) and 0 < WIDE_RANGE * min(ends) < max(ends)
    least, largest = np.inf, -np.inf
    for name, (across, values) in curves.items():
        style = _styles(comparison)[name]
        shown = across > 0 if wide else np.ones_like(across, bool)
        low, high = values.min(axis=0)[shown], values.max(axis=0)[shown]
        ax.plot(across[shown], values.mean(axis=0)[shown], **style)
        band = {"color": style["color"], "alpha": 0.18, "linewidth": 0}
        ax.fill_between(across[shown], low, high, **band)
        least, largest = min(least, low.min()), max(largest, high.max())
    finish_axes(ax, x, y, positive=False)
    ax.margins(x=0.02)
    if wide:
        ax.set_xscale("log")
    if x != "time":
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))  # 250M, not 2.5 and 1e8
    return least, largest


def _styles(comparison) -> dict[str, dict]:
    """How each method is drawn, the diverged ones included."""
    return {
        name: {
            "color": PALETTE[i % len(PALETTE)],
            "linestyle": DASHES[i // len(PALETTE) % len(DASHES)],
            "linewidth": 2,
        }
        for i, name in enumerate(comparison.sweeps)
    }


def _handles(comparison, *, target: bool) -> list[Line2D]:
    """The legend: all methods, those without a curve as diverged, and the target."""
    handles = []
    for name, style in _styles(comparison).items():
        label = name
        if name in comparison.diverged:
            label = f"{name} (diverged)"
            style = {"color": style["color"], "linestyle": "", "marker": "x"}
        handles.append(Line2D([], [], label=label, **style))
    if target:
        handles.append(Line2D([], [], label="target", **TARGET))
    return handles
