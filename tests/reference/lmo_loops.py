"""Loops of the methods with a linear minimisation oracle, NumPy float64.

Written from the formulas, without the library. A point is a list of layers, each an
array of any shape. `lmo` and `dual` are lists of functions, one per layer,

    lmo(g) = argmin_{‖z‖ ≤ 1} ⟨g, z⟩,   dual(g) = ‖g‖_* = −⟨g, lmo(g)⟩,

with the layer's scale inside where one is wanted. Several layers together have the norm
maxᵢ ‖xᵢ‖, whose dual norm is Σᵢ ‖gᵢ‖_*. `gradient(x, k)` is the stochastic gradient of
update k = 0, 1, ..., a list like x. Every loop returns x⁰, ..., x^K, and its momentum
starts at 0, where nothing else is said.
"""

import numpy as np


def copied(x):
    """The same layers, as new float64 arrays."""
    return [np.array(leaf, dtype=float) for leaf in x]


def zeros(x):
    """0 like x."""
    return [np.zeros_like(leaf, dtype=float) for leaf in x]


def average(beta, m, g):
    """β m + (1−β) g, layer by layer."""
    return [beta * m_i + (1 - beta) * g_i for m_i, g_i in zip(m, g, strict=True)]


def inner(a, b):
    """⟨a, b⟩ = Σᵢ ⟨aᵢ, bᵢ⟩."""
    return sum(float(np.sum(a_i * b_i)) for a_i, b_i in zip(a, b, strict=True))


def minus(a, b):
    """a − b, layer by layer."""
    return [a_i - b_i for a_i, b_i in zip(a, b, strict=True)]


def plus(a, scales, b):
    """aᵢ + sᵢ bᵢ, layer by layer."""
    return [a_i + s * b_i for a_i, s, b_i in zip(a, scales, b, strict=True)]


def each(functions, x):
    """Function i of layer i."""
    return [f(leaf) for f, leaf in zip(functions, x, strict=True)]


def largest_entry(g):
    return float(np.max(np.abs(g), initial=0.0))


def singular_triple(g):
    """Reduced SVD of g / max |g|, singular values of rounding size left out.

    A scalar or a vector of length d is a matrix 1 × d.
    """
    matrix = np.atleast_2d(g) / largest_entry(g)
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    kept = s > max(matrix.shape) * np.finfo(float).eps * s[0]
    return u[:, kept], s[kept], v[kept]


def l2_lmo(g):
    """−g/‖g‖₂ (Frobenius for a matrix), 0 at 0."""
    if largest_entry(g) == 0:
        return np.zeros_like(g, dtype=float)
    scaled = g / largest_entry(g)
    return -scaled / np.sqrt(np.sum(scaled**2))


def sign_lmo(g):
    """−sign(g), sign(0) = 0: the ball of max |zⱼ|."""
    return -np.sign(g)


def spectral_lmo(g):
    """−U Vᵀ over the nonzero singular values of g = U diag(s) Vᵀ, 0 at 0."""
    if largest_entry(g) == 0:
        return np.zeros_like(g, dtype=float)
    u, _, v = singular_triple(g)
    return -(u @ v).reshape(np.shape(g))


def l2_dual(g):
    """‖g‖₂."""
    if largest_entry(g) == 0:
        return 0.0
    return largest_entry(g) * float(np.sqrt(np.sum((g / largest_entry(g)) ** 2)))


def sign_dual(g):
    """Σⱼ |gⱼ|."""
    return float(np.sum(np.abs(g)))


def spectral_dual(g):
    """The nuclear norm, the sum of the singular values."""
    if largest_entry(g) == 0:
        return 0.0
    return largest_entry(g) * float(np.sum(singular_triple(g)[1]))


def muon(gradient, lmo, x0, num_updates, step_size, *, beta, nesterov, weight_decay):
    """Muon with an exact lmo; β is the weight of the old momentum, M = 0 at the start.

    M ← β M + (1−β) G,   Z = β M + (1−β) G if nesterov, else M
    x ← (1 − γ λ) x + γ lmo(Z),   γ = step_size, λ = weight_decay

    arXiv:2502.16982.
    """
    x, m = copied(x0), zeros(x0)
    path = [x]
    for k in range(num_updates):
        g = gradient(x, k)
        m = average(beta, m, g)
        z = average(beta, m, g) if nesterov else m
        shrunk = [(1 - step_size * weight_decay) * leaf for leaf in x]
        x = plus(shrunk, [step_size] * len(x), each(lmo, z))
        path.append(x)
    return path


