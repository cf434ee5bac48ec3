"""Rows as a Markdown table, or as JSON, with the machine and the versions."""

import datetime
import importlib.metadata
import math
import os
import pathlib
import platform

import jax

from .harness import Row

PACKAGES = ("jax", "jaxlib", "numpy", "optax", "fedjax-opt")

COLUMNS = ("row", "ours", "baseline", "ratio", "unit", "target", "n", "d", "compile, s")


def versions() -> dict[str, str]:
    """What the rows were measured with."""
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version()} | packages


def device() -> str:
    """The processor, and the accelerator if JAX uses one."""
    cores = f"{os.cpu_count()} × {_processor()}"
    first = jax.devices()[0]
    return cores if first.platform == "cpu" else f"{first.device_kind}, {cores}"


def described(row: Row) -> dict:
    """A row for JSON; what is not finite is null."""
    fields = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row._asdict().items()
    }
    return fields | {"versions": versions(), "device": device()}


def markdown(rows: list[Row], command: str) -> str:
    """The page: how it was made, the table, and what each row is measured against."""
    measured_with = ", ".join(f"{name} {v}" for name, v in versions().items())
    lines = [
        "# Benchmarks",
        "",
        f"`{command}`, {datetime.date.today()}, {device()}; {measured_with}.",
        "",
        "Medians of calls in alternation, after a warm-up. The ratio says how many",
        "times better ours is than the baseline; compile is the first call minus the",
        "median of the others.",
        "",
        _line(COLUMNS),
        _line(["---"] * len(COLUMNS)),
        *(_line(_cells(row)) for row in rows),
        "",
        *_remarks(rows),
    ]
    return "\n".join(lines)


def _line(cells):
    return f"| {' | '.join(cells)} |"


def _cells(row: Row) -> list[str]:
    numbers = [_number(x) for x in (row.ours, row.baseline, row.ratio)]
    sizes = [_number(x) for x in (row.n, row.d, row.compile_seconds)]
    return [f"`{row.name}`", *numbers, row.unit, row.target, *sizes]


def _number(value) -> str:
    """Whole numbers as they are, others to three digits."""
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    if not abs(value) >= 1000:
        return f"{value:.3g}"
    return f"{float(f'{value:.3g}'):.0f}"


def _remarks(rows: list[Row]) -> list[str]:
    """What rows are measured against, once for all that share it, and their notes."""
    against: dict[str, list[str]] = {}
    for row in rows:
        if row.against:
            against.setdefault(row.against, []).append(f"`{row.name}`")
    return [
        *(f"* against {what}: {', '.join(names)}" for what, names in against.items()),
        *(f"* `{row.name}`: {row.note}" for row in rows if row.note),
    ]


def _processor() -> str:
    """The processor's name."""
    information = pathlib.Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
