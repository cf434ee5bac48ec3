"""The command line: `fedjax-opt compare`, `fedjax-opt methods`, `fedjax-opt theory`."""

import dataclasses
import datetime
import itertools
import json
import math
import pathlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from . import theory
from .experiment import Comparison, setting
from .experiment import compare as compare_methods
from .experiment.folder import check_free
from .methods.registry import METHODS, lookup

FORMATS = ("csv", "parquet")

# Of tqdm: runs under way count in part, and are shown as whole ones.
BAR = "{l_bar}{bar}| {n:.0f}/{total} runs [{elapsed}<{remaining}, {postfix}]"

# typer brings its own click or imports it, depending on its version.
UsageError: Any = typer.BadParameter.__bases__[0]

app = typer.Typer(
    help="Distributed and federated optimization in JAX, on simulated clusters.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
Times = Annotated[
    str,
    typer.Option(
        help="Seconds per gradient of each worker: sqrt, linear or equal; a list such "
        "as 1,2,4,8; or a CSV file with one number per line or a column time. inf is a "
        "worker that never delivers. For compare also a file of recorded jobs, CSV or "
        "Parquet, with the columns worker, start and duration."
    ),
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; bad input gives one line on stderr and exit code 2."""
    try:
        code = app(arguments, standalone_mode=False)
    except UsageError as error:
        code = _fail(error.format_message() or "give a command")
    except (ValueError, OSError) as error:
        code = _fail(_message(error))
    except typer.Abort:
        code = 130
    sys.exit(code or 0)


@app.command("methods")
def list_methods(as_json: Json = False) -> None:
    """List every method with its paper."""
    rows = [
        {"name": name, "title": entry.title, "arxiv": entry.arxiv, "group": entry.group}
        for name, entry in METHODS.items()
    ]
    _print_rows(rows, as_json)


@app.command("theory")
def show_theory(
    times: Times,
    noise_ratio: Annotated[float, typer.Option(help="σ²/ε.")],
    workers: Annotated[
        int | None, typer.Option(help="Number of workers, for sqrt, linear and equal.")
    ] = None,
    smoothness: Annotated[float, typer.Option(help="L.")] = 1,
    initial_gap: Annotated[float, typer.Option(help="Δ = f(x⁰) − f*.")] = 1,
    accuracy: Annotated[float, typer.Option(help="ε, for E|∇f|² <= ε.")] = 1,
    components: Annotated[
        int | None,
        typer.Option(help="Number of components; adds the methods for finite sums."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Time complexities, lower bounds and prescribed parameters for a cluster.

    Times are in units of LΔ/ε unless these are given. inf, or null in JSON, is never.
    """
    rows = theory.summary(
        setting.worker_times(times, workers),
        noise_ratio,
        smoothness=smoothness,
        initial_gap=initial_gap,
        accuracy=accuracy,
        num_components=components,
    )
    _print_rows([row._asdict() for row in rows], as_json)


@app.command()
def compare(
    data: Annotated[
        str | None,
        typer.Option(
            help="digits (default), breast_cancer (default of logistic), or a "
            "svmlight, CSV or NPZ file."
        ),
    ] = None,
    problem: Annotated[
        str,
        typer.Option(
            help="classifier; logistic: two classes, with a nonconvex penalty; or "
            "quadratic: the tridiagonal worst case."
        ),
    ] = "classifier",
    dim: Annotated[
        int | None, typer.Option(help="Of the quadratic; 1729 by default.")
    ] = None,
    noise: Annotated[
        float | None, typer.Option(help="Of the quadratic's gradients; 0.01 by default")
    ] = None,
    hidden: Annotated[
        int | None,
        typer.Option(
            help="Width of the classifier's hidden layer, 0: none. By default "
            f"{setting.HIDDEN}, but 0 where the data have over {setting.LARGE} entries."
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="shared: every worker has all rows (default); or homogeneous, label "
            "(default of logistic), dirichlet: each holds rows of its own."
        ),
    ] = None,
    samples_per_gradient: Annotated[
        int | None,
        typer.Option(
            help="Rows of one stochastic gradient; 32 by default, all of the worker's "
            "for logistic."
        ),
    ] = None,
    nonconvex: Annotated[
        float | None,
        typer.Option(
            help="Of logistic: the weight λ of Σ x²/(1 + x²), by default "
            f"{setting.NONCONVEX}."
        ),
    ] = None,
    l2: Annotated[
        float | None, typer.Option(help="Of logistic: the weight of |x|²/2, default 0.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Number of workers n.")] = 100,
    times: Times = "sqrt",
    methods: Annotated[
        str | None,
        typer.Option(
            help="Names separated by commas, see `fedjax-opt methods`, with options "
            "behind colons: 'ef21_gd:compressor=top_k(10)'. By default "
            f"{', '.join(setting.METHODS)}; with --bits "
            f"{', '.join(setting.METHODS_OF_BITS)}."
        ),
    ] = None,
    step_sizes: Annotated[
        str | None,
        typer.Option(
            help="The grid of every method, by default 2^-10, ..., 2^2; for logistic "
            "2^-8, ..., 2^7 over the smoothness."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = 3,
    seed: Annotated[
        int, typer.Option(help="The first seed; also of x⁰ and of the split.")
    ] = 0,
    until: Annotated[
        float | None,
        typer.Option(
            help="Horizon in simulated seconds, the same for all; by default the "
            f"workers' time for {setting.GRADIENTS['classifier']} gradients "
            f"({setting.GRADIENTS['quadratic']} of the quadratic), or for "
            f"{setting.GRADIENTS_EACH} per worker if that is more."
        ),
    ] = None,
    bits: Annotated[
        float | None,
        typer.Option(
            help="Horizon in bits that a worker sends, instead of --until; for methods "
            "that go in rounds."
        ),
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(
            help="Loss of the *_to_target columns; by default the best method's at a "
            "third of the horizon."
        ),
    ] = None,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(help="A new folder; by default a dated one under runs/."),
    ] = None,
    format: Annotated[
        str, typer.Option(help="Of the traces: csv or parquet.")
    ] = FORMATS[0],
    checkpoint: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="A folder to save the runs in as they go. If the comparison is "
            "interrupted, the same command goes on from there."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Tune methods on one problem and cluster, and compare them.

    Writes summary.csv, the traces of the best settings, config.json and plots.
    """
    arguments = {name: value for name, value in locals().items() if name != "as_json"}
    if format not in FORMATS:
        raise ValueError(f"--format must be {' or '.join(FORMATS)}, got {format!r}")
    if seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {seeds}")
    if not 0 <= seed < 2**31 - seeds:
        raise ValueError(f"--seed must lie between 0 and 2^31, got {seed}")
    if until is not None and bits is not None:
        raise ValueError("--until and --bits are two horizons: leave one out")
    if methods is None:
        entries = lookup(setting.METHODS if bits is None else setting.METHODS_OF_BITS)
    else:
        entries = lookup(name.strip() for name in methods.split(",") if name.strip())
    grid = None if step_sizes is None else _numbers(step_sizes)
    folder = check_free(_dated_folder() if output is None else output)
    compute_time = setting.cluster(times, workers)
    chosen = _problem(
        problem,
        {"num_workers": workers, "seed": seed},
        rows={
            "data": data,
            "split": split,
            "samples_per_gradient": samples_per_gradient,
        },
        classifier={"hidden": hidden},
        logistic={"nonconvex": nonconvex, "l2": l2},
        quadratic={"dim": dim, "noise": noise},
    )
    if until is bits is None:
        until = setting.horizon(problem, np.asarray(compute_time.mean))
    comparison = _with_progress_bar(
        chosen.problem,
        methods=entries,
        num_workers=workers,
        compute_time=compute_time,
        until=until,
        bits=bits,
        seeds=range(seed, seed + seeds),
        step_sizes=chosen.step_sizes if grid is None else grid,
        target=target,
        num_rows=chosen.num_rows,
        checkpoint=checkpoint,
    )
    extra = {"problem": chosen.description, "arguments": _plain(arguments)}
    comparison = dataclasses.replace(comparison, config=extra | comparison.config)
    comparison.save(folder, format=format)
    _report(comparison, folder, as_json)


# ---------------------------------------------------------------- input


def _problem(
    kind: str, common, *, rows, classifier, logistic, quadratic
) -> setting.Setting:
    """The problem from the options that were given; refuses those of another kind."""
    own = {
        "classifier": rows | classifier,
        "logistic": rows | logistic,
        "quadratic": quadratic,
    }
    if kind not in own:
        raise ValueError(f"--problem must be one of {', '.join(own)}, got {kind!r}")
    options = rows | classifier | logistic | quadratic
    given = {name: value for name, value in options.items() if value is not None}
    for name in [name for name in given if name not in own[kind]]:
        kinds = " or ".join(k for k, options in own.items() if name in options)
        option = name.replace("_", "-")
        raise ValueError(f"--{option} is for --problem {kinds}: leave one out")
    if kind == "quadratic":
        return setting.quadratic(**given)
    make = setting.classifier if kind == "classifier" else setting.logistic
    return make(**common, **given)


def _numbers(text: str) -> list[float]:
    try:
        return [float(field) for field in text.split(",")]
    except ValueError:
        raise ValueError(
            f"--step-sizes must be numbers separated by commas, got {text!r}"
        ) from None


def _dated_folder() -> pathlib.Path:
    now = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    names = itertools.chain([now], (f"{now}-{i}" for i in itertools.count(2)))
    return next(f for name in names if not (f := pathlib.Path("runs", name)).exists())


def _with_progress_bar(problem, **options) -> Comparison:
    bar = None

    def progress(done: float, total: int, updates: int, name: str) -> None:
        nonlocal bar
        if bar is None:  # not before the input has been checked
            bar = tqdm(total=total, file=sys.stderr, desc="tuning", bar_format=BAR)
        rate = tqdm.format_sizeof(updates / max(bar.format_dict["elapsed"], 1e-9))
        bar.set_postfix_str(f"{rate} updates/s, {name}", refresh=False)
        bar.update(done - bar.n)

    try:
        return compare_methods(problem, progress=progress, **options)
    finally:
        if bar is not None:
            bar.close()


# ---------------------------------------------------------------- output


def _report(comparison: Comparison, folder: pathlib.Path, as_json: bool) -> None:
    rows = comparison.summary.to_dict("records")
    if as_json:
        result = {"folder": str(folder), "target": comparison.target, "summary": rows}
        print(json.dumps(_plain(result), ensure_ascii=False))
        return
    config = comparison.config
    title = f"{config['problem']['name']}, {config['num_workers']} workers, "
    horizon = "simulated seconds" if config["bits"] is None else "bits per worker"
    until = config["until"] if config["bits"] is None else config["bits"]
    title += f"{until:g} {horizon}, target {comparison.target:.4g}"
    _print_table(rows, title)
    print(f"written to {folder}")


def _print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(_plain(rows), indent=2, ensure_ascii=False))
    else:
        _print_table(rows)


def _print_table(rows: list[dict[str, Any]], title: str | None = None) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=10_000)  # a pipe has no width to wrap at
    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        numbers = all(isinstance(row[name], int | float) for row in rows)
        table.add_column(name.replace("_", " "), justify="right" if numbers else "left")
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    console.print(table)


def _cell(value: Any) -> str:
    match value:
        case bool() | np.bool():
            return "yes" if value else ""
        case float() if not math.isnan(value):
            return f"{value:.4g}"
        case dict():
            return ", ".join(f"{name} {_cell(v)}" for name, v in value.items())
    return "" if _plain(value) is None else str(value)


def _plain(value: Any) -> Any:
    """As JSON can write it; null for what is not a finite number."""
    match value:
        case dict():
            return {name: _plain(v) for name, v in value.items()}
        case list() | tuple():
            return [_plain(v) for v in value]
        case None | str() | bool() | int():
            return value
        case pathlib.Path():
            return str(value)
        case np.generic():
            return _plain(value.item())
        case float():
            return value if math.isfinite(value) else None
    return None  # a missing value of pandas


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}"
    return str(error)


def _fail(message: str) -> int:
    print(f"fedjax-opt: {' '.join(message.split())}", file=sys.stderr)
    return 2
