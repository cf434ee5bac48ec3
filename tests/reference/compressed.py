"""Iterates of the methods with compressed messages: one loop per method, NumPy float64.

Written from the formulas, without the library. Every function returns the server models
x⁰, ..., x^K stacked along a new first axis, and takes its random choices as functions:

* `gradient(worker, x, round)`, whose sample is fixed by (worker, round), at any x;
  `full_gradient(worker, x, round)` where a method needs both kinds;
* `compress(worker, round, vector) -> vector`; `compress_down(round, vector)` of the
  server;
* `coin(round)` where the coin is common, `coin(worker, round)` where it may be local;
* `participates(worker, round)`; `noise(worker, round)`.

Round t uses the draws t at xᵗ. `start` names the estimates gᵢ⁰ used in the first step:
"gradients" ∇fᵢ(x⁰), "compressed" C(∇fᵢ(x⁰)) with the draws 0, "zero" 0. In the EF21
family the message at x⁰ acts on gᵢ⁻¹ = ∇fᵢ(x⁰) or gᵢ⁻¹ = 0, which gives the first two
because C(0) = 0. The methods that take gᵢ⁰ as given (3PC, MARINA, DASHA, FRECON) send
nothing at x⁰. Shifts hᵢ start at 0 where nothing else is said. In one round a formula
uses the old values of h and g unless they were just assigned.
"""

import numpy as np


def before_first(start, vectors):
    """gᵢ⁻¹ of the EF21 family, on which the message at x⁰ acts."""
    return {
        "gradients": list(vectors),
        "compressed": [np.zeros_like(v) for v in vectors],
    }[start]


def first_estimates(start, vectors, compress):
    """gᵢ⁰ of the methods that take it as given."""
    if start == "gradients":
        return list(vectors)
    if start == "compressed":
        return [compress(i, 0, v) for i, v in enumerate(vectors)]
    if start == "zero":
        return [np.zeros_like(v) for v in vectors]
    raise ValueError(start)


# Shifts: DIANA and its relatives.


def ef_bv(
    gradient,
    compress,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    shift_step,
    estimate_step,
    start,
    prox=lambda vector, step_size: vector,
):
    """EF-BV, λ = shift_step and ν = estimate_step. arXiv:2205.04180.

    dᵢ = Cᵢ(∇fᵢ(x) − hᵢ),   x ← prox_{γR}(x − γ (h + ν (1/n) Σᵢ dᵢ))
    hᵢ ← hᵢ + λ dᵢ,   h ← h + λ (1/n) Σᵢ dᵢ

    The shifts before the first message are hᵢ = 0 (start = "zero") or ∇fᵢ(x⁰)
    ("gradients").
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    h = {
        "zero": [np.zeros_like(x) for _ in range(num_workers)],
        "gradients": [gradient(i, x, 0) for i in range(num_workers)],
    }[start]
    h_server = sum(h) / num_workers
    for t in range(num_updates):
        mean_message = np.zeros_like(x)
        for i in range(num_workers):
            d = compress(i, t, gradient(i, x, t) - h[i])
            h[i] = h[i] + shift_step * d
            mean_message = mean_message + d / num_workers
        x = prox(x - step_size * (h_server + estimate_step * mean_message), step_size)
        h_server = h_server + shift_step * mean_message
        iterates.append(x)
    return np.stack(iterates)


def ec_diana(
    gradient,
    compress,
    compress_shift,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    shift_step,
):
    """EC-SGD-DIANA, its memory in units of gradients as in `ef14`. arXiv:2010.12292.

    pᵢ = eᵢ + ∇fᵢ(x) − hᵢ + h,   vᵢ = C(pᵢ),   eᵢ ← pᵢ − vᵢ,   x ← x − γ (1/n) Σᵢ vᵢ
    uᵢ = Q(∇fᵢ(x) − hᵢ),   hᵢ ← hᵢ + a uᵢ,   h ← h + a (1/n) Σᵢ uᵢ

    C = compress, Q = compress_shift, a = shift_step. For constant γ and C(su) = s C(u),
    s > 0, these are also the iterates of the memory in units of x.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    e = [np.zeros_like(x) for _ in range(num_workers)]
    h = [np.zeros_like(x) for _ in range(num_workers)]
    h_server = np.zeros_like(x)
    for t in range(num_updates):
        mean_v, mean_u = np.zeros_like(x), np.zeros_like(x)
        for i in range(num_workers):
            g = gradient(i, x, t)
            p = e[i] + g - h[i] + h_server
            v = compress(i, t, p)
            e[i] = p - v
            u = compress_shift(i, t, g - h[i])
            h[i] = h[i] + shift_step * u
            mean_v = mean_v + v / num_workers
            mean_u = mean_u + u / num_workers
        x = x - step_size * mean_v
        h_server = h_server + shift_step * mean_u
        iterates.append(x)
    return np.stack(iterates)


