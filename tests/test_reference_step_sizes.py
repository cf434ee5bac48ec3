"""The loops of step sizes and clipping against facts that hold without the library."""

import math

import numpy as np
import pytest
from reference import step_sizes as loops

RNG = np.random.default_rng(0)
DIM = 4
ROOT = RNG.standard_normal((DIM, DIM))
HESSIAN = ROOT @ ROOT.T / DIM + 0.2 * np.eye(DIM)
LINEAR = RNG.standard_normal(DIM)
BEST = np.linalg.solve(HESSIAN, LINEAR)
SMOOTHNESS = np.linalg.eigvalsh(HESSIAN)[-1]
START = BEST + RNG.standard_normal(DIM)
NOISE = RNG.standard_normal((200, DIM))

# Least squares with a common solution: every fᵢ is least at TRUTH.
ROWS = RNG.standard_normal((12, DIM))
TRUTH = RNG.standard_normal(DIM)
TARGETS = ROWS @ TRUTH
ORDER = RNG.integers(12, size=200)

# Nu is the root of ν = e^{−ν}.
NU = 0.567143


def value(x):
    """½ (x − x*)ᵀ A (x − x*), so f* = 0."""
    return (x - BEST) @ HESSIAN @ (x - BEST) / 2


def grad(x, k=0):
    return HESSIAN @ (x - BEST)


def residual_value(x, k):
    return (ROWS[ORDER[k]] @ x - TARGETS[ORDER[k]]) ** 2 / 2


def residual_grad(x, k):
    a = ROWS[ORDER[k]]
    return a * (a @ x - TARGETS[ORDER[k]])


def residual_rows(x, k):
    """Gradients of a batch of three."""
    batch = (ORDER[k] + np.arange(3)) % 12
    return ROWS[batch] * (ROWS[batch] @ x - TARGETS[batch])[:, None]


def residual_batch_value(x, k):
    batch = (ORDER[k] + np.arange(3)) % 12
    return np.mean((ROWS[batch] @ x - TARGETS[batch]) ** 2) / 2


def gradient_descent(gradient, x0, steps):
    points = [np.array(x0, dtype=float)]
    for k, step in enumerate(steps):
        points.append(points[-1] - step * gradient(points[-1], k))
    return np.stack(points)


def distances(points, center):
    return np.linalg.norm((points - center).reshape(len(points), -1), axis=1)


def nonincreasing(values):
    return np.all(np.diff(values) <= 1e-12 * np.max(values))


# Generalized smoothness.

# f, its gradient, and its (L₀, L₁); every one is least at 0.
SCALAR_PROBLEMS = {
    "quartic": (lambda x: x**4, lambda x: 4 * x**3, 12.0 * 0.5**2, 3 / 0.5),
    "cosh": (np.cosh, np.sinh, 1.0, 1.0),
    "quadratic": (lambda x: 1.5 * x**2, lambda x: 3 * x, 3.0, 0.0),
}


@pytest.mark.parametrize("name", SCALAR_PROBLEMS)
def test_generalized_smoothness_steps_are_monotone(name):
    f, slope, l0, l1 = SCALAR_PROBLEMS[name]
    assert math.exp(-NU) == pytest.approx(NU, abs=1e-6)
    points = loops.generalized_smoothness_gd(slope, 3.0, 200, l0, l1, NU / 2)
    assert nonincreasing(np.abs(points))
    assert nonincreasing(np.abs(slope(points)))
    assert nonincreasing(f(points))
    assert f(points[-1]) - f(0.0) < 1e-3 * (f(3.0) - f(0.0))


def test_generalized_smoothness_steps_in_their_limits():
    plain = loops.generalized_smoothness_gd(grad, START, 20, SMOOTHNESS, 0.0, 0.5)
    expected = gradient_descent(grad, START, [0.5 / SMOOTHNESS] * 20)
    np.testing.assert_allclose(plain, expected, atol=1e-13)
    unit = loops.generalized_smoothness_gd(grad, START, 20, 0.0, 1.0, 0.01)
    np.testing.assert_allclose(np.linalg.norm(np.diff(unit, axis=0), axis=1), 0.01)


