"""Picky SGD, whose clock looks at the numbers: sweeps, float32, memory, gradients."""

import functools

import jax
import numpy as np
import pytest
from reference import asynchronous
from small_cluster import CLUSTER, DIM, EXACT, NOISY, TIMES, Counter, N, clock, go

import fedjax_opt as fo
from fedjax_opt.simulate import interleaved

RADIUS = 0.25


def picky(step_size=0.3, radius=RADIUS):
    return fo.methods.picky_sgd(step_size=step_size, radius=radius)


def test_picky_drops_some():
    trace = go(picky())
    discarded = trace.columns["gradients_discarded"][-1]
    assert 10 <= discarded <= trace.gradients_used[-1] == 60


def test_a_diverged_run_ends_and_is_marked():
    """Distances of NaN must not keep it from stepping for ever."""
    trace = go(picky(step_size=1e9), num_updates=400)
    assert np.isnan(trace.loss[-1]) and trace.diverged
    assert trace.update[-1] == 400


def test_picky_in_a_sweep_is_picky_alone():
    grid = {"step_size": [0.1, 0.3], "radius": [0.1, RADIUS]}
    result = fo.sweep(
        fo.methods.picky_sgd,
        NOISY,
        grid=grid,
        seeds=[0, 5],
        metric=lambda columns: columns["loss"][..., -1] * 0,
        num_workers=N,
        compute_time=CLUSTER,
        num_updates=60,
        keep_params=True,
    )
    used = result.columns["gradients_computed"][..., -1]
    assert len(np.unique(used)) > 4
    for i, j, s in np.ndindex(2, 2, 2):
        method = picky(grid["step_size"][i], grid["radius"][j])
        alone = go(method, key=jax.random.key([0, 5][s]))
        np.testing.assert_allclose(result.params[i, j, s], alone.params, rtol=1e-10)
        for name, column in alone.columns.items():
            found = result.columns[name][i, j, s]
            np.testing.assert_allclose(found, column, rtol=1e-10, atol=1e-12)


COORDINATES = {
    f"x{i}": functools.partial(lambda i, data, x: x[i], i) for i in range(DIM)
}


def test_picky_in_float32_decides_by_the_float32_models():
    """The clock runs in 64 bits, the models it looks at are those of the trace."""
    with jax.enable_x64(False):
        problem = fo.problems.tridiagonal(DIM, noise="coordinates", noise_level=0.05)
        trace = go(picky(), problem._replace(metrics=COORDINATES), num_updates=200)
    assert trace.params.dtype == np.float32
    x = np.stack([trace.columns[name] for name in COORDINATES], axis=-1)
    np.testing.assert_array_equal(x, x.astype(np.float32))
    moves = iter(x[:-1] - x[1:])  # one per accepted gradient
    result = asynchronous.picky_sgd(
        lambda worker, point, job: next(moves),
        lambda worker, job, work, now: TIMES[worker],
        N,
        x[0],
        1.0,
        num_events=10**4,
        num_updates=200,
        radius=RADIUS,
    )
    np.testing.assert_array_equal(result.iterates, x)
    accepted = [row.time for row in result.rows if row.accepted]
    np.testing.assert_allclose(trace.time, [0, *accepted], rtol=1e-12)
    assert trace.gradients_computed[-1] == len(result.rows)


def test_picky_keeps_one_model_per_worker(monkeypatch):
    seen = []

    def spy(state, *arguments, **options):
        seen.append(state)
        return chunks(state, *arguments, **options)

    chunks = interleaved.chunks
    monkeypatch.setattr(interleaved, "chunks", spy)
    wide = fo.problems.tridiagonal(1000, noise="coordinates", noise_level=0.05)
    go(picky(), wide, num_updates=3)
    (state,) = seen
    assert state.points.shape == (1, N, 1000)
    server = sum(leaf.size for leaf in jax.tree.leaves(state.server))
    assert server < 3 * 1000
    assert sum(leaf.size for leaf in jax.tree.leaves(state.clock)) < 10 * N


def test_picky_has_no_clock_of_its_own():
    with pytest.raises(ValueError, match="use fo.run"):
        clock(fo.events.picky(radius=1.0))


def test_picky_evaluates_used_gradients_twice_and_dropped_ones_never():
    counter = Counter()
    trace = go(picky(), counter.problem())
    jax.effects_barrier()
    rows = asynchronous.picky_sgd(
        lambda worker, x, job: np.asarray(EXACT.grad(EXACT.data, x, worker, None)),
        lambda worker, job, work, now: TIMES[worker],
        N,
        EXACT.init,
        0.3,
        num_events=1024,  # the clock runs so far, the trace up to its last row
        radius=RADIUS,
    ).rows
    accepted = sum(row.accepted for row in rows)
    assert 60 < accepted < 1024
    assert counter.calls == accepted + 60 == accepted + trace.gradients_used[-1]