def rand_diana(gradient, compress, num_workers, x0, num_updates, step_size, *, coin):
    """DIANA whose shift is refreshed, uncompressed, by a coin. arXiv:2206.10452.

    x ← x − γ (1/n) Σᵢ (hᵢ + Qᵢ(∇fᵢ(x) − hᵢ)),   then hᵢ ← ∇fᵢ(x) if coin(i, t),

    the gradient being that of the point before the step.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    h = [np.zeros_like(x) for _ in range(num_workers)]
    for t in range(num_updates):
        g = [gradient(i, x, t) for i in range(num_workers)]
        estimates = [h[i] + compress(i, t, g[i] - h[i]) for i in range(num_workers)]
        x = x - step_size * sum(estimates) / num_workers
        h = [g[i] if coin(i, t) else h[i] for i in range(num_workers)]
        iterates.append(x)
    return np.stack(iterates)


def cofig(
    gradient,
    compress,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    shift_step,
    participates,
    refreshes,
):
    """DIANA with a sample S of senders and a sample S̃ of shifts. arXiv:2112.13097.

    uᵢ = Q(∇fᵢ(x) − hᵢ),   x ← x − γ (h + (1/|S|) Σ_{i∈S} uᵢ)
    hᵢ ← hᵢ + a uᵢ for i ∈ S̃,   h ← h + (a/n) Σ_{i∈S̃} uᵢ

    S = participates, S̃ = refreshes, a = shift_step; one uᵢ per client of S ∪ S̃.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    h = [np.zeros_like(x) for _ in range(num_workers)]
    h_server = np.zeros_like(x)
    for t in range(num_updates):
        senders = [i for i in range(num_workers) if participates(i, t)]
        refreshed = [i for i in range(num_workers) if refreshes(i, t)]
        u = {
            i: compress(i, t, gradient(i, x, t) - h[i])
            for i in sorted({*senders, *refreshed})
        }
        x = x - step_size * (h_server + sum(u[i] for i in senders) / len(senders))
        for i in refreshed:
            h[i] = h[i] + shift_step * u[i]
            h_server = h_server + shift_step * u[i] / num_workers
        iterates.append(x)
    return np.stack(iterates)


def frecon(
    gradient,
    compress,
    compress_shift,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    momentum,
    shift_step,
    participates,
    start,
):
    """FRECON, λ = momentum and a = shift_step. arXiv:2112.13097, public code.

        qᵢ = Q(∇fᵢ(xᵗ) − ∇fᵢ(xᵗ⁻¹)),   uᵢ = Q'(∇fᵢ(xᵗ⁻¹) − hᵢ),   i ∈ Sᵗ, t ≥ 1
        g ← mean_S qᵢ + (1−λ) g + λ (mean_S uᵢ + h),   xᵗ⁺¹ = xᵗ − γ g
        hᵢ ← hᵢ + a uᵢ for i ∈ S,   h ← h + a (|S|/n) mean_S uᵢ

    from g⁰ = ∇f(x⁰) (start = "gradients") or 0 ("zero"). Q = compress, Q' =
    compress_shift.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    h = [np.zeros_like(x) for _ in range(num_workers)]
    h_server = np.zeros_like(x)
    g = {
        "gradients": sum(gradient(i, x, 0) for i in range(num_workers)) / num_workers,
        "zero": np.zeros_like(x),
    }[start]
    x_previous = x
    for t in range(num_updates):
        if t > 0:
            sample = [i for i in range(num_workers) if participates(i, t)]
            mean_q, mean_u = np.zeros_like(x), np.zeros_like(x)
            for i in sample:
                old = gradient(i, x_previous, t)
                q = compress(i, t, gradient(i, x, t) - old)
                u = compress_shift(i, t, old - h[i])
                h[i] = h[i] + shift_step * u
                mean_q = mean_q + q / len(sample)
                mean_u = mean_u + u / len(sample)
            g = mean_q + (1 - momentum) * g + momentum * (mean_u + h_server)
            h_server = h_server + shift_step * len(sample) / num_workers * mean_u
        x_previous, x = x, x - step_size * g
        iterates.append(x)
    return np.stack(iterates)


def gdci(
    gradient,
    compress,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    mixing,
    shift_step,
):
    """Gradient descent with compressed iterates; VR-GDCI if a > 0. arXiv:2206.10452.

    δᵢ = Qᵢ(x − γ ∇fᵢ(x) − hᵢ),   x ← (1−η) x + η (1/n) Σᵢ (hᵢ + δᵢ),   hᵢ ← hᵢ + a δᵢ

    η = mixing; with a = shift_step = 0 the shifts stay 0.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    h = [np.zeros_like(x) for _ in range(num_workers)]
    for t in range(num_updates):
        mean = np.zeros_like(x)
        for i in range(num_workers):
            delta = compress(i, t, x - step_size * gradient(i, x, t) - h[i])
            mean = mean + (h[i] + delta) / num_workers
            h[i] = h[i] + shift_step * delta
        x = (1 - mixing) * x + mixing * mean
        iterates.append(x)
    return np.stack(iterates)


