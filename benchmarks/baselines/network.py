"""Asynchronous SGD on a two-layer network, by hand: NumPy, a heap, float32.

A job remembers the model that it started from, and its gradient is evaluated when it
arrives: as quick as a plain loop can be. Row numbers are drawn in blocks.
"""

import heapq
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

DRAWN = 1024  # batches whose rows are drawn in one call


class Network(NamedTuple):
    """Weights and biases of logits(x) = relu(x W₁ + b₁) W₂ + b₂; never overwritten."""

    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray


def asgd(
    network: Network, features, labels, times, rng, *, step_size, batch_size
) -> Iterator[tuple[float, Network]]:
    """Every arrival is a step.

    Args:
      network: x⁰.
      features, labels: [N, d] and [N], shared by all workers.
      times: [n] seconds of a job.
      rng: a NumPy generator, for the rows of the batches.

    Yields:
      The simulated seconds and the model, after every update.
    """
    times = times.tolist()
    models = [network] * len(times)
    heap = [(seconds, worker) for worker, seconds in enumerate(times)]
    heapq.heapify(heap)
    batches = _batches(rng, len(labels), batch_size)
    while True:
        now, worker = heap[0]
        rows = next(batches)
        grads = gradient(models[worker], features[rows], labels[rows])
        network = Network(
            *(x - step_size * g for x, g in zip(network, grads, strict=True))
        )
        models[worker] = network
        heapq.heapreplace(heap, (now + times[worker], worker))
        yield now, network


def gradient(network: Network, features, labels) -> Network:
    """Of the mean cross-entropy of a batch."""
    before = features @ network.w1 + network.b1
    hidden = np.maximum(before, 0)
    logits = hidden @ network.w2 + network.b2
    errors = np.exp(logits - logits.max(axis=1, keepdims=True))
    errors /= errors.sum(axis=1, keepdims=True)
    errors[np.arange(len(labels)), labels] -= 1
    errors /= len(labels)
    back = errors @ network.w2.T
    back *= before > 0
    return Network(
        features.T @ back, back.sum(axis=0), hidden.T @ errors, errors.sum(axis=0)
    )


def _batches(rng, num_rows, batch_size):
    while True:
        yield from rng.integers(num_rows, size=(DRAWN, batch_size))
