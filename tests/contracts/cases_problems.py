"""Problems, and their local losses in NumPy: facts, no logic.

Losses are written out row by row from the definitions. Variances are E|noise|² of one
gradient at `params`, on worker 0.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from fedjax_opt import problems

DIM = 6
ROWS = np.random.default_rng(0).normal(size=(11, 3))
LABELS = np.array([2, 1, 2, 2, 1, 1, 2, 1, 1, 2, 2])
SIGNS = np.where(LABELS == 2, 1.0, -1.0)
TARGETS = np.random.default_rng(1).normal(size=11)
CLASSES = np.array([0, 1, 2, 1, 0, 2, 2, 1, 0, 0, 1])
UNEQUAL = problems.split.Split(
    np.array([[4, 0, 9, 2], [7, 1, 7, 7], [3, 5, 8, 3]]), [4, 2, 3]
)
HELD = [[4, 0, 9, 2], [7, 1], [3, 5, 8]]  # rows 6 and 10 belong to nobody
THIRDS = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
EVERYTHING = [list(range(11))]


class Case(NamedTuple):
    """One problem.

    Attributes:
      make: () -> Problem.
      local_loss: (params, worker) -> number, in NumPy.
      workers: how many have a loss of their own.
      variance: (params) -> number; None where gradients carry no noise.
      zeros: how many of the last coordinates of a test point are 0.
    """

    make: Callable[[], Any]
    local_loss: Callable[..., Any]
    workers: int = 1
    variance: Callable[[Any], Any] | None = None
    zeros: int = 0


def random_symmetric(n, d, seed):
    a = np.random.default_rng(seed).normal(size=(n, d, d))
    return a + np.swapaxes(a, 1, 2) + 6 * np.eye(d)


MATRICES = random_symmetric(3, 4, seed=2)
VECTORS = np.random.default_rng(3).normal(size=(3, 4))
TRIDIAGONAL = 2 * np.eye(DIM) - np.eye(DIM, k=1) - np.eye(DIM, k=-1)
FIRST = np.eye(DIM)[0]


def heterogeneous_arrays(n, d, scale, strong_convexity, seed):
    """compression.md's generator, dense: one generator, advanced worker by worker."""
    rng = np.random.default_rng(seed)
    tridiagonal = 2 * np.eye(d) - np.eye(d, k=1) - np.eye(d, k=-1)
    matrices, vectors = [], []
    for _ in range(n):
        nu_s, nu_b = 1 + scale * rng.normal(), scale * rng.normal()
        matrices.append(nu_s / 4 * tridiagonal)
        vectors.append(nu_s / 4 * (-1 + nu_b) * np.eye(d)[0])
    matrices = np.array(matrices)
    least = np.linalg.eigvalsh(matrices.mean(0))[0]
    return matrices + (strong_convexity - least) * np.eye(d), np.array(vectors)


def quadratic_loss(matrices, vectors, x, worker):
    return 0.5 * x @ matrices[worker] @ x - vectors[worker] @ x


def tridiagonal_loss(x, worker):
    return quadratic_loss([TRIDIAGONAL / 4], [-FIRST / 4], x, 0)


def next_coordinate_variance(p, x):
    progress = max(np.flatnonzero(x)) + 1
    gradient = (TRIDIAGONAL @ x + FIRST) / 4
    return gradient[progress] ** 2 * (1 - p) / p


def logistic_loss(held, l2, nonconvex, x, worker):
    rows = held[worker]
    losses = [np.log1p(np.exp(-SIGNS[j] * ROWS[j] @ x)) for j in rows]
    penalty = l2 / 2 * sum(x**2) + nonconvex * sum(x**2 / (1 + x**2))
    return sum(losses) / len(rows) + penalty


def logistic_variance(rows, samples, x):
    slopes = np.array([-SIGNS[j] / (1 + np.exp(SIGNS[j] * ROWS[j] @ x)) for j in rows])
    return np.sum(np.var(slopes[:, None] * ROWS[rows], axis=0)) / samples


def network_loss(held, l2, params, worker):
    layers = params["params"]
    losses = []
    for j in held[worker]:
        h = ROWS[j]
        for k in range(len(layers)):
            h = np.maximum(h, 0) if k else h
            h = h @ layers[f"Dense_{k}"]["kernel"] + layers[f"Dense_{k}"]["bias"]
        losses.append(np.log(np.sum(np.exp(h))) - h[CLASSES[j]])
    squares = [np.sum(w**2) for layer in layers.values() for w in layer.values()]
    return np.mean(losses) + l2 / 2 * sum(squares)


def line(params, batch):
    """The mean of (aᵀw + c − t)²."""
    predicted = batch["a"] @ params["w"] + params["c"]
    return jnp.mean(jnp.square(predicted - batch["t"]))


def line_loss(held, params, worker):
    residuals = [ROWS[j] @ params["w"] + params["c"] - TARGETS[j] for j in held[worker]]
    return np.mean(np.square(residuals))


