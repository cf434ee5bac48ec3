"""Seconds to the first result of every recipe, from cold caches."""

import time

import jax
import numpy as np

import fedjax_opt as fo
from fedjax_opt.methods.registry import METHODS

from .harness import Row

N, ROWS, FEATURES, CLASSES = 10, 60, 8, 3
UPDATES = 20
LIMIT = 5.0  # seconds


def compile() -> list[Row]:
    """The worst recipe, and each of them, on a small network."""
    problem = _problem()
    _first_result("hero_sgd", problem)  # what JAX does once in a process
    seconds = {name: _first_result(name, problem) for name in METHODS}
    worst = max(seconds, key=seconds.__getitem__)
    size = sum(x.size for x in jax.tree.leaves(problem.init))

    def row(name, ours, note=""):
        return Row(
            name,
            ours,
            LIMIT,
            ratio=LIMIT / ours,
            unit="s",
            against="what a first result may take",
            n=N,
            d=size,
            compile_seconds=ours,
            target="ratio ≥ 1",
            note=note,
        )

    each = [row(f"compile_{name}", taken) for name, taken in seconds.items()]
    return [row("compile", seconds[worst], f"the worst recipe, {worst}"), *each]


def _problem():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((ROWS, FEATURES))
    labels = np.arange(ROWS) % CLASSES
    return fo.problems.classifier(features, labels, hidden=(16,))


def _first_result(name, problem) -> float:
    """Of a recipe with its options and the first values that it is tuned over."""
    entry = METHODS[name]
    values = {axis: v[0] for axis, v in entry.grid([0.01], N).items()}
    jax.clear_caches()
    start = time.perf_counter()
    fo.run(
        entry.recipe(**values),
        problem,
        num_workers=N,
        key=jax.random.key(0),
        num_updates=UPDATES,
        compute_time=fo.timing.fixed(np.sqrt(np.arange(1.0, N + 1))),
    )
    return time.perf_counter() - start
