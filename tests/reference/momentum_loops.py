"""Iterates of methods with corrected momentum: one loop per method, NumPy float64.

Written from the formulas, without the library. A point is a vector. `grad(x, k)` is
∇f(x; ξᵏ) and `hvp(z, v, k)` is ∇²f(z; ξᵏ) v, k = 0, 1, ...; the random q of a point
between two iterates are passed in. `move(x, m, k)` is the point after step k along m.

Every function returns two arrays: the points x⁰, ..., x^K, and the momenta
m⁰, ..., m^{K−1} along which the steps went. The momentum starts with the first
gradient, m⁰ = ∇f(x⁰; ξ⁰), where nothing else is said.
"""

import numpy as np


def direction(m):
    """m/‖m‖, and 0 where m = 0."""
    norm = np.linalg.norm(m)
    return m if norm == 0 else m / norm


def normalized(step_sizes):
    """x ← x − ηₖ m/‖m‖, and x stays where m = 0."""
    return lambda x, m, k: x - step_sizes[k] * direction(m)


def plain(step_size):
    """x ← x − η m."""
    return lambda x, m, k: x - step_size * m


def shortened(v, threshold):
    """min(1, λ/‖v‖) v, and 0 where v = 0."""
    norm = np.linalg.norm(v)
    return v if norm <= threshold else threshold / norm * v


def mvr(grad, x0, num_updates, move, *, alpha):
    """MVR, α the weight of the new gradient. arXiv:1905.10018.

    mᵏ = ∇f(xᵏ; ξᵏ) + (1 − α) (mᵏ⁻¹ − ∇f(xᵏ⁻¹; ξᵏ))
    """
    x = np.array(x0, dtype=float)
    points, momenta = [x], []
    for k in range(num_updates):
        if k == 0:
            m = grad(x, 0)
        else:
            m = grad(x, k) + (1 - alpha) * (m - grad(points[k - 1], k))
        x = move(x, m, k)
        points.append(x)
        momenta.append(m)
    return np.stack(points), np.stack(momenta)


def storm(grad, x0, num_updates, *, k, w, c):
    """STORM with the steps of its paper. arXiv:1905.10018.

    dₜ = gₜ + (1 − αₜ) (dₜ₋₁ − ∇f(xₜ₋₁; ξₜ)),   gₜ = ∇f(xₜ; ξₜ),   xₜ₊₁ = xₜ − ηₜ dₜ
    ηₜ = k/(w + Σ_{i≤t} ‖gᵢ‖²)^{1/3},   αₜ₊₁ = min(1, c ηₜ²)
    """
    x = np.array(x0, dtype=float)
    points, momenta = [x], []
    sum_of_squares, alpha = 0.0, 1.0
    for t in range(num_updates):
        g = grad(x, t)
        sum_of_squares = sum_of_squares + g @ g
        if t == 0:
            d = g
        else:
            d = g + (1 - alpha) * (d - grad(points[t - 1], t))
        eta = k / (w + sum_of_squares) ** (1 / 3)
        alpha = min(max(c * eta**2, 0.0), 1.0)
        x = x - eta * d
        points.append(x)
        momenta.append(d)
    return np.stack(points), np.stack(momenta)


def gamma_mvr(grad, x0, num_updates, move, *, new_weight, gamma):
    """γ-MVR, β = new_weight the weight of the new gradient. arXiv:2411.10438.

    mᵏ = (1 − β) (mᵏ⁻¹ + γ Δᵏ) + β ∇f(xᵏ; ξᵏ),   Δᵏ = ∇f(xᵏ; ξᵏ) − ∇f(xᵏ⁻¹; ξᵏ)
    """
    x = np.array(x0, dtype=float)
    points, momenta = [x], []
    for k in range(num_updates):
        g = grad(x, k)
        if k == 0:
            m = g
        else:
            difference = g - grad(points[k - 1], k)
            m = (1 - new_weight) * (m + gamma * difference) + new_weight * g
        x = move(x, m, k)
        points.append(x)
        momenta.append(m)
    return np.stack(points), np.stack(momenta)


