"""Methods for finite sums: coins and components have the laws of the paper."""

import functools

import numpy as np
import pytest
from finite_sums import (
    DIM,
    MATRICES,
    PROBLEM,
    RANDOM,
    VECTORS,
    M,
    N,
    batches,
    events_of,
)

import fedjax_opt as fo


def within(mean, expected, variance, count, sigmas=5):
    """Is the mean of `count` draws within that many standard errors?"""
    return np.abs(mean - expected) <= sigmas * np.sqrt(variance / count)


@pytest.mark.parametrize("make", [fo.events.freya, fo.events.soviet_page])
def test_the_coin_has_its_probability(make):
    p = 0.3
    found = events_of(make(probability=p, batch_size=2), 20000)
    kinds = np.array([kind for kind, _ in batches(found)])
    assert kinds[0] == 0
    assert within((kinds[1:] == 0).mean(), p, p * (1 - p), len(kinds))
    assert len(kinds) > 2000


@pytest.mark.parametrize(
    "schedule",
    [
        fo.events.freya(probability=0.05, batch_size=4),
        fo.events.freya(probability=0.05, batch_size=4, stop=True),
        fo.events.soviet_page(probability=0.05, batch_size=4),
        fo.events.with_components(fo.events.rennala(batch_size=4)),
    ],
    ids=["freya", "freya, stop", "soviet_page", "freya_sgd"],
)
def test_batches_are_unbiased_and_their_variance_is_that_of_independent_draws(schedule):
    """Mean of a fixed vector per component: unbiased, variance 1/S of one's."""
    found = events_of(schedule, 60000)
    pair = found.kind.max()
    rows = np.array([r for kind, r in batches(found) if kind == pair])
    assert rows.shape[0] > 5000 and rows.shape[1] == 4
    values = VECTORS - VECTORS.mean(axis=0)
    means = values[found.sample[rows]].mean(axis=1)
    variance = (values**2).mean(axis=0) / 4
    assert within(means.mean(axis=0), 0, variance, len(means)).all()
    np.testing.assert_allclose((means**2).mean(axis=0), variance, rtol=0.1)
    # Indices do not follow the workers, who are of very different speed.
    sample, worker = found.sample[rows].ravel(), found.worker[rows].ravel()
    for i in np.unique(worker):
        of_worker = sample[worker == i]
        counts = np.bincount(of_worker, minlength=M)
        expected = len(of_worker) / M
        chi_square = ((counts - expected) ** 2 / expected).sum()
        assert chi_square < 2 * M + 20  # mean M − 1, standard deviation √(2M)


def test_the_first_component_of_a_full_gradient_is_uniform():
    """Whoever is first: the fastest worker does not favour any component."""
    found = events_of(fo.events.freya(probability=1.0, stop=True), 40000)
    first = np.array([found.sample[rows[0]] for _, rows in batches(found)])
    counts = np.bincount(first, minlength=M)
    expected = len(first) / M
    assert ((counts - expected) ** 2 / expected).sum() < 2 * M + 20


@pytest.mark.parametrize("make", [fo.methods.freya_page, fo.methods.soviet_page])
def test_the_theoretical_step_size_gives_the_theoretical_gradient(make):
    """mean_k E|∇f(x^k)|² <= 2 (f(x⁰) − f*)/(γK), with γ of the theorem."""
    mean = MATRICES.mean(axis=0)
    smoothness = np.linalg.eigvalsh(mean).max()
    variance = np.linalg.eigvalsh((MATRICES @ MATRICES).mean(axis=0) - mean @ mean)
    size, p, updates = 4, 0.2, 40
    step_size = 1 / (smoothness + np.sqrt(variance.max() * (1 - p) / (p * size)))
    x_star = np.linalg.solve(mean, VECTORS.mean(axis=0))
    gap = (np.ones(DIM) - x_star) @ mean @ (np.ones(DIM) - x_star) / 2
    result = fo.sweep(
        functools.partial(make, batch_size=size, probability=p),
        PROBLEM,
        grid={"step_size": [step_size]},
        seeds=list(range(20)),
        num_workers=N,
        compute_time=RANDOM,
        num_updates=updates,
    )
    squares = result.columns["grad_norm_sq"][0][:, :updates]
    assert squares.mean() <= 2 * gap / (step_size * updates)
    assert np.isfinite(squares).all()
