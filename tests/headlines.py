"""What the tests of the papers' headlines share: tuning, and times to an accuracy."""

import warnings

import numpy as np

import fedjax_opt as fo
from fedjax_opt.experiment.sweep import SweepWarning

SEEDS = range(3)


def tuned(make, problem, compute_time, *, metric="loss", num_rows=201, **options):
    """A sweep over `grid`, one of the options, and three seeds.

    A best setting on the edge of its grid is a mistake of the test: warnings are
    errors here. That no setting gets where the metric asks for is a result.
    """
    num_workers = len(compute_time.lower_bound)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "no setting of", SweepWarning)
        return fo.sweep(
            make,
            problem,
            seeds=SEEDS,
            metric=metric,
            num_rows=num_rows,
            num_workers=num_workers,
            compute_time=compute_time,
            **options,
        )


def square_roots(n):
    """Worker i needs √i seconds."""
    return np.sqrt(np.arange(1, n + 1))


def steps(largest, smallest):
    """Step sizes 2^smallest, ..., 2^largest."""
    return 2.0 ** np.arange(smallest, largest + 1)


def seconds_to(accuracy, column="grad_norm_sq", optimum=0.0):
    """A metric: when a column is within the accuracy for good; inf if never."""

    def metric(columns):
        below = columns[column] - optimum <= accuracy
        stays = np.logical_and.accumulate(below[..., ::-1], axis=-1)[..., ::-1]
        first = np.expand_dims(stays.argmax(-1), -1)
        time = np.take_along_axis(columns["time"], first, -1)[..., 0]
        return np.where(stays.any(-1), time, np.inf)

    return metric


def late(column, optimum=0.0):
    """A metric: the mean of a column over the second half of its rows."""

    def metric(columns):
        values = columns[column] - optimum
        return values[..., values.shape[-1] // 2 :].mean(-1)

    return metric


def best(sweep) -> float:
    """The score of the best setting."""
    return float(sweep.score.min())


def final(sweep, column, optimum=0.0) -> float:
    """A column at the horizon, at the best setting, averaged over seeds."""
    return float(sweep.best_columns[column][:, -1].mean() - optimum)