@pytest.mark.parametrize("distance", [0.01, 0.3, 1.0, 30.0])
def test_clipping_is_within_a_factor_of_two_of_smoothed_clipping(distance):
    l0, l1 = 2.0, 3.0
    x0 = np.array([distance, distance / 2])
    smoothed = loops.generalized_smoothness_gd(lambda x: x, x0, 1, l0, l1, 1.0)
    clipped = loops.clipped_gd(lambda x: x, x0, 1, 1 / l0, l0 / l1)
    ratio = np.linalg.norm(smoothed[1] - x0) / np.linalg.norm(clipped[1] - x0)
    assert 0.5 - 1e-12 <= ratio <= 1 + 1e-12


def test_clipped_steps_have_their_length():
    points = loops.clipped_gd(grad, START + 3.0, 120, 1 / SMOOTHNESS, 0.5)
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    gradients = np.array([np.linalg.norm(grad(x)) for x in points[:-1]])
    np.testing.assert_allclose(lengths, np.minimum(gradients, 0.5) / SMOOTHNESS)
    assert gradients[0] > 0.5 > gradients[-1]


def test_polyak_step_halves_a_parabola_and_solves_an_absolute_value():
    points, steps = loops.gd_ps(lambda x: 3 * x**2, lambda x: 6 * x, 8.0, 5, 0.0)
    np.testing.assert_allclose(points, 8.0 / 2 ** np.arange(6))
    np.testing.assert_allclose(steps, 1 / 12)
    points, steps = loops.gd_ps(abs, np.sign, -3.2, 3, 0.0)
    np.testing.assert_array_equal(points, [-3.2, 0, 0, 0])
    np.testing.assert_array_equal(steps, [3.2, 0, 0])


def test_polyak_step_decreases_the_distance():
    points, steps = loops.gd_ps(value, grad, START, 60, 0.0)
    assert nonincreasing(distances(points, BEST))
    assert np.min(steps) >= 1 / (2 * SMOOTHNESS) - 1e-9
    quartic = loops.gd_ps(lambda x: x**4, lambda x: 4 * x**3, 3.0, 60, 0.0)[0]
    np.testing.assert_allclose(quartic, 3.0 * 0.75 ** np.arange(61))


@pytest.mark.parametrize("largest", [False, True])
def test_similar_triangles_keep_the_accelerated_bound(largest):
    points = loops.stm(grad, START, 60, SMOOTHNESS, 0.0, 1.0, largest)
    radius_sq = np.sum((START - BEST) ** 2)
    for k in range(1, 61):
        assert value(points[k]) <= 2 * SMOOTHNESS * radius_sq / (k * (k + 3))


def denominators(points, slope, eta):
    """Gₖ₊₁ of a run of `stm`, found from its points y alone."""
    z, total, found = points[0], 0.0, []
    for k in range(len(points) - 1):
        a = eta * (k + 2) / 2
        x = (total * points[k] + a * z) / (total + a)
        z_new = ((total + a) * points[k + 1] - total * points[k]) / a
        found.append((a * slope(x) / (z - z_new), abs(slope(x))))
        z, total = z_new, total + a
    return np.array(found).T


def test_similar_triangles_divide_by_the_bound_or_by_the_largest():
    l0, l1, eta = 1.0, 1.0, 0.5
    points = loops.stm(np.sinh, 3.0, 12, l0, l1, eta, False)
    found, slopes = denominators(points, np.sinh, eta)
    np.testing.assert_allclose(found, l0 + l1 * slopes, rtol=1e-9)
    points = loops.stm(np.sinh, 3.0, 12, l0, l1, eta, True)
    found, slopes = denominators(points, np.sinh, eta)
    running = np.maximum.accumulate(l0 + l1 * slopes)
    np.testing.assert_allclose(found, running, rtol=1e-9)
    assert running[-1] > 2 * (l0 + l1 * slopes[-1])


