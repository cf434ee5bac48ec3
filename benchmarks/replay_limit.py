"""The replay of an event stream, against a bare scan of SGD steps. Float32.

Both evaluate as many gradients of the tridiagonal quadratic, with as many normals, and
draw them within the time that is measured. The bare scan has no events, no delays and
no points that are kept; it draws all its noise in one call beforehand.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import fedjax_opt as fo
from fedjax_opt.simulate import numbers

from . import programs
from .harness import Row, compare

N, D, STEP, THRESHOLD = 1000, 1729, 0.05, 6


def replay_limit() -> list[Row]:
    """Ringmaster, R = 6: one normal per gradient, and one per coordinate."""
    return [
        _row("replay_limit", "scalar", 100_000),
        _row("replay_limit_coordinates", "coordinates", 4_000),
    ]


def _row(name: str, noise: str, updates: int) -> Row:
    problem = fo.problems.tridiagonal(D, noise=noise, noise_level=0.01)
    return compare(
        name,
        _replay(problem, updates),
        _scan(problem, updates, () if noise == "scalar" else (D,)),
        work=(updates, updates),
        unit="updates/s",
        against="a bare jitted scan of SGD steps, its noise drawn in one call",
        n=N,
        d=D,
        target="ratio ≥ 0.6",
    )


def _replay(problem, updates: int):
    """The numbers alone: the clock has run."""
    arguments = programs.arguments(
        fo.methods.ringmaster_asgd(
            step_size=STEP, delay_threshold=THRESHOLD, stop=True
        ),
        problem,
        fo.timing.fixed(np.sqrt(np.arange(1.0, N + 1))),
        num_workers=N,
        updates=updates,
    )

    def ours():
        return numbers.advance(*arguments)[1]

    return ours


def _scan(problem, updates: int, shape: tuple[int, ...]):
    @jax.jit
    def bare(data, x, key):
        noise = jax.random.normal(key, (updates, *shape), x.dtype)

        def step(x, z):
            return x - STEP * problem.grad(data, x, 0, z), None

        return jax.lax.scan(step, x, noise)[0]

    x = jnp.asarray(problem.init)
    return functools.partial(bare, problem.data, x, jax.random.key(0))