# The EF21 family.


def ef21_plus(gradient, compress, num_workers, x0, num_updates, step_size, *, start):
    """EF21+: gᵢ becomes the closer to ∇fᵢ(x) of C(∇fᵢ(x)) and gᵢ + C(∇fᵢ(x) − gᵢ).

    Both use the same draw; a tie keeps the second. Then x ← x − γ (1/n) Σᵢ gᵢ.
    arXiv:2106.05203.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    g = before_first(start, [gradient(i, x, 0) for i in range(num_workers)])
    for t in range(num_updates):
        for i in range(num_workers):
            exact = gradient(i, x, t)
            direct = compress(i, t, exact)
            markov = g[i] + compress(i, t, exact - g[i])
            closer = np.sum((direct - exact) ** 2) < np.sum((markov - exact) ** 2)
            g[i] = direct if closer else markov
        x = x - step_size * sum(g) / num_workers
        iterates.append(x)
    return np.stack(iterates)


def ef21_weighted(
    gradient, compress, num_workers, x0, num_updates, step_size, *, weights, start
):
    """EF21-W: gᵢ ← gᵢ + C(∇fᵢ(x)/(n wᵢ) − gᵢ),   x ← x − γ Σᵢ wᵢ gᵢ. arXiv:2402.10774.

    The first message acts on gᵢ⁻¹ = ∇fᵢ(x⁰)/(n wᵢ) or 0.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    scale = [1 / (num_workers * w) for w in weights]
    g = before_first(start, [scale[i] * gradient(i, x, 0) for i in range(num_workers)])
    for t in range(num_updates):
        for i in range(num_workers):
            g[i] = g[i] + compress(i, t, scale[i] * gradient(i, x, t) - g[i])
        x = x - step_size * sum(weights[i] * g[i] for i in range(num_workers))
        iterates.append(x)
    return np.stack(iterates)


def ef21_sgdm(
    gradient, compress, num_workers, x0, num_updates, step_size, *, momentum, start
):
    """EF21-SGDM, η = 1 − momentum. arXiv:2305.15155.

    vᵢ⁰ = ∇fᵢ(x⁰; ξ⁰),   later vᵢ ← (1−η) vᵢ + η ∇fᵢ(xᵗ; ξᵗ)
    gᵢ ← gᵢ + C(vᵢ − gᵢ),   x ← x − γ (1/n) Σᵢ gᵢ

    The first message acts on gᵢ⁻¹ = vᵢ⁰ (start = "gradients") or 0 ("compressed").
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    v = [gradient(i, x, 0) for i in range(num_workers)]
    g = before_first(start, v)
    for t in range(num_updates):
        for i in range(num_workers):
            if t > 0:
                v[i] = momentum * v[i] + (1 - momentum) * gradient(i, x, t)
            g[i] = g[i] + compress(i, t, v[i] - g[i])
        x = x - step_size * sum(g) / num_workers
        iterates.append(x)
    return np.stack(iterates)


def ef21_sgd2m(
    gradient, compress, num_workers, x0, num_updates, step_size, *, momentum, start
):
    """EF21-SGD2M: EF21-SGDM with a second average, η = 1 − momentum. arXiv:2305.15155.

    vᵢ⁰ = uᵢ⁰ = ∇fᵢ(x⁰; ξ⁰),   later vᵢ ← (1−η) vᵢ + η ∇fᵢ(xᵗ; ξᵗ),
    uᵢ ← (1−η) uᵢ + η vᵢ (the new one),   gᵢ ← gᵢ + C(uᵢ − gᵢ)
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    v = [gradient(i, x, 0) for i in range(num_workers)]
    u = list(v)
    g = before_first(start, u)
    for t in range(num_updates):
        for i in range(num_workers):
            if t > 0:
                v[i] = momentum * v[i] + (1 - momentum) * gradient(i, x, t)
                u[i] = momentum * u[i] + (1 - momentum) * v[i]
            g[i] = g[i] + compress(i, t, u[i] - g[i])
        x = x - step_size * sum(g) / num_workers
        iterates.append(x)
    return np.stack(iterates)