def test_clipped_similar_triangles_without_clipping():
    a = 2.0
    found = loops.clipped_sstm(grad, START, 40, 1 / (a * SMOOTHNESS), np.inf)
    expected = loops.stm(grad, START, 40, SMOOTHNESS, 0.0, 1 / a, False)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_clipped_similar_triangles_move_z_by_the_level():
    step_size, level = 0.3, 0.05
    points = loops.clipped_sstm(lambda x, k: grad(x) + NOISE[k], START, 15, step_size,
                                level)  # fmt: skip
    z, total = points[0], 0.0
    for k in range(15):
        a = step_size * (k + 2) / 2
        z_new = ((total + a) * points[k + 1] - total * points[k]) / a
        assert np.linalg.norm(z_new - z) == pytest.approx(level)
        z, total = z_new, total + a


def rotation(x, j=0):
    """The operator of the saddle xy: plain steps along it spiral outwards."""
    return np.array([x[1], -x[0]])


def test_extragradient_contracts_a_rotation():
    step, ahead = 0.3, 0.4
    points = loops.clipped_seg(rotation, [3.0, 4.0], 30, step, ahead, np.inf)
    factor = np.sqrt((1 - step * ahead) ** 2 + step**2)
    np.testing.assert_allclose(distances(points, 0), 5 * factor ** np.arange(31))


def test_clipped_extragradient_takes_two_samples_and_clips_both():
    operator = lambda x, j: np.array([10.0 * (j + 1), x[0] + 1])
    points = loops.clipped_seg(operator, [0.0, 0.0], 2, 0.5, 0.25, 2.0)
    x = np.zeros(2)
    for k in range(2):
        first = operator(x, 2 * k)
        x_ahead = x - 0.25 * 2 * first / np.linalg.norm(first)
        second = operator(x_ahead, 2 * k + 1)
        x = x - 0.5 * 2 * second / np.linalg.norm(second)
        np.testing.assert_allclose(points[k + 1], x)
    far = loops.clipped_seg(rotation, [3.0, 4.0], 800, 0.3, 0.3, 1.0)
    assert distances(far, 0)[-1] < 1e-6


# Steps from the curvature along the path.


def test_adgd_finds_the_curvature_of_a_parabola():
    points, steps = loops.adgd(lambda x: 4.0 * x, 1.0, 60, 1e-7)
    assert steps[0] == 1e-7
    np.testing.assert_allclose(steps[1:], 1 / 8, rtol=1e-6)
    assert steps[-1] == 1 / 8
    _, steps = loops.adgd2(lambda x: 4.0 * x, 1.0, 80, 1e-7)
    np.testing.assert_allclose(steps[-2:], steps[-4:-2], rtol=1e-9)
    assert abs(steps[-1] - steps[-2]) > 1e-3
    assert min(steps[-2:]) < 1 / 4 < max(steps[-2:])


@pytest.mark.parametrize("method", [loops.adgd, loops.adgd2])
def test_adaptive_steps_need_no_tuning(method):
    rng = np.random.default_rng(3)
    u, _ = np.linalg.qr(rng.standard_normal((30, 8)))
    v, _ = np.linalg.qr(rng.standard_normal((8, 8)))
    matrix = u * np.sqrt(np.geomspace(1, 10, 8)) @ v.T
    target = rng.standard_normal(30)
    slope = lambda x: matrix.T @ (matrix @ x - target)
    points, _ = method(slope, np.zeros(8), 250, 1e-7)
    norms = np.array([np.linalg.norm(slope(x)) for x in points])
    assert np.argmax(norms < 1e-12) in range(40, 200)
    quartic, _ = method(lambda x: 4 * x**3, 2.0, 300, 1e-7)
    assert abs(quartic[-1]) < 0.02


