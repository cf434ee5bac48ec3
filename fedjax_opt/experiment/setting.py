"""What the command line compares on: clusters, problems, and the rules for defaults."""

import csv
import pathlib
from typing import Any, NamedTuple

import numpy as np

from .. import problems, timing
from ..types import ComputeTime, Problem

STEP_SIZES = tuple(2.0**power for power in range(-10, 3))
STEPS_OVER_SMOOTHNESS = tuple(2.0**power for power in range(-8, 8))
METHODS = (
    "minibatch_sgd",
    "asgd",
    "delay_adaptive_asgd",
    "rennala_sgd",
    "ringmaster_asgd",
    "ringmaster_lmo",
)
METHODS_OF_BITS = (
    "dcgd_gd:compressor=identity",
    "dcgd_gd",
    "ef14_gd",
    "ef21_gd",
    "ef_bv_gd",
    "diana_gd",
    "marina_gd",
    "dasha_gd",
)

LAWS = {  # seconds per gradient of worker i = 1, 2, ..., n
    "sqrt": np.sqrt,
    "linear": lambda i: i,
    "equal": np.ones_like,
}
TIME_COLUMNS = ("time", "seconds")
RECORDED_COLUMNS = {"worker", "duration"}  # of a file with a row per job

# A data set with more entries gets a linear model and fewer rows in its traces, each
# of which is a pass over all data.
LARGE = 10**6
HIDDEN, ROWS, ROWS_OF_LARGE = 32, 51, 21

SPLITS = ("shared", "homogeneous", "label", "dirichlet")
CONCENTRATION = 0.5  # of the Dirichlet split
NONCONVEX = 0.1  # λ of the logistic problem's penalty

# The horizon: the seconds in which always busy workers compute so many gradients, or
# so many each if that is more.
GRADIENTS = {"classifier": 3600, "logistic": 3600, "quadratic": 10_000}
GRADIENTS_EACH = 10


class Setting(NamedTuple):
    """A problem, what it is made of, how many rows its traces have, and the grid."""

    problem: Problem
    description: dict[str, Any]
    num_rows: int
    step_sizes: tuple[float, ...] = STEP_SIZES


def classifier(
    *,
    num_workers: int,
    seed: int,
    data: str = "digits",
    hidden: int | None = None,
    split: str = SPLITS[0],
    samples_per_gradient: int = 32,
) -> Setting:
    """Cross-entropy on a data set.

    Args:
      num_workers: n.
      seed: of the split and of x⁰.
      data: a name or a file, see `problems.datasets.load`.
      hidden: width of the hidden layer, 0 for none; None chooses by the rule above.
      split: one of `SPLITS`; "shared" gives every worker all rows.
      samples_per_gradient: rows of one gradient.
    """
    if hidden is not None and hidden < 0:
        raise ValueError(f"the hidden width must be at least 0, got {hidden}")
    dataset = problems.datasets.load(data)
    large = dataset.features.size > LARGE
    width = (0 if large else HIDDEN) if hidden is None else hidden
    problem = problems.classifier(
        dataset.features,
        dataset.labels,
        hidden=(width,) if width else (),
        split=_split(split, dataset, num_workers, seed),
        samples_per_gradient=samples_per_gradient,
        seed=seed,
    )
    description = {
        "name": dataset.name,
        "rows": dataset.features.shape[0],
        "features": dataset.features.shape[1],
        "classes": len(dataset.classes),
        "hidden": width,
        "split": split,
        "samples_per_gradient": samples_per_gradient,
    }
    return Setting(problem, description, ROWS_OF_LARGE if large else ROWS)


def logistic(
    *,
    num_workers: int,
    seed: int,
    data: str = "breast_cancer",
    split: str = "label",
    samples_per_gradient: int | None = None,
    nonconvex: float = NONCONVEX,
    l2: float = 0.0,
) -> Setting:
    """Logistic regression on a data set of two classes, with a nonconvex penalty.

    Args:
      num_workers: n.
      seed: of the split.
      data: a name or a file, see `problems.datasets.load`.
      split: one of `SPLITS`; "shared" gives every worker all rows.
      samples_per_gradient: rows of one gradient; None: full local gradients.
      nonconvex: λ.
      l2: λ₂.
    """
    for name, weight in (("nonconvex", nonconvex), ("l2", l2)):
        if not 0 <= weight < np.inf:
            raise ValueError(f"{name} must be finite and at least 0, got {weight}")
    dataset = problems.datasets.load(data)
    problem = problems.logistic_regression(
        dataset.features,
        dataset.labels,
        split=_split(split, dataset, num_workers, seed),
        nonconvex=nonconvex,
        l2=l2,
        samples_per_gradient=samples_per_gradient,
    )
    description = {
        "name": dataset.name,
        "rows": dataset.features.shape[0],
        "features": dataset.features.shape[1],
        "split": split,
        "samples_per_gradient": samples_per_gradient,
        "nonconvex": nonconvex,
        "l2": l2,
    }
    smoothness = problem.constants["smoothness"]
    steps = tuple(step / smoothness for step in STEPS_OVER_SMOOTHNESS)
    return Setting(problem, description, ROWS, steps)


