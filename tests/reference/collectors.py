"""Methods that collect a batch of gradients at one model, in plain Python and NumPy.

Written from the papers, without the library. Every method returns its arrivals and its
models, `Result(rows, iterates)`, and takes

* `gradient(worker, x, job)`, the stochastic gradient whose sample is fixed by (worker,
  job);
* `durations(worker, job, work, now)`, the seconds of that job, which computes `work`
  gradients and starts at time `now`; `inf` = never.

The next arrival is the least (finish time, worker), so that of simultaneous arrivals
the lowest worker comes first, one at a time. Jobs of a worker are numbered from 0,
interrupted and ignored ones included. A run ends after `num_events` arrivals, after
`num_updates` updates, or when nobody will ever arrive.
"""

from fractions import Fraction
from heapq import heapify, heappop, heappush
from math import ceil, e, inf, log, sqrt

import numpy as np
from reference.clock import Row
from reference.result import Result

# Asynchronous collection: everybody works all the time.


def malenia_sgd(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    *,
    num_events,
    num_updates=inf,
    batch_size,
    stop,
):
    """xᵏ⁺¹ = xᵏ − (γ/n) Σᵢ (1/Bᵢ) Σⱼ ∇fᵢ(xᵏ; ξᵢⱼ), Bᵢ ≥ 1 gradients of worker i.

    The batch is full once the harmonic mean of the Bᵢ is at least S/n, S = batch_size.
    Gradients at older models are ignored, or with `stop` all workers restart at the
    instant of an update. A worker that never arrives leaves the batch open for ever.
    arXiv:2305.12387.
    """
    n = num_workers
    x = np.array(x0, dtype=float)
    rows, iterates = [], [x]
    k, batch = 0, []
    counts, totals = [0] * n, [np.zeros_like(x)] * n
    missing, inverses = n, Fraction(0)  # Σ 1/Bᵢ over the workers with Bᵢ > 0
    job, version = [0] * n, [0] * n
    running = [(durations(i, 0, 1, 0.0), i) for i in range(n)]
    heapify(running)
    while len(rows) < num_events and k < num_updates:
        time, i = heappop(running)
        if time == inf:
            break
        delay = k - version[i]
        rows.append(Row(time, i, job[i], version[i], delay, delay == 0, 0.0, 0.0))
        if delay == 0:
            batch.append(len(rows) - 1)
            totals[i] = totals[i] + gradient(i, x, job[i])
            if counts[i] == 0:
                missing -= 1
            else:
                inverses -= Fraction(1, counts[i])
            counts[i] += 1
            inverses += Fraction(1, counts[i])
        full = delay == 0 and missing == 0 and batch_size * inverses <= n**2
        restarting = [i]
        if full:
            for row in batch:
                weight = 1 / (n * counts[rows[row].worker])
                rows[row] = rows[row]._replace(weight=weight)
            rows[-1] = rows[-1]._replace(step=1.0)
            means = [g / b for g, b in zip(totals, counts, strict=True)]
            x = x - step_size * sum(means) / n
            iterates.append(x)
            k, batch = k + 1, []
            counts, totals = [0] * n, [np.zeros_like(x)] * n
            missing, inverses = n, Fraction(0)
            if stop:
                restarting, running = range(n), []
        for w in restarting:
            job[w] += 1
            version[w] = k
            heappush(running, (time + durations(w, job[w], 1, time), w))
    return Result(rows, np.stack(iterates))


