"""Asynchronous SGD on the digits: a network 64-64-10, n = 1000, times √i."""

import functools

import jax
import numpy as np

import fedjax_opt as fo

from .baselines import network
from .harness import Row, alternate, rates
from .paper import advance

N, BATCH, STEP_SIZE = 1000, 32, 0.01
UPDATES, NUMPY_UPDATES = 50_000, 20_000
DRAWN = 64  # batches whose rows the scan draws in one call


def asgd_network() -> list[Row]:
    """Against NumPy, and against a scan of SGD steps without workers or delays."""
    data = fo.problems.datasets.load("digits")
    problem = fo.problems.classifier(
        data.features, data.labels, hidden=(64,), samples_per_gradient=BATCH
    )
    times = np.sqrt(np.arange(1.0, N + 1))
    ours, numpy, scan = alternate(
        functools.partial(_run, problem, times),
        functools.partial(advance, _by_hand(problem, times), NUMPY_UPDATES),
        functools.partial(_scan, problem),
    )
    described = {
        "unit": "updates/s",
        "n": N,
        "d": sum(x.size for x in jax.tree.leaves(problem.init)),
    }
    return [
        rates(
            "asgd_network",
            ours,
            numpy,
            work=(UPDATES, NUMPY_UPDATES),
            against="NumPy and a heap, backpropagation by hand, gradients when they "
            "arrive, rows drawn in blocks",
            target="ratio ≥ 2.5",
            **described,
        ),
        rates(
            "asgd_network_limit",
            ours,
            scan,
            work=(UPDATES, UPDATES),
            against="a bare jitted scan of SGD with the same gradients, rows drawn in "
            "blocks",
            target="ratio ≥ 0.85",
            **described,
        ),
    ]


def _run(problem, times):
    return fo.run(
        fo.methods.asgd(step_size=STEP_SIZE),
        problem,
        num_workers=N,
        key=jax.random.key(0),
        compute_time=fo.timing.fixed(times),
        num_updates=UPDATES,
        record_every=UPDATES,
    ).params


def _by_hand(problem, times):
    """The simulation in NumPy, on the same rows from the same x⁰."""
    features, labels = (np.asarray(rows) for rows in problem.data.rows)
    layers = problem.init["params"]
    start = network.Network(
        *(
            np.asarray(layers[layer][part])
            for layer in ("Dense_0", "Dense_1")
            for part in ("kernel", "bias")
        )
    )
    rng = np.random.default_rng(0)
    return network.asgd(
        start, features, labels, times, rng, step_size=STEP_SIZE, batch_size=BATCH
    )


def _scan(problem):
    keys = jax.random.split(jax.random.key(0), -(-UPDATES // DRAWN))
    return _bare(problem.draw, problem.grad, problem.data, problem.init, keys)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _bare(draw, grad, data, params, keys):
    def block(params, key):
        samples = jax.vmap(draw, (0, None, None))(jax.random.split(key, DRAWN), data, 0)
        return jax.lax.scan(step, params, samples)[0], None

    def step(params, sample):
        gradient = grad(data, params, 0, sample)
        return jax.tree.map(lambda x, g: x - STEP_SIZE * g, params, gradient), None

    return jax.lax.scan(block, params, keys)[0]
