"""The best NumPy we could write: vectorised over workers, only gradients that count.

* A gradient is evaluated when it is used, at the version that its job started from;
  a job that is interrupted or comes too late costs a duration and nothing else. The
  model is padded with its two boundary values, and a step is one correlation with
  three numbers.
* Durations are drawn for all workers, in blocks of several restarts, into the same
  array each time; the other normals in blocks of thousands.
* Arrays are allocated once and written in place, and views of them are made once.
* Ringmaster finds the next arrival with `argmin`, Rennala the next S with
  `argpartition`, for a block of rounds in one call: in stop mode rounds depend neither
  on each other nor on the numbers. Rennala's S gradients are taken at one point and
  differ in their noise only: one gradient, plus the mean of S normals.

Every worker's duration is drawn at every restart, as the method says: leaving out the
workers that cannot arrive in time is not among the means used here.

Arguments and results are those of `eager`.
"""

from collections.abc import Iterator

import numpy as np

from .eager import Cluster

RESTARTS = 16  # of all workers, whose durations are drawn in one call
NORMALS = 4096  # numbers for single jobs and gradients that are drawn in one call


def ringmaster(
    x, cluster: Cluster, rng, *, step_size, delay_threshold: int
) -> Iterator[tuple[float, np.ndarray]]:
    """Ringmaster in stop mode."""
    num_workers, ring = len(cluster.base), delay_threshold
    models = [_padded(x) for _ in range(ring)]
    inner = [model[1:-1] for model in models]
    stencil = step_size * np.array([0.25, -0.5, 0.25])
    shifts = _normals(rng, -step_size * cluster.noise)
    normals, everybody = _normals(rng, 1.0), _restarts(cluster, rng)
    base, scale = cluster.base.tolist(), cluster.scale.tolist()

    finish = next(everybody).copy()
    version = np.zeros(num_workers, np.int32)
    stale = np.empty(num_workers, bool)
    # Jobs of each version, by its place in the ring.
    running = [num_workers] + (ring - 1) * [0]
    updates = 0
    while True:
        worker = int(finish.argmin())
        now = finish.item(worker)
        read = version.item(worker) % ring
        step = np.correlate(models[read], stencil)
        step += next(shifts)
        newest = (updates + 1) % ring
        np.add(inner[updates % ring], step, out=inner[newest])
        updates += 1

        # The worker restarts, and those whose jobs have become R steps old with it;
        # their version has the place in the ring that the new one takes.
        running[read] -= 1
        version[worker] = updates
        finish[worker] = now + base[worker] + scale[worker] * abs(next(normals))
        if running[newest]:
            np.equal(version, updates - ring, out=stale)
            if running[newest] > num_workers // 8:
                np.add(next(everybody), now, out=finish, where=stale)
                np.copyto(version, updates, where=stale)
            else:
                for other in stale.nonzero()[0].tolist():
                    version[other] = updates
                    seconds = base[other] + scale[other] * abs(next(normals))
                    finish[other] = now + seconds
        running[newest] += 1
        yield now, inner[newest]


def rennala(
    x, cluster: Cluster, rng, *, step_size, batch_size: int
) -> Iterator[tuple[float, np.ndarray]]:
    """Rennala in stop mode."""
    model = _padded(x)
    inner = model[1:-1]
    stencil = step_size * np.array([0.25, -0.5, 0.25])
    durations = np.empty((RESTARTS, len(cluster.base)))
    now = 0.0
    while True:
        _draw(cluster, rng, durations)
        seconds = _round_seconds(cluster, rng, durations, batch_size).tolist()
        noise = rng.standard_normal((RESTARTS, batch_size)).mean(axis=1)
        shifts = (-step_size * cluster.noise * noise).tolist()
        for passed, shift in zip(seconds, shifts, strict=True):
            now += passed
            step = np.correlate(model, stencil)
            step += shift
            inner += step
            yield now, inner


def _round_seconds(cluster: Cluster, rng, first, batch_size):
    """[rounds], the seconds until S jobs have ended, all workers starting at 0.

    Only the S workers whose first jobs end first can deliver: each is followed for S
    jobs, and the S-th of all these arrivals closes the round.

    Args:
      first: [rounds, n], the durations of the first jobs.
    """
    kept = min(batch_size, first.shape[1])
    workers = np.argpartition(first, kept - 1, axis=1)[:, :kept]
    seconds = np.abs(rng.standard_normal((*workers.shape, batch_size)))
    seconds *= cluster.scale[workers][..., None]
    seconds += cluster.base[workers][..., None]
    seconds[..., 0] = np.take_along_axis(first, workers, axis=1)
    arrivals = seconds.cumsum(axis=2).reshape(len(first), -1)
    return np.partition(arrivals, batch_size - 1, axis=1)[:, batch_size - 1]


def _padded(x):
    return np.concatenate([[-1.0], x, [0.0]])


def _restarts(cluster: Cluster, rng):
    """The durations of all workers, once for each restart."""
    durations = np.empty((RESTARTS, len(cluster.base)))
    while True:
        _draw(cluster, rng, durations)
        yield from durations


def _draw(cluster: Cluster, rng, out):
    """Durations of all workers, once per row of `out`."""
    rng.standard_normal(out=out)
    np.abs(out, out=out)
    out *= cluster.scale
    out += cluster.base


def _normals(rng, scale):
    """Normals times `scale`, one by one."""
    while True:
        yield from (scale * rng.standard_normal(NORMALS)).tolist()
