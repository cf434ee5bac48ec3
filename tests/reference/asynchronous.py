"""Asynchronous methods, events and iterates together, in plain Python and NumPy.

Written from the papers, without the library: one self-contained loop per method.
`gradient(worker, x, job)` is a stochastic gradient whose sample is fixed by (worker,
job); `durations(worker, job, work, now)` are the seconds of a job of `work` gradients
that starts at the time `now`, `inf` = never. The next arrival is the least (finish
time, worker), so that of simultaneous arrivals the lowest worker comes first, one at a
time. Jobs of a worker are numbered from 0, interrupted and discarded ones included.

A run ends after `num_events` arrivals, after `num_updates` server updates, or when
nobody alive will ever arrive. k counts the server updates, n the workers, and δ is the
delay of an arrival: the updates made since its job was handed out.
"""

from collections import deque
from heapq import heapify, heappop, heappush
from math import inf, isqrt

import numpy as np
from reference.clock import Row
from reference.result import Result

# Steps at every arrival.


def koloskova_asgd(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    *,
    num_events,
    num_updates=inf,
    late_step,
):
    """x ← x − γ g if δ ≤ n, later ones with γ min(1, late_step / δ). arXiv:2206.08307.

    late_step = 1/(4Lγ). If it is 0, late gradients are dropped, and still count as
    updates.
    """
    x = np.array(x0, dtype=float)
    rows, iterates = [], [x]
    k = 0
    job = [0] * num_workers
    point = [x] * num_workers
    version = [0] * num_workers
    running = [(0.0 + durations(i, 0, 1, 0.0), i) for i in range(num_workers)]
    heapify(running)
    while len(rows) < num_events and k < num_updates:
        time, i = heappop(running)
        if time == inf:
            break
        delay = k - version[i]
        accepted, step = True, 1.0
        if delay > num_workers and late_step == 0:
            accepted = False
        elif delay > num_workers:
            step = min(1.0, late_step / delay)
        if accepted:
            x = x - step_size * step * gradient(i, point[i], job[i])
        rows.append(
            Row(time, i, job[i], version[i], delay, accepted, float(accepted), step)
        )
        iterates.append(x)
        k += 1
        job[i] += 1
        point[i] = x
        version[i] = k
        heappush(running, (time + durations(i, job[i], 1, time), i))
    return Result(rows, np.stack(iterates))


def rescaled_asgd(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    *,
    num_events,
    num_updates=inf,
    means,
):
    """Asynchronous SGD with the step γ τᵢ / mean(τ), τ = means. arXiv:2605.13434."""
    x = np.array(x0, dtype=float)
    rows, iterates = [], [x]
    k = 0
    mean = sum(means) / num_workers
    job = [0] * num_workers
    point = [x] * num_workers
    version = [0] * num_workers
    running = [(0.0 + durations(i, 0, 1, 0.0), i) for i in range(num_workers)]
    heapify(running)
    while len(rows) < num_events and k < num_updates:
        time, i = heappop(running)
        if time == inf:
            break
        step = float(means[i] / mean)
        x = x - step_size * step * gradient(i, point[i], job[i])
        rows.append(Row(time, i, job[i], version[i], k - version[i], True, 1.0, step))
        iterates.append(x)
        k += 1
        job[i] += 1
        point[i] = x
        version[i] = k
        heappush(running, (time + durations(i, job[i], 1, time), i))
    return Result(rows, np.stack(iterates))


def rescaled_asgd_observed(
    gradient, durations, num_workers, x0, step_size, *, num_events, num_updates=inf
):
    """Rescaled ASGD with τ̂ᵢ, the mean duration of the jobs that i has delivered.

    The arriving job counts. Workers that have not delivered yet take the mean of the
    others' τ̂, which leaves that mean as it is. If it is 0, the step is γ.
    """
    x = np.array(x0, dtype=float)
    rows, iterates = [], [x]
    k = 0
    job = [0] * num_workers
    point = [x] * num_workers
    version = [0] * num_workers
    duration = [durations(i, 0, 1, 0.0) for i in range(num_workers)]
    observed_total, observed_count = np.zeros(num_workers), np.zeros(num_workers)
    running = [(0.0 + duration[i], i) for i in range(num_workers)]
    heapify(running)
    while len(rows) < num_events and k < num_updates:
        time, i = heappop(running)
        if time == inf:
            break
        observed_total[i] += duration[i]
        observed_count[i] += 1
        seen = observed_count > 0
        mean = np.mean(observed_total[seen] / observed_count[seen])
        tau = observed_total[i] / observed_count[i]
        step = float(tau / mean) if mean > 0 else 1.0
        x = x - step_size * step * gradient(i, point[i], job[i])
        rows.append(Row(time, i, job[i], version[i], k - version[i], True, 1.0, step))
        iterates.append(x)
        k += 1
        job[i] += 1
        point[i] = x
        version[i] = k
        duration[i] = durations(i, job[i], 1, time)
        heappush(running, (time + duration[i], i))
    return Result(rows, np.stack(iterates))


