"""Who arrives when: event loops of asynchronous methods, in plain Python.

Written from the papers, without the library. A heap of (finish time, worker) gives the
next arrival; of simultaneous arrivals the lowest worker comes first, and they are
handled one at a time. A worker's job counter starts at 0 and counts its interrupted and
ignored jobs too. Every function takes `durations(worker, job, work) -> seconds`
(`work` in gradients, `inf` = never), and returns at most `num_events` rows: fewer if
nobody alive will ever arrive.
"""

from heapq import heapify, heappop, heappush
from math import inf
from typing import NamedTuple


class Row(NamedTuple):
    """One arrival at the server, ignored ones included, interrupted jobs not.

    Attributes:
      time: seconds.
      worker: index from 0.
      job: number of the job among the assignments of this worker, from 0.
      version: server steps made when the job started.
      delay: server steps made since then, this one not counted.
      accepted: whether the server uses the gradient.
      weight: factor of the gradient in the server's accumulator; 0 if not accepted.
      step: multiplier of the update made at this arrival; 0 if the model stays.
      work: gradients that the job computed.
      kind: 0 for single gradients, 1 for pairs on one sample.
      sample: index of the data where the method chooses it, else -1.
    """

    time: float
    worker: int
    job: int
    version: int
    delay: int
    accepted: bool
    weight: float
    step: float
    work: int = 1
    kind: int = 0
    sample: int = -1


def synchronous(durations, num_workers, num_events):
    """Rounds of one job per worker; the last arrival steps, then all restart."""
    rows, start, round_ = [], 0.0, 0
    while len(rows) < num_events:
        arrivals = sorted(
            (start + durations(i, round_, 1), i) for i in range(num_workers)
        )
        for time, i in arrivals:
            if time == inf:
                return rows[:num_events]
            step = 1.0 if (time, i) == arrivals[-1] else 0.0
            rows.append(Row(time, i, round_, round_, 0, True, 1 / num_workers, step))
        start, round_ = arrivals[-1][0], round_ + 1
    return rows[:num_events]


def hero(durations, means, num_workers, num_events):
    """Only the worker with the smallest mean duration works."""
    best = min(range(num_workers), key=lambda i: (means[i], i))
    rows, time = [], 0.0
    for k in range(num_events):
        time = time + durations(best, k, 1)
        if time == inf:
            break
        rows.append(Row(time, best, k, k, 0, True, 1.0, 1.0))
    return rows


def asgd(durations, num_workers, num_events):
    """Every arrival steps at once; its worker restarts at the new model."""
    job = [0] * num_workers
    version = [0] * num_workers
    running = [(durations(i, 0, 1), i) for i in range(num_workers)]
    heapify(running)
    rows = []
    for k in range(num_events):
        time, i = heappop(running)
        if time == inf:
            break
        rows.append(Row(time, i, job[i], version[i], k - version[i], True, 1.0, 1.0))
        job[i] += 1
        version[i] = k + 1
        heappush(running, (time + durations(i, job[i], 1), i))
    return rows


def delay_adaptive_asgd(durations, num_workers, num_events):
    """Asynchronous SGD with multiplier n / max(n, δ). arXiv:2206.07638, their code."""
    return [
        row._replace(step=num_workers / max(num_workers, row.delay))
        for row in asgd(durations, num_workers, num_events)
    ]


def rennala(
    durations,
    num_workers,
    num_events,
    *,
    batch_size,
    stop,
    first_batch_size=None,
    work=1,
):
    """Step once `batch_size` gradients of the current version are in. arXiv:2305.12387.

    Late gradients of older versions are ignored, or with `stop` every worker restarts
    at the instant of the step. The batch of version 0 may have its own size, and its
    jobs cost one gradient; later jobs cost `work` gradients.
    """
    first_batch_size = batch_size if first_batch_size is None else first_batch_size
    k, count, needed = 0, 0, first_batch_size
    job = [0] * num_workers
    version = [0] * num_workers
    running = [(durations(i, 0, 1), i) for i in range(num_workers)]
    heapify(running)
    rows = []
    while len(rows) < num_events:
        time, i = heappop(running)
        if time == inf:
            break
        delay = k - version[i]
        fresh = delay == 0
        count += fresh
        full = count == needed
        weight = 1 / needed if fresh else 0.0
        cost = work if version[i] else 1
        rows.append(
            Row(
                time=time,
                worker=i,
                job=job[i],
                version=version[i],
                delay=delay,
                accepted=fresh,
                weight=weight,
                step=1.0 if full else 0.0,
                work=cost,
                kind=cost - 1,
            )
        )
        restarting = [i]
        if full:
            k, count, needed = k + 1, 0, batch_size
            if stop:
                restarting = range(num_workers)
                running = []
        for w in restarting:
            job[w] += 1
            version[w] = k
            heappush(running, (time + durations(w, job[w], work if k else 1), w))
    return rows


def ringmaster(durations, num_workers, num_events, *, delay_threshold, stop):
    """Asynchronous SGD that uses delays below the threshold only. arXiv:2501.16168.

    Late gradients are ignored, or with `stop` every job whose delay has reached the
    threshold is interrupted, and its worker restarts at the new model.
    """
    k = 0
    job = [0] * num_workers
    version = [0] * num_workers
    running = [(durations(i, 0, 1), i) for i in range(num_workers)]
    heapify(running)
    rows = []
    while len(rows) < num_events:
        time, i = heappop(running)
        if time == inf:
            break
        delay = k - version[i]
        accepted = delay < delay_threshold
        used = float(accepted)
        rows.append(Row(time, i, job[i], version[i], delay, accepted, used, used))
        restarting = {i}
        if accepted:
            k += 1
            if stop:
                late = [
                    w for w in range(num_workers) if k - version[w] >= delay_threshold
                ]
                restarting.update(late)
                running = [entry for entry in running if entry[1] not in restarting]
                heapify(running)
        for w in sorted(restarting):
            job[w] += 1
            version[w] = k
            heappush(running, (time + durations(w, job[w], 1), w))
    return rows
