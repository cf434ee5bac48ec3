"""Theory for convex functions: parameters reach the accuracy, times by enumeration."""

import itertools
import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from fedjax_opt import theory

INF = math.inf

clusters = st.lists(st.floats(0.01, 100), min_size=1, max_size=5)
positive = st.floats(0.1, 10)


# ---------------------------------------------------------------- convex, parameters


def accelerated_gap(curvature, radius, variance, step_size, num_updates):
    """E f(x^K) of AC-SA on λx²/2 from x⁰ = R with exact moments of (x, u)."""
    mean, spread = np.array([radius, radius]), np.zeros((2, 2))
    for k in range(num_updates):
        weight, gamma = 2 / (k + 2), step_size * (k + 1)
        at_y = np.array([1 - weight, weight])
        u = np.array([0.0, 1.0]) - gamma * curvature * at_y
        x = np.array([1 - weight, 0.0]) + weight * u
        step, noise = np.array([x, u]), np.array([-weight * gamma, -gamma])
        mean = step @ mean
        spread = step @ spread @ step.T + variance * np.outer(noise, noise)
    return curvature / 2 * (mean[0] ** 2 + spread[0, 0])


@pytest.mark.parametrize("variance", [0.0, 0.5, 20.0])
@pytest.mark.parametrize("flatness", [1.0, 0.1, 1e-2, 1e-3])
def test_accelerated_rennala_reaches_the_accuracy(variance, flatness):
    smoothness, radius, accuracy = 2.0, 3.0, 0.05
    found = theory.accelerated_rennala(
        smoothness, variance, accuracy=accuracy, distance=radius
    )
    gap = accelerated_gap(
        flatness * smoothness,
        radius,
        variance / found.batch_size,
        found.step_size,
        found.num_updates,
    )
    assert gap <= accuracy
    if variance == 0:
        k = found.num_updates
        assert gap <= radius**2 / (found.step_size * k * (k + 1))


def test_accelerated_rennala_by_hand():
    """L = 4, R = 3, ε = 1/4: S = ⌈σ² · 3 · 8/2⌉ = 12 σ², K = 8 · 2 · 3 · 2 = 96."""
    target = {"accuracy": 0.25, "distance": 3.0}
    assert theory.accelerated_rennala(4.0, 0.0, **target) == (1 / 16, 1, 96)
    found = theory.accelerated_rennala(4.0, 2.0, **target)
    longest = math.sqrt(3 * 9 * 24 / (4 * 2 * 97 * 98**2))
    assert found == pytest.approx((min(1 / 16, longest), 24, 96))
    assert longest < 1 / 16


@pytest.mark.parametrize("variance", [0.0, 1.0, 30.0])
def test_nonsmooth_rennala_reaches_the_accuracy(variance):
    """f = M|x|, start at R; the mean of 400 runs of the mean iterate."""
    slope, radius, accuracy = 2.0, 1.5, 0.3
    found = theory.nonsmooth_rennala(
        slope, variance, accuracy=accuracy, distance=radius
    )
    assert found.num_updates is not None
    random = np.random.default_rng(0)
    x, total = np.full(400, radius), np.zeros(400)
    for _ in range(found.num_updates):
        total += x
        noise = random.normal(size=400) * math.sqrt(variance / found.batch_size)
        x = x - found.step_size * (slope * np.sign(x) + noise)
    assert np.mean(slope * np.abs(total / found.num_updates)) <= accuracy


def test_nonsmooth_rennala_by_hand():
    """M = 2, R = 3, ε = 1/2: K = 2 · 4 · 9 · 4; S = ⌈9/4⌉ = 3, γ = ½/(4 + 3)."""
    found = theory.nonsmooth_rennala(2.0, 9.0, accuracy=0.5, distance=3.0)
    assert found == pytest.approx((1 / 14, 3, 288))