def naive_optimal_asgd(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    *,
    num_events,
    num_updates=inf,
    means,
    noise_ratio,
):
    """Asynchronous SGD on the m fastest workers, the others idle. arXiv:2501.16168.

    m is the smallest minimiser of (m + s) / H_m, s = noise_ratio = σ²/ε, and H_m the
    sum of 1/τ over the m smallest mean durations (equal ones: lowest index first).
    """
    order = sorted(range(num_workers), key=lambda i: (means[i], i))
    times, rate = [], 0.0
    for m, i in enumerate(order, start=1):
        rate += 1 / means[i]
        times.append((m + noise_ratio) / rate if rate > 0 else inf)
    least = min(times) * (1 + 1e-12)
    m = 1 + next(j for j, t in enumerate(times) if t <= least)
    x = np.array(x0, dtype=float)
    rows, iterates = [], [x]
    k = 0
    job = [0] * num_workers
    point = [x] * num_workers
    version = [0] * num_workers
    running = [(0.0 + durations(i, 0, 1, 0.0), i) for i in order[:m]]
    heapify(running)
    while len(rows) < num_events and k < num_updates:
        time, i = heappop(running)
        if time == inf:
            break
        x = x - step_size * gradient(i, point[i], job[i])
        rows.append(Row(time, i, job[i], version[i], k - version[i], True, 1.0, 1.0))
        iterates.append(x)
        k += 1
        job[i] += 1
        point[i] = x
        version[i] = k
        heappush(running, (time + durations(i, job[i], 1, time), i))
    return Result(rows, np.stack(iterates))


def delayed_sgd(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    *,
    num_events,
    num_updates=inf,
    delay,
):
    """xᵏ⁺¹ = xᵏ − γ ∇f(xᵏ⁻ᴰ; ξ), xʲ = x⁰ for j < 0, D = delay. arXiv:1806.10188.

    Every arrival of the always busy workers is an update, whatever their jobs' points.
    """
    x = np.array(x0, dtype=float)
    rows, iterates = [], [x]
    k = 0
    job = [0] * num_workers
    running = [(0.0 + durations(i, 0, 1, 0.0), i) for i in range(num_workers)]
    heapify(running)
    while len(rows) < num_events and k < num_updates:
        time, i = heappop(running)
        if time == inf:
            break
        read = max(k - delay, 0)
        x = x - step_size * gradient(i, iterates[read], job[i])
        rows.append(Row(time, i, job[i], read, k - read, True, 1.0, 1.0))
        iterates.append(x)
        k += 1
        job[i] += 1
        heappush(running, (time + durations(i, job[i], 1, time), i))
    return Result(rows, np.stack(iterates))


