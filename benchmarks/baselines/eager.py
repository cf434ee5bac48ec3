"""Simulators as research code commonly writes them: NumPy, a heap, eager gradients.

The gradient of a job is evaluated when the job starts and kept until it arrives, so
that interrupted and ignored jobs cost as much as the others. Random numbers are drawn
one by one, two normals per job: for its duration, τ + s|N(0, 1)| seconds, and for its
gradient, that of the tridiagonal quadratic with the same noise in every coordinate.
"""

import heapq
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class Cluster(NamedTuple):
    """What the workers are like.

    Attributes:
      base, scale: [n], a job of worker i takes base[i] + scale[i] |N(0, 1)| seconds.
      noise: standard deviation of the noise in every coordinate of a gradient.
    """

    base: np.ndarray
    scale: np.ndarray
    noise: float


def ringmaster(
    x, cluster: Cluster, rng, *, step_size, delay_threshold, stop
) -> Iterator[tuple[float, np.ndarray]]:
    """Steps with every gradient whose delay is below R; R = inf: asynchronous SGD.

    Args:
      x: x⁰.
      rng: a NumPy generator.
      stop: interrupt jobs that have become R steps old and restart their workers.

    Yields:
      The simulated seconds and the model, after every update.
    """
    now, updates, heap = 0.0, 0, []
    num_workers = len(cluster.base)
    gradients = [x] * num_workers
    version = np.zeros(num_workers, int)

    def start(worker):
        gradients[worker] = _gradient(x, cluster, rng)
        version[worker] = updates
        heapq.heappush(heap, (now + _seconds(cluster, rng, worker), worker))

    for worker in range(num_workers):
        start(worker)
    while True:
        now, worker = heapq.heappop(heap)
        accepted = updates - version[worker] < delay_threshold
        if accepted:
            x = x - step_size * gradients[worker]
            updates += 1
        start(worker)
        if accepted and stop:
            stale = np.flatnonzero(updates - version >= delay_threshold).tolist()
            if stale:
                interrupted = set(stale)
                heap = [job for job in heap if job[1] not in interrupted]
                heapq.heapify(heap)
                for other in stale:
                    start(other)
        if accepted:
            yield now, x


def rennala(
    x, cluster: Cluster, rng, *, step_size, batch_size
) -> Iterator[tuple[float, np.ndarray]]:
    """Steps with the mean of S gradients at one point, then restarts everybody.

    Args and yields: as `ringmaster`.
    """
    now, heap = 0.0, []
    num_workers = len(cluster.base)
    gradients = [x] * num_workers

    def start(worker):
        gradients[worker] = _gradient(x, cluster, rng)
        heapq.heappush(heap, (now + _seconds(cluster, rng, worker), worker))

    while True:
        heap = []
        for worker in range(num_workers):
            start(worker)
        total = np.zeros_like(x)
        for collected in range(1, batch_size + 1):
            now, worker = heapq.heappop(heap)
            total += gradients[worker]
            if collected < batch_size:
                start(worker)
        x = x - step_size / batch_size * total
        yield now, x


def _gradient(x, cluster: Cluster, rng):
    """¼(2xⱼ − xⱼ₋₁ − xⱼ₊₁) with x₀ = −1 and x_{d+1} = 0, and the noise."""
    gradient = 0.5 * x
    gradient[1:] -= 0.25 * x[:-1]
    gradient[:-1] -= 0.25 * x[1:]
    gradient[0] += 0.25
    return gradient + cluster.noise * rng.standard_normal()


def _seconds(cluster: Cluster, rng, worker):
    return cluster.base[worker] + cluster.scale[worker] * abs(rng.standard_normal())
