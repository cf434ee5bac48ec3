"""The loops of corrected momentum against identities that hold without the library."""

import numpy as np
import pytest
from reference import momentum_loops as loops

DIM, STEPS = 4, 30
RNG = np.random.default_rng(0)
ROOT = RNG.standard_normal((DIM, DIM))
HESSIAN = ROOT @ ROOT.T / DIM + 0.2 * np.eye(DIM)
LINEAR = RNG.standard_normal(DIM)
NOISE = RNG.standard_normal((STEPS + 1, DIM))
SCALES = 1 + RNG.random((STEPS + 1, DIM))
START = RNG.standard_normal(DIM)
QS = RNG.random(STEPS)
ETAS = 0.3 / np.sqrt(1 + np.arange(STEPS))
MOVES = {"normalized": loops.normalized(ETAS), "plain": loops.plain(0.05)}


def exact(x, k=0):
    """The gradient of a quadratic, without noise."""
    return HESSIAN @ x - LINEAR


def exact_hvp(z, v, k=0):
    return HESSIAN @ v


def noisy(x, k):
    """The gradient of the same quadratic with additive noise."""
    return exact(x) + NOISE[k]


def curved(x, k):
    """A gradient whose sample multiplies a nonlinear function of x."""
    return exact(x) + SCALES[k] * np.sin(x) + NOISE[k]


def curved_hvp(z, v, k):
    return HESSIAN @ v + SCALES[k] * np.cos(z) * v


def same(a, b):
    """Equal points and equal momenta."""
    for left, right in zip(a, b, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-10, atol=1e-12)


def different(a, b):
    return np.max(np.abs(a[0] - b[0])) > 1e-5


def errors(result):
    """mᵏ − ∇f(xᵏ) of every step."""
    points, momenta = result
    return momenta - np.array([exact(x) for x in points[:-1]])


def sgd(grad, x0, num_updates, move):
    x, points, momenta = np.array(x0), [np.array(x0)], []
    for k in range(num_updates):
        momenta.append(grad(x, k))
        x = move(x, momenta[-1], k)
        points.append(x)
    return np.stack(points), np.stack(momenta)


def sarah(grad, x0, num_updates, move):
    """v ← v + ∇f(xᵏ; ξᵏ) − ∇f(xᵏ⁻¹; ξᵏ)."""
    points, momenta = [np.array(x0)], []
    for k in range(num_updates):
        v = grad(points[0], 0) if k == 0 else momenta[-1]
        if k > 0:
            v = v + grad(points[-1], k) - grad(points[-2], k)
        momenta.append(v)
        points.append(move(points[-1], v, k))
    return np.stack(points), np.stack(momenta)


def average(grad, x0, num_updates, move, beta):
    """m ← β m + (1 − β) ∇f(x; ξ), started at the first gradient."""
    x, points, momenta = np.array(x0), [np.array(x0)], []
    for k in range(num_updates):
        g = grad(x, k)
        momenta.append(g if k == 0 else beta * momenta[-1] + (1 - beta) * g)
        x = move(x, momenta[-1], k)
        points.append(x)
    return np.stack(points), np.stack(momenta)


@pytest.fixture(params=MOVES)
def move(request):
    return MOVES[request.param]


def test_steps_have_the_stated_length_and_zero_does_not_move():
    m = np.array([3.0, 4.0])
    x = np.array([1.0, 1.0])
    np.testing.assert_allclose(loops.normalized([2.0])(x, m, 0), [-0.2, -0.6])
    np.testing.assert_array_equal(loops.normalized([2.0])(x, 0 * m, 0), x)
    np.testing.assert_allclose(loops.plain(0.5)(x, m, 7), [-0.5, -1.0])
    np.testing.assert_allclose(loops.shortened(m, 1.0), [0.6, 0.8])
    np.testing.assert_array_equal(loops.shortened(m, 5.0), m)
    np.testing.assert_array_equal(loops.shortened(0 * m, 0.0), 0 * m)


# MVR, STORM, γ-MVR and MARS.


def test_mvr_of_weight_one_is_sgd_and_of_weight_zero_is_sarah(move):
    same(
        loops.mvr(curved, START, STEPS, move, alpha=1.0),
        sgd(curved, START, STEPS, move),
    )
    same(
        loops.mvr(curved, START, STEPS, move, alpha=0.0),
        sarah(curved, START, STEPS, move),
    )


def test_mvr_without_noise_is_the_gradient(move):
    result = loops.mvr(exact, START, STEPS, move, alpha=0.3)
    np.testing.assert_allclose(errors(result), 0, atol=1e-12)