def hogwild(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    *,
    num_events,
    num_updates=inf,
    max_delay,
    read,
    ages,
    overwrites=None,
):
    """Lock-free SGD on a shared vector, simulated. Niu, Recht, Ré and Wright, 2011.

    The gradient of update k is taken at x̂, which has xᵏ⁻ᵈ with one d = ages(worker,
    job, k) for all coordinates (read = "consistent") or [x̂]_c = [x^{k−d_c}]_c with an
    array of ages ("inconsistent"), 0 ≤ d ≤ min(D, k), D = max_delay. Then x ← x − γ g
    coordinate by coordinate; those that g changes and overwrites(worker, job) marks
    become [x̂]_c − γ [g]_c, so that the updates since their read are lost. The version
    of a row is the oldest that the read may contain.
    """
    x = np.array(x0, dtype=float)
    rows, iterates = [], [x]
    k = 0
    job = [0] * num_workers
    running = [(0.0 + durations(i, 0, 1, 0.0), i) for i in range(num_workers)]
    heapify(running)
    while len(rows) < num_events and k < num_updates:
        time, i = heappop(running)
        if time == inf:
            break
        if read == "consistent":
            version = k - int(ages(i, job[i], k))
            x_read = iterates[version]
        else:
            version = max(k - max_delay, 0)
            d = np.asarray(ages(i, job[i], k))
            x_read = np.empty_like(x)
            for c in np.ndindex(x.shape):
                x_read[c] = iterates[k - d[c]][c]
        g = np.asarray(gradient(i, x_read, job[i]))
        mask = None if overwrites is None else overwrites(i, job[i])
        lost = False if mask is None else np.asarray(mask) & (g != 0)
        x = np.where(lost, x_read, x) - step_size * g
        rows.append(Row(time, i, job[i], version, k - version, True, 1.0, 1.0))
        iterates.append(x)
        k += 1
        job[i] += 1
        heappush(running, (time + durations(i, job[i], 1, time), i))
    return Result(rows, np.stack(iterates))


# Steps at some arrivals.


def picky_sgd(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    *,
    num_events,
    num_updates=inf,
    radius,
):
    """Uses gradients from points y with ‖x − y‖₂ ≤ radius only. arXiv:2106.10344.

    radius = ε′/(2L), ε′ the target norm of the gradient. The others are no updates.
    """
    x = np.array(x0, dtype=float)
    rows, iterates = [], [x]
    k = 0
    job = [0] * num_workers
    point = [x] * num_workers
    version = [0] * num_workers
    running = [(0.0 + durations(i, 0, 1, 0.0), i) for i in range(num_workers)]
    heapify(running)
    while len(rows) < num_events and k < num_updates:
        time, i = heappop(running)
        if time == inf:
            break
        delay = k - version[i]
        accepted = bool(np.sqrt(np.sum((x - point[i]) ** 2)) <= radius)
        used = float(accepted)
        rows.append(Row(time, i, job[i], version[i], delay, accepted, used, used))
        if accepted:
            x = x - step_size * gradient(i, point[i], job[i])
            iterates.append(x)
            k += 1
        job[i] += 1
        point[i] = x
        version[i] = k
        heappush(running, (time + durations(i, job[i], 1, time), i))
    return Result(rows, np.stack(iterates))


def ringleader_asgd(
    gradient, durations, num_workers, x0, step_size, *, num_events, num_updates=inf
):
    """Rounds of n updates, one per worker, for heterogeneous data. arXiv:2509.22860.

    Phase 1 adds gradients to the table (Gᵢ, bᵢ) until all bᵢ ≥ 1; the arrival that
    completes it makes the first update x ← x − γ (1/n) Σᵢ Gᵢ/bᵢ. Phase 2: the first
    arrival of each other worker enters the table and makes the same update; repeated
    arrivals enter the next round's table. After n updates that table takes over.
    """
    x = np.array(x0, dtype=float)
    rows, iterates = [], [x]
    k = 0
    column = (num_workers,) + (1,) * x.ndim
    total, count = np.zeros((num_workers, *x.shape)), np.zeros(num_workers)
    next_total, next_count = np.zeros_like(total), np.zeros_like(count)
    waiting = set()  # The workers whose update of this round is still to come.
    gathering = True
    job = [0] * num_workers
    point = [x] * num_workers
    version = [0] * num_workers
    running = [(0.0 + durations(i, 0, 1, 0.0), i) for i in range(num_workers)]
    heapify(running)
    while len(rows) < num_events and k < num_updates:
        time, i = heappop(running)
        if time == inf:
            break
        delay = k - version[i]
        g = gradient(i, point[i], job[i])
        if gathering or i in waiting:
            total[i] += g
            count[i] += 1
        else:
            next_total[i] += g
            next_count[i] += 1
        if gathering and np.all(count > 0):
            gathering, waiting = False, set(range(num_workers))
        step = 0.0
        if i in waiting:
            step = 1.0
            x = x - step_size * np.mean(total / count.reshape(column), axis=0)
            iterates.append(x)
            k += 1
            waiting.remove(i)
            if not waiting:
                gathering = True
                total, count = next_total, next_count
                next_total, next_count = np.zeros_like(total), np.zeros_like(count)
        rows.append(Row(time, i, job[i], version[i], delay, True, 1.0, step))
        job[i] += 1
        point[i] = x
        version[i] = k
        heappush(running, (time + durations(i, job[i], 1, time), i))
    return Result(rows, np.stack(iterates))


