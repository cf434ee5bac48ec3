"""Methods for finite sums f = (1/m) Σⱼ fⱼ: one self-contained loop per method.

Written from the papers, without the library, in plain Python and NumPy float64. Every
method takes

* `gradient(worker, x, job, sample)`, which is ∇f_sample(x) whoever computes it;
* `durations(worker, job, work, now)`, the seconds of a job of `work` gradients that
  starts at `now` (`inf` = never);
* `num_components`, the m of the sum;
* `uniform(worker, job)`, where indices are random: a number u in [0, 1) for this job,
  whose index is entry ⌊u·len⌋ of the sorted list of the allowed ones.

The next arrival is the least (finish time, worker), so that of simultaneous arrivals
the lowest worker comes first, one at a time. Jobs of a worker are numbered from 0,
interrupted and ignored ones included. A run ends after `num_events` arrivals or
`num_updates` updates, or when nobody alive will ever arrive.
"""

from bisect import bisect_left
from heapq import heappop, heappush
from math import inf

import numpy as np
from reference.clock import Row
from reference.result import Result


def freya_page(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    *,
    num_events,
    num_updates=inf,
    num_components,
    batch_size,
    stop,
    cost_difference,
    uniform,
    coin,
):
    """PAGE whose full gradients and differences come from whoever is fast.

        gᵏ = ∇f(xᵏ)                                             if k = 0 or coin(k)
        gᵏ = gᵏ⁻¹ + (1/S) Σ_{p∈Sᵏ} (∇f_p(xᵏ) − ∇f_p(xᵏ⁻¹))      otherwise
        xᵏ⁺¹ = xᵏ − γ gᵏ

    A full gradient needs each component once: at its start the indices are uniform on
    all m, then on those not yet received, and a component that comes again is dropped.
    Sᵏ are the first S arrivals. Jobs of an older version are ignored, or with `stop`
    all workers restart at the instant of an update. A difference costs
    `cost_difference` gradients. arXiv:2405.15545.
    """
    m = num_components
    x = np.array(x0, dtype=float)
    x_previous, g = x, np.zeros_like(x)
    rows, iterates = [], [x]
    job = [-1] * num_workers
    version, kind, work, sample = ([0] * num_workers for _ in range(4))
    k, time, running, starting = 0, 0.0, [], range(num_workers)
    while len(rows) < num_events and k < num_updates:
        full = k == 0 or coin(k)
        needed = m if full else batch_size
        allowed = list(range(m))
        count, received, total = 0, set(), np.zeros_like(x)
        if stop:
            running, starting = [], range(num_workers)
        while count < needed and len(rows) < num_events:
            for w in starting:
                job[w] += 1
                version[w] = k
                kind[w], work[w] = (0, 1) if full else (1, cost_difference)
                sample[w] = allowed[int(uniform(w, job[w]) * len(allowed))]
                heappush(running, (time + durations(w, job[w], work[w], time), w))
            time, i = heappop(running)
            if time == inf:
                return Result(rows, np.stack(iterates))
            delay, p = k - version[i], sample[i]
            accepted = delay == 0 and not (full and p in received)
            if accepted:
                count += 1
                total = total + gradient(i, x, job[i], p)
                if full:
                    received.add(p)
                    del allowed[bisect_left(allowed, p)]
                else:
                    total = total - gradient(i, x_previous, job[i], p)
            rows.append(
                Row(
                    time,
                    i,
                    job[i],
                    version[i],
                    delay,
                    accepted,
                    weight=1 / needed if accepted else 0.0,
                    step=1.0 if count == needed else 0.0,
                    work=work[i],
                    kind=kind[i],
                    sample=p,
                )
            )
            starting = [i]
        if count == needed:
            g = total / m if full else g + total / batch_size
            x_previous, x = x, x - step_size * g
            iterates.append(x)
            k += 1
    return Result(rows, np.stack(iterates))


