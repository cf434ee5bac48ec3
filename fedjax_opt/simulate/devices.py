"""Which devices compute a stack of runs: each a share of them, or of one's workers."""

import contextlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ..types import Tree

RUNS = "runs"  # the axis of the mesh over which runs are spread


class Devices(NamedTuple):
    """Who computes what. Static; at most one of the meshes is there.

    Attributes:
      runs: the mesh over which the runs of a stack are spread, or None.
      workers: the mesh over which the workers of a single run are spread, or None.
      parallel: `vmap` the runs of a device; otherwise one after the other.
    """

    runs: Mesh | None
    workers: Mesh | None
    parallel: bool


def spread_runs(num_runs: int) -> tuple[Devices, np.ndarray]:
    """Spreads runs over the local devices, or as few of them as finish no later.

    If `jax_default_device` is set, there is no other.

    On a CPU the runs of a device go one after the other, which evaluates no gradient in
    vain; the time of `map` on one device being 1, `map` on two took 0.4 to 0.9, `vmap`
    on one 1.1 to 3.9, on two 0.9 to 2.3 (8 runs of a quadratic or a small network on
    2 cores). On an accelerator they go in parallel, so that an operation on all runs
    is one kernel.

    Returns:
      The devices, and which run is where: indices whose number is a multiple of that
      of the devices. The last run is repeated as often as it takes.
    """
    chosen = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    devices = jax.local_devices()[: None if chosen is None else 1]
    share = -(-num_runs // len(devices))
    needed = -(-num_runs // share)
    mesh = None
    if needed > 1:
        mesh = jax.make_mesh(
            (needed,), (RUNS,), (AxisType.Auto,), devices=devices[:needed]
        )
    parallel = jax.default_backend() != "cpu" and share > 1
    index = np.minimum(np.arange(needed * share), num_runs - 1)
    return Devices(mesh, None, parallel), index


def spread_workers(mesh: Mesh) -> Devices:
    """Spreads the workers of one run over a mesh.

    Explicit axes become Auto ones: the problem's functions know nothing of a mesh.
    """
    return Devices(None, Mesh(mesh.devices, mesh.axis_names), parallel=False)


@contextlib.contextmanager
def no_ambient_mesh():
    """Leaves the caller's `jax.set_mesh`: what runs within has meshes of its own."""
    if jax.sharding.get_abstract_mesh().empty:
        yield
    else:
        with jax.set_mesh(None):
            yield


def place(devices: Devices, runs: Tree, same: Tree) -> tuple[Tree, Tree]:
    """Puts arrays where they are needed.

    Args:
      runs: leaves [R, ...].
      same: what every run, and every worker, is given.
    """
    mesh = devices.runs or devices.workers
    if mesh is None:
        return runs, same
    whole = NamedSharding(mesh, PartitionSpec())
    shares = whole if devices.runs is None else NamedSharding(mesh, PartitionSpec(RUNS))
    return _put(runs, shares), _put(same, whole)


def _put(tree: Tree, sharding: NamedSharding) -> Tree:
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)
    try:
        return jax.tree.map(lambda x: _put_everywhere(x, sharding), tree)
    except AssertionError as error:
        raise ValueError(
            "an array differs between the processes of the mesh; make the same call on "
            "each, with the same numbers, problem and key"
        ) from error


def _put_everywhere(x, sharding: NamedSharding):
    """Onto the devices of several processes, each of which has the whole array.

    JAX checks that it is the same array.
    """
    if isinstance(x, jax.Array):
        if not x.is_fully_addressable:
            return jax.device_put(x, sharding)
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            data = _put_everywhere(jax.random.key_data(x), sharding)
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
    return jax.device_put(np.asarray(x), sharding)


def each(devices: Devices, function, runs: Tree, same: Tree) -> Tree:
    """function(run, same) of every run of a stack; leaves [R, ...]."""
    if devices.workers is not None:
        alone = function(jax.tree.map(lambda x: x[0], runs), same)
        return jax.tree.map(lambda x: x[None], alone)

    def share(runs, same):
        of_run = lambda run: function(run, same)
        return jax.vmap(of_run)(runs) if devices.parallel else jax.lax.map(of_run, runs)

    if devices.runs is None:
        return share(runs, same)
    each_own = PartitionSpec(RUNS)
    # Nothing crosses, so there is no replication to check.
    return jax.shard_map(
        share,
        mesh=devices.runs,
        in_specs=(each_own, PartitionSpec()),
        out_specs=each_own,
        check_vma=False,
    )(runs, same)


def gathered(devices: Devices, tree: Tree) -> Tree:
    """Results as ordinary arrays of this process, free to be put on any device."""
    if devices.runs is None and devices.workers is None:
        return tree
    return jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), tree)
