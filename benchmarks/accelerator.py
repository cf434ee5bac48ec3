"""What an accelerator is for: sweeps in parallel, wide networks, LMO steps in bfloat16.

`python -m benchmarks.accelerator` prints a Markdown table with the share of the
device's own limit that each row reaches: of its products of matrices, or of its memory,
both measured in the same run. Without an accelerator it says so and stops.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import fedjax_opt as fo

from .harness import alternate
from .table import device, versions

SIDE = 8192  # of the matrices whose product is the limit
COPIED = 2**28  # numbers that are read and written to measure the memory


def main() -> None:
    """Runs the three benchmarks and prints their table."""
    if jax.default_backend() == "cpu":
        print("no accelerator: jax.devices() has CPUs only")
        return
    measured_with = ", ".join(f"{name} {v}" for name, v in versions().items())
    print("# Accelerator\n")
    print(f"`python -m benchmarks.accelerator`, {device()}; {measured_with}.\n")
    print("| row | rate | unit | share of | limit | share | compile, s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in (sweep, network, lmo):
        print("| " + " | ".join(row()) + " |", flush=True)


def sweep() -> list[str]:
    """1024 runs of asynchronous SGD: 64 step sizes, 16 seeds; d = 1729, n = 100."""
    dim, workers, updates = 1729, 100, 2000
    problem = fo.problems.tridiagonal(dim, noise="scalar", noise_level=0.01)
    times = fo.timing.fixed(np.sqrt(np.arange(1.0, workers + 1)))

    def ours():
        fo.sweep(
            fo.methods.asgd,
            problem,
            grid={"step_size": np.geomspace(1e-4, 1e-1, 64)},
            seeds=range(16),
            num_workers=workers,
            compute_time=times,
            num_updates=updates,
            record_every=updates,
        )

    events = 1024 * updates
    # A point is read and two are written, four bytes a number.
    return _row("sweep_1024", ours, events, "events/s", 12 * dim * events, "memory")


def network() -> list[str]:
    """A network 784-4096-4096-10 with batches of 4096: asynchronous SGD, n = 10."""
    width, batch, rows, updates = 4096, 4096, 16384, 64
    rng = np.random.default_rng(0)
    problem = fo.problems.classifier(
        rng.normal(size=(rows, 784)).astype(np.float32),
        rng.integers(10, size=rows),
        hidden=(width, width),
        samples_per_gradient=batch,
    )

    def ours():
        return fo.run(
            fo.methods.asgd(step_size=1e-3),
            problem,
            num_workers=10,
            key=jax.random.key(0),
            compute_time=fo.timing.fixed(np.sqrt(np.arange(1.0, 11))),
            num_updates=updates,
            record_every=updates,
        ).params

    weights = 784 * width + width * width + width * 10
    # Forwards one product, backwards two; the loss is measured twice, on all rows.
    operations = 6 * weights * (batch * updates + 2 * rows)
    return _row("network", ours, updates, "events/s", operations, "float32 products")


def lmo() -> list[str]:
    """Muon steps on 24 matrices 2048 × 2048 in bfloat16, five iterations each."""
    side, matrices, iterations, steps = 2048, 24, 5, 10
    geometry = fo.geometry.spectral("jordan", iterations)
    optimizer = fo.transforms.lmo_step(geometry, 0.02, momentum=0.95)
    shape = (side, side)
    grads = {
        f"layer{i}": jax.random.normal(jax.random.key(i), shape, jnp.bfloat16)
        for i in range(matrices)
    }

    @jax.jit
    def ours(params):
        def step(carry, _):
            params, state = carry
            updates, state = optimizer.update(grads, state, params)
            return (jax.tree.map(jnp.add, params, updates), state), None

        carry = (params, optimizer.init(params))
        return jax.lax.scan(step, carry, length=steps)[0][0]

    start = jax.tree.map(jnp.zeros_like, grads)
    operations = steps * matrices * iterations * 3 * 2 * side**3
    call = functools.partial(ours, start)
    return _row("lmo_bfloat16", call, steps, "steps/s", operations, "bfloat16 products")


def _row(name, ours, work, unit, amount, resource) -> list[str]:
    """Rate, and the share of a limit at which `amount` operations, or bytes, take."""
    limit, of_limit = LIMITS[resource]()
    mine, best = alternate(ours, limit, repeats=3)
    limit_rate = of_limit / best.median
    return [
        f"`{name}`",
        f"{work / mine.median:.3g}",
        unit,
        resource,
        f"{limit_rate:.3g}",
        f"{amount / mine.median / limit_rate:.3g}",
        f"{mine.first - mine.median:.3g}",
    ]


def _product(dtype):
    """A product of two matrices, and its operations."""
    matrix = jnp.ones((SIDE, SIDE), dtype)
    product = jax.jit(lambda a, b: a @ b)
    return functools.partial(product, matrix, matrix), 2 * SIDE**3


def _memory():
    """Reading and writing, and its bytes."""
    numbers = jnp.ones(COPIED, jnp.float32)
    return functools.partial(jax.jit(lambda x: x + 1), numbers), 8 * COPIED


LIMITS = {
    "memory": _memory,
    "float32 products": functools.partial(_product, jnp.float32),
    "bfloat16 products": functools.partial(_product, jnp.bfloat16),
}


if __name__ == "__main__":
    main()
