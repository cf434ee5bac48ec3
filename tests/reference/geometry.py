"""Iterates of the LMO methods of one machine, and of EF21-Muon: loops in NumPy float64.

Written from the formulas, without the library. A point is a list of layers, arrays of
any shape. `lmo` and `dual` are lists of functions, one per layer: lmo(g) is the
minimiser of ⟨g, z⟩ over the unit ball, dual(g) = −⟨g, lmo(g)⟩. `gradient(x, k)` gives a
list like x. Every function returns the list of points x⁰, ..., x^K.
"""

import numpy as np


def l2_lmo(g):
    length = np.linalg.norm(g)
    return -g / length if length > 0 else 0 * g


def sign_lmo(g):
    return -np.sign(g)


def spectral_lmo(g):
    u, s, v = np.linalg.svd(g, full_matrices=False)
    return -u @ np.diag((s > 1e-13).astype(float)) @ v


def l2_dual(g):
    return np.linalg.norm(g)


def sign_dual(g):
    return np.abs(g).sum()


def spectral_dual(g):
    return np.linalg.svd(g, compute_uv=False).sum()


def zeros(x):
    return [0 * layer for layer in x]


def average(beta, m, g):
    return [beta * a + (1 - beta) * b for a, b in zip(m, g, strict=True)]


def inner(a, b):
    return sum(np.sum(p * q) for p, q in zip(a, b, strict=True))


def minus(a, b):
    return [p - q for p, q in zip(a, b, strict=True)]


def muon(gradient, lmo, x0, num_updates, step_size, *, beta, nesterov, weight_decay):
    """M ← βM + (1−β)G, Z = βM + (1−β)G, W ← (1 − ηλ)W + η lmo(Z); lmo is scaled."""
    x, m, path = x0, zeros(x0), [x0]
    for k in range(num_updates):
        g = gradient(x, k)
        m = average(beta, m, g)
        z = average(beta, m, g) if nesterov else m
        x = [
            (1 - step_size * weight_decay) * w + step_size * f(direction)
            for w, f, direction in zip(x, lmo, z, strict=True)
        ]
        path.append(x)
    return path


def scion(gradient, lmo, x0, num_updates, step_size, radii, *, alpha, constrained):
    """d ← (1−α)d + αg;  x ← x + γρ lmo(d), or x ← (1−γ)x + γρ lmo(d)."""
    x, d, path = x0, zeros(x0), [x0]
    for k in range(num_updates):
        d = [
            (1 - alpha) * a + alpha * b for a, b in zip(d, gradient(x, k), strict=True)
        ]
        kept = 1 - step_size if constrained else 1
        x = [
            kept * w + step_size * rho * f(direction)
            for w, rho, f, direction in zip(x, radii, lmo, d, strict=True)
        ]
        path.append(x)
    return path


def scion_light(gradient, lmo, x0, num_updates, step_size, radii, *, alpha):
    """The gradient slot: G ← (1−α)G after the step, the next gradient is added."""
    x, slot, path = x0, zeros(x0), [x0]
    for k in range(num_updates):
        slot = [a + b for a, b in zip(slot, gradient(x, k), strict=True)]
        x = [
            (1 - step_size) * w + step_size * rho * f(direction)
            for w, rho, f, direction in zip(x, radii, lmo, slot, strict=True)
        ]
        slot = [(1 - alpha) * a for a in slot]
        path.append(x)
    return path


def clipped_scion(gradient, lmo, x0, num_updates, step_size, threshold, *, alpha):
    """v = −lmo(d), η = min(ρ, ⟨d, v⟩), x ← x − γηv."""
    x, d, path = x0, zeros(x0), [x0]
    for k in range(num_updates):
        d = average(1 - alpha, d, gradient(x, k))
        v = [-f(direction) for f, direction in zip(lmo, d, strict=True)]
        eta = min(threshold, inner(d, v))
        x = [w - step_size * eta * u for w, u in zip(x, v, strict=True)]
        path.append(x)
    return path