def scion(gradient, lmo, x0, num_updates, step_size, radii, *, alpha, constrained):
    """Scion; α is the weight of the new gradient, ρᵢ = radii, d = 0 at the start.

    d ← (1−α) d + α g
    unconstrained   xᵢ ← xᵢ + γ ρᵢ lmo(dᵢ)
    constrained     xᵢ ← (1−γ) xᵢ + γ ρᵢ lmo(dᵢ)

    arXiv:2502.07529.
    """
    x, d = copied(x0), zeros(x0)
    path = [x]
    for k in range(num_updates):
        d = average(1 - alpha, d, gradient(x, k))
        kept = [(1 - step_size) * leaf for leaf in x] if constrained else x
        x = plus(kept, [step_size * radius for radius in radii], each(lmo, d))
        path.append(x)
    return path


def scion_light(gradient, lmo, x0, num_updates, step_size, radii, *, alpha):
    """Constrained Scion whose momentum lives in the gradient slot, 0 at the start.

    B ← B + g,   xᵢ ← (1−γ) xᵢ + γ ρᵢ lmo(Bᵢ),   B ← (1−α) B

    arXiv:2502.07529.
    """
    x, slot = copied(x0), zeros(x0)
    path = [x]
    for k in range(num_updates):
        slot = plus(slot, [1.0] * len(x), gradient(x, k))
        kept = [(1 - step_size) * leaf for leaf in x]
        x = plus(kept, [step_size * radius for radius in radii], each(lmo, slot))
        slot = [(1 - alpha) * leaf for leaf in slot]
        path.append(x)
    return path


def clipped_scion(gradient, lmo, x0, num_updates, step_size, threshold, *, alpha):
    """Clipped Scion; α is the weight of the new gradient, d = 0 at the start.

    d ← α g + (1−α) d,   v = −lmo(d),   η = min(ρ, ⟨d, v⟩),   x ← x − γ η v

    ⟨d, v⟩ is one number for all layers, Σᵢ ‖dᵢ‖_*. arXiv:2506.01913.
    """
    x, d = copied(x0), zeros(x0)
    path = [x]
    for k in range(num_updates):
        d = average(1 - alpha, d, gradient(x, k))
        v = [-leaf for leaf in each(lmo, d)]
        eta = min(threshold, inner(d, v))
        x = plus(x, [-step_size * eta] * len(x), v)
        path.append(x)
    return path


def adaptive_radius(dual_norm, l0, l1):
    """t = ‖g‖_* / (L0 + L1 ‖g‖_*), 0 at g = 0."""
    return 0.0 if dual_norm == 0 else dual_norm / (l0 + l1 * dual_norm)


def gluon(gradient, lmo, dual, x0, num_updates, l0, l1):
    """Gluon with the radii of layerwise (L0, L1)-smoothness, no momentum.

    tᵢ = ‖gᵢ‖_* / (L0ᵢ + L1ᵢ ‖gᵢ‖_*),   xᵢ ← xᵢ + tᵢ lmo(gᵢ)

    arXiv:2505.13416.
    """
    x = copied(x0)
    path = [x]
    for k in range(num_updates):
        g = gradient(x, k)
        t = [adaptive_radius(*n) for n in zip(each(dual, g), l0, l1, strict=True)]
        x = plus(x, t, each(lmo, g))
        path.append(x)
    return path


def gluon_scheduled(gradient, lmo, x0, num_updates, radii):
    """Stochastic Gluon with the schedule of its theorem, M⁰ = g⁰.

    βₖ = 1 − (k+1)^(−1/2),   Mᵏ = βₖ Mᵏ⁻¹ + (1−βₖ) gᵏ
    xᵢ ← xᵢ + tᵢ (k+1)^(−3/4) lmo(Mᵢᵏ)

    β₀ = 0, so that the first update uses M⁰. arXiv:2505.13416.
    """
    x, m = copied(x0), zeros(x0)
    path = [x]
    for k in range(num_updates):
        g = gradient(x, k)
        beta = 1 - (k + 1) ** -0.5
        m = average(beta, m, g)
        x = plus(x, [t * (k + 1) ** -0.75 for t in radii], each(lmo, m))
        path.append(x)
    return path