def ia2sgd(
    gradient, durations, num_workers, x0, step_size, *, num_events, num_updates=inf
):
    """Incremental aggregated asynchronous SGD: a table of everyone's latest gradient.

    Arrivals up to the one that fills the table make no step; every later one replaces
    its worker's entry, then x ← x − γ mean(table).
    """
    x = np.array(x0, dtype=float)
    rows, iterates = [], [x]
    k = 0
    table = np.zeros((num_workers, *x.shape))
    empty = set(range(num_workers))
    job = [0] * num_workers
    point = [x] * num_workers
    version = [0] * num_workers
    running = [(0.0 + durations(i, 0, 1, 0.0), i) for i in range(num_workers)]
    heapify(running)
    while len(rows) < num_events and k < num_updates:
        time, i = heappop(running)
        if time == inf:
            break
        delay = k - version[i]
        table[i] = gradient(i, point[i], job[i])
        step = 0.0 if empty else 1.0
        rows.append(Row(time, i, job[i], version[i], delay, True, 1.0, step))
        if empty:
            empty.discard(i)
        else:
            x = x - step_size * np.mean(table, axis=0)
            iterates.append(x)
            k += 1
        job[i] += 1
        point[i] = x
        version[i] = k
        heappush(running, (time + durations(i, job[i], 1, time), i))
    return Result(rows, np.stack(iterates))