def ef21_hb(
    gradient, compress, num_workers, x0, num_updates, step_size, *, momentum, start
):
    """EF21-HB: EF21's g, then v ← η v + g,   x ← x − γ v, η = momentum, v⁰ = g⁰.

    arXiv:2110.03294.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    g = before_first(start, [gradient(i, x, 0) for i in range(num_workers)])
    v = np.zeros_like(x)
    for t in range(num_updates):
        for i in range(num_workers):
            g[i] = g[i] + compress(i, t, gradient(i, x, t) - g[i])
        v = momentum * v + sum(g) / num_workers
        x = x - step_size * v
        iterates.append(x)
    return np.stack(iterates)


def ef21_prox(
    gradient, compress, num_workers, x0, num_updates, step_size, *, prox, start
):
    """EF21-Prox: EF21's g, then x ← prox(x − γ g, γ). arXiv:2110.03294."""
    x = np.array(x0, dtype=float)
    iterates = [x]
    g = before_first(start, [gradient(i, x, 0) for i in range(num_workers)])
    for t in range(num_updates):
        for i in range(num_workers):
            g[i] = g[i] + compress(i, t, gradient(i, x, t) - g[i])
        x = prox(x - step_size * sum(g) / num_workers, step_size)
        iterates.append(x)
    return np.stack(iterates)


def ef21_bc(
    gradient,
    compress,
    compress_down,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    start,
):
    """EF21-BC: the server sends its estimate by EF21 as well. arXiv:2110.03294.

    g̃ᵢ ← g̃ᵢ + C(∇fᵢ(x) − g̃ᵢ),   g ← g + C_M((1/n) Σᵢ g̃ᵢ − g),   x ← x − γ g

    `start` is that of g̃ᵢ; g⁻¹ = 0, so that g⁰ = C_M((1/n) Σᵢ g̃ᵢ⁰). C_M = compress_down.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    g_worker = before_first(start, [gradient(i, x, 0) for i in range(num_workers)])
    g = np.zeros_like(x)
    for t in range(num_updates):
        for i in range(num_workers):
            g_worker[i] = g_worker[i] + compress(i, t, gradient(i, x, t) - g_worker[i])
        g = g + compress_down(t, sum(g_worker) / num_workers - g)
        x = x - step_size * g
        iterates.append(x)
    return np.stack(iterates)


def ef21_pp(
    gradient, compress, num_workers, x0, num_updates, step_size, *, participates, start
):
    """EF21-PP: gᵢ ← gᵢ + C(∇fᵢ(x) − gᵢ) of participants only,   x ← x − γ (1/n) Σᵢ gᵢ.

    Participation counts at x⁰ too: start = "compressed" leaves gᵢ⁰ = 0 of the absent.
    arXiv:2110.03294.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    g = before_first(start, [gradient(i, x, 0) for i in range(num_workers)])
    for t in range(num_updates):
        for i in range(num_workers):
            if participates(i, t):
                g[i] = g[i] + compress(i, t, gradient(i, x, t) - g[i])
        x = x - step_size * sum(g) / num_workers
        iterates.append(x)
    return np.stack(iterates)


# Three-point compressors: h = gᵢᵗ⁻¹, y = ∇fᵢ(xᵗ⁻¹), x = ∇fᵢ(xᵗ).


def point_v1(h, y, x, compress):
    """y + C(x − y)."""
    return y + compress(x - y)


def point_v2(h, y, x, compress, compress_first):
    """b + C(x − b), b = h + Q(x − y), Q = compress_first unbiased."""
    b = h + compress_first(x - y)
    return b + compress(x - b)


def point_v3(h, y, x, compress, inner):
    """b + C(x − b), b = inner(h, y, x) any three-point compressor."""
    b = inner(h, y, x)
    return b + compress(x - b)


def point_v4(h, y, x, compress, compress_first):
    """b + C₁(x − b), b = h + C₂(x − h), C₂ = compress_first."""
    b = h + compress_first(x - h)
    return b + compress(x - b)


def point_v5(h, y, x, compress, coin):
    """x if the coin says so, else h + C(x − y)."""
    return x if coin else h + compress(x - y)


