"""Iterates of methods that choose, clip or schedule their steps: NumPy float64 loops.

Written from the formulas, without the library. A point is a vector or a scalar. The
deterministic methods take `value(x)` and `grad(x)`; the stochastic ones `value(x, k)`
and `grad(x, k)`, the sample of step k = 0, 1, ..., and those on batches
`grads_of_batch(x, k)`, one gradient per row, and `value_of_batch(x, k)`, the mean of
the batch.

Every function returns the points x⁰, ..., x^K stacked along a new first axis, alone or
as the first of a tuple whose other entries its docstring names.
"""

import numpy as np


def clip(v, threshold):
    """min(1, c/‖v‖) v, and 0 where v = 0."""
    norm = np.linalg.norm(v)
    return v if norm <= threshold else threshold / norm * v


def at(schedule, k):
    """The value at step k of a number or of a function of k."""
    return schedule(k) if callable(schedule) else schedule


# Generalized smoothness and clipping.


def generalized_smoothness_gd(grad, x0, K, l0, l1, eta):
    """(L₀, L₁)-GD, also smoothed clipping. arXiv:2409.14989.

    x ← x − η/(L₀ + L₁ ‖∇f(x)‖) ∇f(x)
    """
    x = np.array(x0, dtype=float)
    points = [x]
    for _ in range(K):
        g = grad(x)
        x = x - eta / (l0 + l1 * np.linalg.norm(g)) * g
        points.append(x)
    return np.stack(points)


def clipped_gd(grad, x0, K, step_size, threshold):
    """x ← x − η min(1, c/‖∇f(x)‖) ∇f(x)."""
    x = np.array(x0, dtype=float)
    points = [x]
    for _ in range(K):
        x = x - step_size * clip(grad(x), threshold)
        points.append(x)
    return np.stack(points)


def gd_ps(value, grad, x0, K, f_star):
    """GD with Polyak's step; also returns the steps. arXiv:2409.14989.

    γ = (f(x) − f*)/‖∇f(x)‖²,   x ← x − γ ∇f(x)

    γ = 0 where ∇f(x) = 0.
    """
    x = np.array(x0, dtype=float)
    points, steps = [x], []
    for _ in range(K):
        g = grad(x)
        norm = np.linalg.norm(g)
        gamma = 0.0 if norm == 0 else (value(x) - f_star) / norm**2
        x = x - gamma * g
        points.append(x)
        steps.append(gamma)
    return np.stack(points), np.array(steps)


def stm(grad, x0, K, l0, l1, eta, largest):
    """(L₀, L₁)-STM; the points y⁰, ..., y^K. arXiv:2409.14989.

    aₖ₊₁ = η (k + 2)/2,   Aₖ₊₁ = Aₖ + aₖ₊₁,   A₀ = 0,   y⁰ = z⁰ = x⁰
    xᵏ⁺¹ = (Aₖ yᵏ + aₖ₊₁ zᵏ)/Aₖ₊₁,   Gₖ₊₁ = L₀ + L₁ ‖∇f(xᵏ⁺¹)‖
    zᵏ⁺¹ = zᵏ − aₖ₊₁/Gₖ₊₁ ∇f(xᵏ⁺¹),   yᵏ⁺¹ = (Aₖ yᵏ + aₖ₊₁ zᵏ⁺¹)/Aₖ₊₁

    With `largest`, Gₖ₊₁ is the largest of this value and all before it.
    """
    y = z = np.array(x0, dtype=float)
    points = [y]
    total, bound = 0.0, 0.0
    for k in range(K):
        a = eta * (k + 2) / 2
        x = (total * y + a * z) / (total + a)
        g = grad(x)
        new_bound = l0 + l1 * np.linalg.norm(g)
        bound = max(bound, new_bound) if largest else new_bound
        z = z - a / bound * g
        y = (total * y + a * z) / (total + a)
        total = total + a
        points.append(y)
    return np.stack(points)


