"""What the trajectory tests share: a problem, a cluster, and noise drawn beforehand.

Heterogeneous quadratics on a matrix-shaped parameter, noise on every stochastic
gradient. The random numbers are drawn from the documented keys and handed to the
references as tables.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from fedjax_opt import keys, run
from fedjax_opt.types import ComputeTime, Problem

N, SHAPE, JOBS, UPDATES = 6, (3, 2), 2000, 50
D = SHAPE[0] * SHAPE[1]


def _make_data():
    rng = np.random.default_rng(7)
    factors = rng.normal(size=(N, D, D))
    matrices = factors @ factors.transpose(0, 2, 1) / D + 0.3 * np.eye(D)
    return matrices, rng.normal(size=(N, D))


MATRICES, VECTORS = _make_data()
X0 = np.arange(D, dtype=float).reshape(SHAPE) / D
# Job durations: workers of very different speed, different for every job.
DURATIONS = np.random.default_rng(3).uniform(0.7, 1.3, (N, JOBS)) * np.array(
    [[1.0], [1.4], [2.3], [4.1], [9.7], [23.0]]
)


def _loss(data, x):
    x = x.ravel()
    return jnp.mean(jax.vmap(lambda a, b: x @ a @ x / 2 - b @ x)(*data))


def draw(key, data, worker):
    """The noise of one gradient."""
    return 0.1 * jax.random.normal(key, SHAPE)


def _grad(data, x, worker, sample):
    matrices, vectors = data
    full = (matrices[worker] @ x.ravel() - vectors[worker]).reshape(SHAPE)
    return full if sample is None else full + sample


def _coordinate(index, data, x):
    return x.ravel()[index]


# The coordinates of the point, so that a trace holds the trajectory.
COORDINATES = {f"x{i}": functools.partial(_coordinate, i) for i in range(D)}

PROBLEM = Problem(
    data=(jnp.asarray(MATRICES), jnp.asarray(VECTORS)),
    init=jnp.asarray(X0),
    loss=_loss,
    draw=draw,
    grad=_grad,
    num_workers=N,
    metrics=COORDINATES,
    constants={},
)


def _table_seconds(table, key, worker, job, now, work):
    return table[worker, job] * work


COMPUTE_TIME = ComputeTime(
    Partial(_table_seconds, DURATIONS), np.zeros(N), DURATIONS.mean(axis=1)
)


def durations(worker, job, work):
    """Seconds of a job."""
    return DURATIONS[worker, job] * work


def durations4(worker, job, work, now):
    """Seconds of a job, whenever it starts."""
    return DURATIONS[worker, job] * work


def noisy_gradient(sample_key):
    """gradient(worker, x, job, sample=-1) with the noise of the job, drawn beforehand.

    Args:
      sample_key: that of the samples: the second of `jax.random.split(key)` of a run.
    """

    @jax.jit
    def table():
        def noise(worker, job):
            return draw(keys.of_job(sample_key, worker, job), None, worker)

        return jax.vmap(lambda i: jax.vmap(lambda j: noise(i, j))(jnp.arange(JOBS)))(
            jnp.arange(N)
        )

    noise = np.asarray(table())
    return lambda worker, x, job, sample=-1: (
        full_gradient(worker, x) + noise[worker, job]
    )


def full_gradient(worker, x, job=None, sample=-1):
    """∇fᵢ(x)."""
    return (MATRICES[worker] @ x.ravel() - VECTORS[worker]).reshape(SHAPE)


def measured(method, key, num_updates=UPDATES, problem=PROBLEM, **options):
    """The iterates of a run, [updates + 1, *SHAPE], and its trace."""
    cluster = {"num_workers": N, "compute_time": COMPUTE_TIME}
    trace = run(
        method, problem, key=key, num_updates=num_updates, **(cluster | options)
    )
    iterates = np.stack([trace.columns[f"x{i}"] for i in range(D)], axis=-1)
    return iterates.reshape(-1, *SHAPE), trace