def drop_muon(
    gradient, lmo, dual, x0, num_updates, step_size, *, beta, starts, sharp=True
):
    """Drop-Muon with the layers S = {s, ..., last}, s = starts[k] counted from 0.

    i in S:       Mᵢ ← β Mᵢ + (1−β) gᵢ,   xᵢ ← xᵢ − γ Mᵢ^#,   M^# = −‖M‖_* lmo(M)
    i not in S:   Mᵢ and xᵢ stay

    `sharp=False` takes the unit step xᵢ ← xᵢ + γ lmo(Mᵢ) instead. β is the weight of
    the old momentum, M = 0 at the start, γ one number. arXiv:2510.02239.
    """
    x, m = copied(x0), zeros(x0)
    path = [x]
    for k in range(num_updates):
        g = gradient(x, k)
        x, m = list(x), list(m)
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
    """EF21-Muon on one layer, an array; β is the weight of the old momentum.

    Mⱼ⁰ = ∇fⱼ(x⁰),   Gⱼ⁰ = Cⱼ(Mⱼ⁰),   G⁰ = (1/n) Σⱼ Gⱼ⁰,   w⁰ = x⁰
    x ← x + γ lmo(G),   w ← w + C(x − w)
    Mⱼ ← β Mⱼ + (1−β) ∇fⱼ(w),   Rⱼ = Cⱼ(Mⱼ − Gⱼ),   Gⱼ ← Gⱼ + Rⱼ,   G ← G + (1/n) Σⱼ Rⱼ

    `gradient(worker, x, k)` and `compress(worker, k, v)` use k = 0 at x⁰ and k + 1 in
    loop k = 0, 1, ..., `compress_down(k, v)` uses k. Returns the models x, the workers'
    models w, the totals G and the tables of all Gⱼ, each stacked, K + 1 of them.
    arXiv:2510.00643.
    """
    x = np.array(x0, dtype=float)
    w = x
    m = [gradient(j, x, 0) for j in range(num_workers)]
    table = [compress(j, 0, m[j]) for j in range(num_workers)]
    total = sum(table) / num_workers
    xs, ws, totals, tables = [x], [w], [total], [np.stack(table)]
    for k in range(num_updates):
        x = x + step_size * lmo(total)
        w = w + compress_down(k, x - w)
        mean_message = np.zeros_like(x)
        for j in range(num_workers):
            m[j] = beta * m[j] + (1 - beta) * gradient(j, w, k + 1)
            r = compress(j, k + 1, m[j] - table[j])
            table[j] = table[j] + r
            mean_message = mean_message + r / num_workers
        total = total + mean_message
        xs.append(x)
        ws.append(w)
        totals.append(total)
        tables.append(np.stack(table))
    return np.stack(xs), np.stack(ws), np.stack(totals), np.stack(tables)


def distance_adaptive(
    gradient, lmo, norm, x0, num_updates, scale, first_radius, *, alpha, weight
):
    """Experimental: the radius explored so far is the step.

    m ← (1−αₖ) m + αₖ g,   r ← max(r, ‖xₖ − x₀‖),   x ← x + c r wₖ lmo(m)

    r = first_radius and m = 0 at the start, c = scale, `norm` of the whole list.
    Returns the path and the r of each update. Only the idea is of arXiv:2605.18999; the
    formula is a reconstruction.
    """
    x, m = copied(x0), zeros(x0)
    start, r = x, first_radius
    path, radii = [x], []
    for k in range(num_updates):
        m = average(1 - alpha(k), m, gradient(x, k))
        r = max(r, norm(minus(x, start)))
        x = plus(x, [scale * r * weight(k)] * len(x), each(lmo, m))
        path.append(x)
        radii.append(r)
    return path, radii


def scale_calibrated(gradient, lmo, x0, num_updates, smoothness, *, alpha):
    """Experimental: the step that the descent lemma grants along the momentum.

    m ← (1−α) m + α g,   d = lmo(m),   c = −⟨g, d⟩,   x ← x + (max(0, c)/L(g)) d

    m = 0 at the start; c is one number for all layers. Only the idea is of
    arXiv:2605.18999; the formula is a reconstruction.
    """
    x, m = copied(x0), zeros(x0)
    path = [x]
    for k in range(num_updates):
        g = gradient(x, k)
        m = average(1 - alpha, m, g)
        d = each(lmo, m)
        c = -inner(g, d)
        x = plus(x, [max(0.0, c) / smoothness(g)] * len(x), d)
        path.append(x)
    return path


def towards(x, start, a, radius, d):
    """(1−a) x + a (x₀ + R d)."""
    return average(1 - a, x, plus(start, [radius] * len(x), d))


def recentred(gradient, lmo, x0, num_updates, radius):
    """Experimental: Frank–Wolfe over the ball of a known radius R around x₀.

    aₖ = 2/(k+2),   x ← (1−aₖ) x + aₖ (x₀ + R lmo(g))

    Only the idea is of arXiv:2605.18999; the formula is a reconstruction.
    """
    x = copied(x0)
    start = x
    path = [x]
    for k in range(num_updates):
        d = each(lmo, gradient(x, k))
        x = towards(x, start, 2 / (k + 2), radius, d)
        path.append(x)
    return path