def clipped_sstm(grad, x0, K, step_size, level):
    """Clipped SSTM; the points y⁰, ..., y^K. arXiv:2302.00999.

    aₖ₊₁ = step_size (k + 2)/2,   λₖ₊₁ = level/aₖ₊₁, and the averages of `stm` with
    zᵏ⁺¹ = zᵏ − aₖ₊₁ clip(∇f(xᵏ⁺¹; ξᵏ), λₖ₊₁)
    """
    y = z = np.array(x0, dtype=float)
    points = [y]
    total = 0.0
    for k in range(K):
        a = step_size * (k + 2) / 2
        x = (total * y + a * z) / (total + a)
        z = z - a * clip(grad(x, k), level / a)
        y = (total * y + a * z) / (total + a)
        total = total + a
        points.append(y)
    return np.stack(points)


def clipped_seg(operator, x0, K, step, ahead, threshold):
    """Clipped stochastic extragradient. arXiv:2302.00999.

    x̃ = x − ahead · clip(F(x; ξ²ᵏ), λ),   x ← x − step · clip(F(x̃; ξ²ᵏ⁺¹), λ)

    `operator(x, j)`: the j-th call, so two different samples in each step.
    """
    x = np.array(x0, dtype=float)
    points = [x]
    for k in range(K):
        x_ahead = x - ahead * clip(operator(x, 2 * k), threshold)
        x = x - step * clip(operator(x_ahead, 2 * k + 1), threshold)
        points.append(x)
    return np.stack(points)


# Steps from the curvature along the path.


def adgd(grad, x0, K, first_step):
    """AdGD; also returns the steps λ₀, ..., λ_{K−1}. arXiv:1910.09529.

    λₖ = min{√(1 + θₖ₋₁) λₖ₋₁, ‖xₖ − xₖ₋₁‖/(2 ‖gₖ − gₖ₋₁‖)},   θₖ = λₖ/λₖ₋₁,   θ₀ = ∞

    Equal gradients leave the first branch, equal points as well λₖ = λₖ₋₁. At k = 1 the
    first branch is infinite: then, too, λ₁ = λ₀.
    """
    x = np.array(x0, dtype=float)
    g, step, theta = grad(x), first_step, np.inf
    points, steps = [x], []
    for _ in range(K):
        points.append(x - step * g)
        steps.append(step)
        moved = np.linalg.norm(points[-1] - x)
        x = points[-1]
        turned = np.linalg.norm(grad(x) - g)
        g = grad(x)
        first_branch = np.sqrt(1 + theta) * step
        second_branch = np.inf if turned == 0 else moved / (2 * turned)
        new = min(first_branch, second_branch)
        if moved == 0 or new == np.inf:
            new = step
        step, theta = new, new / step
    return np.stack(points), np.array(steps)


def adgd2(grad, x0, K, first_step):
    """AdGD2; also returns the steps λ₀, ..., λ_{K−1}. arXiv:2308.02261.

    λₖ = min{√(2/3 + θₖ₋₁) λₖ₋₁, λₖ₋₁/√([2 λₖ₋₁² Lₖ² − 1]₊)},   θₖ = λₖ/λₖ₋₁,   θ₀ = 1/3
    Lₖ = ‖gₖ − gₖ₋₁‖/‖xₖ − xₖ₋₁‖

    The second branch is infinite where [·]₊ = 0. Equal points leave λₖ = λₖ₋₁.
    """
    x = np.array(x0, dtype=float)
    g, step, theta = grad(x), first_step, 1 / 3
    points, steps = [x], []
    for _ in range(K):
        points.append(x - step * g)
        steps.append(step)
        moved = np.linalg.norm(points[-1] - x)
        x = points[-1]
        turned = np.linalg.norm(grad(x) - g)
        g = grad(x)
        new = step
        if moved > 0:
            excess = 2 * step**2 * (turned / moved) ** 2 - 1
            second_branch = step / np.sqrt(excess) if excess > 0 else np.inf
            new = min(np.sqrt(2 / 3 + theta) * step, second_branch)
        step, theta = new, new / step
    return np.stack(points), np.array(steps)


# Thresholds from the norms of a batch.


def clipped_mean(rows, threshold):
    """(1/B) Σᵢ clip(gᵢ, τ)."""
    return sum(clip(row, threshold) for row in rows) / len(rows)


def smallest_with_fraction(norms, fraction):
    """The smallest of the norms with at least this fraction of them at or below it."""
    return min(tau for tau in norms if np.mean(norms <= tau) >= fraction)