@pytest.mark.parametrize("method", [loops.adgd, loops.adgd2])
def test_adaptive_steps_follow_their_rule(method):
    points, steps = method(grad, START, 25, 1e-3)
    inverse_root = {loops.adgd: 1.0, loops.adgd2: 2 / 3}[method]
    theta = {loops.adgd: np.inf, loops.adgd2: 1 / 3}[method]
    for k in range(1, 25):
        moved = np.linalg.norm(points[k] - points[k - 1])
        curvature = np.linalg.norm(grad(points[k]) - grad(points[k - 1])) / moved
        grown = np.sqrt(inverse_root + theta) * steps[k - 1]
        if method is loops.adgd:
            local = 1 / (2 * curvature)
        else:
            excess = max(2 * (steps[k - 1] * curvature) ** 2 - 1, 1e-300)
            local = steps[k - 1] / np.sqrt(excess)
        assert steps[k] == pytest.approx(min(grown, local), rel=1e-7)
        theta = steps[k] / steps[k - 1]


@pytest.mark.parametrize("method", [loops.adgd, loops.adgd2])
def test_adaptive_steps_survive_convergence_and_straight_lines(method):
    points, steps = method(lambda x: 4.0 * x, 1.0, 3000, 1e-3)
    assert np.all(np.isfinite(points)) and np.all(np.isfinite(steps))
    assert points[-1] == 0
    points, steps = method(lambda x: 0 * x, np.ones(2), 5, 0.5)
    np.testing.assert_array_equal(points, 1.0)
    np.testing.assert_array_equal(steps, 0.5)
    points, steps = method(lambda x: np.ones(2), np.zeros(2), 6, 0.5)
    assert np.all(np.isfinite(points)) and steps[1] == 0.5
    growth = {loops.adgd: np.sqrt(2), loops.adgd2: np.sqrt(5 / 3)}[method]
    assert steps[2] / steps[1] == pytest.approx(growth)


# Thresholds from the norms of a batch.


def three_clients(x, k=0):
    """Gradients of ½ (x − bᵢ)², b = (−1, −1, 5); their mean is zero at 1."""
    return x - np.array([[-1.0], [-1.0], [5.0]])


def test_quantile_is_the_smallest_norm_with_the_fraction_below():
    norms = np.array([4.0, 1.0, 3.0, 2.0])
    rows = lambda x, k: norms[:, None] * np.array([[1.0, 0.0]])
    wanted = {0.1: 1, 0.25: 1, 0.26: 2, 0.5: 2, 0.75: 3, 0.9: 4, 1.0: 4}
    for fraction, expected in wanted.items():
        points, taus = loops.quantile_clipped_sgd(rows, [0, 0], 1, 1.0, fraction)
        assert taus[0] == expected
        assert points[1, 0] == pytest.approx(-np.mean(np.minimum(norms, expected)))


def test_quantile_holds_on_simulated_norms():
    rows = np.random.default_rng(2).standard_t(2.0, size=(2000, 3))
    _, taus = loops.quantile_clipped_sgd(lambda x, k: rows, np.zeros(3), 1, 1.0, 0.7)
    other = np.random.default_rng(4).standard_t(2.0, size=(20_000, 3))
    assert np.mean(np.linalg.norm(other, axis=1) <= taus[0]) == pytest.approx(
        0.7, abs=0.04
    )


def test_largest_norm_clips_nothing():
    found, _ = loops.quantile_clipped_sgd(residual_rows, START, 40, 0.05, 1.0)
    mean = lambda x, k: residual_rows(x, k).mean(axis=0)
    np.testing.assert_allclose(found, gradient_descent(mean, START, [0.05] * 40))


def test_constant_quantile_is_biased_and_a_growing_one_is_not():
    constant, _ = loops.quantile_clipped_sgd(three_clients, [0.5], 300, 0.1, 2 / 3)
    growing, _ = loops.quantile_clipped_sgd(
        three_clients,
        [0.5],
        300,
        lambda k: 0.5 / np.sqrt(k + 1),
        lambda k: 1 - 0.9 / np.sqrt(k + 1),
    )
    np.testing.assert_allclose(constant[-1], -1, atol=1e-3)
    np.testing.assert_allclose(growing[-1], 1, atol=1e-3)