def freya_sgd(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    *,
    num_events,
    num_updates=inf,
    num_components,
    batch_size,
    stop,
    uniform,
):
    """xᵏ⁺¹ = xᵏ − (γ/S) Σ_{p∈Sᵏ} ∇f_p(xᵏ), Sᵏ the first S arrivals computed at xᵏ.

    Indices are uniform on all m components. Jobs of an older version are ignored, or
    with `stop` all workers restart at the instant of an update. arXiv:2405.15545.
    """
    x = np.array(x0, dtype=float)
    rows, iterates = [], [x]
    job = [-1] * num_workers
    version, sample = [0] * num_workers, [-1] * num_workers
    k, count, total = 0, 0, np.zeros_like(x)
    time, running, starting = 0.0, [], range(num_workers)
    while len(rows) < num_events and k < num_updates:
        for w in starting:
            job[w] += 1
            version[w] = k
            sample[w] = int(uniform(w, job[w]) * num_components)
            heappush(running, (time + durations(w, job[w], 1, time), w))
        time, i = heappop(running)
        if time == inf:
            break
        delay = k - version[i]
        fresh = delay == 0
        if fresh:
            count += 1
            total = total + gradient(i, x, job[i], sample[i])
        complete = count == batch_size
        rows.append(
            Row(
                time,
                i,
                job[i],
                version[i],
                delay,
                accepted=fresh,
                weight=1 / batch_size if fresh else 0.0,
                step=1.0 if complete else 0.0,
                sample=sample[i],
            )
        )
        starting = [i]
        if complete:
            x = x - step_size * total / batch_size
            iterates.append(x)
            k, count, total = k + 1, 0, np.zeros_like(x)
            if stop:
                running, starting = [], range(num_workers)
    return Result(rows, np.stack(iterates))


def hero_gd(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    *,
    num_events,
    num_updates=inf,
    num_components,
    means,
):
    """Gradient descent on the worker with the smallest mean duration alone.

    One job is a full gradient, of m component gradients; its row has no sample.
    """
    m = num_components
    best = min(range(num_workers), key=lambda i: (means[i], i))
    x = np.array(x0, dtype=float)
    rows, iterates = [], [x]
    k, time = 0, 0.0
    while k < num_events and k < num_updates:
        time = time + durations(best, k, m, time)
        if time == inf:
            break
        x = x - step_size * sum(gradient(best, x, k, j) for j in range(m)) / m
        rows.append(Row(time, best, k, k, 0, True, 1.0, 1.0, work=m))
        iterates.append(x)
        k += 1
    return Result(rows, np.stack(iterates))


def soviet_gd(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    *,
    num_events,
    num_updates=inf,
    num_components,
):
    """Gradient descent, the components split equally, all workers waited for.

    Consecutive blocks, of sizes that differ by at most one, larger first. Each worker
    computes its components in order, one job each. The last arrival of the round steps,
    and all restart; a worker whose block is empty never starts a job.
    """
    m = num_components
    x = np.array(x0, dtype=float)
    rows, iterates = [], [x]
    job, sample = [-1] * num_workers, [-1] * num_workers
    k, time = 0, 0.0
    while len(rows) < num_events and k < num_updates:
        waiting = [list(block) for block in _blocks(m, num_workers)]
        count, total = 0, np.zeros_like(x)
        running, starting = [], range(num_workers)
        while count < m and len(rows) < num_events:
            for w in starting:
                if waiting[w]:
                    job[w] += 1
                    sample[w] = waiting[w].pop(0)
                    heappush(running, (time + durations(w, job[w], 1, time), w))
            time, i = heappop(running)
            if time == inf:
                return Result(rows, np.stack(iterates))
            count += 1
            total = total + gradient(i, x, job[i], sample[i])
            step = 1.0 if count == m else 0.0
            rows.append(Row(time, i, job[i], k, 0, True, 1 / m, step, sample=sample[i]))
            starting = [i]
        if count == m:
            x = x - step_size * total / m
            iterates.append(x)
            k += 1
    return Result(rows, np.stack(iterates))