def accelerated_rennala_sgd(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    *,
    num_events,
    num_updates=inf,
    batch_size,
    stop,
):
    """Rennala's collection at the extrapolated points y of Lan's AC-SA, from u⁰ = x⁰.

        yᵏ⁺¹ = (1−α) xᵏ + α uᵏ,   α = 2 / (k+2)
        uᵏ⁺¹ = uᵏ − γ (k+1) (1/S) Σⱼ ∇f(yᵏ⁺¹; ξⱼ)
        xᵏ⁺¹ = (1−α) xᵏ + α uᵏ⁺¹

    Gradients at older points are ignored, or with `stop` all workers restart at the
    instant of an update. The iterates are the xᵏ. arXiv:2305.12387.
    """
    x = np.array(x0, dtype=float)
    rows, iterates = [], [x]
    u, y = x, x
    k, count, total = 0, 0, np.zeros_like(x)
    job, version = [0] * num_workers, [0] * num_workers
    running = [(durations(i, 0, 1, 0.0), i) for i in range(num_workers)]
    heapify(running)
    while len(rows) < num_events and k < num_updates:
        time, i = heappop(running)
        if time == inf:
            break
        delay = k - version[i]
        fresh = delay == 0
        if fresh:
            total = total + gradient(i, y, job[i])
            count += 1
        full = count == batch_size
        weight, step = (1 / batch_size if fresh else 0.0), float(full)
        rows.append(Row(time, i, job[i], version[i], delay, fresh, weight, step))
        restarting = [i]
        if full:
            alpha = 2 / (k + 2)
            u = u - step_size * (k + 1) * total / batch_size
            x = (1 - alpha) * x + alpha * u
            iterates.append(x)
            k, count, total = k + 1, 0, np.zeros_like(x)
            alpha = 2 / (k + 2)
            y = (1 - alpha) * x + alpha * u
            if stop:
                restarting, running = range(num_workers), []
        for w in restarting:
            job[w] += 1
            version[w] = k
            heappush(running, (time + durations(w, job[w], 1, time), w))
    return Result(rows, np.stack(iterates))


def rennala_mvr_inexact(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    *,
    num_events,
    num_updates=inf,
    batch_size,
    first_batch_size,
    momentum,
    correction,
    stop,
):
    """Rennala MVR that takes the last batch mean for the gradients at the old model.

        g⁰ = h⁰,   xᵏ⁺¹ = xᵏ − γ gᵏ,
        gᵏ⁺¹ = a hᵏ⁺¹ + (1−a) gᵏ + c (1−a) (hᵏ⁺¹ − hᵏ)

    1−a = momentum, c = correction, hᵏ = the mean of Rennala's batch at xᵏ:
    `first_batch_size` gradients at x⁰, then `batch_size`. Late gradients are ignored,
    or with `stop` interrupted, as in Rennala SGD. The variant of arXiv:2605.08871,
    derived; c as in the approximate MARS.
    """
    x = np.array(x0, dtype=float)
    rows, iterates = [], [x]
    g, h = np.zeros_like(x), np.zeros_like(x)
    k, count, total, needed = 0, 0, np.zeros_like(x), first_batch_size
    job, version = [0] * num_workers, [0] * num_workers
    running = [(durations(i, 0, 1, 0.0), i) for i in range(num_workers)]
    heapify(running)
    while len(rows) < num_events and k < num_updates:
        time, i = heappop(running)
        if time == inf:
            break
        delay = k - version[i]
        fresh = delay == 0
        if fresh:
            total = total + gradient(i, x, job[i])
            count += 1
        full = count == needed
        weight, step = (1 / needed if fresh else 0.0), float(full)
        rows.append(Row(time, i, job[i], version[i], delay, fresh, weight, step))
        restarting = [i]
        if full:
            h_previous, h = h, total / needed
            if k == 0:
                g = h
            else:
                g = (1 - momentum) * h + momentum * g
                g = g + correction * momentum * (h - h_previous)
            x = x - step_size * g
            iterates.append(x)
            k, count, total, needed = k + 1, 0, np.zeros_like(x), batch_size
            if stop:
                restarting, running = range(num_workers), []
        for w in restarting:
            job[w] += 1
            version[w] = k
            heappush(running, (time + durations(w, job[w], 1, time), w))
    return Result(rows, np.stack(iterates))


# Synchronous rounds of a limited number of trials.


