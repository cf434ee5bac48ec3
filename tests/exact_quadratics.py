"""What the tests of Lyapunov functions share: quadratics whose constants are exact."""

import functools
import itertools

import numpy as np

KINDS = ("mixed", "rank_one", "lonely")


class FiniteSums:
    """fᵢⱼ(x) = xᵀAᵢⱼx/2 − bᵢⱼᵀx on d entries, m of each of n workers, all convex.

    "mixed" has eigenvalues from 0.05 to 10, "rank_one" one steep direction for every
    component, "lonely" one for a single component of all.
    """

    def __init__(self, seed, n, m, d, kind):
        random = np.random.default_rng(seed)
        eigenvalues = random.uniform(0.05, 10, (n, m, d))
        if kind != "mixed":
            eigenvalues = np.full((n, m, d), 0.02)
            steep = random.uniform(1, 20, (n, m))
            many = kind == "rank_one"
            eigenvalues[..., 0] = steep if many else 10.0 * (np.arange(m) == 0)
            eigenvalues[1:, :, 0] *= 1.0 if many else 0.0
            eigenvalues += 0.02
        bases = np.linalg.qr(random.normal(size=(n, m, d, d)))[0]
        self.parts = np.einsum("nmij,nmj,nmkj->nmik", bases, eigenvalues, bases)
        self.parts = (self.parts + self.parts.swapaxes(-1, -2)) / 2
        self.part_slopes = random.normal(size=(n, m, d))
        self.hessians, self.slopes = self.parts.mean(1), self.part_slopes.mean(1)
        self.mean, self.slope = self.hessians.mean(0), self.slopes.mean(0)
        self.strong_convexity, *_, self.smoothness = np.linalg.eigvalsh(self.mean)
        each = np.linalg.eigvalsh(self.hessians)[:, -1]
        self.smoothness_max = each.max()
        self.smoothness_mean_square = np.sqrt(np.mean(each**2))
        self.part_smoothness_max = np.linalg.eigvalsh(self.parts).max()
        spreads = (self.parts @ self.parts).mean(1) - self.hessians @ self.hessians
        # L_σ: the mean over workers of the largest eigenvalues of their spreads.
        self.sample_smoothness = np.sqrt(np.linalg.eigvalsh(spreads)[:, -1].mean())
        self.minimum = np.linalg.solve(self.mean, self.slope)

    def part_grads(self, x):
        """∇fᵢⱼ(x), [n, m, d]."""
        return self.parts @ x - self.part_slopes

    def grads(self, x):
        """∇fᵢ(x), [n, d]."""
        return self.hessians @ x - self.slopes

    def gap(self, x):
        """f(x) − f*."""
        away = x - self.minimum
        return away @ self.mean @ away / 2


def square(vectors):
    """|v|² along the last axis."""
    return np.sum(vectors**2, axis=-1)


def spread_square(rows):
    """(1/n) Σᵢ |vᵢ|² over all but the last axis of a worker's table."""
    return square(rows).mean()


@functools.cache
def choices(count, n):
    """All ways in which n workers choose one of `count`, [countⁿ, n]."""
    return np.array(list(itertools.product(range(count), repeat=n)))


def rand_1_outcomes(rows):
    """All equally likely outcomes of independent Rand-1 on each row, [dⁿ, n, d]."""
    n, d = rows.shape
    return d * rows * (choices(d, n)[:, :, None] == np.arange(d))


def top_1(rows):
    kept = np.abs(rows).argmax(axis=-1)[..., None] == np.arange(rows.shape[-1])
    return np.where(kept, rows, 0)


def sample_outcomes(parts):
    """The components drawn by all workers, each its own, [mⁿ, n, d]."""
    n, m, _ = parts.shape
    return parts[np.arange(n), choices(m, n)]


def scales(count):
    """Near, far and mixed states: factors of `count` deviations, not all 0."""
    return [s for s in itertools.product((0.0, 0.1, 1.0, 10.0), repeat=count) if any(s)]
