"""Theory of finite sums (Freya, PAGE) and of variance reduction (Rennala MVR)."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from fedjax_opt import theory

INF = math.inf
GOLDEN = (1, 2, 4, 8)

clusters = st.lists(st.floats(0.01, 100), min_size=1, max_size=5)
positive = st.floats(0.1, 10)


# ---------------------------------------------------------------- finite sums


def test_golden_finite_sum_times():
    """min_j (100 + j)/H_j = 104/1.875, min_j (10 + j)/H_j = 13/1.75."""
    full, batch = 55.46667, 7.428571
    found = theory.freya_page_time(GOLDEN, 100, 1)
    np.testing.assert_allclose(found, full + batch, atol=1e-5)
    found = theory.freya_page_time(GOLDEN, 100, 30) - theory.freya_page_time(
        GOLDEN, 100, 10
    )
    np.testing.assert_allclose(found, 20 * batch, atol=1e-4)
    found = theory.finite_sum_lower_bound(GOLDEN, 100, 30)
    np.testing.assert_allclose(found, full * 4, atol=1e-4)
    assert theory.hero_gd_time(GOLDEN, 100, 30) == 3000
    assert theory.hero_page_time(GOLDEN, 100, 30) == 100 + 300
    assert theory.soviet_gd_time(GOLDEN, 100, 30) == 2 * 3000
    assert theory.soviet_page_time(GOLDEN, 100, 30) == 2 * 400
    np.testing.assert_allclose(theory.freya_sgd_time(GOLDEN, 8, 30), 30 * 11 / 1.75)
    np.testing.assert_allclose(theory.batch_difference_time(GOLDEN, 10), 2 * 13 / 1.75)
    found = theory.batch_difference_time(GOLDEN, 10, cost_difference=1)
    np.testing.assert_allclose(found, 13 / 1.75)


@given(clusters, st.integers(1, 10_000), st.floats(1, 1e4))
def test_the_order_of_the_finite_sum_methods(times, m, ratio):
    """Freya is nearly never slower; it meets the lower bound where √m >= n."""
    freya = theory.freya_page_time(times, m, ratio)
    bound = theory.finite_sum_lower_bound(times, m, ratio)
    assert bound <= freya * (1 + 1e-12)
    if math.sqrt(m) >= len(times):
        assert freya <= 2 * bound
    assert freya <= 2 * theory.hero_page_time(times, m, ratio) * (1 + 1e-12)
    if len(times) <= math.sqrt(m):
        assert freya <= 2 * theory.soviet_page_time(times, m, ratio) * (1 + 1e-12)
    dead = [*times, INF]
    assert theory.freya_page_time(dead, m, ratio) == freya
    assert theory.compute_gradient_time(dead, m) == theory.compute_gradient_time(
        times, m
    )
    assert theory.soviet_page_time(dead, m, ratio) == INF


def seconds_to_see_all(times, m, random):
    """Freya's ComputeGradient: a new index is uniform on those still missing."""
    n, missing = len(times), set(range(m))
    ends, held = list(times), list(random.integers(m, size=n))
    while True:
        i = min(range(n), key=lambda j: (ends[j], j))
        missing.discard(held[i])
        if not missing:
            return ends[i]
        held[i] = random.choice(sorted(missing))
        ends[i] += times[i]


@pytest.mark.parametrize("m", [1, 5, 40])
@pytest.mark.parametrize(
    "times", [(1, 2, 4, 8), (1,) * 12, (1,) + (30,) * 8, tuple(range(1, 21))]
)
def test_all_components_are_seen_in_about_the_expected_time(times, m):
    random = np.random.default_rng(0)
    mean = np.mean([seconds_to_see_all(times, m, random) for _ in range(40)])
    assert mean <= 2 * theory.compute_gradient_time(times, m)
    assert mean >= theory.compute_gradient_time(times, m) / 6