def test_error_of_mvr_with_additive_noise_forgets_the_steps(move):
    alpha = 0.3
    found = errors(loops.mvr(noisy, START, STEPS, move, alpha=alpha))
    e = NOISE[0]
    for k in range(STEPS):
        e = e if k == 0 else (1 - alpha) * e + alpha * NOISE[k]
        np.testing.assert_allclose(found[k], e, atol=1e-12)


def test_variance_of_mvr_tends_to_alpha_over_two_minus_alpha():
    dim, alpha, num_updates = 20_000, 0.3, 40
    noise = np.random.default_rng(1).standard_normal((num_updates, dim))
    grad = lambda x, k: 0.5 * x + noise[k]
    move = loops.plain(0.1)
    points, momenta = loops.mvr(grad, np.zeros(dim), num_updates, move, alpha=alpha)
    error = momenta[-1] - 0.5 * points[-2]
    assert np.var(error) == pytest.approx(alpha / (2 - alpha), rel=0.06)


def test_storm_takes_the_steps_of_its_schedule():
    scale, w, c = 0.4, 2.0, 3.0
    points, momenta = loops.storm(curved, START, STEPS, k=scale, w=w, c=c)
    squares = [np.sum(curved(x, t) ** 2) for t, x in enumerate(points[:-1])]
    etas = scale / (w + np.cumsum(squares)) ** (1 / 3)
    np.testing.assert_allclose(points[:-1] - points[1:], etas[:, None] * momenta)
    alphas = np.minimum(1, c * etas**2)
    for t in range(1, STEPS):
        kept = momenta[t - 1] - curved(points[t - 1], t)
        expected = curved(points[t], t) + (1 - alphas[t - 1]) * kept
        np.testing.assert_allclose(momenta[t], expected, atol=1e-12)
    assert alphas.max() < 1


def test_storm_with_large_and_zero_c():
    _, momenta = result = loops.storm(curved, START, STEPS, k=0.4, w=2.0, c=1e9)
    gradients = [curved(x, t) for t, x in enumerate(result[0][:-1])]
    np.testing.assert_allclose(momenta, gradients)
    points, momenta = loops.storm(exact, START, STEPS, k=0.4, w=2.0, c=0.0)
    np.testing.assert_allclose(errors((points, momenta)), 0, atol=1e-12)


def test_gamma_mvr_between_average_and_mvr(move):
    weight = 0.2
    arguments = (curved, START, STEPS, move)
    one = loops.gamma_mvr(*arguments, new_weight=weight, gamma=1.0)
    half = loops.gamma_mvr(*arguments, new_weight=weight, gamma=0.5)
    zero = loops.gamma_mvr(*arguments, new_weight=weight, gamma=0.0)
    same(one, loops.mvr(*arguments, alpha=weight))
    same(zero, average(*arguments, 1 - weight))
    assert different(one, half) and different(half, zero)


def gamma_similarity(n, hessian, gamma):
    """δ_γ² of fᵢ = ½ L̂ xᵢ², i uniform in n = d, from its definition."""
    mean = hessian / n * np.eye(n)
    each = [np.diag(hessian * np.eye(n)[i]) for i in range(n)]
    second_moment = sum((gamma * a - mean) @ (gamma * a - mean) for a in each) / n
    return np.linalg.eigvalsh(second_moment)[-1]


def test_gamma_similarity_of_the_coordinate_problem():
    n, hessian = 5, 3.0
    delta_sq, l_sq = (n - 1) * hessian**2 / n**2, hessian**2 / n**2
    assert l_sq / (delta_sq + l_sq) == pytest.approx(1 / n)
    assert gamma_similarity(n, hessian, 1.0) == pytest.approx(delta_sq)
    for gamma in (0.0, 1 / n, 0.6, 1.0):
        bound = gamma**2 * delta_sq + (1 - gamma) ** 2 * l_sq
        assert gamma_similarity(n, hessian, gamma) == pytest.approx(bound)
    assert delta_sq / gamma_similarity(n, hessian, 1 / n) == pytest.approx(n)


