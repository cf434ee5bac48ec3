"""Momentum with variance reduction, Hessians, extrapolation: loops in NumPy float64.

Written from the formulas, without the library. A point is a vector. `grad(x, k)` is
∇f(x; ξᵏ), `hvp(z, v, k)` is ∇²f(z; ξᵏ) v. Random q are passed in. `move(x, m, k)` is
the point after step k along m. Every function returns x⁰, ..., x^K and the momenta
m⁰, ..., m^(K−1) that the steps took.
"""

import numpy as np


def normalized(step_sizes):
    """x − η m/‖m‖, with one η for each step."""

    def move(x, m, k):
        length = np.linalg.norm(m)
        if length == 0:
            return x
        return x - step_sizes[k] * m / length

    return move


def plain(step_size):
    """x − η m."""
    return lambda x, m, k: x - step_size * m


def shortened(v, threshold):
    length = np.linalg.norm(v)
    return v if length <= threshold else v * (threshold / length)


def mvr(grad, x0, num_updates, move, *, alpha):
    """mᵏ = g(xᵏ; ξᵏ) + (1−α)(mᵏ⁻¹ − g(xᵏ⁻¹; ξᵏ)), m⁰ = g(x⁰; ξ⁰)."""
    xs, ms = [x0], []
    for k in range(num_updates):
        if k == 0:
            m = grad(xs[0], 0)
        else:
            m = grad(xs[k], k) + (1 - alpha) * (ms[k - 1] - grad(xs[k - 1], k))
        ms.append(m)
        xs.append(move(xs[k], m, k))
    return np.array(xs), np.array(ms)


def storm(grad, x0, num_updates, *, k, w, c):
    """ηₜ = k/(w + Σ_{i≤t} ‖gᵢ‖²)^(1/3), αₜ₊₁ = c ηₜ² in [0, 1]; x ← x − ηₜ mₜ."""
    xs, ms, total, alpha = [x0], [], 0.0, None
    for t in range(num_updates):
        g = grad(xs[t], t)
        m = g if t == 0 else g + (1 - alpha) * (ms[t - 1] - grad(xs[t - 1], t))
        total = total + np.sum(g**2)
        eta = k / (w + total) ** (1 / 3)
        alpha = min(max(c * eta**2, 0.0), 1.0)
        ms.append(m)
        xs.append(xs[t] - eta * m)
    return np.array(xs), np.array(ms)


def gamma_mvr(grad, x0, num_updates, move, *, new_weight, gamma):
    """g ← (1−b)(g + γΔ) + b ∇f(x⁺; ξ), Δ = ∇f(x⁺; ξ) − ∇f(x; ξ)."""
    xs, ms = [x0], []
    for k in range(num_updates):
        fresh = grad(xs[k], k)
        if k == 0:
            m = fresh
        else:
            delta = fresh - grad(xs[k - 1], k)
            m = (1 - new_weight) * (ms[k - 1] + gamma * delta) + new_weight * fresh
        ms.append(m)
        xs.append(move(xs[k], m, k))
    return np.array(xs), np.array(ms)


def mars(grad, x0, num_updates, move, *, beta, gamma, threshold):
    """cₜ = gₜ + γ β/(1−β) (gₜ − gₜ₋₁), shortened; m = β m + (1−β) cₜ, m⁰ = c⁰."""
    xs, ms = [x0], []
    for k in range(num_updates):
        before = xs[max(k - 1, 0)]
        fresh = grad(xs[k], k)
        c = fresh + gamma * beta / (1 - beta) * (fresh - grad(before, k))
        c = shortened(c, threshold)
        m = c if k == 0 else beta * ms[k - 1] + (1 - beta) * c
        ms.append(m)
        xs.append(move(xs[k], m, k))
    return np.array(xs), np.array(ms)


def gluon_mvr(grad, x0, num_updates, move, *, beta, q, variant):
    """Variants 2 and 3; with gᵏ = Gᵏ + (1−q)(gᵏ⁻¹ − Hᵏ)

    2: Mᵏ = β Mᵏ⁻¹ + (1−β) gᵏ;   3: Mᵏ = β Mᵏ⁻¹ + (1−β) gᵏ + β (Gᵏ − Hᵏ).
    """
    xs, ms, estimate = [x0], [], None
    for k in range(num_updates):
        fresh = grad(xs[k], k)
        if k == 0:
            m = estimate = fresh
        else:
            behind = grad(xs[k - 1], k)
            estimate = fresh + (1 - q) * (estimate - behind)
            m = beta * ms[k - 1] + (1 - beta) * estimate
            if variant == 3:
                m = m + beta * (fresh - behind)
        ms.append(m)
        xs.append(move(xs[k], m, k))
    return np.array(xs), np.array(ms)