def quantile_clipped_sgd(grads_of_batch, x0, K, step_size, quantile):
    """QC-SGD; also returns the thresholds τ₀, ..., τ_{K−1}. arXiv:2412.19916.

    τ = smallest norm in the batch with at least a fraction p of them at or below it
    x ← x − γ (1/B) Σᵢ clip(gᵢ, τ)

    γ = step_size and p = quantile are numbers or functions of k. Experimental: a
    schedule that sends p to 1 is the caller's own, not the paper's.
    """
    x = np.array(x0, dtype=float)
    points, thresholds = [x], []
    for k in range(K):
        rows = grads_of_batch(x, k)
        norms = np.array([np.linalg.norm(row) for row in rows])
        tau = smallest_with_fraction(norms, at(quantile, k))
        x = x - at(step_size, k) * clipped_mean(rows, tau)
        points.append(x)
        thresholds.append(tau)
    return np.stack(points), np.array(thresholds)


def tracked_quantile_sgd(
    grads_of_batch, x0, K, step_size, quantile, first_threshold, rate
):
    """SGD clipped at a tracked quantile; also returns the thresholds τ₀, ..., τ_{K−1}.

    x ← x − γ (1/B) Σᵢ clip(gᵢ, τ), and then τ ← τ exp(−rate ((1/B) #{‖gᵢ‖ ≤ τ} − p))

    arXiv:1905.03871.
    """
    x = np.array(x0, dtype=float)
    tau = first_threshold
    points, thresholds = [x], []
    for k in range(K):
        rows = grads_of_batch(x, k)
        x = x - step_size * clipped_mean(rows, tau)
        points.append(x)
        thresholds.append(tau)
        fraction = np.mean([np.linalg.norm(row) <= tau for row in rows])
        tau = tau * np.exp(-rate * (fraction - quantile))
    return np.stack(points), np.array(thresholds)


# Steps from values and from the diversity of a batch.


def polyak_ratio(gap, g, c):
    """gap/(c ‖g‖²), and ∞ (no restriction) where g = 0."""
    norm = np.linalg.norm(g)
    return np.inf if norm == 0 else gap / (c * norm**2)


def sps_max(value, grad, x0, K, f_min, c, cap):
    """SPS_max; also returns the steps. arXiv:2002.10542.

    γ = min{(f(x; ξ) − f_min)/(c ‖∇f(x; ξ)‖²), cap},   x ← x − γ ∇f(x; ξ)

    Where ∇f(x; ξ) = 0, γ = cap; x does not move (and γ = 0 if cap = ∞).
    """
    x = np.array(x0, dtype=float)
    points, steps = [x], []
    for k in range(K):
        g = grad(x, k)
        gamma = min(polyak_ratio(value(x, k) - f_min, g, c), cap)
        gamma = 0.0 if gamma == np.inf else gamma
        x = x - gamma * g
        points.append(x)
        steps.append(gamma)
    return np.stack(points), np.array(steps)


def smoothed_sps(value, grad, x0, K, f_min, c, first, growth):
    """SPS that may grow by a factor only; also returns the steps. arXiv:2002.10542.

    γₖ = min{(f(x; ξ) − f_min)/(c ‖∇f(x; ξ)‖²), γ_{b,k}},   x ← x − γₖ ∇f(x; ξ)
    γ_{b,0} = first,   γ_{b,k} = growth · γₖ₋₁

    Where ∇f(x; ξ) = 0, γₖ = γ_{b,k}; x does not move.
    """
    x = np.array(x0, dtype=float)
    cap = first
    points, steps = [x], []
    for k in range(K):
        g = grad(x, k)
        gamma = min(polyak_ratio(value(x, k) - f_min, g, c), cap)
        x = x - gamma * g
        cap = growth * gamma
        points.append(x)
        steps.append(gamma)
    return np.stack(points), np.array(steps)