def test_gamma_mvr_keeps_its_guarantee_on_the_coordinate_problem():
    """E‖∇f‖² ≤ 4ε² with the theory's weight, batch, step and horizon."""
    n, eps_sq = 4, 0.05
    gamma, sigma_sq, gap, delta_sq = 1 / n, 3.0, 0.5, 0.75
    weight = eps_sq / sigma_sq
    first_term = (1 - weight) ** 2 * (gamma - 1) ** 2 / weight
    a = (first_term + 2 * (1 - weight) ** 2 * delta_sq) / weight
    eta = 1 / (1 + np.sqrt(a))
    horizon = int(np.ceil(2 * gap / (eta * eps_sq) + sigma_sq / eps_sq))
    coordinate_gradient = lambda x, i: 4 * x[i] * np.eye(n)[i]
    mean_squares = []
    for seed in range(3):
        draws = np.random.default_rng(seed).integers(n, size=horizon)
        batch = np.random.default_rng(100 + seed).integers(n, size=round(1 / weight))

        def grad(x, k, draws=draws, batch=batch):
            if k == 0:
                return np.mean([coordinate_gradient(x, i) for i in batch], axis=0)
            return coordinate_gradient(x, draws[k])

        points, _ = loops.gamma_mvr(
            grad, np.full(n, 0.5), horizon, loops.plain(eta),
            new_weight=weight, gamma=gamma,
        )  # fmt: skip
        assert np.max(np.sum(points**2, axis=1)) <= 1 + 1e-9
        mean_squares.append(np.mean(np.sum(points[:-1] ** 2, axis=1)))
    assert np.mean(mean_squares) <= 4 * eps_sq


def test_mars_without_clipping_is_gamma_mvr(move):
    beta, gamma = 0.9, 0.4
    arguments = (curved, START, STEPS, move)
    found = loops.mars(*arguments, beta=beta, gamma=gamma, threshold=np.inf)
    same(found, loops.gamma_mvr(*arguments, new_weight=1 - beta, gamma=gamma))


def test_mars_averages_clipped_estimates():
    beta, gamma, threshold = 0.9, 0.4, 1.0
    arguments = (curved, START, STEPS, MOVES["plain"])
    result = loops.mars(*arguments, beta=beta, gamma=gamma, threshold=threshold)
    norms = np.linalg.norm(result[1], axis=1)
    assert np.linalg.norm(curved(START, 0)) > threshold
    assert norms[0] == pytest.approx(threshold)
    assert np.max(norms) <= threshold * (1 + 1e-12)
    estimates = (result[1][1:] - beta * result[1][:-1]) / (1 - beta)
    assert np.max(np.linalg.norm(estimates, axis=1)) == pytest.approx(threshold)
    loose = loops.mars(*arguments, beta=beta, gamma=gamma, threshold=np.inf)
    assert different(result, loose)


# Gluon-MVR.


def test_gluon_mvr_of_fresh_estimates(move):
    arguments, beta = (curved, START, STEPS, move), 0.8
    second = loops.gluon_mvr(*arguments, beta=beta, q=1.0, variant=2)
    third = loops.gluon_mvr(*arguments, beta=beta, q=1.0, variant=3)
    same(second, average(*arguments, beta))
    same(third, loops.mvr(*arguments, alpha=1 - beta))


def test_gluon_mvr_without_momentum_is_mvr(move):
    arguments, q = (curved, START, STEPS, move), 0.3
    for variant in (2, 3):
        found = loops.gluon_mvr(*arguments, beta=0.0, q=q, variant=variant)
        same(found, loops.mvr(*arguments, alpha=q))


def test_gluon_mvr_without_noise_is_exact_in_the_third_variant_only(move):
    arguments = (exact, START, STEPS, move)
    third = loops.gluon_mvr(*arguments, beta=0.8, q=0.3, variant=3)
    second = loops.gluon_mvr(*arguments, beta=0.8, q=0.3, variant=2)
    np.testing.assert_allclose(errors(third), 0, atol=1e-12)
    assert np.max(np.abs(errors(second))) > 1e-2


def test_errors_of_gluon_mvr_with_additive_noise(move):
    beta, q = 0.8, 0.3
    arguments = (noisy, START, STEPS, move)
    third = errors(loops.gluon_mvr(*arguments, beta=beta, q=q, variant=3))
    points, momenta = loops.gluon_mvr(*arguments, beta=beta, q=q, variant=2)
    estimates = (momenta[1:] - beta * momenta[:-1]) / (1 - beta)
    e_g = e_m = NOISE[0]
    for k in range(STEPS):
        if k > 0:
            e_g = (1 - q) * e_g + q * NOISE[k]
            e_m = beta * e_m + (1 - beta) * e_g
            error_of_estimate = estimates[k - 1] - exact(points[k])
            np.testing.assert_allclose(error_of_estimate, e_g, atol=1e-11)
        np.testing.assert_allclose(third[k], e_m, atol=1e-12)


def test_gluon_mvr_refuses_another_variant():
    with pytest.raises(ValueError, match="1"):
        loops.gluon_mvr(exact, START, 1, MOVES["plain"], beta=0.5, q=0.5, variant=1)


