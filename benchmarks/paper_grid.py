"""The Ringmaster paper's tuning: step sizes × thresholds × seeds, as one sweep."""

import functools
import time
import warnings

import jax
import numpy as np

import fedjax_opt as fo
from fedjax_opt.experiment.sweep import SweepWarning

from .baselines import eager
from .harness import Row
from .paper import EAGER, NOISE, D, N, advance, cluster, start

STEP_SIZES = [5.0**power for power in range(-5, 5)]
THRESHOLDS = [N // 4**power for power in range(7)]  # n, n/4, n/16, ..., 1
SEEDS = range(3)
HORIZON = 2000.0  # simulated seconds

MEASURED = 2.0  # seconds for which each threshold's baseline runs


def paper_grid() -> list[Row]:
    """All runs of the tuning, on the cluster of the paper, interrupting."""
    before = time.perf_counter()
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore", SweepWarning)
        _tune()
    ours = time.perf_counter() - before
    runs = len(STEP_SIZES) * len(SEEDS)
    baseline = runs * sum(map(_seconds_of_a_run, THRESHOLDS))
    row = Row(
        "paper_grid",
        ours,
        baseline,
        ratio=baseline / ours,
        unit="s",
        against=f"{EAGER}; extrapolated to {HORIZON:.0f} simulated seconds of each "
        f"run from {MEASURED:.0f} s of computing for each threshold",
        n=N,
        d=D,
        note=f"{runs * len(THRESHOLDS)} runs in one call, compilation included",
    )
    return [row]


def _tune():
    workers = cluster()
    return fo.sweep(
        functools.partial(fo.methods.ringmaster_asgd, stop=True),
        fo.problems.tridiagonal(D, noise="scalar", noise_level=NOISE),
        grid={"step_size": STEP_SIZES, "delay_threshold": THRESHOLDS},
        seeds=SEEDS,
        num_workers=N,
        compute_time=fo.timing.half_normal(workers.base, scale=workers.scale),
        until=HORIZON,
    )


def _seconds_of_a_run(threshold) -> float:
    """What the baseline would take to the horizon, everybody's first jobs left out."""
    simulation = eager.ringmaster(
        start(),
        cluster(),
        np.random.default_rng(0),
        step_size=STEP_SIZES[0],
        delay_threshold=threshold,
        stop=True,
    )
    advance(simulation, 1)
    simulated, _ = next(simulation)
    passed, first, before = 0.0, simulated, time.perf_counter()
    while passed < MEASURED:
        simulated, _ = next(simulation)
        passed = time.perf_counter() - before
    return passed * HORIZON / (simulated - first)
