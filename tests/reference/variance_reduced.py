"""Iterates of methods with reduced variance, partial messages and given shifts.

Written from the formulas, without the library, one loop per method, NumPy float64; the
conventions are those of `compressed`. Methods on finite sums fᵢ = (1/m) Σⱼ fᵢⱼ take

* `component(worker, j, x)`, which is ∇fᵢⱼ(x), and `num_components` = m;
* `picks(worker, round)`, the list of indices j of the round, repetitions allowed;
* `order[worker][epoch][position]`, where the indices come in permutations.

Round t uses the draws t at xᵗ.
"""

import numpy as np
from reference.compressed import clip, first_estimates

# DASHA with partial participation, and with rounds that send everything.


def _dasha_pp(
    increment,
    first,
    compress,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    momentum,
    probability,
    participates,
    start,
):
    """The part that the three variants share; kᵢ = increment(i, t, hᵢ, xᵗ, xᵗ⁻¹)."""
    x = np.array(x0, dtype=float)
    iterates = [x]
    h = [first(i, x, 0) for i in range(num_workers)]
    g = first_estimates(start, h, compress)
    g_server = sum(g) / num_workers
    x_previous = x
    for t in range(num_updates):
        if t > 0:
            for i in range(num_workers):
                if participates(i, t):
                    k = increment(i, t, h[i], x, x_previous)
                    pull = momentum * (g[i] - h[i])
                    message = compress(i, t, (k - pull) / probability)
                    h[i] = h[i] + k / probability
                    g[i] = g[i] + message
                    g_server = g_server + message / num_workers
        x_previous, x = x, x - step_size * g_server
        iterates.append(x)
    return np.stack(iterates)


def dasha_pp(
    gradient,
    compress,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    momentum,
    estimator_momentum,
    probability,
    participates,
    start,
):
    """DASHA-PP with full gradients, from hᵢ⁰ = ∇fᵢ(x⁰) and a given gᵢ⁰.

        kᵢ = ∇fᵢ(xᵗ) − ∇fᵢ(xᵗ⁻¹) − b (hᵢ − ∇fᵢ(xᵗ⁻¹))
        mᵢ = Qᵢ((kᵢ − a (gᵢ − hᵢ)) / p),   hᵢ ← hᵢ + kᵢ/p,   gᵢ ← gᵢ + mᵢ
        g ← g + (1/n) Σᵢ mᵢ,   xᵗ⁺¹ = xᵗ − γ g

    for those that participate; nothing of the others changes. a = momentum, 1 − b =
    estimator_momentum, p = probability of participation. The draws act from round 1 on.
    arXiv:2205.15580.
    """

    def increment(i, t, h, x, x_previous):
        new, old = gradient(i, x, t), gradient(i, x_previous, t)
        return new - old - (1 - estimator_momentum) * (h - old)

    return _dasha_pp(
        increment,
        gradient,
        compress,
        num_workers,
        x0,
        num_updates,
        step_size,
        momentum=momentum,
        probability=probability,
        participates=participates,
        start=start,
    )


def dasha_pp_page(
    gradient,
    full_gradient,
    compress,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    momentum,
    estimator_momentum,
    probability,
    participates,
    coin,
    start,
):
    """DASHA-PP whose kᵢ is PAGE. arXiv:2205.15580.

    kᵢ is that of `dasha_pp` with full_gradientᵢ if coin(i, t), with the same b, else
    gradientᵢ(xᵗ; ξᵗ) − gradientᵢ(xᵗ⁻¹; ξᵗ) alone; hᵢ⁰ = full_gradientᵢ(x⁰).
    """

    def increment(i, t, h, x, x_previous):
        if not coin(i, t):
            return gradient(i, x, t) - gradient(i, x_previous, t)
        new, old = full_gradient(i, x, t), full_gradient(i, x_previous, t)
        return new - old - (1 - estimator_momentum) * (h - old)

    return _dasha_pp(
        increment,
        full_gradient,
        compress,
        num_workers,
        x0,
        num_updates,
        step_size,
        momentum=momentum,
        probability=probability,
        participates=participates,
        start=start,
    )


def dasha_pp_mvr(
    gradient,
    compress,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    momentum,
    estimator_momentum,
    probability,
    participates,
    start,
):
    """DASHA-PP whose kᵢ is MVR, both gradients on the sample ξᵗ. arXiv:2205.15580.

        kᵢ = ∇fᵢ(xᵗ; ξᵗ) − ∇fᵢ(xᵗ⁻¹; ξᵗ) − b (hᵢ − ∇fᵢ(xᵗ⁻¹; ξᵗ))

    From hᵢ⁰ = ∇fᵢ(x⁰; ξ⁰). It is `dasha_pp` with stochastic gradients.
    """
    return dasha_pp(
        gradient,
        compress,
        num_workers,
        x0,
        num_updates,
        step_size,
        momentum=momentum,
        estimator_momentum=estimator_momentum,
        probability=probability,
        participates=participates,
        start=start,
    )