def test_tracked_threshold_multiplies_by_its_rule():
    quantile, rate, first = 0.6, 0.3, 0.8
    points, taus = loops.tracked_quantile_sgd(
        residual_rows, START, 30, 0.05, quantile, first, rate
    )
    assert taus[0] == first
    for k in range(29):
        norms = np.linalg.norm(residual_rows(points[k], k), axis=1)
        factor = np.exp(-rate * (np.mean(norms <= taus[k]) - quantile))
        assert taus[k + 1] == pytest.approx(taus[k] * factor)
        rows = residual_rows(points[k], k)
        rows = rows * np.minimum(1, taus[k] / norms)[:, None]
        np.testing.assert_allclose(points[k + 1], points[k] - 0.05 * rows.mean(axis=0))


def test_tracked_threshold_finds_the_quantile():
    noise = np.random.default_rng(6).standard_normal((300, 10, 2))
    _, taus = loops.tracked_quantile_sgd(
        lambda x, k: noise[k], np.zeros(2), 300, 0.0, 0.5, 0.01, 0.2
    )
    below = [
        np.mean(np.linalg.norm(noise[k], axis=1) <= taus[k]) for k in range(150, 300)
    ]
    assert np.mean(below) == pytest.approx(0.5, abs=0.03)
    assert np.mean(taus[150:]) == pytest.approx(np.sqrt(2 * np.log(2)), rel=0.1)


# Steps from values and from the diversity of a batch.


def kaczmarz(x0, num_updates):
    points = [np.array(x0)]
    for i in ORDER[:num_updates]:
        x, a = points[-1], ROWS[i]
        points.append(x - a * (a @ x - TARGETS[i]) / (a @ a))
    return np.stack(points)


def test_polyak_steps_on_residuals_are_kaczmarz():
    points, steps = loops.sps_max(
        residual_value, residual_grad, START, 60, 0.0, 0.5, np.inf
    )
    np.testing.assert_allclose(points, kaczmarz(START, 60), atol=1e-10)
    norms = np.sum(ROWS[ORDER[:60]] ** 2, axis=1)
    np.testing.assert_allclose(steps[:30], 1 / norms[:30])


def test_stochastic_polyak_steps_obey_their_caps():
    arguments = (residual_value, residual_grad, START, 60, 0.0, 1.0)
    free, free_steps = loops.sps_max(*arguments, np.inf)
    capped, steps = loops.sps_max(*arguments, 0.1)
    assert np.max(free_steps) > 0.1
    assert np.max(steps) == 0.1 and np.min(steps) < 0.1
    assert nonincreasing(distances(free, TRUTH))
    assert nonincreasing(distances(capped, TRUTH))
    tiny, steps = loops.sps_max(*arguments, 1e-3)
    expected = gradient_descent(residual_grad, START, [1e-3] * 60)
    np.testing.assert_allclose(tiny, expected, atol=1e-12)


def test_smoothed_polyak_steps_grow_by_a_factor_only():
    growth, first = 1.2, 1e-3
    arguments = (residual_value, residual_grad, START, 60, 0.0, 1.0)
    points, steps = loops.smoothed_sps(*arguments, first, growth)
    ratios = [residual_value(x, k) / np.sum(residual_grad(x, k) ** 2)
              for k, x in enumerate(points[:-1])]  # fmt: skip
    assert steps[0] == first
    np.testing.assert_allclose(steps[1:], np.minimum(ratios[1:], growth * steps[:-1]))
    assert np.any(steps[1:] < 0.99 * growth * steps[:-1])
    loose, loose_steps = loops.smoothed_sps(*arguments, 1e9, 1e9)
    free, free_steps = loops.sps_max(*arguments, np.inf)
    np.testing.assert_allclose(loose, free)
    np.testing.assert_allclose(loose_steps, free_steps)