def mindflayer_sgd(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    *,
    num_events,
    num_updates=inf,
    trials,
    limits,
    expected,
):
    """xᵏ⁺¹ = xᵏ − (γ/B) Σ ∇f(xᵏ; ξ) over the successful trials of one round.

    Worker i makes Bᵢ = trials[i] trials, one after the other. A trial of at most
    limits[i] seconds succeeds, a longer one is given up at the limit. B = expected, the
    mean number Σᵢ pᵢ Bᵢ of successes. Who is done waits for the round to end.
    arXiv:2410.04285.
    """
    weights = [1 / expected if expected else 0.0] * num_workers
    return _rounds_of_trials(
        *(gradient, durations, num_workers, x0, step_size, num_events, num_updates),
        *(trials, limits, weights),
    )


def vecna_sgd(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    *,
    num_events,
    num_updates=inf,
    trials,
    limits,
    probabilities,
):
    """xᵏ⁺¹ = xᵏ − (γ/n) Σᵢ 1/(pᵢ Bᵢ) Σ ∇fᵢ(xᵏ; ξ), over the successful trials of i.

    MindFlayer's rounds with the success probabilities pᵢ. Workers with Bᵢ = 0 have no
    part in the sum. For heterogeneous data, arXiv:2410.04285, derived.
    """
    means = [p * b for p, b in zip(probabilities, trials, strict=True)]
    weights = [1 / (num_workers * mean) if mean else 0.0 for mean in means]
    return _rounds_of_trials(
        *(gradient, durations, num_workers, x0, step_size, num_events, num_updates),
        *(trials, limits, weights),
    )


def _rounds_of_trials(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    num_events,
    num_updates,
    trials,
    limits,
    weights,
):
    """One update per round: x ← x − γ Σ weights[i] g over the successes g of all i."""
    x = np.array(x0, dtype=float)
    rows, iterates = [], [x]
    k, total = 0, np.zeros_like(x)
    left = list(trials)
    job = [0] * num_workers

    def start(i, now):
        seconds = durations(i, job[i], 1, now)
        return now + min(seconds, limits[i]), i, bool(seconds <= limits[i])

    running = [start(i, 0.0) for i in range(num_workers) if trials[i]]
    heapify(running)
    while running and len(rows) < num_events and k < num_updates:
        time, i, success = heappop(running)
        if time == inf:
            break
        if success:
            total = total + weights[i] * gradient(i, x, job[i])
        left[i] -= 1
        last = not running and left[i] == 0
        weight, step = (weights[i] if success else 0.0), float(last)
        rows.append(Row(time, i, job[i], k, 0, success, weight, step, int(success)))
        job[i] += 1
        if last:
            x = x - step_size * total
            iterates.append(x)
            k, total = k + 1, np.zeros_like(x)
            left = list(trials)
            running = [start(w, time) for w in range(num_workers) if trials[w]]
            heapify(running)
        elif left[i]:
            heappush(running, start(i, time))
    return Result(rows, np.stack(iterates))


def mindflayer_trials(limits, probabilities, batch_size):
    """MindFlayer's trial counts Bᵢ and the bound T on the seconds of a round.

        T(m) = (S + Σⱼ pⱼ) / Σⱼ (pⱼ / lⱼ), sums over the m smallest limits lⱼ
        T = minₘ T(m),   Bᵢ = ⌈T/lᵢ − 1⌉ for the minimal m, 0 for the other workers

    S = batch_size. A quotient T/lᵢ up to 1e-12 above an integer counts as the integer.
    """
    order = sorted(range(len(limits)), key=lambda i: (limits[i], i))
    best, num_used, successes, rate = inf, 0, 0.0, 0.0
    for m, i in enumerate(order, 1):
        successes += probabilities[i]
        rate += probabilities[i] / limits[i]
        if rate > 0 and (batch_size + successes) / rate < best:
            best, num_used = (batch_size + successes) / rate, m
    trials = [0] * len(limits)
    for i in order[:num_used]:
        trials[i] = ceil(best / limits[i] * (1 - 1e-12)) - 1
    return trials, best


# Synchronous rounds of allocated tasks.