def quadratic(*, dim: int = 1729, noise: float = 0.01) -> Setting:
    """The tridiagonal quadratic with one normal number of noise per gradient.

    Args:
      dim: d.
      noise: ν, the standard deviation of the noise in every coordinate.
    """
    if dim < 1:
        raise ValueError(f"dim must be at least 1, got {dim}")
    if not 0 <= noise < np.inf:
        raise ValueError(f"noise must be finite and at least 0, got {noise}")
    problem = problems.tridiagonal(dim, noise="scalar", noise_level=noise)
    description = {"name": f"quadratic-{dim}", "dim": dim, "noise": noise}
    return Setting(problem, description, ROWS)


def horizon(kind: str, times: np.ndarray) -> float:
    """Simulated seconds of a comparison, to two digits, by the rule above.

    Args:
      kind: "classifier", "logistic" or "quadratic".
      times: [n] seconds per gradient.
    """
    gradients = max(GRADIENTS[kind], GRADIENTS_EACH * len(times))
    return float(f"{gradients / np.sum(1 / times):.1e}")


def cluster(source: str, num_workers: int) -> ComputeTime:
    """The compute times: fixed ones, or the recorded ones of a file with a row per job.

    Args:
      source: as for `worker_times`, or a CSV or Parquet file as for `timing.from_file`.
      num_workers: n.

    Raises:
      ValueError, OSError: as these.
    """
    path = pathlib.Path(source)
    if source not in LAWS and path.is_file() and _is_recording(path):
        return timing.from_file(path, num_workers=num_workers)
    return timing.fixed(worker_times(source, num_workers))


def _is_recording(path: pathlib.Path) -> bool:
    with path.open("rb") as file:
        line = file.readline()
    header = line.decode("utf-8-sig", errors="replace").lower().split(",")
    return line.startswith(b"PAR1") or {n.strip() for n in header} >= RECORDED_COLUMNS


def worker_times(source: str, num_workers: int | None) -> np.ndarray:
    """Seconds per gradient of each worker, [n].

    Args:
      source: "sqrt", "linear" or "equal"; numbers separated by commas; or a CSV file
        with one number per line or a column called time or seconds. inf is a worker
        that never delivers.
      num_workers: n; None: as many as there are numbers.

    Raises:
      ValueError: unless there are n positive numbers, one of them finite.
      OSError: if the file cannot be read.
    """
    if num_workers is not None and num_workers < 1:
        raise ValueError(f"there must be at least 1 worker, got {num_workers}")
    if source in LAWS:
        if num_workers is None:
            raise ValueError(f"the times {source!r} need a number of workers")
        return LAWS[source](np.arange(1.0, num_workers + 1))
    numbers = _listed(source)
    if numbers is None:
        numbers = _from_file(pathlib.Path(source))
    if num_workers not in (None, len(numbers)):
        raise ValueError(
            f"{source} has {len(numbers)} times for {num_workers} workers: give one "
            f"per worker, or {len(numbers)} workers"
        )
    for i, number in enumerate(numbers):
        if not number > 0:
            raise ValueError(
                f"{source}: the time of worker {i} is {number}, but seconds per "
                "gradient must be positive; use inf for a worker that never delivers"
            )
    if not np.isfinite(numbers).any():
        raise ValueError(f"{source}: all times are inf; give a worker a finite time")
    return np.array(numbers)


def _listed(source: str) -> list[float] | None:
    """The numbers of a comma-separated list; None if it is a file's name."""
    fields = source.split(",")
    if any(_is_number(field) for field in fields) and not pathlib.Path(source).exists():
        return [_number(field, f"times {source!r}") for field in fields]
    return None


def _from_file(path: pathlib.Path) -> list[float]:
    if not path.exists():
        raise FileNotFoundError(
            f"no times {str(path)!r}: give {', '.join(LAWS)}, a list such as 1,2,4,8 "
            "or the path of a CSV file"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a CSV file of times: not text") from error
    lines = [
        (number, [field.strip() for field in line])
        for number, line in enumerate(csv.reader(text.splitlines()), start=1)
        if any(field.strip() for field in line)
    ]
    if not lines:
        raise ValueError(f"{path} is empty: write one time per line")
    header = [field.lower() for field in lines[0][1]]
    named = [i for i, name in enumerate(header) if name in TIME_COLUMNS]
    if named:
        lines = lines[1:]
    elif len(header) > 1:
        raise ValueError(
            f"{path} has {len(header)} columns: keep one, or name one of them "
            f"{' or '.join(TIME_COLUMNS)} in the first line"
        )
    column = named[0] if named else 0
    return [
        _number(line[column] if column < len(line) else "", f"{path}, line {number}")
        for number, line in lines
    ]


def _number(field: str, where: str) -> float:
    if not _is_number(field):
        raise ValueError(f"{where}: {field.strip()!r} is not a number of seconds")
    return float(field)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _split(kind: str, dataset: problems.datasets.Dataset, num_workers: int, seed: int):
    labels = dataset.labels
    match kind:
        case "shared":
            return None
        case "homogeneous":
            return problems.split.homogeneous(len(labels), num_workers, seed=seed)
        case "label":
            return problems.split.by_label(labels, num_workers)
        case "dirichlet":
            return problems.split.dirichlet(
                labels, num_workers, concentration=CONCENTRATION, seed=seed
            )
    raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {kind!r}")