def test_page_by_hand():
    """L₋ = 2, L± = 6; p = 1/10, S = 10: √(0.9/1) ; p = 1: gradient descent."""
    found = theory.page(2.0, 6.0, batch_size=4, probability=0.1)
    np.testing.assert_allclose(found[0], 1 / (2 + 6 * 1.5))
    found = theory.page(
        2.0, 6.0, batch_size=4, probability=1, accuracy=0.5, initial_gap=3.0
    )
    assert found == (1 / 2, 4, 1, 24)
    found = theory.freya_page(
        2.0, 6.0, num_components=100, accuracy=1.0, initial_gap=5.0
    )
    inverse = 2 + 6 * math.sqrt(0.9)
    assert found == pytest.approx((1 / inverse, 10, 0.1, math.ceil(10 * inverse)))
    found = theory.soviet_page(2.0, 6.0, num_components=90)
    inverse = 2 + 6 * math.sqrt((1 - 0.1) / (0.1 * 10))
    assert found == pytest.approx((1 / inverse, 10, 0.1, None))
    assert theory.freya_page(2.0, 0.0, num_components=1) == (1 / 2, 1, 1, None)


@pytest.mark.parametrize("m", [1, 2, 4, 5, 9, 10, 10**12 + 1, 94906265**2 + 1])
def test_the_batch_is_the_rounded_root(m):
    size = theory.freya_page(1.0, 1.0, num_components=m).batch_size
    assert (size - 1) ** 2 < m <= size**2
    assert theory.soviet_page(1.0, 1.0, num_components=m).batch_size == size


@pytest.mark.parametrize("choose", [theory.freya_page, theory.soviet_page])
def test_page_reaches_the_accuracy(choose):
    """On (1/m) Σ aⱼx²/2 with aⱼ of both signs, L₋ = |mean a|, L±² = var a; 300 runs."""
    random = np.random.default_rng(0)
    slopes = random.normal(0.5, 3.0, 25)
    mean, start, accuracy = slopes.mean(), 2.0, 0.05
    assert mean > 0
    found = choose(
        mean,
        slopes.std(),
        num_components=25,
        accuracy=accuracy,
        initial_gap=mean * start**2 / 2,
    )
    x, total = np.full(300, start), 0.0
    g = mean * x
    for _ in range(found.num_updates):
        total += np.mean((mean * x) ** 2)
        after = x - found.step_size * g
        batch = slopes[random.integers(25, size=(300, found.batch_size))].mean(axis=1)
        full = random.random(300) < found.probability
        g, x = np.where(full, mean * after, g + batch * (after - x)), after
    assert total / found.num_updates <= accuracy


# ---------------------------------------------------------------- Rennala MVR


def mvr_path(found, slope, sample_spread, variance, start):
    """(mean of E|∇f|², E (g⁰ − ∇f)², sup of the variance) on λx²/2.

    ∇f(x; ξ) = (λ + ξ)x + ζ; second moments of (x, g) are exact. A pair shares (ξ, ζ).
    """
    size, first, keep = found.batch_size, found.first_batch_size, found.momentum
    gamma = found.step_size
    error = (sample_spread * start**2 + variance) / first
    moments = np.outer([start, slope * start], [start, slope * start])
    moments[1, 1] += error
    total, largest = 0.0, 0.0
    for _ in range(found.num_updates):
        total += slope**2 * moments[0, 0]
        largest = max(largest, variance + sample_spread * moments[0, 0])
        # g⁺ = λx⁺ + keep (g − λx) + ξ̄ (x⁺ − keep x) + (1 − keep) ζ̄
        to_x = np.array([1.0, -gamma])
        to_g = slope * to_x + keep * np.array([-slope, 1.0])
        step, swing = np.array([to_x, to_g]), to_x - keep * np.array([1.0, 0.0])
        noise = sample_spread * swing @ moments @ swing + (1 - keep) ** 2 * variance
        moments = step @ moments @ step.T
        moments[1, 1] += noise / size
    return total / found.num_updates, error, largest


@pytest.mark.parametrize("variance", [0.0, 0.3, 8.0, 50.0])
@pytest.mark.parametrize("slope", [0.02, 0.3, 1.0])
@pytest.mark.parametrize("sample_spread", [0.0, 0.5, 3.0])
def test_mvr_keeps_its_bound_and_reaches_the_accuracy(variance, slope, sample_spread):
    accuracy, start = 0.5, 2.0
    noise = variance + sample_spread * 16 * start**2  # E x² stays below 16 x₀²
    gap = slope * start**2 / 2
    found = theory.rennala_mvr(
        1.0,
        math.sqrt(1 + sample_spread),
        noise,
        accuracy=accuracy,
        initial_gap=gap,
    )
    result, error, largest = mvr_path(found, slope, sample_spread, variance, start)
    bound = theory.rennala_mvr_bound(
        found.num_updates,
        step_size=found.step_size,
        momentum=found.momentum,
        batch_size=found.batch_size,
        initial_gap=gap,
        initial_error=error,
        variance=noise,
    )
    assert largest <= noise * (1 + 1e-9)
    assert result <= bound <= accuracy * (1 + 1e-9)