def three_pc(
    gradient,
    compress,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    point_map,
    start,
    compress_first=None,
    inner=None,
    coin=None,
):
    """gᵢᵗ = C_{h,y}(∇fᵢ(xᵗ)), h = gᵢᵗ⁻¹, y = ∇fᵢ(xᵗ⁻¹),   x ← x − γ (1/n) Σᵢ gᵢ.

    `point_map` names C_{h,y}: "v1" to "v5", the functions above. v2 and v4 also take
    `compress_first(worker, round, vector)`, v3 `inner(worker, round, h, y, x)`, v5
    `coin(worker, round)`. gᵢ⁰ is given. arXiv:2202.00998.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    y = [gradient(i, x, 0) for i in range(num_workers)]
    g = first_estimates(start, y, compress)
    for t in range(num_updates):
        if t > 0:
            for i in range(num_workers):
                new = gradient(i, x, t)

                def c(vector, i=i, t=t):
                    return compress(i, t, vector)

                def c_first(vector, i=i, t=t):
                    return compress_first(i, t, vector)

                def b(h, y, x, i=i, t=t):
                    return inner(i, t, h, y, x)

                if point_map == "v1":
                    g[i] = point_v1(g[i], y[i], new, c)
                elif point_map == "v2":
                    g[i] = point_v2(g[i], y[i], new, c, c_first)
                elif point_map == "v3":
                    g[i] = point_v3(g[i], y[i], new, c, b)
                elif point_map == "v4":
                    g[i] = point_v4(g[i], y[i], new, c, c_first)
                elif point_map == "v5":
                    g[i] = point_v5(g[i], y[i], new, c, coin(i, t))
                else:
                    raise ValueError(point_map)
                y[i] = new
        x = x - step_size * sum(g) / num_workers
        iterates.append(x)
    return np.stack(iterates)


def lag(gradient, num_workers, x0, num_updates, step_size, *, zeta, start):
    """LAG: gᵢ ← ∇fᵢ(xᵗ) if ‖∇fᵢ(xᵗ) − gᵢ‖² > ζ ‖∇fᵢ(xᵗ) − ∇fᵢ(xᵗ⁻¹)‖², else kept.

    x ← x − γ (1/n) Σᵢ gᵢ from a given gᵢ⁰, "gradients" or "zero". arXiv:2202.00998.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    y = [gradient(i, x, 0) for i in range(num_workers)]
    g = {"gradients": list(y), "zero": [np.zeros_like(x) for _ in y]}[start]
    for t in range(num_updates):
        if t > 0:
            for i in range(num_workers):
                new = gradient(i, x, t)
                if np.sum((new - g[i]) ** 2) > zeta * np.sum((new - y[i]) ** 2):
                    g[i] = new
                y[i] = new
        x = x - step_size * sum(g) / num_workers
        iterates.append(x)
    return np.stack(iterates)


def clag(gradient, compress, num_workers, x0, num_updates, step_size, *, zeta, start):
    """CLAG: LAG's trigger, but gᵢ ← gᵢ + C(∇fᵢ(xᵗ) − gᵢ). arXiv:2202.00998."""
    x = np.array(x0, dtype=float)
    iterates = [x]
    y = [gradient(i, x, 0) for i in range(num_workers)]
    g = first_estimates(start, y, compress)
    for t in range(num_updates):
        if t > 0:
            for i in range(num_workers):
                new = gradient(i, x, t)
                if np.sum((new - g[i]) ** 2) > zeta * np.sum((new - y[i]) ** 2):
                    g[i] = g[i] + compress(i, t, new - g[i])
                y[i] = new
        x = x - step_size * sum(g) / num_workers
        iterates.append(x)
    return np.stack(iterates)


def cbag(gradient, compress, num_workers, x0, num_updates, step_size, *, coin, start):
    """CBAG: gᵢ ← gᵢ + C(∇fᵢ(xᵗ) − gᵢ) if coin(i, t), else kept; gᵢ⁰ given.

    arXiv:2202.00998.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    g = first_estimates(
        start, [gradient(i, x, 0) for i in range(num_workers)], compress
    )
    for t in range(num_updates):
        if t > 0:
            for i in range(num_workers):
                if coin(i, t):
                    g[i] = g[i] + compress(i, t, gradient(i, x, t) - g[i])
        x = x - step_size * sum(g) / num_workers
        iterates.append(x)
    return np.stack(iterates)


# MARINA and DASHA.


def marina(gradient, compress, num_workers, x0, num_updates, step_size, *, coin):
    """MARINA, from g⁰ = ∇f(x⁰). arXiv:2102.07845.

    g = (1/n) Σᵢ ∇fᵢ(xᵗ) if coin(t), else g + (1/n) Σᵢ Qᵢ(∇fᵢ(xᵗ) − ∇fᵢ(xᵗ⁻¹))
    xᵗ⁺¹ = xᵗ − γ g
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    g = sum(gradient(i, x, 0) for i in range(num_workers)) / num_workers
    x_previous = x
    for t in range(num_updates):
        if t > 0 and coin(t):
            g = sum(gradient(i, x, t) for i in range(num_workers)) / num_workers
        elif t > 0:
            for i in range(num_workers):
                difference = gradient(i, x, t) - gradient(i, x_previous, t)
                g = g + compress(i, t, difference) / num_workers
        x_previous, x = x, x - step_size * g
        iterates.append(x)
    return np.stack(iterates)


