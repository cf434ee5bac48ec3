"""Sweeps spread over devices, and the workers of one run over a mesh."""

import collections
import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from collectives import collectives
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from small_cluster import CLUSTER, NOISY, N

import fedjax_opt as fo
from fedjax_opt.simulate import devices, numbers

# The best settings of these grids may lie on an edge.
pytestmark = pytest.mark.filterwarnings(
    "ignore::fedjax_opt.experiment.sweep.SweepWarning"
)
run_module = sys.modules["fedjax_opt.experiment.run"]


@pytest.fixture
def spread_over(monkeypatch):
    """On how many devices the numbers of each call are."""
    seen = []

    def advance(*args):
        states, columns = numbers.advance(*args)
        seen.append(len(columns["loss"].sharding.device_set))
        return states, columns

    monkeypatch.setattr(run_module, "advance", advance)
    return seen


def assert_close(trace, expected):
    for name, column in expected.columns.items():
        np.testing.assert_allclose(
            trace.columns[name], column, rtol=1e-10, atol=1e-12, err_msg=name
        )
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-12),
        trace.params,
        expected.params,
    )


# ------------------------------------------------------------------ runs


@pytest.mark.parametrize(
    ("num_runs", "num_devices", "index"),
    [
        (1, 1, [0]),
        (5, 5, [0, 1, 2, 3, 4]),
        (8, 8, list(range(8))),
        (9, 5, [*range(9), 8]),
        (11, 6, [*range(11), 10]),
        (17, 6, [*range(17), 16]),
    ],
)
def test_as_many_devices_as_needed_have_equal_shares(num_runs, num_devices, index):
    where, found = devices.spread_runs(num_runs)
    assert (where.runs.size if where.runs else 1) == num_devices
    np.testing.assert_array_equal(found, index)
    assert where.workers is None and not where.parallel


# Five and eleven runs on eight devices, with streams that differ and streams that are
# shared; gradients one by one, in batches; rounds; rules that look at the model.
GRIDS = {
    "asgd": (fo.methods.asgd, {"step_size": [0.1, 0.05, 0.03, 0.02, 0.01]}, [0]),
    "rennala": (
        functools.partial(fo.methods.rennala_sgd, step_size=0.1),
        {"batch_size": list(range(6, 17))},
        [0],
    ),
    "ringmaster": (
        fo.methods.ringmaster_asgd,
        {"step_size": [0.1, 0.05], "delay_threshold": [1, 2, 4]},
        [0, 3],
    ),
    "diana": (
        functools.partial(fo.methods.diana_gd, compressor=fo.compressors.rand_k(2)),
        {"step_size": [0.1, 0.05, 0.03, 0.02, 0.01]},
        [0],
    ),
    "picky": (
        functools.partial(fo.methods.picky_sgd, step_size=0.1),
        {"radius": [0.05, 0.1, 0.5]},
        [0],
    ),
}
SHORT = {"num_workers": N, "compute_time": CLUSTER, "num_updates": 30}


@pytest.mark.parametrize(
    ("name", "parallel"),
    [(name, False) for name in GRIDS] + [("asgd", True), ("rennala", True)],
)
def test_a_spread_sweep_equals_its_runs_alone(name, parallel, monkeypatch, spread_over):
    def spread(num_runs):
        where, index = devices.spread_runs(num_runs)
        return where._replace(parallel=parallel and num_runs > 1), index

    monkeypatch.setattr(run_module, "spread_runs", spread)
    make, grid, seeds = GRIDS[name]
    sweep = fo.sweep(make, NOISY, grid=grid, seeds=seeds, keep_params=True, **SHORT)
    assert spread_over[0] > 1
    for place in np.ndindex(*sweep.score.shape, len(seeds)):
        setting = {
            axis: values[i]
            for i, (axis, values) in zip(place[:-1], grid.items(), strict=True)
        }
        key = jax.random.key(seeds[place[-1]])
        alone = fo.run(make(**setting), NOISY, key=key, **SHORT)
        for column, values in alone.columns.items():
            np.testing.assert_allclose(
                sweep.columns[column][place], values, rtol=1e-10, err_msg=column
            )
        np.testing.assert_allclose(sweep.params[place], alone.params, rtol=1e-10)
    assert set(spread_over[1:]) == {1}


def test_data_may_be_anywhere_and_a_device_or_a_mesh_may_be_set(spread_over):
    grid = {"step_size": [0.1, 0.2]}
    sweep = functools.partial(fo.sweep, fo.methods.asgd, grid=grid, seeds=[0], **SHORT)
    expected = sweep(NOISY).score
    elsewhere = jax.device_put(NOISY.data, jax.devices()[5])
    np.testing.assert_array_equal(sweep(NOISY._replace(data=elsewhere)).score, expected)
    with jax.set_mesh(jax.make_mesh((8,), ("any",))):
        np.testing.assert_array_equal(sweep(NOISY).score, expected)
    with jax.default_device(jax.devices()[3]):
        np.testing.assert_allclose(sweep(NOISY).score, expected, rtol=1e-10)
    assert spread_over == [2, 2, 2, 1]


# ------------------------------------------------------------------ workers