def test_values_count_from_the_least_value():
    raised = lambda f: lambda *arguments: f(*arguments) + 7.0
    single = (residual_value, residual_grad)
    batch = (residual_batch_value, residual_rows)
    for method, (f, slope), others in (
        (loops.gd_ps, (value, grad), lambda least: (least,)),
        (loops.sps_max, single, lambda least: (least, 1.0, 0.3)),
        (loops.smoothed_sps, single, lambda least: (least, 1.0, 0.1, 1.3)),
        (loops.stop_sgd, batch, lambda least: (1.0, least)),
    ):
        low = method(f, slope, START, 8, *others(0.0))
        high = method(raised(f), slope, START, 8, *others(7.0))
        np.testing.assert_allclose(high[0], low[0], atol=1e-9)
        np.testing.assert_allclose(high[1], low[1], rtol=1e-6)


def test_zero_gradients_leave_the_point_and_the_cap():
    zero = lambda x, k: 0.0 * x
    points, steps = loops.sps_max(zero, zero, 2.0, 3, 0.0, 1.0, 0.5)
    np.testing.assert_array_equal(points, 2.0)
    np.testing.assert_array_equal(steps, 0.5)
    points, steps = loops.smoothed_sps(zero, zero, 2.0, 3, 0.0, 1.0, 0.5, 2.0)
    np.testing.assert_array_equal(points, 2.0)
    np.testing.assert_array_equal(steps, [0.5, 1.0, 2.0])
    rows = lambda x, k: np.array([[1.0], [-1.0]])
    points, steps = loops.grad_diversity_sgd(rows, [2.0], 2, 1.0, 1.0)
    np.testing.assert_array_equal(points, 2.0)
    points, steps = loops.stop_sgd(lambda x, k: 1.0, rows, [2.0], 2, 1.0, 0.0)
    np.testing.assert_array_equal(points, 2.0)


def test_diversity_of_equal_gradients_is_one():
    single = lambda x, k: residual_grad(x, k)[None]
    repeated = lambda x, k: np.stack([residual_grad(x, k)] * 3)
    for rows in (single, repeated):
        points, steps = loops.grad_diversity_sgd(rows, START, 40, 8.0, 0.5)
        np.testing.assert_allclose(steps, 0.5 / 8.0)
        expected = gradient_descent(residual_grad, START, [0.5 / 8.0] * 40)
        np.testing.assert_allclose(points, expected, atol=1e-12)


@pytest.mark.parametrize("c", [0.5, 1.0, 1.9])
def test_diversity_steps_approach_a_common_minimiser(c):
    smoothness = np.max(np.sum(ROWS**2, axis=1))
    points, steps = loops.grad_diversity_sgd(residual_rows, START, 100, smoothness, c)
    assert np.min(steps) >= c / smoothness * (1 - 1e-12)
    assert np.max(steps) > 1.5 * c / smoothness
    assert nonincreasing(distances(points, TRUTH))
    assert distances(points, TRUTH)[-1] < 1e-2 * distances(points, TRUTH)[0]


def test_polyak_steps_of_batches():
    points, steps = loops.stop_sgd(
        residual_batch_value, residual_rows, START, 60, 1.0, 0.0
    )
    expected = loops.sps_max(
        residual_batch_value,
        lambda x, k: residual_rows(x, k).mean(axis=0),
        START, 60, 0.0, 1.0, np.inf,
    )  # fmt: skip
    np.testing.assert_allclose(points, expected[0], atol=1e-12)
    np.testing.assert_allclose(steps, expected[1])
    assert nonincreasing(distances(points, TRUTH))
    single = lambda x, k: residual_grad(x, k)[None]
    points, _ = loops.stop_sgd(residual_value, single, START, 60, 0.5, 0.0)
    np.testing.assert_allclose(points, kaczmarz(START, 60), atol=1e-10)


# Schedules.


@pytest.mark.parametrize("power", [1, 2])
def test_refined_schedule_of_constant_norms_is_linear_decay(power):
    horizon = 10
    found = loops.refined_linear_decay([3.0] * horizon, power, 3)
    t = np.arange(1, horizon + 1)
    np.testing.assert_allclose(found, (horizon - t) / (horizon - 1))