def test_rennala_interpolation_settles_below_the_accuracy():
    """E x² of x⁺ = x − γ (λx + noise), λ between μ and L_max."""
    smoothness, mu, variance, accuracy = 2.0, 0.1, 7.0, 0.01
    found = theory.rennala_interpolation(
        smoothness, variance, accuracy=accuracy, strong_convexity=mu
    )
    assert found == (1 / 2, 4 * 7 * 100 / (0.1 * 2), None)
    for curvature in (mu, 1.0, smoothness):
        keep = 1 - found.step_size * curvature
        noise = found.step_size**2 * variance / found.batch_size
        assert noise / (1 - keep**2) <= accuracy / 2


# ---------------------------------------------------------------- convex, times


def best_subset(times, cost):
    """min over sets of workers of cost(m, Σ 1/τ)."""
    return min(
        cost(m, sum(1 / t for t in subset))
        for m in range(1, len(times) + 1)
        for subset in itertools.combinations(times, m)
    )


@given(clusters, positive, positive, positive, positive, positive)
def test_convex_times_by_enumeration(times, smooth, lipschitz, radius, accuracy, sigma):
    n, noise = len(times), sigma**2 * radius**2 / accuracy**2
    fast = math.sqrt(smooth) * radius / math.sqrt(accuracy)
    rough = lipschitz**2 * radius**2 / accuracy**2
    target = {"variance": sigma**2, "accuracy": accuracy, "distance": radius}
    both = {"smoothness": smooth, "lipschitz": lipschitz}
    for given_constants, steps in (
        (both, min(fast, rough)),
        ({"smoothness": smooth}, fast),
        ({"lipschitz": lipschitz}, rough),
    ):
        expected = best_subset(
            times, lambda m, h, steps=steps: m / h * (steps + noise / m)
        )
        found = theory.t_hom_convex(times, **target, **given_constants)
        np.testing.assert_allclose(found.value, expected, rtol=1e-9)
        found = theory.minibatch_convex_time(times, **target, **given_constants)
        np.testing.assert_allclose(found, max(times) * (steps + noise / n), rtol=1e-9)
    found = theory.t_het_convex(times, **target, smoothness=smooth)
    expected = max(times) * fast + np.mean(times) * noise / n
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    found = theory.asgd_convex_time(times, **target, smoothness=smooth)
    slow = smooth * radius**2 / accuracy
    expected = n / sum(1 / t for t in times) * (slow + noise / n)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    mu = smooth / 10
    strongly = {"smoothness": smooth, "strong_convexity": mu}
    target.pop("distance")
    found = theory.t_hom_strongly_convex(times, **target, **strongly)
    expected = best_subset(
        times,
        lambda m, h: m / h * (math.sqrt(10) + sigma**2 / (m * accuracy * mu)),
    )
    np.testing.assert_allclose(found.value, expected, rtol=1e-9)


def test_dead_workers_in_convex_times():
    target = {"variance": 1.0, "accuracy": 0.1, "distance": 1.0, "smoothness": 2.0}
    alive, dead = theory.t_hom_convex((1, 2), **target), (2, INF, 1)
    assert theory.t_hom_convex(dead, **target) == alive
    assert theory.t_het_convex(dead, **target) == INF
    assert theory.minibatch_convex_time(dead, **target) == INF
    assert theory.asgd_convex_time(dead, **target) < INF


# ---------------------------------------------------------------- errors

TARGET = {"accuracy": 1.0, "distance": 1.0}


@pytest.mark.parametrize(
    ("call", "cure"),
    [
        (lambda: theory.accelerated_rennala(0, 1, **TARGET), "smoothness must be"),
        (lambda: theory.nonsmooth_rennala(0, 1, **TARGET), "lipschitz must be"),
        (
            lambda: theory.t_hom_convex([1], variance=1, **TARGET),
            "smoothness or lipschitz must be given",
        ),
        (
            lambda: theory.t_het_convex([1], variance=-1, smoothness=1, **TARGET),
            "variance must be finite",
        ),
    ],
)
def test_bad_input_is_one_line_with_a_cure(call, cure):
    with pytest.raises(ValueError, match=cure) as error:
        call()
    assert "\n" not in str(error.value)