def distance_free(
    value, gradient, lmo, dual, norm, x0, num_updates, smoothness, first_radius
):
    """Experimental: `recentred` with the radius R chosen from certified distances.

    f_best = min_{j≤k} f(xⱼ)
    D ← max(D, max(0, f(x) − f_best + ⟨g, x₀ − x⟩)/‖g‖_*),   low = max(D, first_radius)
    q(R) = f + a ⟨g, x₀ − x⟩ + a R ⟨g, d⟩ + (L/2) a² (‖x₀ − x‖ + R)²,   d = lmo(g)
    R = argmin of q over [low, max(top, low)],   aₖ = 2/(k+2)
    x ← (1−a) x + a (x₀ + R d)

    q, by the triangle inequality (‖d‖ = 1), is above the upper model of f; without
    bounds its minimiser is ‖g‖_*/(L a) − ‖x₀ − x‖. `top` starts at first_radius; where
    that minimiser is at or beyond max(top, low), the next top is 2 max(top, low).
    `value`, `dual` and `norm` are of whole lists. Returns the path, the D and the R of
    each update. Only the idea is of arXiv:2605.18999; the formula is a reconstruction.
    """
    x = copied(x0)
    start, best, certified, top = x, np.inf, 0.0, first_radius
    path, distances, radii = [x], [], []
    for k in range(num_updates):
        g, f, a = gradient(x, k), value(x), 2 / (k + 2)
        best = min(best, f)
        gap = f - best + inner(g, minus(start, x))
        if dual(g) > 0:
            certified = max(certified, max(0.0, gap) / dual(g))
        low = max(certified, first_radius)
        high = max(top, low)
        free = dual(g) / (smoothness * a) - norm(minus(start, x))
        r = min(max(free, low), high)
        top = 2 * high if free >= high else top
        x = towards(x, start, a, r, each(lmo, g))
        path.append(x)
        distances.append(certified)
        radii.append(r)
    return path, distances, radii


def project_box(x, lower, upper):
    """min(max(x, lower), upper), entry by entry."""
    return np.minimum(np.maximum(x, lower), upper)


def project_ball(x, center, radius):
    """c + (x − c) min(1, r/‖x − c‖₂)."""
    distance = l2_dual(x - center)
    return x if distance <= radius else center + (radius / distance) * (x - center)


def project_half_space(x, normal, offset):
    """x − max(0, ⟨n, x⟩ − b) n/‖n‖², onto ⟨n, x⟩ ≤ b."""
    return x - max(0.0, normal @ x - offset) / (normal @ normal) * normal


def project_affine(x, normals, offsets):
    """x − N⁺ (N x − b), onto N x = b."""
    return x - np.linalg.pinv(normals) @ (normals @ x - offsets)


def project_simplex(x, total):
    """max(x − θ, 0) with the θ for which the entries sum to `total`.

    θ = (x₁ + ... + x_r − total)/r of the entries in falling order, r the last at which
    x_r is above it. The largest entry is subtracted first, which changes nothing.
    """
    shifted = x - np.max(x)
    falling = np.sort(shifted)[::-1]
    theta = (np.cumsum(falling) - total) / np.arange(1, x.size + 1)
    return np.maximum(shifted - theta[np.flatnonzero(falling > theta)[-1]], 0.0)


def project_l1_ball(x, radius):
    """x inside; else sign(x) times the projection of |x| onto the simplex."""
    if np.sum(np.abs(x)) <= radius:
        return x
    return np.sign(x) * project_simplex(np.abs(x), radius)


def local_step(project, x, g, radius):
    """Local LMO, argmin of ⟨g, z⟩ over z in X with ‖z − x‖₂ ≤ t, by bisection.

    p(γ) = Proj_X(x − γ g),   x⁺ = p(γ) for the γ > 0 with ‖p(γ) − x‖ = t

    ‖p(γ) − x‖ is nondecreasing. If the ball is inactive, x⁺ is the limit of p, the
    minimiser of ⟨g, ·⟩ over X nearest to x: γ doubles until the ball is reached or p(γ)
    minimises, that is Proj_X(p − s g) = p for the s > 0 with ‖s g‖ = t, to rounding. x
    is in X, and stays at g = 0 or t = 0. arXiv:2605.08850.
    """
    size = l2_dual(g)
    if size == 0 or radius == 0:
        return np.array(x, dtype=float)
    unit, rounding = g / size, 1e-13 * max(radius, l2_dual(x))
    low, high = 0.0, radius
    while l2_dual(project(x - high * unit) - x) < radius:
        p = project(x - high * unit)
        if l2_dual(project(p - radius * unit) - p) <= rounding:
            return p
        if high > 1e18 * radius:
            raise ValueError("no bracket of gamma: is x in the set?")
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        if l2_dual(project(x - middle * unit) - x) < radius:
            low = middle
        else:
            high = middle
    return project(x - low * unit)
