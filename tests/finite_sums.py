"""What the tests of methods for finite sums share: a problem, clusters, recipes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import fedjax_opt as fo

N, M, DIM = 5, 12, 3
TIMES = np.array([1.0, 1.7, 2.9, 5.3, 11.1])
CLUSTER = fo.timing.fixed(TIMES)
RANDOM = fo.timing.exponential(TIMES)


def _make_data():
    rng = np.random.default_rng(5)
    factors = rng.normal(size=(M, DIM, DIM))
    return factors @ factors.transpose(0, 2, 1), rng.normal(size=(M, DIM))


MATRICES, VECTORS = _make_data()


def loss(params, batch):
    """Mean over rows (Aⱼ, bⱼ) of ½xᵀAⱼx − bⱼᵀx."""
    matrices, vectors = batch
    return jnp.mean(jax.vmap(lambda a, b: params @ a @ params / 2 - b @ params)(*batch))


def coordinate(index, params, rows):
    return params[index]


def finite_sum_of(rows=M):
    return fo.problems.from_loss(
        loss,
        (MATRICES[:rows], VECTORS[:rows]),
        init=jnp.ones(DIM),
        metrics={f"x{i}": functools.partial(coordinate, i) for i in range(DIM)},
    )


PROBLEM = finite_sum_of()
SPLIT = fo.problems.from_loss(loss, (MATRICES, VECTORS), 4, init=jnp.ones(DIM))
STEP_SIZE = 0.5 / np.linalg.eigvalsh(MATRICES.mean(axis=0)).max()
go = functools.partial(fo.run, num_workers=N, compute_time=CLUSTER)


def component_gradient(j, x):
    return MATRICES[j] @ x - VECTORS[j]


def iterates(method, problem=PROBLEM, *, key=0, num_updates=20, **options):
    trace = go(
        method, problem, key=jax.random.key(key), num_updates=num_updates, **options
    )
    return np.stack([trace.columns[f"x{i}"] for i in range(DIM)], axis=-1)


def gradient_descent(rows=M, num_updates=20):
    points = [np.ones(DIM)]
    for _ in range(num_updates):
        x = points[-1]
        gradient = MATRICES[:rows].mean(axis=0) @ x - VECTORS[:rows].mean(axis=0)
        points.append(x - STEP_SIZE * gradient)
    return np.array(points)


def events_of(schedule, num_events=4000, *, n=N, m=M, compute_time=RANDOM, key=0):
    return fo.simulate.trace(
        schedule,
        compute_time,
        num_workers=n,
        key=jax.random.key(key),
        num_events=num_events,
        num_components=m,
    )


def batches(found):
    """(kind, accepted rows) of every version that is complete."""
    last = np.flatnonzero(found.step)[-1]
    used = np.flatnonzero(found.accepted[: last + 1])
    groups = np.split(used, np.cumsum(np.bincount(found.version[used]))[:-1])
    return [(int(found.kind[group[0]]), group) for group in groups]


FREYA = functools.partial(fo.methods.freya_page, step_size=STEP_SIZE)
SOVIET = functools.partial(fo.methods.soviet_page, step_size=STEP_SIZE)
RECIPES = {
    "freya_page": FREYA(),
    "freya_page, stop": FREYA(stop=True),
    "freya_sgd": fo.methods.freya_sgd(step_size=STEP_SIZE, batch_size=4),
    "hero_gd": fo.methods.hero_gd(step_size=STEP_SIZE),
    "soviet_gd": fo.methods.soviet_gd(step_size=STEP_SIZE),
    "soviet_page": SOVIET(),
}