def gluon(gradient, lmo, dual, x0, num_updates, l0, l1):
    """tᵢ = ‖gᵢ‖*/(L0ᵢ + L1ᵢ‖gᵢ‖*), Xᵢ ← Xᵢ + tᵢ lmoᵢ(gᵢ)."""
    x, path = x0, [x0]
    for k in range(num_updates):
        new = []
        for i, g in enumerate(gradient(x, k)):
            size = dual[i](g)
            new.append(x[i] + size / (l0[i] + l1[i] * size) * lmo[i](g))
        x = new
        path.append(x)
    return path


def gluon_scheduled(gradient, lmo, x0, num_updates, radii):
    """βₖ = 1 − (k+1)^(−1/2), M⁰ = g⁰, tₖ = t (k+1)^(−3/4)."""
    x, m, path = x0, gradient(x0, 0), [x0]
    for k in range(num_updates):
        beta = 1 - (k + 1) ** -0.5
        m = average(beta, m, gradient(x, k))
        x = [
            w + t * (k + 1) ** -0.75 * f(direction)
            for w, t, f, direction in zip(x, radii, lmo, m, strict=True)
        ]
        path.append(x)
    return path


def drop_muon(
    gradient, lmo, dual, x0, num_updates, step_size, *, beta, starts, sharp=True
):
    """Layers s, ..., b of step k move, s = starts[k]; the others keep M and X."""
    x, m, path = list(x0), zeros(x0), [list(x0)]
    for k in range(num_updates):
        g = gradient(x, k)
        x = list(x)
        for i in range(starts[k], len(x)):
            m[i] = beta * m[i] + (1 - beta) * g[i]
            length = dual[i](m[i]) if sharp else 1.0
            x[i] = x[i] + step_size * length * lmo[i](m[i])
        path.append(x)
    return path


def ef21_muon(
    gradient,
    lmo,
    compress,
    compress_down,
    num_workers,
    x0,
    num_updates,
    step_size,
    *,
    beta,
):
    """EF21-Muon, one layer, G_j⁰ = C_j(M_j⁰). Gives X, W, G and the G_j of every round.

    gradient(worker, x, k) at W; compress(worker, k, v); compress_down(k, v).
    """
    x, w = np.array(x0), np.array(x0)
    m = [gradient(j, w, 0) for j in range(num_workers)]
    estimates = [compress(j, 0, m[j]) for j in range(num_workers)]
    total = sum(estimates) / num_workers
    xs, ws, totals, tables = [x], [w], [total], [list(estimates)]
    for k in range(num_updates):
        x = x + step_size * lmo(total)
        w = w + compress_down(k, x - w)
        sent = []
        for j in range(num_workers):
            m[j] = beta * m[j] + (1 - beta) * gradient(j, w, k + 1)
            r = compress(j, k + 1, m[j] - estimates[j])
            estimates[j] = estimates[j] + r
            sent.append(r)
        total = total + sum(sent) / num_workers
        xs.append(x)
        ws.append(w)
        totals.append(total)
        tables.append(list(estimates))
    return np.stack(xs), np.stack(ws), np.stack(totals), np.array(tables)


def distance_adaptive(
    gradient, lmo, norm, x0, num_updates, scale, first_radius, *, alpha, weight
):
    """rbar = max(rbar, ‖xₖ − x₀‖), x ← x + c rbar w_k lmo(m). norm is of the list.

    alpha(k) and weight(k) are functions.
    """
    x, m, rbar, path, radii = x0, zeros(x0), first_radius, [x0], []
    for k in range(num_updates):
        m = average(1 - alpha(k), m, gradient(x, k))
        rbar = max(rbar, norm(minus(x, x0)))
        x = [
            w + scale * rbar * weight(k) * f(direction)
            for w, f, direction in zip(x, lmo, m, strict=True)
        ]
        path.append(x)
        radii.append(rbar)
    return path, radii