@given(st.floats(0, 1e4), positive, st.floats(0.1, 100))
def test_each_of_the_three_terms_of_mvr_is_a_third(variance, accuracy, gap):
    found = theory.rennala_mvr(2.0, 5.0, variance, accuracy=accuracy, initial_gap=gap)
    a, third = 1 - found.momentum, accuracy / 3 * (1 + 1e-9)
    assert 2 * gap / (found.step_size * found.num_updates) <= third
    assert variance / found.first_batch_size / (a * found.num_updates) <= third
    assert 2 * a * variance / found.batch_size <= third
    assert found.step_size <= min(1 / 4, math.sqrt(a * found.batch_size) / 10 + 1e-12)


def test_mvr_by_hand():
    """s = 16: B = 4, B₀ = 16, a = 4/96; √(aB) = 1/√6. Δ = 3, ε = ½."""
    found = theory.rennala_mvr(2.0, 3.0, 8.0, accuracy=0.5, initial_gap=3.0)
    step_size = 1 / (6 * math.sqrt(6))
    assert found == pytest.approx(
        (step_size, 23 / 24, 4, 16, math.ceil(36 / step_size))
    )
    found = theory.rennala_mvr(2.0, 3.0, 8.0, accuracy=0.5, initial_gap=1e-3)
    assert found.num_updates == 72  # 3/a
    found = theory.rennala_mvr(2.0, 3.0, 0.0, accuracy=0.5)
    assert found == (1 / 6, 0.0, 1, 1, None)


def test_mvr_bound_by_hand():
    """2·3/(½·10) + 4/(¼·10) + 2·¼·8/4."""
    found = theory.rennala_mvr_bound(
        10,
        step_size=0.5,
        momentum=0.75,
        batch_size=4,
        initial_gap=3.0,
        initial_error=4.0,
        variance=8.0,
    )
    np.testing.assert_allclose(found, 1.2 + 1.6 + 1)


def test_mvr_time():
    """τ = (1, 2, 4, 8), s = 100: 104/1.875 for the first batch, 13/1.75 for pairs."""
    found = theory.rennala_mvr_time(GOLDEN, 100, 50)
    np.testing.assert_allclose(found, 104 / 1.875 + 2 * 50 * 13 / 1.75)
    found = theory.rennala_mvr_time(GOLDEN, 100, 1)  # √s = 10 updates at least
    np.testing.assert_allclose(found, 104 / 1.875 + 2 * 10 * 13 / 1.75)
    np.testing.assert_allclose(theory.rennala_mvr_time(GOLDEN, 0, 1), 2 + 2 * 2)
    # One worker: of the order of s + √s Δ/ε, against Rennala's s Δ/ε.
    for s in (1e2, 1e6):
        ratio = theory.rennala_mvr_time([1.0], s, 1e5) / (s + math.sqrt(s) * 1e5)
        assert 1 <= ratio <= 3


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "cure"),
    [
        (lambda: theory.page(1, 1, batch_size=0, probability=1), "batch_size must be"),
        (lambda: theory.page(1, 1, batch_size=1, probability=0), "probability must be"),
        (lambda: theory.freya_page(1, 1, num_components=2.5), "num_components must be"),
        (
            lambda: theory.freya_page(1, 1, num_components=2, initial_gap=1),
            "accuracy must be given",
        ),
        (lambda: theory.freya_page_time([1], 5, 0), "gap_ratio must be positive"),
        (lambda: theory.rennala_mvr(1, 0, 1, accuracy=1), "sample_smoothness must be"),
        (
            lambda: theory.rennala_mvr_bound(
                5,
                step_size=1,
                momentum=1,
                batch_size=1,
                initial_gap=1,
                initial_error=1,
                variance=1,
            ),
            r"1 - momentum must be in \(0, 1\]",
        ),
    ],
)
def test_bad_input_is_one_line_with_a_cure(call, cure):
    with pytest.raises(ValueError, match=cure) as error:
        call()
    assert "\n" not in str(error.value)