def dasha_sync_mvr(
    gradient,
    full_gradient,
    compress,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    momentum,
    coin,
    start,
):
    """DASHA-MVR with b = 0 and rounds in which all send large batches uncompressed.

        gᵢ, hᵢ ← full_gradientᵢ(xᵗ)                                   if coin(t)
        hᵢ' = hᵢ + gradientᵢ(xᵗ; ξᵗ) − gradientᵢ(xᵗ⁻¹; ξᵗ)            otherwise, with
        gᵢ ← gᵢ + Qᵢ(hᵢ' − hᵢ − a (gᵢ − hᵢ)),   hᵢ ← hᵢ'

    a = momentum; hᵢ⁰ = full_gradientᵢ(x⁰). arXiv:2202.01268.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    h = [full_gradient(i, x, 0) for i in range(num_workers)]
    g = first_estimates(start, h, compress)
    x_previous = x
    for t in range(num_updates):
        if t > 0 and coin(t):
            h = [full_gradient(i, x, t) for i in range(num_workers)]
            g = list(h)
        elif t > 0:
            for i in range(num_workers):
                new = h[i] + gradient(i, x, t) - gradient(i, x_previous, t)
                g[i] = g[i] + compress(i, t, new - h[i] - momentum * (g[i] - h[i]))
                h[i] = new
        x_previous, x = x, x - step_size * sum(g) / num_workers
        iterates.append(x)
    return np.stack(iterates)


# Adaptive and clipped messages.


def adacgd(gradient, ladder, num_workers, x0, num_updates, step_size, *, zeta, start):
    """AdaCGD: the first compressor of a ladder that is good enough, else the last.

        gᵢ ← gᵢ + Cⱼ(∇fᵢ(xᵗ) − gᵢ) with the first j such that
        ‖gᵢ + Cⱼ(∇fᵢ(xᵗ) − gᵢ) − ∇fᵢ(xᵗ)‖² ≤ ζ ‖∇fᵢ(xᵗ) − ∇fᵢ(xᵗ⁻¹)‖²

    `ladder` lists the functions compress(worker, round, vector), the cheapest first.
    gᵢ⁰ = ∇fᵢ(x⁰) (start = "gradients") or 0 ("zero"). arXiv:2211.00188.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    y = [gradient(i, x, 0) for i in range(num_workers)]
    g = {"gradients": list(y), "zero": [np.zeros_like(x) for _ in y]}[start]
    for t in range(num_updates):
        if t > 0:
            for i in range(num_workers):
                new = gradient(i, x, t)
                limit = zeta * np.sum((new - y[i]) ** 2)
                h = g[i]
                for compress in ladder:
                    g[i] = h + compress(i, t, new - h)
                    if np.sum((g[i] - new) ** 2) <= limit:
                        break
                y[i] = new
        x = x - step_size * sum(g) / num_workers
        iterates.append(x)
    return np.stack(iterates)


def press_clip21(
    gradient, compress, num_workers, x0, num_updates, step_size, *, threshold
):
    """Press-Clip21: vᵢ ← vᵢ + C(clip_τ(∇fᵢ(x) − vᵢ)) from 0,   x ← x − γ (1/n) Σᵢ vᵢ.

    arXiv:2305.18929.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    v = [np.zeros_like(x) for _ in range(num_workers)]
    for t in range(num_updates):
        for i in range(num_workers):
            clipped = clip(gradient(i, x, t) - v[i], threshold)
            v[i] = v[i] + compress(i, t, clipped)
        x = x - step_size * sum(v) / num_workers
        iterates.append(x)
    return np.stack(iterates)


# Given shifts.


def shifted(gradient, compress, num_workers, x0, num_updates, step_size, *, shifts):
    """Constant shifts: x ← x − γ (1/n) Σᵢ (hᵢ + Qᵢ(∇fᵢ(x) − hᵢ)). arXiv:2206.10452."""
    x = np.array(x0, dtype=float)
    iterates = [x]
    for t in range(num_updates):
        mean = np.zeros_like(x)
        for i in range(num_workers):
            message = compress(i, t, gradient(i, x, t) - shifts[i])
            mean = mean + (shifts[i] + message) / num_workers
        x = x - step_size * mean
        iterates.append(x)
    return np.stack(iterates)


def star(
    gradient,
    compress,
    compress_shift,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    optimal_gradients,
):
    """Shifts that know the optimum. arXiv:2206.10452.

        hᵢ = ∇fᵢ(x*) + Cᵢ(∇fᵢ(x) − ∇fᵢ(x*)),   x ← x − γ (1/n) Σᵢ (hᵢ + Qᵢ(∇fᵢ(x) − hᵢ))

    C = compress_shift; C = 0 leaves the constant shifts ∇fᵢ(x*) = optimal_gradients.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    for t in range(num_updates):
        mean = np.zeros_like(x)
        for i in range(num_workers):
            g, optimal = gradient(i, x, t), optimal_gradients[i]
            h = optimal + compress_shift(i, t, g - optimal)
            mean = mean + (h + compress(i, t, g - h)) / num_workers
        x = x - step_size * mean
        iterates.append(x)
    return np.stack(iterates)