def grad_diversity_sgd(grads_of_batch, x0, K, smoothness, c):
    """GraD; also returns the steps. arXiv:2208.05287.

    g = (1/B) Σᵢ gᵢ,   γ = (c/L) (1/B) Σᵢ ‖gᵢ‖²/‖g‖²,   x ← x − γ g

    γ = 0 where g = 0. Experimental: the formula is inferred from an abstract.
    """
    x = np.array(x0, dtype=float)
    points, steps = [x], []
    for k in range(K):
        rows = grads_of_batch(x, k)
        g = np.mean(rows, axis=0)
        norm = np.linalg.norm(g)
        mean_square = np.mean([np.linalg.norm(row) ** 2 for row in rows])
        gamma = 0.0 if norm == 0 else c / smoothness * mean_square / norm**2
        x = x - gamma * g
        points.append(x)
        steps.append(gamma)
    return np.stack(points), np.array(steps)


def stop_sgd(value_of_batch, grads_of_batch, x0, K, c, f_low):
    """StoP; also returns the steps. arXiv:2208.05287.

    g = (1/B) Σᵢ gᵢ,   γ = (f_S(x) − f_low)/(c ‖g‖²),   x ← x − γ g

    γ = 0 where g = 0. Experimental: the formula is inferred from an abstract.
    """
    x = np.array(x0, dtype=float)
    points, steps = [x], []
    for k in range(K):
        g = np.mean(grads_of_batch(x, k), axis=0)
        norm = np.linalg.norm(g)
        gamma = 0.0 if norm == 0 else (value_of_batch(x, k) - f_low) / (c * norm**2)
        x = x - gamma * g
        points.append(x)
        steps.append(gamma)
    return np.stack(points), np.array(steps)


# Schedules.


def refined_linear_decay(norms, power, window):
    """The schedule η₁, ..., η_T from a pilot run's gradient norms. arXiv:2310.07831.

    Gₜ = median of the `window` (odd) norms around t, edges repeated
    wₜ = Gₜ^{−power},   ηₜ ∝ wₜ Σ_{p=t+1}^T wₚ,   max ηₜ = 1
    """
    if window % 2 == 0:
        raise ValueError(window)
    half = window // 2
    padded = [norms[0]] * half + list(norms) + [norms[-1]] * half
    smooth = [np.median(padded[t : t + window]) for t in range(len(norms))]
    weights = [norm**-power for norm in smooth]
    schedule = [w * sum(weights[t + 1 :]) for t, w in enumerate(weights)]
    return np.array(schedule) / max(schedule)


# Proximal points and balls.


def quadratic_minimiser_in_ball(matrix, linear, x, radius):
    """argmin of ½ zᵀAz − bᵀz over ‖z − x‖ ≤ r, by bisection on the prox parameter c.

    z(c) = x − (A + cI)⁻¹ (Ax − b), and ‖z(c) − x‖ decreases in c. A is symmetric and
    positive semidefinite, b in its range; c = 0 means the nearest minimiser.
    """
    g = matrix @ x - linear
    to_minimiser = -np.linalg.pinv(matrix, hermitian=True) @ g
    if np.linalg.norm(to_minimiser) <= radius:
        return x + to_minimiser
    low, high = 0.0, np.linalg.norm(g) / radius
    for _ in range(100):
        middle = (low + high) / 2
        step = -np.linalg.solve(matrix + middle * np.eye(len(x)), g)
        if np.linalg.norm(step) > radius:
            low = middle
        else:
            high = middle
    return x - np.linalg.solve(matrix + high * np.eye(len(x)), g)


def bpm_quadratic(matrix, linear, x0, K, radius):
    """The ball proximal point method on f = ½ xᵀAx − bᵀx. arXiv:2502.02002.

    xₖ₊₁ = argmin f(z) over ‖z − xₖ‖ ≤ tₖ

    tₖ = radius is a number or a function of k.
    """
    x = np.array(x0, dtype=float)
    points = [x]
    for k in range(K):
        x = quadratic_minimiser_in_ball(matrix, linear, x, at(radius, k))
        points.append(x)
    return np.stack(points)


def sppm_least_squares(rows, targets, order, x0, step_size):
    """Stochastic proximal points of fᵢ = ½ (aᵢ·x − bᵢ)², i = order[k].

    x ← prox_{γ fᵢ}(x) = x − γ aᵢ (aᵢ·x − bᵢ)/(1 + γ ‖aᵢ‖²)
    """
    x = np.array(x0, dtype=float)
    points = [x]
    for i in order:
        a, b = rows[i], targets[i]
        x = x - step_size * a * (a @ x - b) / (1 + step_size * (a @ a))
        points.append(x)
    return np.stack(points)