def test_refined_schedule_by_hand():
    found = loops.refined_linear_decay([1.0, 2.0, 4.0], 1, 1)
    np.testing.assert_allclose(found, [1, 0.5 * 0.25 / 0.75, 0])
    found = loops.refined_linear_decay([1.0, 5.0, 2.0, 4.0], 1, 3)
    # Medians of (1, 1, 5), (1, 5, 2), (5, 2, 4), (2, 4, 4): 1, 2, 4, 4.
    np.testing.assert_allclose(found, [1, 0.25, 0.0625, 0])


def test_refined_schedule_ignores_a_spike_and_warms_up():
    spike = [1.0] * 4 + [100.0] + [1.0] * 5
    flat = loops.refined_linear_decay([1.0] * 10, 2, 3)
    np.testing.assert_allclose(loops.refined_linear_decay(spike, 2, 3), flat)
    large_first = [10.0, 5.0, 2.0] + [1.0] * 17
    found = loops.refined_linear_decay(large_first, 2, 1)
    assert np.all(np.diff(found[:4]) > 0) and np.all(np.diff(found[3:]) < 0)
    with pytest.raises(ValueError, match="2"):
        loops.refined_linear_decay([1.0, 1.0], 2, 2)


def test_ball_proximal_points_step_on_a_line_as_those_of_the_absolute_value():
    points = loops.bpm_quadratic(np.eye(1), np.zeros(1), [3.2], 9, 0.5)[:, 0]
    np.testing.assert_allclose(points[:7], 3.2 - 0.5 * np.arange(7), atol=1e-12)
    np.testing.assert_array_equal(points[7:], 0.0)


def test_ball_proximal_points_keep_their_three_inequalities():
    radius = 0.2
    points = loops.bpm_quadratic(HESSIAN, LINEAR, START, 60, radius)
    d = distances(points, BEST)
    outside = int(np.argmax(d <= radius))
    assert 3 < outside < math.ceil(d[0] ** 2 / radius**2)
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    np.testing.assert_allclose(lengths[:outside], radius)
    assert d[outside + 1] < 1e-12
    for k in range(outside):
        assert d[k + 1] ** 2 <= d[k] ** 2 - radius**2 + 1e-12
        shrunk = value(points[k]) / (1 + radius / d[k + 1])
        assert value(points[k + 1]) <= shrunk * (1 + 1e-12)
        step, slope = points[k] - points[k + 1], grad(points[k + 1])
        cosine = step @ slope / np.linalg.norm(step) / np.linalg.norm(slope)
        assert cosine == pytest.approx(1, abs=1e-10)


def test_ball_proximal_points_reach_the_nearest_minimiser():
    matrix = np.diag([2.0, 1.0, 0.0])
    linear = np.array([2.0, 1.0, 0.0])
    radius = lambda k: 0.5 / (k + 1)
    points = loops.bpm_quadratic(matrix, linear, [3.0, -1.0, 5.0], 40, radius)
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    np.testing.assert_allclose(lengths[:20], [radius(k) for k in range(20)])
    points = loops.bpm_quadratic(matrix, linear, [3.0, -1.0, 5.0], 1, 9.0)
    np.testing.assert_allclose(points[1], [1.0, 1.0, 5.0])


def test_stochastic_proximal_points_solve_their_equation():
    order = ORDER[:30]
    points = loops.sppm_least_squares(ROWS, TARGETS, order, START, 0.7)
    for k in range(30):
        slope = residual_grad(points[k + 1], k)
        np.testing.assert_allclose(points[k] - points[k + 1], 0.7 * slope, atol=1e-12)
    far = loops.sppm_least_squares(ROWS, TARGETS, order, START, 1e12)
    np.testing.assert_allclose(far, kaczmarz(START, 30), atol=1e-9)
    near = loops.sppm_least_squares(ROWS, TARGETS, order, START, 1e-7)
    expected = gradient_descent(residual_grad, START, [1e-7] * 30)
    np.testing.assert_allclose(near, expected, atol=1e-10)