def mars(grad, x0, num_updates, move, *, beta, gamma, threshold):
    """MARS, β the weight of the old momentum. arXiv:2411.10438.

    cᵏ = clip(∇f(xᵏ; ξᵏ) + γ β/(1 − β) (∇f(xᵏ; ξᵏ) − ∇f(xᵏ⁻¹; ξᵏ)), threshold)
    mᵏ = β mᵏ⁻¹ + (1 − β) cᵏ,   m⁰ = c⁰ = clip(∇f(x⁰; ξ⁰), threshold)
    """
    x = np.array(x0, dtype=float)
    points, momenta = [x], []
    for k in range(num_updates):
        g = grad(x, k)
        if k == 0:
            m = shortened(g, threshold)
        else:
            c = g + gamma * beta / (1 - beta) * (g - grad(points[k - 1], k))
            m = beta * m + (1 - beta) * shortened(c, threshold)
        x = move(x, m, k)
        points.append(x)
        momenta.append(m)
    return np.stack(points), np.stack(momenta)


def gluon_mvr(grad, x0, num_updates, move, *, beta, q, variant):
    """Gluon-MVR-2 and -3, β the weight of the old momentum. arXiv:2512.16598.

    Gᵏ = ∇f(xᵏ; ξᵏ),   Hᵏ = ∇f(xᵏ⁻¹; ξᵏ),   gᵏ = Gᵏ + (1 − q) (gᵏ⁻¹ − Hᵏ)
    2:  mᵏ = β mᵏ⁻¹ + (1 − β) gᵏ
    3:  mᵏ = β mᵏ⁻¹ + (1 − β) gᵏ + β (Gᵏ − Hᵏ)

    m⁰ = g⁰ = ∇f(x⁰; ξ⁰). Experimental: the last term of variant 3 is inferred from its
    limits q = 1 and β = 0.
    """
    if variant not in (2, 3):
        raise ValueError(variant)
    x = np.array(x0, dtype=float)
    points, momenta = [x], []
    for k in range(num_updates):
        new = grad(x, k)
        if k == 0:
            m = g = new
        else:
            old = grad(points[k - 1], k)
            g = new + (1 - q) * (g - old)
            m = beta * m + (1 - beta) * g
            if variant == 3:
                m = m + beta * (new - old)
        x = move(x, m, k)
        points.append(x)
        momenta.append(m)
    return np.stack(points), np.stack(momenta)


def hessian_corrected(grad, hvp, x0, num_updates, move, *, alphas, bs=None, qs=None):
    """Momentum carried along by a Hessian-vector product. arXiv:2512.13227.

    xᵏ⁺¹ = move(xᵏ, mᵏ, k)
    mᵏ⁺¹ = (1 − αₖ) mᵏ + bₖ ∇²f(z; ξᵏ⁺¹)(xᵏ⁺¹ − xᵏ) + αₖ ∇f(xᵏ⁺¹; ξᵏ⁺¹)
    z = qₖ xᵏ⁺¹ + (1 − qₖ) xᵏ,  or z = xᵏ⁺¹ without qs

    Without bs, bₖ = 1 − αₖ. Experimental: which sample the two oracles use, and which
    letter names which z, is inferred.
    """
    x = np.array(x0, dtype=float)
    points, momenta = [x], []
    m = grad(x, 0)
    for k in range(num_updates):
        x_new = move(x, m, k)
        points.append(x_new)
        momenta.append(m)
        if k + 1 < num_updates:
            z = x_new if qs is None else qs[k] * x_new + (1 - qs[k]) * x
            b = 1 - alphas[k] if bs is None else bs[k]
            product = hvp(z, x_new - x, k + 1)
            m = (1 - alphas[k]) * m + b * product + alphas[k] * grad(x_new, k + 1)
        x = x_new
    return np.stack(points), np.stack(momenta)


def clipped_nsgd_hess(grad, hvp, x0, num_updates, *, a, gamma, lam, lam_h, qs):
    """Clip NSGDHess: momentum first, then a step of length γ. arXiv:2510.10690.

    x̂ₜ = qₜ xₜ + (1 − qₜ) xₜ₋₁,   hₜ = ∇²f(x̂ₜ; ξₜ)(xₜ − xₜ₋₁)
    gₜ = (1 − a) (gₜ₋₁ + γ clip(hₜ/γ, λ_h)) + a clip(∇f(xₜ; ξₜ), λ)
    xₜ₊₁ = xₜ − γ gₜ/‖gₜ‖,   g₀ = clip(∇f(x₀; ξ₀), λ)

    qs[t − 1] is qₜ, t = 1, 2, ....
    """
    x = np.array(x0, dtype=float)
    points, momenta = [x], []
    for t in range(num_updates):
        if t == 0:
            g = shortened(grad(x, 0), lam)
        else:
            x_old = points[t - 1]
            x_hat = qs[t - 1] * x + (1 - qs[t - 1]) * x_old
            h = hvp(x_hat, x - x_old, t)
            carried = g + gamma * shortened(h / gamma, lam_h)
            g = (1 - a) * carried + a * shortened(grad(x, t), lam)
        x = x - gamma * direction(g)
        points.append(x)
        momenta.append(g)
    return np.stack(points), np.stack(momenta)