WORKERS, DIM, K = 16, 300, 7
TOP, RAND = fo.compressors.top_k(K), fo.compressors.rand_k(K)
METHODS = {
    "ef21": fo.methods.ef21_gd(step_size=0.1, compressor=TOP),
    "diana": fo.methods.diana_gd(step_size=0.1, compressor=RAND),
    "muon": fo.methods.ef21_muon(
        step_size=0.1, momentum=0.9, compressor=TOP, geometry=fo.geometry.l2()
    ),
}


def quadratics(noise_level=0.1, n=WORKERS):
    return fo.problems.heterogeneous_quadratics(
        n, DIM, noise_scale=0.3, strong_convexity=0.01, seed=0, noise_level=noise_level
    )


def least_squares():
    """Rows split unequally between the workers, and a tree of parameters."""

    def loss(params, batch):
        features, targets = batch
        return jnp.mean((features @ params["w"] + params["b"] - targets) ** 2)

    rng = np.random.default_rng(0)
    rows = rng.standard_normal((70, 9)), rng.standard_normal(70)
    init = {"w": jnp.zeros(9), "b": jnp.zeros(())}
    return fo.problems.from_loss(loss, rows, WORKERS, init=init, samples_per_gradient=4)


def mesh_of(axis_type=AxisType.Explicit, size=8):
    return jax.make_mesh((size,), ("workers",), axis_types=(axis_type,))


go = functools.partial(fo.run, num_workers=WORKERS, key=jax.random.key(1))
ROUNDS = {"num_updates": 20, "record_every": 3}


@pytest.mark.parametrize("name", METHODS)
def test_a_run_over_a_mesh_sends_messages_only_and_changes_nothing(name, monkeypatch):
    alone = go(METHODS[name], quadratics(), **ROUNDS)
    sent = []

    def advance(program, *args):
        compiled = numbers.advance.lower(program, *args).compile()
        sent.append(collectives(compiled.as_text()))
        return compiled(*args)

    monkeypatch.setattr(run_module, "advance", advance)
    spread = go(METHODS[name], quadratics(), mesh=mesh_of(), **ROUNDS)
    # One message per worker, in the body of the loop over rounds; nothing else.
    assert [sorted(s) for s in sent] == [[("f64", WORKERS * K), ("u16", WORKERS * K)]]
    assert np.unique(alone.loss).size > 5
    assert_close(spread, alone)


def test_a_tree_over_a_mesh_with_data_already_on_it():
    problem, mesh = least_squares(), mesh_of(size=4)
    compressor = fo.compressors.wrap.whole_tree(fo.compressors.top_k(3))
    method = fo.methods.ef21_gd(step_size=0.1, compressor=compressor)
    alone = go(method, problem, until=9.5)
    everywhere = NamedSharding(mesh, PartitionSpec())
    problem = problem._replace(data=jax.device_put(problem.data, everywhere))
    with jax.set_mesh(mesh):
        spread = go(method, problem, until=9.5, mesh=mesh)
    assert len(alone.loss) == 10
    assert_close(spread, alone)
    # The result is an ordinary array of this process.
    other = jax.devices()[6]
    moved = jax.tree.map(lambda x: x + jax.device_put(x, other), spread.params)
    assert all(x.devices() == {other} for x in jax.tree.leaves(moved))


def test_every_worker_computes_its_gradient_on_one_device():
    computed = collections.Counter()

    def grad(data, params, worker, sample):
        jax.debug.callback(lambda i: computed.update([int(i)]), worker)
        return quadratics().grad(data, params, worker, sample)

    problem = quadratics()._replace(grad=grad)
    go(METHODS["ef21"], problem, num_updates=5, mesh=mesh_of())
    jax.effects_barrier()
    assert computed == {worker: 5 for worker in range(WORKERS)}


def test_other_numbers_over_a_mesh_compile_nothing():
    def sizes_after(seed, axis_type):
        fo.run(
            fo.methods.ef21_gd(step_size=0.1 + 0.1 * seed, compressor=TOP),
            quadratics(),
            num_workers=WORKERS,
            key=jax.random.key(seed),
            mesh=mesh_of(axis_type),
            **ROUNDS,
        )
        return numbers.begin._cache_size(), numbers.advance._cache_size()

    sizes = sizes_after(0, AxisType.Explicit)
    assert sizes_after(1, AxisType.Explicit) == sizes
    assert sizes_after(2, AxisType.Auto) == sizes


def test_a_mesh_that_does_not_fit_is_refused():
    with pytest.raises(
        ValueError, match="rennala_sgd has no mechanism.*leave mesh= out"
    ):
        go(
            fo.methods.rennala_sgd(step_size=0.1, batch_size=3),
            quadratics(),
            num_updates=3,
            mesh=mesh_of(),
        )
    with pytest.raises(ValueError, match="12 workers cannot be spread evenly over 8"):
        options = {"num_workers": 12, "key": jax.random.key(0), "num_updates": 3}
        fo.run(METHODS["ef21"], quadratics(n=12), mesh=mesh_of(), **options)
    with pytest.raises(ValueError, match="a mesh with one axis, got.*make_mesh"):
        mesh = jax.make_mesh((2, 4), ("a", "b"))
        go(METHODS["ef21"], quadratics(), num_updates=3, mesh=mesh)
