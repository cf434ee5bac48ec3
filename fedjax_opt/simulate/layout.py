"""Where simulated workers live: all on one device, or spread over a mesh."""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ..types import Tree

# (state and input of the workers [n, ...], of the server) -> the same for the results
Round = Callable[[Tree, Tree], tuple[Tree, Tree]]


class Layout(NamedTuple):
    """How the arrays of a round are placed.

    Attributes:
      place: (workers' tree [n, ...], server's tree) -> the same, where they belong.
      gather: messages of the workers at hand -> of all workers, [n, ...].
      spread: turns a round of the workers at hand into one of all workers.
    """

    place: Round
    gather: Callable[[Tree], Tree]
    spread: Callable[[Round], Round]


def stacked() -> Layout:
    """All workers on one device, one beside the other."""
    return Layout(
        place=lambda workers, server: (workers, server),
        gather=lambda messages: messages,
        spread=lambda one_round: one_round,
    )


def over(mesh: Mesh, num_workers: int) -> Layout:
    """n/devices workers on each device; every device plays the server.

    Only what `gather` is given crosses the links.

    Args:
      mesh: with one axis, of Explicit or Auto type.
      num_workers: n, a multiple of the number of devices.

    Raises:
      ValueError: if the mesh does not fit.
    """
    if len(mesh.axis_names) != 1:
        raise ValueError(
            f"workers are spread over a mesh with one axis, got {mesh.axis_names}; "
            "make one with jax.make_mesh((num_devices,), ('workers',))"
        )
    if num_workers % mesh.size != 0:
        raise ValueError(
            f"{num_workers} workers cannot be spread evenly over {mesh.size} devices; "
            f"make num_workers a multiple of {mesh.size}, or the mesh smaller"
        )
    (axis,) = mesh.axis_names
    specs = (PartitionSpec(axis), PartitionSpec())
    # Explicit axes are part of an array's type; for Auto ones we can only ask.
    explicit = mesh.axis_types == (AxisType.Explicit,)
    put = jax.sharding.reshard if explicit else jax.lax.with_sharding_constraint

    def place(workers, server):
        return tuple(
            put(tree, NamedSharding(mesh, spec))
            for tree, spec in zip((workers, server), specs, strict=True)
        )

    def gather(messages):
        return jax.tree.map(lambda x: jax.lax.all_gather(x, axis, tiled=True), messages)

    def spread(one_round):
        # Devices agree on the server's results because they compute the same from
        # the same messages, which the check of replication cannot see.
        on_mesh = jax.shard_map(
            one_round, mesh=mesh, in_specs=specs, out_specs=specs, check_vma=False
        )
        return lambda workers, server: on_mesh(*place(workers, server))

    return Layout(place, gather, spread)