def allocated_sgd(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    *,
    num_events,
    num_updates=inf,
    allocate,
):
    """xᵏ⁺¹ = xᵏ − (γ/B) Σ ∇f(xᵏ; ξ), B = Σᵢ aᵢ tasks, aᵢ of them done by worker i.

    A worker does its tasks one after the other and then waits for the round to end.
    `allocate(round, counts, sums)` gives the aᵢ of a round from the number of tasks
    that each worker has finished in earlier rounds, and the sum of their seconds.
    arXiv:2502.00775.
    """
    x = np.array(x0, dtype=float)
    rows, iterates = [], [x]
    k, time, running = 0, 0.0, []
    counts, sums = [0] * num_workers, [0.0] * num_workers
    while len(rows) < num_events and k < num_updates:
        if not running:  # a new round
            left = list(allocate(k, list(counts), list(sums)))
            size, total = sum(left), np.zeros_like(x)
            if size == 0:
                break
            for w in range(num_workers):
                if left[w]:
                    seconds = durations(w, counts[w], 1, time)
                    running.append((time + seconds, w, seconds))
            heapify(running)
        time, i, seconds = heappop(running)
        if time == inf:
            break
        total = total + gradient(i, x, counts[i])
        left[i] -= 1
        last = not running and left[i] == 0
        rows.append(Row(time, i, counts[i], k, 0, True, 1 / size, float(last)))
        counts[i] += 1
        sums[i] += seconds
        if last:
            x = x - step_size * total / size
            iterates.append(x)
            k += 1
        elif left[i]:
            seconds = durations(i, counts[i], 1, time)
            heappush(running, (time + seconds, i, seconds))
    return Result(rows, np.stack(iterates))


def ata_allocation(round_, counts, sums, *, batch_size, alpha, empirical, permutation):
    """Adaptive Task Allocation: lower confidence bounds on the mean seconds of a task.

        sᵢ = μᵢ − 4e α (√(l/Kᵢ) + l/Kᵢ),   l = ln(2k²),   k = round + 1

    μᵢ is the mean of the Kᵢ = counts[i] tasks so far; `empirical` puts alpha·μᵢ for α.
    Workers with Kᵢ = 0 get one task each, the rest goes evenly to those with sᵢ ≤ 0, or
    if there are none to those with Kᵢ = 0. If neither kind exists, the allocation is
    optimal for means sᵢ. `permutation(round)` says who comes first where not all of a
    kind get equally many. arXiv:2502.00775.
    """
    order = list(permutation(round_))
    new = [i for i in order if counts[i] == 0]
    a = [0] * len(counts)
    for i in new[:batch_size]:
        a[i] = 1
    l = log(2 * (round_ + 1) ** 2)
    scores = [-inf] * len(counts)
    for i, K in enumerate(counts):
        if K:
            mean = sums[i] / K
            scale = alpha * mean if empirical else alpha
            scores[i] = mean - 4 * e * scale * (sqrt(l / K) + l / K)
    low = [i for i in order if counts[i] and scores[i] <= 0]
    if not new and not low:
        return optimal_allocation(scores, batch_size)
    _spread(a, batch_size - sum(a), low or new)
    return a


def optimal_allocation(means, batch_size):
    """The a with Σᵢ aᵢ = B that minimises maxᵢ aᵢ μᵢ, task by task.

    Each task goes to the worker with the least (aᵢ+1) μᵢ. Of several minimisers this is
    one where the fewest workers attain the maximum, and they have the lowest indices.
    """
    a = [0] * len(means)
    ends = [(mean, i) for i, mean in enumerate(means)]
    heapify(ends)
    for _ in range(batch_size):
        _, i = heappop(ends)
        a[i] += 1
        heappush(ends, ((a[i] + 1) * means[i], i))
    return a


def uniform_allocation(round_, num_workers, batch_size, permutation):
    """⌊B/n⌋ tasks each, and one more for the first of a random permutation."""
    a = [0] * num_workers
    _spread(a, batch_size, list(permutation(round_)))
    return a


def _spread(a, num_tasks, workers):
    """Add the tasks to `a`, evenly over the workers, first ones first."""
    each, extra = divmod(num_tasks, len(workers))
    for place, i in enumerate(workers):
        a[i] += each + (1 if place < extra else 0)
