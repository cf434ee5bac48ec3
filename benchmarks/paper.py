"""The experiments of the Ringmaster paper on its quadratic. arXiv:2501.16168.

d = 1729 and n = 6174; a job of worker i takes √i + |N(0, i)| seconds; the gradient of
the tridiagonal quadratic has one normal of noise in all coordinates. Workers that are
late are interrupted. Both sides compute in float64 and draw one normal per gradient
that they evaluate; a baseline's first updates, with everybody's first jobs, are not
timed.
"""

import collections
import functools
import itertools

import jax
import numpy as np

import fedjax_opt as fo

from .baselines import eager, strong
from .harness import Row, alternate, rates

N, D, NOISE = 6174, 1729, 0.01

EAGER = "NumPy and a heap, gradients evaluated when a job starts"
STRONG = "NumPy, vectorised over workers, only the gradients that are used"


def ringmaster_paper() -> list[Row]:
    """Ringmaster with R = 6, interrupting."""
    threshold = {"step_size": 0.2, "delay_threshold": 6}
    method = fo.methods.ringmaster_asgd(**threshold, stop=True)
    slow = eager.ringmaster(start(), cluster(), generator(), **threshold, stop=True)
    fast = strong.ringmaster(start(), cluster(), generator(), **threshold)
    return _against_both(
        "ringmaster_paper",
        updates_of(method, 60_000),
        (60_000, 48, 20_000),
        (slow, fast),
        ("ratio ≥ 300, aim 1000", "ratio ≥ 3"),
    )


def rennala_paper() -> list[Row]:
    """Rennala with S = 6, interrupting."""
    batch = {"step_size": 1.0, "batch_size": 6}
    method = fo.methods.rennala_sgd(**batch, stop=True)
    slow = eager.rennala(start(), cluster(), generator(), **batch)
    fast = strong.rennala(start(), cluster(), generator(), **batch)
    return _against_both(
        "rennala_paper",
        updates_of(method, 20_000),
        (20_000, 12, 10_000),
        (slow, fast),
        ("ratio ≥ 800, aim 3000", "ratio ≥ 3"),
    )


def asgd_paper() -> list[Row]:
    """Vanilla asynchronous SGD."""
    updates = 200_000
    baseline = eager.ringmaster(
        start(),
        cluster(),
        generator(),
        step_size=0.0003,
        delay_threshold=np.inf,
        stop=False,
    )
    ours, slow = alternate(
        updates_of(fo.methods.asgd(step_size=0.0003), updates),
        functools.partial(advance, baseline, updates),
    )
    row = rates(
        "asgd_paper",
        ours,
        slow,
        work=(updates, updates),
        unit="updates/s",
        against=EAGER,
        n=N,
        d=D,
        target="ratio ≥ 3",
    )
    return [row]


def start() -> np.ndarray:
    """x⁰ = (√d, 0, ..., 0)."""
    return np.sqrt(D) * np.eye(1, D)[0]


def cluster() -> eager.Cluster:
    """The workers, for the baselines."""
    base = np.sqrt(np.arange(1.0, N + 1))
    return eager.Cluster(base, base, NOISE)


def generator() -> np.random.Generator:
    """NumPy's fastest generator of normals."""
    return np.random.Generator(np.random.SFC64(0))


def advance(simulation, updates: int) -> None:
    """Lets a baseline make so many updates."""
    collections.deque(itertools.islice(simulation, updates), maxlen=0)


def updates_of(method, num_updates: int):
    """The call that makes so many updates with the library, in float64."""
    workers = cluster()
    compute_time = fo.timing.half_normal(workers.base, scale=workers.scale)
    with jax.enable_x64(True):
        problem = fo.problems.tridiagonal(D, noise="scalar", noise_level=NOISE)

    def run():
        with jax.enable_x64(True):
            return fo.run(
                method,
                problem,
                num_workers=N,
                key=jax.random.key(0),
                compute_time=compute_time,
                num_updates=num_updates,
                record_every=num_updates,
            ).params

    return run


def _against_both(name, run, updates, baselines, targets) -> list[Row]:
    """Rows against the eager and the strong baseline, all three in alternation."""
    calls = [
        functools.partial(advance, simulation, count)
        for simulation, count in zip(baselines, updates[1:], strict=True)
    ]
    ours, *others = alternate(run, *calls)
    return [
        rates(
            name + suffix,
            ours,
            timing,
            work=(updates[0], count),
            unit="updates/s",
            against=against,
            n=N,
            d=D,
            target=target,
        )
        for suffix, timing, count, against, target in zip(
            ("", "_strong"), others, updates[1:], (EAGER, STRONG), targets, strict=True
        )
    ]