def nigt(grad, x0, num_updates, move, *, betas):
    """NIGT: the gradient is taken ahead of the iterate. arXiv:2002.03305.

    yₖ = xₖ + βₖ/(1 − βₖ) (xₖ − xₖ₋₁),   mₖ = βₖ mₖ₋₁ + (1 − βₖ) ∇f(yₖ; ξₖ)
    xₖ₊₁ = move(xₖ, mₖ, k)

    m₀ = ∇f(x₀; ξ₀), so betas[0] is not used.
    """
    x = np.array(x0, dtype=float)
    points, momenta = [x], []
    for k in range(num_updates):
        if k == 0:
            m = grad(x, 0)
        else:
            y = x + betas[k] / (1 - betas[k]) * (x - points[k - 1])
            m = betas[k] * m + (1 - betas[k]) * grad(y, k)
        x = move(x, m, k)
        points.append(x)
        momenta.append(m)
    return np.stack(points), np.stack(momenta)


def n_pg_igt(ascent, theta0, num_updates, *, step_size):
    """N-PG-IGT: NIGT upwards, with the schedule of policy gradients.

    ηₜ = (2/(t + 2))^{4/5},   γₜ = step_size/(t + 2)
    yₜ = θₜ + (1 − ηₜ)/ηₜ (θₜ − θₜ₋₁),   dₜ = (1 − ηₜ) dₜ₋₁ + ηₜ g(yₜ; ξₜ)
    θₜ₊₁ = θₜ + γₜ dₜ/‖dₜ‖

    `ascent(theta, t)` is g. η₀ = 1, so y₀ = θ₀ and d₀ = g(θ₀; ξ₀).
    """
    theta = np.array(theta0, dtype=float)
    theta_old, d = theta, np.zeros_like(theta)
    points, momenta = [theta], []
    for t in range(num_updates):
        eta = (2 / (t + 2)) ** (4 / 5)
        gamma = step_size / (t + 2)
        y = theta + (1 - eta) / eta * (theta - theta_old)
        d = (1 - eta) * d + eta * ascent(y, t)
        theta_old = theta
        theta = theta + gamma * direction(d)
        points.append(theta)
        momenta.append(d)
    return np.stack(points), np.stack(momenta)


def n_harpg(ascent, ascent_hvp, theta0, num_updates, *, step_sizes, qs):
    """N-HARPG: Hessian-corrected momentum upwards, with the schedule ηₜ = 2/(t + 2).

    θ̂ₜ = qₜ θₜ + (1 − qₜ) θₜ₋₁,   vₜ = ∇²J(θ̂ₜ; ξₜ)(θₜ − θₜ₋₁)
    uₜ = (1 − ηₜ) (uₜ₋₁ + vₜ) + ηₜ g(θₜ; ξₜ),   θₜ₊₁ = θₜ + γₜ uₜ/‖uₜ‖

    `ascent(theta, t)` is g and `ascent_hvp(z, v, t)` is ∇²J(z; ξₜ) v. η₀ = 1, so
    u₀ = g(θ₀; ξ₀) and qs[0] is not used.
    """
    theta = np.array(theta0, dtype=float)
    points, momenta = [theta], []
    for t in range(num_updates):
        eta = 2 / (t + 2)
        if t == 0:
            u = ascent(theta, 0)
        else:
            theta_old = points[t - 1]
            theta_hat = qs[t] * theta + (1 - qs[t]) * theta_old
            v = ascent_hvp(theta_hat, theta - theta_old, t)
            u = (1 - eta) * (u + v) + eta * ascent(theta, t)
        theta = theta + step_sizes[t] * direction(u)
        points.append(theta)
        momenta.append(u)
    return np.stack(points), np.stack(momenta)