def vr_marina(
    gradient,
    full_gradient,
    compress,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    coin,
):
    """VR-MARINA: MARINA whose differences are those of a minibatch, on one sample.

    g = (1/n) Σᵢ full_gradientᵢ(xᵗ) if t = 0 or coin(t), else
    g + (1/n) Σᵢ Qᵢ(gradientᵢ(xᵗ; ξᵗ) − gradientᵢ(xᵗ⁻¹; ξᵗ)). arXiv:2102.07845.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    g = np.zeros_like(x)
    x_previous = x
    for t in range(num_updates):
        if t == 0 or coin(t):
            g = sum(full_gradient(i, x, t) for i in range(num_workers)) / num_workers
        else:
            for i in range(num_workers):
                difference = gradient(i, x, t) - gradient(i, x_previous, t)
                g = g + compress(i, t, difference) / num_workers
        x_previous, x = x, x - step_size * g
        iterates.append(x)
    return np.stack(iterates)


def pp_marina(
    gradient, compress, num_workers, x0, num_updates, step_size, *, coin, clients
):
    """MARINA whose differences come from r clients. arXiv:2102.07845.

    `clients(round)` lists the r workers of the round, repetitions allowed;
    `compress(worker, round, vector, repeat)`, repeat = 0, 1, ..., counts how often this
    worker came before, since a client drawn twice compresses twice, independently:

    g = (1/n) Σᵢ ∇fᵢ(xᵗ) if coin(t), else g + (1/r) Σ_{i drawn} Qᵢ(∇fᵢ(xᵗ) − ∇fᵢ(xᵗ⁻¹))
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    g = sum(gradient(i, x, 0) for i in range(num_workers)) / num_workers
    x_previous = x
    for t in range(num_updates):
        if t > 0 and coin(t):
            g = sum(gradient(i, x, t) for i in range(num_workers)) / num_workers
        elif t > 0:
            drawn = list(clients(t))
            for position, i in enumerate(drawn):
                difference = gradient(i, x, t) - gradient(i, x_previous, t)
                repeat = drawn[:position].count(i)
                g = g + compress(i, t, difference, repeat) / len(drawn)
        x_previous, x = x, x - step_size * g
        iterates.append(x)
    return np.stack(iterates)


def dasha(
    gradient, compress, num_workers, x0, num_updates, step_size, *, momentum, start
):
    """DASHA, a = momentum, from hᵢ⁰ = ∇fᵢ(x⁰) and a given gᵢ⁰. arXiv:2202.01268.

    hᵢ' = ∇fᵢ(xᵗ),   gᵢ ← gᵢ + Qᵢ(hᵢ' − hᵢ − a (gᵢ − hᵢ)),   hᵢ ← hᵢ'
    xᵗ⁺¹ = xᵗ − γ (1/n) Σᵢ gᵢ
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    h = [gradient(i, x, 0) for i in range(num_workers)]
    g = first_estimates(start, h, compress)
    for t in range(num_updates):
        if t > 0:
            for i in range(num_workers):
                new = gradient(i, x, t)
                g[i] = g[i] + compress(i, t, new - h[i] - momentum * (g[i] - h[i]))
                h[i] = new
        x = x - step_size * sum(g) / num_workers
        iterates.append(x)
    return np.stack(iterates)


def dasha_page(
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
    """DASHA whose hᵢ is PAGE. arXiv:2202.01268.

    hᵢ' = full_gradientᵢ(xᵗ) if t = 0 or coin(i, t), else
    hᵢ + gradientᵢ(xᵗ; ξᵗ) − gradientᵢ(xᵗ⁻¹; ξᵗ); the rest as in `dasha`.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    h = [full_gradient(i, x, 0) for i in range(num_workers)]
    g = first_estimates(start, h, compress)
    x_previous = x
    for t in range(num_updates):
        if t > 0:
            for i in range(num_workers):
                if coin(i, t):
                    new = full_gradient(i, x, t)
                else:
                    new = h[i] + gradient(i, x, t) - gradient(i, x_previous, t)
                g[i] = g[i] + compress(i, t, new - h[i] - momentum * (g[i] - h[i]))
                h[i] = new
        x_previous, x = x, x - step_size * sum(g) / num_workers
        iterates.append(x)
    return np.stack(iterates)