def soviet_page(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    *,
    num_events,
    num_updates=inf,
    num_components,
    batch_size,
    cost_difference,
    uniform,
    coin,
):
    """PAGE, the jobs of every round split equally, all workers waited for.

        gᵏ = ∇f(xᵏ)                                             if k = 0 or coin(k)
        gᵏ = gᵏ⁻¹ + (1/S) Σ_{p∈Sᵏ} (∇f_p(xᵏ) − ∇f_p(xᵏ⁻¹))      otherwise
        xᵏ⁺¹ = xᵏ − γ gᵏ

    A full gradient is split as in `soviet_gd`. Of the S differences each worker
    computes S/n, rounded such that the larger shares come first, one job after the
    other, with indices uniform on all m. A difference costs `cost_difference`
    gradients.
    """
    m = num_components
    x = np.array(x0, dtype=float)
    x_previous, g = x, np.zeros_like(x)
    rows, iterates = [], [x]
    job, sample = [-1] * num_workers, [-1] * num_workers
    k, time = 0, 0.0
    while len(rows) < num_events and k < num_updates:
        full = k == 0 or coin(k)
        needed = m if full else batch_size
        kind, work = (0, 1) if full else (1, cost_difference)
        waiting = [list(block) for block in _blocks(needed, num_workers)]
        count, total = 0, np.zeros_like(x)
        running, starting = [], range(num_workers)
        while count < needed and len(rows) < num_events:
            for w in starting:
                if waiting[w]:
                    job[w] += 1
                    place = waiting[w].pop(0)
                    sample[w] = place if full else int(uniform(w, job[w]) * m)
                    heappush(running, (time + durations(w, job[w], work, time), w))
            time, i = heappop(running)
            if time == inf:
                return Result(rows, np.stack(iterates))
            count += 1
            total = total + gradient(i, x, job[i], sample[i])
            if not full:
                total = total - gradient(i, x_previous, job[i], sample[i])
            rows.append(
                Row(
                    time,
                    i,
                    job[i],
                    version=k,
                    delay=0,
                    accepted=True,
                    weight=1 / needed,
                    step=1.0 if count == needed else 0.0,
                    work=work,
                    kind=kind,
                    sample=sample[i],
                )
            )
            starting = [i]
        if count == needed:
            g = total / m if full else g + total / batch_size
            x_previous, x = x, x - step_size * g
            iterates.append(x)
            k += 1
    return Result(rows, np.stack(iterates))


def page(gradient_of_component, x0, step_size, batches, num_updates, *, num_components):
    """Serial PAGE with given batches; x⁰, ..., x^K stacked. arXiv:2008.10898.

    `gradient_of_component(j, x)` is ∇fⱼ(x). `batches[k]` is "full" (as it must be for
    k = 0), or the list of the indices whose differences correct gᵏ⁻¹.
    """
    x = np.array(x0, dtype=float)
    x_previous, g = x, None
    iterates = [x]
    for k in range(num_updates):
        full = isinstance(batches[k], str)
        batch = range(num_components) if full else batches[k]
        mean = sum(gradient_of_component(j, x) for j in batch) / len(batch)
        if full:
            g = mean
        else:
            old = sum(gradient_of_component(j, x_previous) for j in batch) / len(batch)
            g = g + mean - old
        x_previous, x = x, x - step_size * g
        iterates.append(x)
    return np.stack(iterates)


def _blocks(total, num_workers):
    """Consecutive blocks of range(total); sizes differ by at most 1, larger first."""
    size, larger = divmod(total, num_workers)
    ends = [i * size + min(i, larger) for i in range(num_workers + 1)]
    return [range(ends[i], ends[i + 1]) for i in range(num_workers)]