# Estimators on finite sums, every worker on its own.


def full(component, worker, num_components, x):
    """∇fᵢ(x) = (1/m) Σⱼ ∇fᵢⱼ(x)."""
    return sum(component(worker, j, x) for j in range(num_components)) / num_components


def l_svrg(
    component,
    num_components,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    picks,
    coin,
):
    """Loopless SVRG: differences from a point w renewed by a coin. arXiv:1901.08689.

    gᵢ = mean_{j picked} (∇fᵢⱼ(x) − ∇fᵢⱼ(w)) + ∇fᵢ(w),   x⁺ = x − γ (1/n) Σᵢ gᵢ
    w ← x if coin(t), the point at which gᵢ was taken; w⁰ = x⁰
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    w = x
    for t in range(num_updates):
        mean = np.zeros_like(x)
        for i in range(num_workers):
            drawn = list(picks(i, t))
            change = sum(component(i, j, x) - component(i, j, w) for j in drawn)
            g = change / len(drawn) + full(component, i, num_components, w)
            mean = mean + g / num_workers
        if coin(t):
            w = x
        x = x - step_size * mean
        iterates.append(x)
    return np.stack(iterates)


def saga(
    component,
    num_components,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    picks,
    table,
):
    """SAGA: the last gradient of every component. arXiv:1407.0202.

        gᵢ = mean_{j picked} (∇fᵢⱼ(x) − Tᵢⱼ) + (1/m) Σⱼ Tᵢⱼ,   x⁺ = x − γ (1/n) Σᵢ gᵢ
        Tᵢⱼ ← ∇fᵢⱼ(x) for the picked j, after their use

    `table[worker][j]` is the first T.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    stored = [list(row) for row in table]
    for t in range(num_updates):
        mean = np.zeros_like(x)
        for i in range(num_workers):
            drawn = list(picks(i, t))
            change = sum(component(i, j, x) - stored[i][j] for j in drawn)
            g = change / len(drawn) + sum(stored[i]) / num_components
            mean = mean + g / num_workers
            for j in drawn:
                stored[i][j] = component(i, j, x)
        x = x - step_size * mean
        iterates.append(x)
    return np.stack(iterates)


def sarah(
    component,
    num_components,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    picks,
    period,
):
    """SARAH: differences added up, from a full gradient every `period` rounds.

        gᵢ = ∇fᵢ(xᵗ) if period divides t, else
        gᵢ + mean_{j picked} (∇fᵢⱼ(xᵗ) − ∇fᵢⱼ(xᵗ⁻¹));   xᵗ⁺¹ = xᵗ − γ (1/n) Σᵢ gᵢ

    arXiv:1703.00102.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    g = [np.zeros_like(x) for _ in range(num_workers)]
    x_previous = x
    for t in range(num_updates):
        for i in range(num_workers):
            if t % period == 0:
                g[i] = full(component, i, num_components, x)
            else:
                drawn = list(picks(i, t))
                change = sum(
                    component(i, j, x) - component(i, j, x_previous) for j in drawn
                )
                g[i] = g[i] + change / len(drawn)
        x_previous, x = x, x - step_size * sum(g) / num_workers
        iterates.append(x)
    return np.stack(iterates)


def vr_diana_lsvrg(
    component,
    compress,
    num_components,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    shift_step,
    picks,
    coin,
):
    """DIANA of the gradients of loopless SVRG, a = shift_step. arXiv:1904.05115.

    gᵢ and w as in `l_svrg`;   qᵢ = Qᵢ(gᵢ − hᵢ),   x ← x − γ (1/n) Σᵢ (hᵢ + qᵢ)
    hᵢ ← hᵢ + a qᵢ from hᵢ = 0
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    w = x
    h = [np.zeros_like(x) for _ in range(num_workers)]
    for t in range(num_updates):
        mean = np.zeros_like(x)
        for i in range(num_workers):
            drawn = list(picks(i, t))
            change = sum(component(i, j, x) - component(i, j, w) for j in drawn)
            g = change / len(drawn) + full(component, i, num_components, w)
            message = compress(i, t, g - h[i])
            mean = mean + (h[i] + message) / num_workers
            h[i] = h[i] + shift_step * message
        if coin(t):
            w = x
        x = x - step_size * mean
        iterates.append(x)
    return np.stack(iterates)