def dasha_mvr(
    gradient,
    compress,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    momentum,
    estimator_momentum,
    start,
):
    """DASHA whose hᵢ is MVR, 1 − b = estimator_momentum. arXiv:2202.01268.

    hᵢ⁰ = ∇fᵢ(x⁰; ξ⁰),   hᵢ' = ∇fᵢ(xᵗ; ξᵗ) + (1−b) (hᵢ − ∇fᵢ(xᵗ⁻¹; ξᵗ)); the rest as in
    `dasha`, a = momentum.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    h = [gradient(i, x, 0) for i in range(num_workers)]
    g = first_estimates(start, h, compress)
    x_previous = x
    for t in range(num_updates):
        if t > 0:
            for i in range(num_workers):
                error = h[i] - gradient(i, x_previous, t)
                new = gradient(i, x, t) + estimator_momentum * error
                g[i] = g[i] + compress(i, t, new - h[i] - momentum * (g[i] - h[i]))
                h[i] = new
        x_previous, x = x, x - step_size * sum(g) / num_workers
        iterates.append(x)
    return np.stack(iterates)


# Both directions.


def ef21_p(gradient, compress_down, num_workers, x0, num_updates, step_size):
    """EF21-P: gradients at a model w that follows x by EF21. arXiv:2209.15218.

    wᵗ = wᵗ⁻¹ + C(xᵗ − wᵗ⁻¹),   xᵗ⁺¹ = xᵗ − γ (1/n) Σᵢ ∇fᵢ(wᵗ),   w⁻¹ = x⁰

    The iterates returned are x; w⁰ = x⁰ because C(0) = 0.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    w = x
    for t in range(num_updates):
        w = w + compress_down(t, x - w)
        x = x - step_size * sum(gradient(i, w, t) for i in range(num_workers)) / (
            num_workers
        )
        iterates.append(x)
    return np.stack(iterates)


def ef21_p_diana(
    gradient,
    compress,
    compress_down,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    shift_step,
):
    """EF21-P down, DIANA up. arXiv:2209.15218.

    wᵗ = wᵗ⁻¹ + C(xᵗ − wᵗ⁻¹),   mᵢ = Qᵢ(∇fᵢ(wᵗ) − hᵢ),   x ← x − γ (h + (1/n) Σᵢ mᵢ)
    hᵢ ← hᵢ + β mᵢ,   h ← h + β (1/n) Σᵢ mᵢ,   β = shift_step
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    w = x
    h = [np.zeros_like(x) for _ in range(num_workers)]
    h_server = np.zeros_like(x)
    for t in range(num_updates):
        w = w + compress_down(t, x - w)
        mean_message = np.zeros_like(x)
        for i in range(num_workers):
            message = compress(i, t, gradient(i, w, t) - h[i])
            h[i] = h[i] + shift_step * message
            mean_message = mean_message + message / num_workers
        x = x - step_size * (h_server + mean_message)
        h_server = h_server + shift_step * mean_message
        iterates.append(x)
    return np.stack(iterates)


def mcm(
    gradient,
    compress,
    compress_down,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    memory_step,
    memory,
    shift_step,
):
    """MCM: the model is sent as an unbiased difference from a memory. arXiv:2102.12528.

    c = C_dn(x − H),   x̂ = H + c,   H ← H + a_dn c,   a_dn = memory_step
    mᵢ = C_up(∇fᵢ(x̂) − hᵢ),   x ← x − γ (1/n) Σᵢ (hᵢ + mᵢ),   hᵢ ← hᵢ + a_up mᵢ

    `memory` is the first H, `shift_step` = a_up = 0 leaves the uplink without memory.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    big_h = np.array(memory, dtype=float)
    h = [np.zeros_like(x) for _ in range(num_workers)]
    for t in range(num_updates):
        c = compress_down(t, x - big_h)
        seen = big_h + c
        big_h = big_h + memory_step * c
        mean = np.zeros_like(x)
        for i in range(num_workers):
            message = compress(i, t, gradient(i, seen, t) - h[i])
            mean = mean + (h[i] + message) / num_workers
            h[i] = h[i] + shift_step * message
        x = x - step_size * mean
        iterates.append(x)
    return np.stack(iterates)


# Clipping and normalisation.


def clip(vector, threshold):
    """min{1, τ/‖u‖} u."""
    norm = np.sqrt(np.sum(vector**2))
    return vector if norm <= threshold else vector * (threshold / norm)


def normalized(vector, alpha):
    """u / (α + ‖u‖), and 0 at u = 0."""
    norm = np.sqrt(np.sum(vector**2))
    return vector / (alpha + norm) if norm > 0 else np.zeros_like(vector)