def asgrad(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    *,
    num_events,
    num_updates=inf,
    assignment,
    batch,
    choose=None,
    permutation=None,
):
    """Jobs go to chosen workers, who queue them. arXiv:2310.20452.

    Everyone starts with a job at x⁰. After b = batch results x ← x − (γ/b) Σ g, and b
    jobs at the new x are assigned: to the workers that delivered, in order of arrival
    (assignment = "pure"), to choose(t) ("random") or to permutation(t // n)[t % n]
    ("shuffled"), t the number of the assignment after the first n. A worker does its
    jobs in order of assignment, at the points assigned.
    """
    x = np.array(x0, dtype=float)
    rows, iterates = [], [x]
    k, t = 0, 0
    total, delivered = np.zeros_like(x), []
    job = [0] * num_workers
    queue = [deque([(0, x)]) for _ in range(num_workers)]  # The first is running.
    running = [(0.0 + durations(i, 0, 1, 0.0), i) for i in range(num_workers)]
    heapify(running)
    while len(rows) < num_events and k < num_updates and running:
        time, i = heappop(running)
        if time == inf:
            break
        version, point = queue[i].popleft()
        total = total + gradient(i, point, job[i])
        delivered.append(i)
        full = len(delivered) == batch
        step = 1.0 if full else 0.0
        rows.append(Row(time, i, job[i], version, k - version, True, 1 / batch, step))
        job[i] += 1
        starting = [i] if queue[i] else []
        if full:
            x = x - step_size * total / batch
            iterates.append(x)
            k += 1
            for previous in delivered:
                if assignment == "pure":
                    w = previous
                elif assignment == "random":
                    w = int(choose(t))
                else:
                    w = int(permutation(t // num_workers)[t % num_workers])
                t += 1
                if not queue[w]:
                    starting.append(w)
                queue[w].append((k, x))
            total, delivered = np.zeros_like(x), []
        for w in starting:
            heappush(running, (time + durations(w, job[w], 1, time), w))
    return Result(rows, np.stack(iterates))


# Steps by a linear minimisation oracle, lmo(m) ∈ argmin ⟨m, u⟩ over the unit ball.


def ringmaster_lmo_agnostic(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    *,
    num_events,
    num_updates=inf,
    lmo,
    stop,
):
    """Ringmaster LMO with its parameter-agnostic sequences. arXiv:2605.18174.

        m ← (1−α) m + α g from m = 0, then x ← x + η lmo(m), if δ < R
        η = γ / (k+1)^{3/4};   α = R = 1 at k = 0, later α = 1/√k, R = ⌊√k⌋

    k counts the updates before this one. Late gradients are ignored; with `stop`, jobs
    whose delay has reached R (of this update) after the update are interrupted.
    """
    x = np.array(x0, dtype=float)
    m = np.zeros_like(x)
    rows, iterates = [], [x]
    k = 0
    job = [0] * num_workers
    point = [x] * num_workers
    version = [0] * num_workers
    running = [(0.0 + durations(i, 0, 1, 0.0), i) for i in range(num_workers)]
    heapify(running)
    while len(rows) < num_events and k < num_updates:
        time, i = heappop(running)
        if time == inf:
            break
        delay = k - version[i]
        alpha, delay_threshold = (k**-0.5, isqrt(k)) if k > 0 else (1.0, 1)
        accepted = delay < delay_threshold
        step = (k + 1) ** -0.75 if accepted else 0.0
        rows.append(
            Row(time, i, job[i], version[i], delay, accepted, float(accepted), step)
        )
        restarting = {i}
        if accepted:
            m = (1 - alpha) * m + alpha * gradient(i, point[i], job[i])
            x = x + step_size * step * lmo(m)
            iterates.append(x)
            k += 1
            if stop:
                restarting.update(
                    w for w in range(num_workers) if k - version[w] >= delay_threshold
                )
        if len(restarting) > 1:
            running = [entry for entry in running if entry[1] not in restarting]
            heapify(running)
        for w in sorted(restarting):
            job[w] += 1
            point[w] = x
            version[w] = k
            heappush(running, (time + durations(w, job[w], 1, time), w))
    return Result(rows, np.stack(iterates))


def rennala_lmo(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    *,
    num_events,
    num_updates=inf,
    batch_size,
    momentum,
    lmo,
    stop,
):
    """m ← β m + (1−β) ḡ from m = 0, then x ← x + γ lmo(m), ḡ Rennala's batch mean.

    β = momentum. Gradients at older models are ignored, or with `stop` all workers
    restart at the instant of an update.
    """
    x = np.array(x0, dtype=float)
    m = np.zeros_like(x)
    rows, iterates = [], [x]
    k, count, total = 0, 0, np.zeros_like(x)
    job = [0] * num_workers
    version = [0] * num_workers
    running = [(0.0 + durations(i, 0, 1, 0.0), i) for i in range(num_workers)]
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
        full = count == batch_size
        weight = 1 / batch_size if fresh else 0.0
        step = 1.0 if full else 0.0
        rows.append(Row(time, i, job[i], version[i], delay, fresh, weight, step))
        restarting = [i]
        if full:
            m = momentum * m + (1 - momentum) * total / batch_size
            x = x + step_size * lmo(m)
            iterates.append(x)
            k, count, total = k + 1, 0, np.zeros_like(x)
            if stop:
                restarting = range(num_workers)
                running = []
        for w in restarting:
            job[w] += 1
            version[w] = k
            heappush(running, (time + durations(w, job[w], 1, time), w))
    return Result(rows, np.stack(iterates))


def delay_adaptive_lmo(
    gradient,
    durations,
    num_workers,
    x0,
    step_size,
    *,
    num_events,
    num_updates=inf,
    momentum,
    lmo,
):
    """m ← β m + (1−β) g from m = 0, then x ← x + γ n / max(n, δ) lmo(m).

    At every arrival; β = momentum.
    """
    x = np.array(x0, dtype=float)
    m = np.zeros_like(x)
    rows, iterates = [], [x]
    k = 0
    job = [0] * num_workers
    point = [x] * num_workers
    version = [0] * num_workers
    running = [(0.0 + durations(i, 0, 1, 0.0), i) for i in range(num_workers)]
    heapify(running)
    while len(rows) < num_events and k < num_updates:
        time, i = heappop(running)
        if time == inf:
            break
        delay = k - version[i]
        step = num_workers / max(num_workers, delay)
        m = momentum * m + (1 - momentum) * gradient(i, point[i], job[i])
        x = x + step_size * step * lmo(m)
        rows.append(Row(time, i, job[i], version[i], delay, True, 1.0, step))
        iterates.append(x)
        k += 1
        job[i] += 1
        point[i] = x
        version[i] = k
        heappush(running, (time + durations(i, job[i], 1, time), i))
    return Result(rows, np.stack(iterates))