# Momentum with Hessian-vector products.


@pytest.mark.parametrize("qs", [None, QS], ids=["new point", "between"])
def test_hessian_correction_of_a_common_hessian_is_mvr(move, qs):
    found = loops.hessian_corrected(
        noisy, exact_hvp, START, STEPS, move, alphas=[0.3] * STEPS, qs=qs
    )
    same(found, loops.mvr(noisy, START, STEPS, move, alpha=0.3))


def test_hessian_correction_in_its_limits(move):
    arguments = (curved, curved_hvp, START, STEPS, move)
    one = loops.hessian_corrected(*arguments, alphas=[1.0] * STEPS, qs=QS)
    same(one, sgd(curved, START, STEPS, move))
    alphas, none = [0.3] * STEPS, [0.0] * STEPS
    zero = loops.hessian_corrected(*arguments, alphas=alphas, bs=none, qs=QS)
    same(zero, average(curved, START, STEPS, move, 0.7))
    plain = loops.hessian_corrected(*arguments, alphas=alphas, qs=QS)
    given = loops.hessian_corrected(*arguments, alphas=alphas, bs=[0.7] * STEPS, qs=QS)
    same(plain, given)
    assert different(plain, zero)
    assert different(plain, loops.hessian_corrected(*arguments, alphas=alphas))


def test_hessian_correction_without_noise_is_the_gradient_of_a_quadratic(move):
    alphas = 0.1 + 0.8 * QS
    found = loops.hessian_corrected(
        exact, exact_hvp, START, STEPS, move, alphas=alphas, qs=QS
    )
    np.testing.assert_allclose(errors(found), 0, atol=1e-12)


def test_products_averaged_over_q_are_the_difference_of_gradients(move):
    nodes, weights = np.polynomial.legendre.leggauss(12)
    grad = lambda x, k: curved(x, 0)
    hvp = lambda z, v, k: curved_hvp(z, v, 0)
    mean = np.zeros(DIM)
    for node, weight in zip(nodes, weights, strict=True):
        points, momenta = loops.hessian_corrected(
            grad, hvp, START, 2, move, alphas=[0.3], qs=[(1 + node) / 2]
        )
        mean = mean + weight / 2 * momenta[1]
    np.testing.assert_allclose(mean, grad(points[1], 0), atol=1e-12)


def test_products_use_the_sample_of_the_new_gradient():
    grad = lambda x, k: np.array([0.0 * x[0] + 10.0**k])
    hvp = lambda z, v, k: np.array([2.0**k])
    _, momenta = loops.hessian_corrected(
        grad, hvp, [0.0], 3, loops.plain(1.0), alphas=[0.5, 0.25], bs=[1.0, 3.0]
    )
    first = 0.5 * 1 + 1 * 2 + 0.5 * 10
    second = 0.75 * first + 3 * 4 + 0.25 * 100
    np.testing.assert_allclose(momenta[:, 0], [1, first, second])


def test_clipped_normalized_momentum_without_clipping():
    a, gamma = 0.2, 0.1
    found = loops.clipped_nsgd_hess(
        curved, curved_hvp, START, STEPS, a=a, gamma=gamma, lam=np.inf, lam_h=np.inf,
        qs=QS,
    )  # fmt: skip
    move = loops.normalized([gamma] * STEPS)
    same(
        found,
        loops.hessian_corrected(
            curved, curved_hvp, START, STEPS, move, alphas=[a] * STEPS, qs=QS
        ),
    )
    exact_run = loops.clipped_nsgd_hess(
        exact, exact_hvp, START, STEPS, a=a, gamma=gamma, lam=np.inf, lam_h=np.inf,
        qs=QS,
    )  # fmt: skip
    same(exact_run, sgd(exact, START, STEPS, move))