# Random reshuffling with compressed messages.


def q_rr(
    component,
    compress,
    num_components,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    order,
):
    """Q-RR: x ← x − γ (1/n) Σᵢ Qᵢ(∇f_{i,πᵢ(j)}(x)), j = 0, ..., m−1 of each epoch.

    Every inner step is a round and an update: round t is position t mod m of epoch
    ⌊t/m⌋. arXiv:2206.07021.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    for t in range(num_updates):
        epoch, position = divmod(t, num_components)
        mean = np.zeros_like(x)
        for i in range(num_workers):
            j = order[i][epoch][position]
            mean = mean + compress(i, t, component(i, j, x)) / num_workers
        x = x - step_size * mean
        iterates.append(x)
    return np.stack(iterates)


def diana_rr(
    component,
    compress,
    num_components,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    shift_step,
    order,
):
    """DIANA-RR: Q-RR with one shift per worker and component. arXiv:2206.07021.

    j = πᵢ(position),   qᵢ = Qᵢ(∇fᵢⱼ(x) − hᵢⱼ),   x ← x − γ (1/n) Σᵢ (hᵢⱼ + qᵢ)
    hᵢⱼ ← hᵢⱼ + a qᵢ from 0,   a = shift_step
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    h = [[np.zeros_like(x) for _ in range(num_components)] for _ in range(num_workers)]
    for t in range(num_updates):
        epoch, position = divmod(t, num_components)
        mean = np.zeros_like(x)
        for i in range(num_workers):
            j = order[i][epoch][position]
            message = compress(i, t, component(i, j, x) - h[i][j])
            mean = mean + (h[i][j] + message) / num_workers
            h[i][j] = h[i][j] + shift_step * message
        x = x - step_size * mean
        iterates.append(x)
    return np.stack(iterates)


# Low rank and few numbers.


def orthonormal(matrix):
    """Gram-Schmidt of the columns (QR with a positive diagonal of R).

    A column that depends on those before it becomes 0.
    """
    columns = []
    for column in matrix.T:
        rest = column
        for unit in columns:
            rest = rest - (unit @ rest) * unit
        norm = np.sqrt(rest @ rest)
        independent = norm > 1e-12 * np.sqrt(column @ column)
        columns.append(rest / norm if independent else np.zeros_like(rest))
    return np.stack(columns, axis=1)


def power_sgd(gradient, num_workers, x0, num_updates, step_size, *, factor):
    """PowerSGD that renews one factor per round, x of shape (rows, columns).

        Mᵢ = ∇fᵢ(x) + eᵢ
        t even:  P = (1/n) Σᵢ Mᵢ Q,    M̂ = P Qᵀ,   then P ← orthonormal(P)
        t odd:   Q = (1/n) Σᵢ Mᵢᵀ P,   M̂ = P Qᵀ,   then Q ← orthonormal(Q)
        eᵢ ← Mᵢ − M̂,   x ← x − γ M̂

    `factor` is the first Q, of shape (columns, rank) and with orthonormal columns.
    arXiv:1905.13727, public code.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    e = [np.zeros_like(x) for _ in range(num_workers)]
    p, q = None, np.array(factor, dtype=float)
    for t in range(num_updates):
        corrected = [gradient(i, x, t) + e[i] for i in range(num_workers)]
        if t % 2 == 0:
            p = sum(m @ q for m in corrected) / num_workers
            estimate = p @ q.T
            p = orthonormal(p)
        else:
            q = sum(m.T @ p for m in corrected) / num_workers
            estimate = p @ q.T
            q = orthonormal(q)
        e = [m - estimate for m in corrected]
        x = x - step_size * estimate
        iterates.append(x)
    return np.stack(iterates)


def one_byte(gradient, quantise, num_workers, x0, num_updates, step_size, *, direction):
    """One number per worker: x ← x − (γ/n) Σᵢ sᵢ zᵢ,   sᵢ = quantise(⟨∇fᵢ(x), zᵢ⟩).

    `quantise(worker, round, scalar)`, zᵢ = direction(worker, round). arXiv:2306.10015.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    for t in range(num_updates):
        total = np.zeros_like(x)
        for i in range(num_workers):
            z = direction(i, t)
            s = quantise(i, t, np.sum(gradient(i, x, t) * z))
            total = total + s * z
        x = x - step_size / num_workers * total
        iterates.append(x)
    return np.stack(iterates)