def hessian_corrected(grad, hvp, x0, num_updates, move, *, alphas, bs=None, qs=None):
    """mᵏ⁺¹ = (1−αₖ) mᵏ + bₖ ∇²f(z; ξ)(xᵏ⁺¹ − xᵏ) + αₖ ∇f(xᵏ⁺¹; ξ), m⁰ = ∇f(x⁰; ξ⁰).

    z = q xᵏ⁺¹ + (1−q) xᵏ; without qs it is xᵏ⁺¹. Without bs bₖ = 1 − αₖ. alphas[k] and
    qs[k] make mᵏ⁺¹.
    """
    xs, ms = [x0], [grad(x0, 0)]
    xs.append(move(x0, ms[0], 0))
    for k in range(num_updates - 1):
        old, new = xs[k], xs[k + 1]
        q = 1.0 if qs is None else qs[k]
        b = 1 - alphas[k] if bs is None else bs[k]
        product = hvp(q * new + (1 - q) * old, new - old, k + 1)
        m = (1 - alphas[k]) * ms[k] + b * product + alphas[k] * grad(new, k + 1)
        ms.append(m)
        xs.append(move(new, m, k + 1))
    return np.array(xs), np.array(ms)


def clipped_nsgd_hess(grad, hvp, x0, num_updates, *, a, gamma, lam, lam_h, qs):
    """gₜ = (1−a)(gₜ₋₁ + γ clip(HVP/γ, λₕ)) + a clip(∇f, λ); x ← x − γ gₜ/‖gₜ‖."""
    move = normalized(np.full(num_updates, gamma))
    xs, ms = [x0], [shortened(grad(x0, 0), lam)]
    xs.append(move(x0, ms[0], 0))
    for t in range(1, num_updates):
        middle = qs[t - 1] * xs[t] + (1 - qs[t - 1]) * xs[t - 1]
        product = hvp(middle, xs[t] - xs[t - 1], t)
        corrected = ms[t - 1] + gamma * shortened(product / gamma, lam_h)
        ms.append((1 - a) * corrected + a * shortened(grad(xs[t], t), lam))
        xs.append(move(xs[t], ms[t], t))
    return np.array(xs), np.array(ms)


def nigt(grad, x0, num_updates, move, *, betas):
    """y = x + β/(1−β) (x − x⁻), m = β m + (1−β) g(y; ξ); at first y = x, m = g."""
    xs, ms = [x0], []
    for k in range(num_updates):
        if k == 0:
            m = grad(x0, 0)
        else:
            beta = betas[k]
            y = xs[k] + beta / (1 - beta) * (xs[k] - xs[k - 1])
            m = beta * ms[k - 1] + (1 - beta) * grad(y, k)
        ms.append(m)
        xs.append(move(xs[k], m, k))
    return np.array(xs), np.array(ms)


def n_pg_igt(ascent, theta0, num_updates, *, step_size):
    """Ascent: ηₜ = (2/(t+2))^(4/5), θ̃ = θₜ + (1−ηₜ)/ηₜ (θₜ − θₜ₋₁),

    dₜ = (1−ηₜ) dₜ₋₁ + ηₜ g(θ̃), θₜ₊₁ = θₜ + γₜ dₜ/‖dₜ‖, γₜ = step_size/(t+2).
    """
    thetas, ds = [theta0], []
    for t in range(num_updates):
        eta = (2 / (t + 2)) ** 0.8
        previous = thetas[max(t - 1, 0)]
        ahead = thetas[t] + (1 - eta) / eta * (thetas[t] - previous)
        old = 0 if t == 0 else ds[t - 1]
        d = (1 - eta) * old + eta * ascent(ahead, t)
        ds.append(d)
        thetas.append(thetas[t] + step_size / (t + 2) * d / np.linalg.norm(d))
    return np.array(thetas), np.array(ds)


def n_harpg(ascent, ascent_hvp, theta0, num_updates, *, step_sizes, qs):
    """Ascent: ηₜ = 2/(t+2), θ̂ = q θₜ + (1−q) θₜ₋₁, vₜ = H(θ̂)(θₜ − θₜ₋₁),

    uₜ = (1−ηₜ)(uₜ₋₁ + vₜ) + ηₜ g(θₜ), θₜ₊₁ = θₜ + γₜ uₜ/‖uₜ‖.
    """
    thetas, us = [theta0], []
    for t in range(num_updates):
        eta = 2 / (t + 2)
        u = eta * ascent(thetas[t], t)
        if t > 0:
            step = thetas[t] - thetas[t - 1]
            hat = qs[t] * thetas[t] + (1 - qs[t]) * thetas[t - 1]
            u = u + (1 - eta) * (us[t - 1] + ascent_hvp(hat, step, t))
        us.append(u)
        thetas.append(thetas[t] + step_sizes[t] * u / np.linalg.norm(u))
    return np.array(thetas), np.array(us)