def scale_calibrated(gradient, lmo, x0, num_updates, smoothness, *, alpha):
    """d = lmo(m), c = −⟨g, d⟩, η = max(0, c)/L; smoothness(g) gives L."""
    x, m, path = x0, zeros(x0), [x0]
    for k in range(num_updates):
        g = gradient(x, k)
        m = average(1 - alpha, m, g)
        d = [f(direction) for f, direction in zip(lmo, m, strict=True)]
        eta = max(0, -inner(g, d)) / smoothness(g)
        x = [w + eta * u for w, u in zip(x, d, strict=True)]
        path.append(x)
    return path


def recentred(gradient, lmo, x0, num_updates, radius):
    """x ← (1−a)x + a(x0 + R lmo(g)), a = 2/(k+2)."""
    x, path = x0, [x0]
    for k in range(num_updates):
        a = 2 / (k + 2)
        g = gradient(x, k)
        x = [
            (1 - a) * w + a * (start + radius * f(direction))
            for w, start, f, direction in zip(x, x0, lmo, g, strict=True)
        ]
        path.append(x)
    return path


def distance_free(
    value, gradient, lmo, dual, norm, x0, num_updates, smoothness, first_radius
):
    """The recentred method with R from the certificate D and the model, without EMA.

    D ← max(D, [f − f_best + ⟨g, x0 − x⟩]₊ / ‖g‖*),
    R = argmin aR⟨g, d⟩ + (L/2) a² (‖x − x0‖ + R)² over [max(D, r), top],
    top starts at r and doubles where that minimiser lies at it or beyond.
    """
    x, d_low, best, top = x0, 0.0, np.inf, first_radius
    path, lower, radii = [x0], [], []
    for k in range(num_updates):
        a = 2 / (k + 2)
        g = gradient(x, k)
        best = min(best, value(x))
        gap = value(x) - best + inner(g, minus(x0, x))
        d_low = max(d_low, max(gap, 0) / dual(g))
        d = [f(direction) for f, direction in zip(lmo, g, strict=True)]
        minimiser = -inner(g, d) / (a * smoothness) - norm(minus(x, x0))
        low = max(d_low, first_radius)
        radius = min(max(minimiser, low), max(top, low))
        if minimiser >= max(top, low):
            top = 2 * max(top, low)
        x = [
            (1 - a) * w + a * (start + radius * u)
            for w, start, u in zip(x, x0, d, strict=True)
        ]
        path.append(x)
        lower.append(d_low)
        radii.append(radius)
    return path, lower, radii


# Local LMO. Projections on vectors, and the step by the implicit-step identity alone.


def project_box(x, lower, upper):
    return np.clip(x, lower, upper)


def project_ball(x, center, radius):
    length = np.linalg.norm(x - center)
    return x if length <= radius else center + radius / length * (x - center)


def project_half_space(x, normal, offset):
    excess = max(0, normal @ x - offset)
    return x - excess * normal / (normal @ normal)


def project_affine(x, normals, offsets):
    multipliers = np.linalg.lstsq(normals @ normals.T, normals @ x - offsets)[0]
    return x - normals.T @ multipliers


def project_simplex(x, total):
    """By bisection on the threshold: Σ max(x − τ, 0) = total."""
    low, high = x.min() - total, x.max()
    for _ in range(200):
        middle = (low + high) / 2
        if np.maximum(x - middle, 0).sum() > total:
            low = middle
        else:
            high = middle
    return np.maximum(x - high, 0)


def project_l1_ball(x, radius):
    if np.abs(x).sum() <= radius:
        return x
    return np.sign(x) * project_simplex(np.abs(x), radius)


def local_step(project, x, g, radius):
    """argmin ⟨g, z⟩ over the set and the ball around x: z = Proj(x − γg), |z − x| = t.

    The distance grows with γ; where it stays below the radius the ball is inactive, and
    the limit for large γ is the minimiser over the set that is nearest to x.
    """
    if radius == 0 or not g.any():
        return x
    low = radius / np.linalg.norm(g)
    high = low
    for _ in range(40):
        if np.linalg.norm(project(x - high * g) - x) >= radius:
            break
        high = 2 * high
    else:
        return project(x - high * g)
    for _ in range(100):
        middle = (low + high) / 2
        if np.linalg.norm(project(x - middle * g) - x) > radius:
            high = middle
        else:
            low = middle
    return project(x - low * g)