def test_clipped_normalized_momentum_clips_both_oracles():
    a, gamma, lam, lam_h = 0.2, 0.1, 0.5, 0.3
    points, momenta = loops.clipped_nsgd_hess(
        curved, curved_hvp, START, STEPS, a=a, gamma=gamma, lam=lam, lam_h=lam_h, qs=QS
    )
    np.testing.assert_allclose(np.linalg.norm(np.diff(points, axis=0), axis=1), gamma)
    assert np.linalg.norm(momenta[0]) == pytest.approx(lam)
    for t in range(1, STEPS):
        new = curved(points[t], t)
        z = QS[t - 1] * points[t] + (1 - QS[t - 1]) * points[t - 1]
        product = curved_hvp(z, points[t] - points[t - 1], t)
        new = new * min(1, lam / np.linalg.norm(new))
        product = product * min(1, gamma * lam_h / np.linalg.norm(product))
        expected = (1 - a) * (momenta[t - 1] + product) + a * new
        np.testing.assert_allclose(momenta[t], expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_clipping_is_stable_under_heavy_tails(seed):
    """F = ½‖x‖², d = 10, two-sided Pareto noise with tail index 1.1."""
    dim, num_updates, gamma, a = 10, 600, 0.02, 0.05
    rng = np.random.default_rng(seed)
    shape = (num_updates, dim)
    noise = rng.choice([-1, 1], shape) * rng.pareto(1.1, shape)
    hessian_noise = rng.choice([-1, 1], shape) * rng.pareto(1.1, shape)
    grad = lambda x, k: x + noise[k]
    hvp = lambda z, v, k: v + hessian_noise[k] * v
    qs = rng.random(num_updates)
    late = {}
    for lam, lam_h in ((np.inf, np.inf), (3.0, 1.0)):
        points, _ = loops.clipped_nsgd_hess(
            grad, hvp, np.ones(dim), num_updates, a=a, gamma=gamma, lam=lam,
            lam_h=lam_h, qs=qs,
        )  # fmt: skip
        late[lam] = np.mean(np.linalg.norm(points[-200:], axis=1))
    assert late[3.0] < 0.6 * late[np.inf]


# Extrapolated gradients and policy gradients.


def test_extrapolation_is_exact_on_a_quadratic_without_noise(move):
    constant = loops.nigt(exact, START, STEPS, move, betas=[0.7] * STEPS)
    varying = loops.nigt(exact, START, STEPS, move, betas=0.9 * QS)
    np.testing.assert_allclose(errors(constant), 0, atol=1e-11)
    np.testing.assert_allclose(errors(varying), 0, atol=1e-11)
    plain = average(exact, START, STEPS, move, 0.7)
    assert np.max(np.abs(errors(plain))) > 1e-2


def test_extrapolation_without_momentum_is_sgd(move):
    same(
        loops.nigt(curved, START, STEPS, move, betas=[0.0] * STEPS),
        sgd(curved, START, STEPS, move),
    )


def test_extrapolation_takes_its_gradient_at_the_point_ahead(move):
    betas = 0.1 + 0.8 * QS
    points, momenta = loops.nigt(curved, START, STEPS, move, betas=betas)
    np.testing.assert_array_equal(momenta[0], curved(START, 0))
    for k in range(1, STEPS):
        ahead = (points[k] - betas[k] * points[k - 1]) / (1 - betas[k])
        expected = betas[k] * momenta[k - 1] + (1 - betas[k]) * curved(ahead, k)
        np.testing.assert_allclose(momenta[k], expected, atol=1e-11)


def upwards(result):
    """The same run seen from the negated objective."""
    return result[0], -result[1]


def test_policy_gradient_extrapolation_is_nigt_of_the_negated_objective():
    t = np.arange(STEPS)
    etas = (2 / (t + 2)) ** 0.8
    ascent = lambda theta, t: -curved(theta, t)
    found = loops.n_pg_igt(ascent, START, STEPS, step_size=0.7)
    move = loops.normalized(0.7 / (t + 2))
    same(upwards(found), loops.nigt(curved, START, STEPS, move, betas=1 - etas))


def test_harpg_is_hessian_corrected_momentum_of_the_negated_objective():
    t = np.arange(STEPS)
    alphas = 2 / (t[1:] + 2)
    found = loops.n_harpg(
        lambda theta, t: -curved(theta, t),
        lambda z, v, t: -curved_hvp(z, v, t),
        START, STEPS, step_sizes=ETAS, qs=QS,
    )  # fmt: skip
    move = loops.normalized(ETAS)
    same(
        upwards(found),
        loops.hessian_corrected(
            curved, curved_hvp, START, STEPS, move, alphas=alphas, qs=QS[1:]
        ),
    )


def test_policy_gradient_methods_climb():
    best = np.linalg.solve(HESSIAN, LINEAR)
    ascent = lambda theta, t: -exact(theta)
    ascent_hvp = lambda z, v, t: -exact_hvp(z, v)
    steps, start = 300, best + 1.0
    igt, _ = loops.n_pg_igt(ascent, start, steps, step_size=3.0)
    qs = np.full(steps, 0.5)
    harpg, _ = loops.n_harpg(
        ascent, ascent_hvp, start, steps, step_sizes=3 / (np.arange(steps) + 2), qs=qs
    )
    for points in (igt, harpg):
        assert np.linalg.norm(points[-1] - best) <= 3 / (steps + 1)