def line_variance(rows, samples, params):
    residuals = ROWS[rows] @ params["w"] + params["c"] - TARGETS[rows]
    extended = np.hstack([ROWS[rows], np.ones((len(rows), 1))])
    return np.sum(np.var(2 * residuals[:, None] * extended, axis=0)) / samples


def importance_variance(shares, samples, params):
    """Of the mean of so many draws of gⱼ/(m pⱼ)."""
    residuals = ROWS @ params["w"] + params["c"] - TARGETS
    rows = 2 * residuals[:, None] * np.hstack([ROWS, np.ones((len(ROWS), 1))])
    squares = np.sum(rows**2, axis=1) / shares / len(ROWS) ** 2
    return (np.sum(squares) - np.sum(rows.mean(0) ** 2)) / samples


def least_squares(**options):
    data = {"a": ROWS, "t": TARGETS}
    init = {"w": jnp.zeros(3), "c": jnp.zeros(())}
    return problems.from_loss(line, data, init=init, **options)


LIKELIHOODS = np.arange(1.0, 12.0)


def sampled_least_squares():
    rule = problems.draws.importance(LIKELIHOODS, 2)
    return problems.sampled(least_squares(), rule)


logistic = partial(problems.logistic_regression, ROWS, LABELS)
classifier = partial(problems.classifier, ROWS, CLASSES + 5)
tridiagonal = partial(problems.tridiagonal, DIM)
generated = partial(
    problems.heterogeneous_quadratics,
    4,
    DIM,
    noise_scale=0.8,
    strong_convexity=0.01,
    seed=5,
)
GENERATED = heterogeneous_arrays(4, DIM, 0.8, 0.01, seed=5)
GENERATED_X_STAR = np.linalg.solve(GENERATED[0].mean(0), GENERATED[1].mean(0))
INTERPOLATED = (GENERATED[0], GENERATED[0] @ GENERATED_X_STAR)

QUADRATICS = {
    "tridiagonal": Case(partial(tridiagonal, noise="none"), tridiagonal_loss),
    "tridiagonal, scalar noise": Case(
        partial(tridiagonal, noise_level=0.3),
        tridiagonal_loss,
        variance=lambda x: 0.3**2 * DIM,
    ),
    "tridiagonal, noise in coordinates": Case(
        partial(tridiagonal, noise="coordinates", noise_level=0.3),
        tridiagonal_loss,
        variance=lambda x: 0.3**2 * DIM,
    ),
    "tridiagonal, progress noise": Case(
        partial(tridiagonal, noise="progress", probability=0.2),
        tridiagonal_loss,
        variance=partial(next_coordinate_variance, 0.2),
        zeros=3,
    ),
    "tridiagonal, matrix noise": Case(
        partial(tridiagonal, noise="matrix", noise_level=0.3),
        tridiagonal_loss,
        variance=lambda x: 0.3**2 * sum(x**2),
    ),
    "quadratics": Case(
        partial(problems.quadratics, MATRICES, VECTORS, noise_level=0.2),
        partial(quadratic_loss, MATRICES, VECTORS),
        workers=3,
        variance=lambda x: 0.2**2 * 4,
    ),
    "generated quadratics": Case(
        partial(generated, noise_level=0.2),
        partial(quadratic_loss, *GENERATED),
        workers=4,
        variance=lambda x: 0.2**2 * DIM,
    ),
    "interpolated quadratics": Case(
        partial(generated, interpolated=True),
        partial(quadratic_loss, *INTERPOLATED),
        workers=4,
    ),
}

CASES = QUADRATICS | {
    "logistic regression": Case(
        partial(logistic, l2=0.1), partial(logistic_loss, EVERYTHING, 0.1, 0)
    ),
    "logistic regression, split": Case(
        partial(logistic, 3, nonconvex=0.1, samples_per_gradient=6),
        partial(logistic_loss, THIRDS, 0, 0.1),
        workers=3,
        variance=partial(logistic_variance, THIRDS[0], 6),
    ),
    "softmax regression": Case(
        partial(classifier, hidden=(), samples_per_gradient=None, l2=0.1),
        partial(network_loss, EVERYTHING, 0.1),
    ),
    "network": Case(
        partial(classifier, split=UNEQUAL, hidden=(4, 5), samples_per_gradient=None),
        partial(network_loss, HELD, 0),
        workers=3,
    ),
    "own loss": Case(
        partial(least_squares, samples_per_gradient=1),
        partial(line_loss, EVERYTHING),
        variance=partial(line_variance, EVERYTHING[0], 1),
    ),
    "own loss, sampled by importance": Case(
        sampled_least_squares,
        partial(line_loss, EVERYTHING),
        variance=partial(importance_variance, LIKELIHOODS / LIKELIHOODS.sum(), 2),
    ),
    "own loss, split": Case(
        partial(least_squares, split=UNEQUAL, samples_per_gradient=2),
        partial(line_loss, HELD),
        workers=3,
        variance=partial(line_variance, HELD[0], 2),
    ),
}
