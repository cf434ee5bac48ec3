"""PAGE with any sampling: its variance by enumeration, its step sizes, and runs."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact_quadratics import KINDS, FiniteSums, choices, square
from jax.tree_util import Partial
from mechanism_draws import of_all, round_keys
from trajectory import UPDATES, N, measured

from fedjax_opt import keys, methods, problems, run, theory, timing
from fedjax_opt.mechanisms.coins import common_coin
from fedjax_opt.problems import draws

M, S, D = 4, 2, 3
SHARES = np.array([0.1, 0.2, 0.3, 0.4])
INCLUDED = np.array([0.2, 0.5, 0.3, 0.9])

# ---------------------------------------------------------------- variance


def with_replacement(shares):
    """[(probability, the weight of each aⱼ in S)], all outcomes."""
    for drawn in itertools.product(range(M), repeat=S):
        weights = np.zeros(M)
        for j in drawn:
            weights[j] += 1 / (S * M * shares[j])
        yield np.prod(shares[list(drawn)]), weights


def different():
    for drawn in itertools.combinations(range(M), S):
        yield 1 / math.comb(M, S), np.isin(np.arange(M), drawn) / S


def independent():
    for came in itertools.product([False, True], repeat=M):
        here = np.array(came)
        yield np.prod(np.where(here, INCLUDED, 1 - INCLUDED)), here / (M * INCLUDED)


# name -> (the constants, all outcomes)
SAMPLINGS = {
    "with replacement": (
        theory.uniform_sampling(M, S, replacement=True),
        list(with_replacement(np.full(M, 1 / M))),
    ),
    "without replacement": (
        theory.uniform_sampling(M, S, replacement=False),
        list(different()),
    ),
    "importance": (
        theory.importance_sampling(7 * SHARES, S),
        list(with_replacement(SHARES)),
    ),
    "independent": (theory.independent_sampling(INCLUDED), list(independent())),
}


def expected_square(outcomes, vectors):
    """E S, and E|S − ā|²."""
    probabilities = np.array([p for p, _ in outcomes])
    estimates = np.array([weights @ vectors for _, weights in outcomes])
    away = np.sum((estimates - vectors.mean(axis=0)) ** 2, axis=1)
    return probabilities @ estimates, probabilities @ away


@pytest.mark.parametrize("name", SAMPLINGS)
def test_the_variance_is_what_the_constants_say(name):
    """With equality, for all a₁, ..., a_m."""
    (a, b, weights), outcomes = SAMPLINGS[name]
    assert sum(p for p, _ in outcomes) == pytest.approx(1)
    assert weights.sum() == pytest.approx(1)
    random = np.random.default_rng(0)
    for _ in range(100):
        vectors = random.normal(size=(M, D)) * 10 ** random.uniform(-2, 2, (M, 1))
        vectors += random.normal(size=D) * 10 ** random.uniform(-2, 2)
        mean = vectors.mean(axis=0)
        found, variance = expected_square(outcomes, vectors)
        np.testing.assert_allclose(found, mean, atol=1e-12 * np.abs(vectors).max())
        squares = np.sum(vectors**2, axis=1)
        expected = a * np.mean(squares / (M * weights)) - b * mean @ mean
        assert variance == pytest.approx(expected, abs=1e-12 * squares.max())


def test_constants_by_hand():
    """(m−S)/(S(m−1)) = 6/(4·9); odds 1 and 3, A = 1/4, w = (1/4, 3/4)."""
    assert theory.uniform_sampling(10, 4, replacement=False)[:2] == (1 / 6, 1 / 6)
    assert theory.uniform_sampling(10, 10, replacement=False)[:2] == (0, 0)
    assert theory.uniform_sampling(1, 1, replacement=False)[:2] == (0, 0)
    assert theory.uniform_sampling(10, 4, replacement=True)[:2] == (1 / 4, 1 / 4)
    a, b, weights = theory.independent_sampling([0.5, 0.75])
    assert (a, b, *weights) == pytest.approx((1 / 4, 0, 1 / 4, 3 / 4))
    a, b, weights = theory.importance_sampling([1, 3], 5)
    assert (a, b, *weights) == pytest.approx((1 / 5, 1 / 5, 1 / 4, 3 / 4))


def test_weighted_smoothness_by_hand():
    """L = (1, 7): mean 4, root of the mean square 5; no weights do better than L."""
    each = np.array([1.0, 7.0])
    assert theory.weighted_smoothness(each, [1, 1]) == pytest.approx(5)
    assert theory.weighted_smoothness(each, each) == pytest.approx(4)
    for share in np.linspace(0.01, 0.99, 50):
        assert theory.weighted_smoothness(each, [share, 1 - share]) >= 4 - 1e-12


# ---------------------------------------------------------------- step sizes


def test_step_sizes_by_hand():
    """p = 1/5: D/p = 4 (A−B) 36 + 4 B 9; A = ½, B = ¼: 45; A = B = ½: 18."""
    mixed = theory.Sampling(1 / 2, 1 / 4, np.ones(1))
    found = theory.page_step_size(2.0, 6.0, 3.0, sampling=mixed, probability=0.2)
    assert found == pytest.approx(1 / (2 + math.sqrt(45)))
    pair = theory.uniform_sampling(9, 2, replacement=True)
    options = {"sampling": pair, "probability": 0.2}
    found = theory.page_step_size(2.0, 6.0, 3.0, **options)
    assert found == pytest.approx(1 / (2 + math.sqrt(18)))
    uniform = theory.page(2.0, 3.0, batch_size=2, probability=0.2)
    assert found == pytest.approx(uniform.step_size)
    found = theory.page_step_size(2.0, 6.0, **options)  # L₊ for L±
    assert found == pytest.approx(1 / (2 + math.sqrt(72)))
    found = theory.page_step_size(2.0, 6.0, 3.0, num_workers=9, **options)
    assert found == pytest.approx(1 / (2 + math.sqrt(2)))
    found = theory.page_step_size(2.0, 6.0, 3.0, strong_convexity=0.01, **options)
    assert found == pytest.approx(1 / 8)  # √(2 · 18) = 6
    found = theory.page_step_size(2.0, 6.0, 3.0, strong_convexity=1.0, **options)
    assert found == pytest.approx(0.1)  # p/(2μ)


def finite_sum(seed, lowest, steep=1.0):
    """Matrices [m, d, d] and vectors; the last component `steep` times the others."""
    random = np.random.default_rng(seed)
    eigenvalues = (
        random.uniform(lowest, 5, (M, D)) * np.array([1, 1, 1, steep])[:, None]
    )
    bases = np.linalg.qr(random.normal(size=(M, D, D)))[0]
    matrices = np.einsum("mij,mj,mkj->mik", bases, eigenvalues, bases)
    return (matrices + matrices.swapaxes(1, 2)) / 2, random.normal(size=(M, D))


def constants_of(matrices, weights):
    """L₋, L₊, L± and μ, exact."""
    mean = matrices.mean(axis=0)
    plus = np.mean(matrices @ matrices / (M * weights)[:, None, None], axis=0)
    largest = lambda a: math.sqrt(max(np.linalg.eigvalsh(a)[-1], 0))
    lowest, *_, highest = np.linalg.eigvalsh(mean)
    smooth = max(highest, -lowest)
    return smooth, largest(plus), largest(plus - mean @ mean), lowest


P = 0.3


class OneStep:
    """PAGE on a finite sum of quadratics, with the step size of the theorem."""

    def __init__(self, name, seed, lowest):
        sampling, self.outcomes = SAMPLINGS[name]
        self.matrices, vectors = finite_sum(seed, lowest)
        self.mean, self.linear = self.matrices.mean(axis=0), vectors.mean(axis=0)
        *smooth, mu = constants_of(self.matrices, sampling.weights)
        options = {"probability": P}
        if lowest > 0:
            options["strong_convexity"] = mu
        self.convex = lowest > 0
        self.gamma = theory.page_step_size(*smooth, sampling=sampling, **options)
        self.weight, self.contraction = theory.page_lyapunov(self.gamma, **options)
        self.optimum = self.value(np.linalg.solve(self.mean, self.linear))

    def value(self, x):
        return x @ self.mean @ x / 2 - self.linear @ x

    def excess(self, gamma, x, error):
        """By how much Ψ exceeds, after a step from g = ∇f(x) + error, its bound."""
        gradient = self.mean @ x - self.linear
        new = x - gamma * (gradient + error)
        _, variance = expected_square(self.outcomes, self.matrices @ (new - x))
        before = self.value(x) + self.weight * error @ error
        after = self.value(new) + self.weight * (1 - P) * (error @ error + variance)
        if self.convex:
            return after - self.optimum - self.contraction * (before - self.optimum)
        return after - before + gamma / 2 * gradient @ gradient


@pytest.mark.parametrize("lowest", [0.1, -4.0])
@pytest.mark.parametrize("name", SAMPLINGS)
def test_one_step_decreases_the_lyapunov_function(name, lowest):
    """f + (γ/2p)G by (γ/2)|∇f|²; f − f* + (γ/p)G by the factor 1 − γμ where convex."""
    broken = 0
    for seed in range(5):
        page = OneStep(name, seed, lowest)
        random = np.random.default_rng(seed)
        for _ in range(100):
            x = random.normal(size=D) * 10 ** random.uniform(-1, 1)
            error = random.normal(size=D) * 10 ** random.uniform(-2, 1)
            scale = 1 + x @ x + error @ error
            assert page.excess(page.gamma, x, error) <= 1e-10 * scale
            broken += page.excess(4 * page.gamma, x, error) > 1e-10 * scale
    assert broken >= 50  # of 500: a step four times as long is too long


@pytest.mark.parametrize("kind", KINDS)
def test_one_step_of_several_workers(kind):
    """f − f* + (γ/p)|g − ∇f|²; one component each, drawn by each worker for itself."""
    q = FiniteSums(1, n=3, m=M, d=D, kind=kind)
    gamma = theory.page_step_size(
        q.smoothness,
        q.sample_smoothness,
        sampling=theory.uniform_sampling(M, 1, replacement=True),
        probability=P,
        strong_convexity=q.strong_convexity,
        num_workers=3,
    )
    weight, contraction = theory.page_lyapunov(
        gamma, probability=P, strong_convexity=q.strong_convexity
    )
    random, ratios = np.random.default_rng(0), []
    for _ in range(300):
        x = q.minimum + random.normal(size=D) * 10 ** random.uniform(-1, 1)
        error = random.normal(size=D) * 10 ** random.uniform(-1, 1)
        new = x - gamma * (q.mean @ x - q.slope + error)
        changes = q.parts @ (new - x)  # [3, M, D]
        drawn = changes[np.arange(3), choices(M, 3)].mean(axis=1)  # all M³ outcomes
        noise = square(error + drawn - changes.mean(axis=(0, 1))).mean()
        after = q.gap(new) + weight * (1 - P) * noise
        ratios.append(after / (q.gap(x) + weight * square(error)) / contraction)
    assert 0.3 < max(ratios) <= 1 + 1e-12


# ---------------------------------------------------------------- draws

RNG = np.random.default_rng(5)
FEATURES = RNG.normal(size=(N * M, 6))
TARGETS = RNG.normal(size=N * M)
LIKELIHOODS = RNG.uniform(0.5, 4, (N, M))


def squares(params, batch):
    features, targets = batch
    return jnp.mean((features @ params.ravel() - targets) ** 2) / 2


def coordinate(index, params, rows):
    return params[index]


def least_squares(num_workers=N, rule=None):
    problem = problems.from_loss(
        squares,
        (FEATURES, TARGETS),
        num_workers,
        init=jnp.zeros(6),
        metrics={f"x{i}": functools.partial(coordinate, i) for i in range(6)},
    )
    return problem if rule is None else problems.sampled(problem, rule)


def component(worker, j, x):
    row = worker * M + j
    return (FEATURES[row] @ x - TARGETS[row]) * FEATURES[row]


def drawn(problem, worker, count=4000):
    """Samples of a worker, [count, S] each."""
    one = lambda key: problem.draw(key, problem.data, worker)
    found = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(3), count))
    return np.asarray(found.indices), np.asarray(found.weights)


@pytest.mark.parametrize("worker", [0, 4])
def test_importance_sampling_is_unbiased(worker):
    """Σⱼ pⱼ wⱼ ∇fⱼ over all components, with the weights that come with the draws."""
    problem = least_squares(rule=draws.importance(LIKELIHOODS, 1))
    shares = LIKELIHOODS[worker] / LIKELIHOODS[worker].sum()
    indices, weights = drawn(problem, worker)
    assert indices.shape == weights.shape == (4000, 1)
    counts = np.bincount(indices.ravel(), minlength=M)
    deviation = np.sqrt(4000 * shares * (1 - shares))
    assert np.all(np.abs(counts - 4000 * shares) <= 5 * deviation)
    x, mean = np.arange(6.0), 0.0
    for j in range(M):
        (of_j,) = set(weights[indices == j])
        sample = draws.Drawn(jnp.array([j]), jnp.array([of_j]))
        gradient = problem.grad(problem.data, x, worker, sample)
        mean += shares[j] * np.asarray(gradient)
    full = sum(component(worker, j, x) for j in range(M)) / M
    np.testing.assert_allclose(mean, full, rtol=1e-12)
    found = problem.grad(problem.data, x, worker, None)
    np.testing.assert_allclose(found, full, rtol=1e-12)


def test_draws_without_replacement_are_different_and_all_sets_come():
    problem = least_squares(rule=draws.without_replacement(2))
    indices, weights = drawn(problem, 0)
    assert np.all(weights == 1)
    pairs = [tuple(sorted(pair)) for pair in indices.tolist()]
    counts = np.array([pairs.count(p) for p in itertools.combinations(range(M), 2)])
    assert counts.sum() == 4000
    assert np.all(np.abs(counts - 4000 / 6) <= 5 * math.sqrt(4000 * 5 / 36))


def test_a_gradient_weighs_its_components():
    problem = least_squares(rule=draws.importance(LIKELIHOODS, 3))
    x = np.linspace(-1, 1, 6)
    sample = draws.Drawn(jnp.array([3, 0, 3]), jnp.array([0.5, 2.0, 1.5]))
    expected = (2 * component(2, 3, x) + 2 * component(2, 0, x)) / 3
    found = problem.grad(problem.data, x, 2, sample)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_components_one_by_one_stay_what_they_are():
    x = np.linspace(-1, 1, 6)
    plain = least_squares(num_workers=None)
    rule = draws.importance(np.arange(1, N * M + 1), 3)
    own = problems.sampled(plain, rule)
    assert own.num_components == N * M
    for j in (0, 7):
        sample = own.component(own.data, jnp.array(j))
        found = own.grad(own.data, x, 0, sample)
        np.testing.assert_allclose(found, component(0, j, x), rtol=1e-12)
    split = least_squares(rule=draws.without_replacement(2))
    sample = split.local_component(split.data, 3, jnp.array(1))
    found = split.grad(split.data, x, 3, sample)
    np.testing.assert_allclose(found, component(3, 1, x), rtol=1e-12)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_gradients_keep_the_dtype(dtype):
    def loss(params, batch):
        return jnp.mean(batch @ params)

    rows = jnp.asarray(FEATURES, dtype)
    problem = problems.from_loss(loss, rows, init=jnp.zeros(6, dtype))
    problem = problems.sampled(problem, draws.importance(np.ones(N * M), 2))
    sample = problem.draw(jax.random.key(0), problem.data, 0)
    assert problem.grad(problem.data, problem.init, 0, sample).dtype == dtype


# ---------------------------------------------------------------- runs

KEY, STEP = jax.random.key(8), 0.05


def flips():
    found = of_all(lambda own: common_coin(own, P), round_keys(KEY))[:, 0]
    assert 5 < found.sum() < 45
    return found


def iterates(problem):
    trace = measured(methods.page(step_size=STEP, probability=P), KEY, problem=problem)
    return trace[0].reshape(-1, 6)


RULES = {
    "importance": draws.importance(LIKELIHOODS, 3),
    "without replacement": draws.without_replacement(2),
}


@pytest.mark.parametrize("name", RULES)
def test_page_trajectory(name):
    """Against a loop in NumPy, the draws passed in."""
    problem, coins = least_squares(rule=RULES[name]), flips()
    sample_key = jax.random.split(jax.random.split(KEY)[1])[0]

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(None, 0))
    @functools.partial(jax.vmap, in_axes=(0, None))
    def table(worker, t):
        return problem.draw(keys.of_job(sample_key, worker, t), problem.data, worker)

    samples = table(jnp.arange(N), jnp.arange(UPDATES))
    indices = np.asarray(samples.indices)
    # The weights of the rule, from its definition.
    shares = LIKELIHOODS / LIKELIHOODS.sum(axis=1, keepdims=True)
    counts = 1 / (M * shares) if name == "importance" else np.ones((N, M))
    x, v = [np.zeros(6)], np.zeros((N, 6))
    for t in range(UPDATES):
        for i in range(N):
            if t == 0 or coins[t]:
                v[i] = np.mean([component(i, j, x[t]) for j in range(M)], axis=0)
            else:
                changes = [
                    counts[i, j] * (component(i, j, x[t]) - component(i, j, x[t - 1]))
                    for j in indices[t, i]
                ]
                v[i] += np.mean(changes, axis=0)
        x.append(x[t] - STEP * v.mean(axis=0))
    np.testing.assert_allclose(iterates(problem), x, rtol=1e-10, atol=1e-13)


def test_all_components_without_replacement_are_gradient_descent():
    x = [np.zeros(6)]
    for _ in range(UPDATES):
        gradient = sum(component(i, j, x[-1]) for i in range(N) for j in range(M))
        x.append(x[-1] - STEP * gradient / (N * M))
    found = iterates(least_squares(rule=draws.without_replacement(M)))
    np.testing.assert_allclose(found, x, rtol=1e-10, atol=1e-13)


def _own_draw(probabilities, key, worker):
    came = jax.random.bernoulli(key, probabilities)
    return draws.Drawn(jnp.arange(M), came / probabilities)


def own_rule(num_components):
    """Independent sampling, as one would write it."""
    assert num_components == M
    return Partial(_own_draw, jnp.asarray(INCLUDED))


def quadratic(params, batch):
    """The mean of xᵀAⱼx/2 − bⱼᵀx."""
    matrices, vectors = batch
    return jnp.mean(params @ (matrices @ params).T / 2 - vectors @ params)


STEEP = finite_sum(0, 0.5, steep=40.0)
EACH = np.linalg.norm(STEEP[0], 2, axis=(1, 2))


def gaps(sampling, rule, num_updates=3000):
    """(f(x^k) − f* of PAGE with the step size of the theorem, that step size)."""
    matrices, vectors = STEEP
    *smooth, mu = constants_of(matrices, sampling.weights)
    gamma = theory.page_step_size(
        *smooth, sampling=sampling, probability=0.3, strong_convexity=mu
    )
    problem = problems.from_loss(quadratic, STEEP, init=jnp.ones(D))
    trace = run(
        methods.page(step_size=gamma, probability=0.3),
        problems.sampled(problem, rule),
        num_workers=1,
        compute_time=timing.fixed([1.0]),
        key=jax.random.key(0),
        num_updates=num_updates,
        record_every=num_updates // 10,
    )
    x_star = np.linalg.solve(matrices.mean(axis=0), vectors.mean(axis=0))
    f_star = -vectors.mean(axis=0) @ x_star / 2
    return np.asarray(trace.loss) - f_star, gamma


def test_page_converges_with_the_step_size_of_each_sampling():
    found = {
        "uniform": gaps(
            theory.uniform_sampling(M, S, replacement=True),
            draws.importance(np.ones(M), S),
        ),
        "different": gaps(
            theory.uniform_sampling(M, S, replacement=False),
            draws.without_replacement(S),
        ),
        "importance": gaps(
            theory.importance_sampling(EACH, S), draws.importance(EACH, S)
        ),
        "independent": gaps(theory.independent_sampling(INCLUDED), own_rule),
    }
    for gap, _ in found.values():
        assert abs(gap[-1]) <= 1e-9 * gap[0]
    # One component is 40 times as steep as the others: importance is far ahead.
    assert found["importance"][1] > 1.5 * found["uniform"][1]
    assert found["importance"][0][1] < found["uniform"][0][1] / 10


def test_importance_is_better_where_the_smoothness_differs():
    """(1/m) Σⱼ Lⱼ against the root of the mean square, and exactly equal Lⱼ."""

    def step(sampling, each):
        plus = theory.weighted_smoothness(each, sampling.weights)
        return theory.page_step_size(1.0, plus, sampling=sampling, probability=0.1)

    uniform = theory.uniform_sampling(M, S, replacement=True)
    for each in (EACH, np.array([1.0, 2.0, 3.0, 4.0])):
        assert step(theory.importance_sampling(each, S), each) > step(uniform, each)
    same = np.full(M, 3.0)
    importance = theory.importance_sampling(same, S)
    assert step(importance, same) == pytest.approx(step(uniform, same))


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (
            lambda: theory.uniform_sampling(3, 4, replacement=False),
            "batch_size must be at most 3",
        ),
        (lambda: theory.importance_sampling([1.0, 0.0], 2), "positive finite"),
        (lambda: theory.independent_sampling([0.5, 1.0]), r"in \(0, 1\)"),
        (lambda: theory.weighted_smoothness([1.0], [1.0, 2.0]), "each of 2 weights"),
        (lambda: draws.importance([1.0, 0.0], 2), "positive finite"),
        (lambda: draws.importance([1.0, 2.0], 0), "batch_size"),
        (lambda: draws.without_replacement(0), "batch_size"),
        (
            lambda: least_squares(rule=draws.importance([1.0, 2.0], 1)),
            "one likelihood for each of 4 components",
        ),
        (
            lambda: least_squares(rule=draws.without_replacement(5)),
            "make batch_size at most 4",
        ),
        (
            lambda: problems.sampled(
                problems.quadratics(*STEEP), draws.without_replacement(1)
            ),
            "sampled needs workers whose losses are sums",
        ),
    ],
)
def test_refusals(make, match):
    with pytest.raises(ValueError, match=match):
        make()