def clip21(gradient, num_workers, x0, num_updates, step_size, *, threshold):
    """Clip21: vᵢ ← vᵢ + clip_τ(∇fᵢ(x) − vᵢ) from 0,   x ← x − γ (1/n) Σᵢ vᵢ.

    arXiv:2305.18929.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    v = [np.zeros_like(x) for _ in range(num_workers)]
    for t in range(num_updates):
        for i in range(num_workers):
            v[i] = v[i] + clip(gradient(i, x, t) - v[i], threshold)
        x = x - step_size * sum(v) / num_workers
        iterates.append(x)
    return np.stack(iterates)


def clip21_sgd2m(
    gradient,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    threshold,
    momentum,
    estimate_step,
    noise=lambda worker, round_: 0.0,
):
    """Clip21-SGD2M, β = 1 − momentum, β̂ = estimate_step. arXiv:2502.11682.

    vᵢ ← (1−β) vᵢ + β ∇fᵢ(x; ξ),   cᵢ = clip_τ(vᵢ − gᵢ),   gᵢ ← gᵢ + β̂ cᵢ
    g ← g + (β̂/n) Σᵢ (cᵢ + noiseᵢ),   x ← x − γ g

    All start at 0. The step uses the new g: the algorithm as printed moves first, with
    g = 0, and is this one a round later.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    v = [np.zeros_like(x) for _ in range(num_workers)]
    g = [np.zeros_like(x) for _ in range(num_workers)]
    g_server = np.zeros_like(x)
    for t in range(num_updates):
        for i in range(num_workers):
            v[i] = momentum * v[i] + (1 - momentum) * gradient(i, x, t)
            c = clip(v[i] - g[i], threshold)
            g[i] = g[i] + estimate_step * c
            g_server = g_server + estimate_step * (c + noise(i, t)) / num_workers
        x = x - step_size * g_server
        iterates.append(x)
    return np.stack(iterates)


def norm_ef21(gradient, compress, num_workers, x0, num_updates, step_size):
    """‖EF21‖: gᵢ ← gᵢ + C(∇fᵢ(x) − gᵢ) from 0,   x ← x − γ g/‖g‖, g = (1/n) Σᵢ gᵢ.

    It stays where g = 0. arXiv:2410.16871.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    g = [np.zeros_like(x) for _ in range(num_workers)]
    for t in range(num_updates):
        for i in range(num_workers):
            g[i] = g[i] + compress(i, t, gradient(i, x, t) - g[i])
        x = x - step_size * normalized(sum(g) / num_workers, 0)
        iterates.append(x)
    return np.stack(iterates)


def norm_ef21_sgdm(
    gradient, compress, num_workers, x0, num_updates, step_size, *, momentum
):
    """‖EF21-SGDM‖: ‖EF21‖ of vᵢ ← (1−η) vᵢ + η ∇fᵢ(x; ξ), η = 1 − momentum.

    vᵢ⁰ = ∇fᵢ(x⁰; ξ⁰): round 0 uses the sample of vᵢ⁻¹ again. arXiv:2410.16871.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    v = [gradient(i, x, 0) for i in range(num_workers)]
    g = [np.zeros_like(x) for _ in range(num_workers)]
    for t in range(num_updates):
        for i in range(num_workers):
            if t > 0:
                v[i] = momentum * v[i] + (1 - momentum) * gradient(i, x, t)
            g[i] = g[i] + compress(i, t, v[i] - g[i])
        x = x - step_size * normalized(sum(g) / num_workers, 0)
        iterates.append(x)
    return np.stack(iterates)


def alpha_norm_ec(
    gradient,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    alpha,
    estimate_step,
    start,
    noise=lambda worker, round_: 0.0,
):
    """α-NormEC, β = estimate_step. arXiv:2502.13482.

    Δᵢ = Norm_α(∇fᵢ(x) − gᵢ),   gᵢ ← gᵢ + β Δᵢ,   ĝ ← ĝ + (β/n) Σᵢ (Δᵢ + noiseᵢ)
    x ← x − γ ĝ/‖ĝ‖

    The estimates before the first message are gᵢ = 0 (start = "zero") or ∇fᵢ(x⁰)
    ("gradients"), and ĝ is their mean.
    """
    x = np.array(x0, dtype=float)
    iterates = [x]
    g = {
        "zero": [np.zeros_like(x) for _ in range(num_workers)],
        "gradients": [gradient(i, x, 0) for i in range(num_workers)],
    }[start]
    g_server = sum(g) / num_workers
    for t in range(num_updates):
        mean_message = np.zeros_like(x)
        for i in range(num_workers):
            delta = normalized(gradient(i, x, t) - g[i], alpha)
            g[i] = g[i] + estimate_step * delta
            mean_message = mean_message + (delta + noise(i, t)) / num_workers
        g_server = g_server + estimate_step * mean_message
        x = x - step_size * normalized(g_server, 0)
        iterates.append(x)
    return np.stack(iterates)
