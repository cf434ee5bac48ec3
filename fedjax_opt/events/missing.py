"""A subset of 0, ..., m − 1 that only shrinks, and then is filled again.

Choosing from it takes O(√m) operations, filling it O(√m) too: no pass over all m.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp


class Missing(NamedTuple):
    """The components that have not come since the set was filled.

    Attributes:
      came: [rows, about √m], the version at which each component came last, -1 if it
        never did; read row by row these are 0, ..., m − 1, then padding.
      left: [rows], how many in each row are missing.
      components: m.
    """

    came: Any
    left: Any
    components: Any


def everything(num_components: int) -> Missing:
    """All m components."""
    width = math.isqrt(num_components - 1) + 1
    rows = -(-num_components // width)
    came = jnp.full((rows, width), -1, jnp.int32)
    return filled(Missing(came, came[:, 0], jnp.int32(num_components)))


def filled(missing: Missing) -> Missing:
    """All m components again; a version that has not been before must follow."""
    rows, width = missing.came.shape
    before = width * jnp.arange(rows, dtype=jnp.int32)
    return missing._replace(left=jnp.minimum(width, missing.components - before))


def contains(missing: Missing, component, version):
    """Is the component missing? `version` is the one that the set was filled for."""
    width = missing.came.shape[1]
    return missing.came[component // width, component % width] != version


def without(missing: Missing, component, version, comes) -> Missing:
    """The set without a component of it, if that `comes`."""
    width = missing.came.shape[1]
    row, column = component // width, component % width
    came = jnp.where(comes, version, missing.came[row, column])
    return missing._replace(
        came=missing.came.at[row, column].set(came),
        left=missing.left.at[row].add(-comes.astype(jnp.int32)),
    )


def entry(missing: Missing, rank, version):
    """The component with `rank` smaller ones in the set; rank < size of the set."""
    ends = jnp.cumsum(missing.left)
    row = jnp.sum(ends <= rank, dtype=jnp.int32)
    rank = rank - (ends[row] - missing.left[row])
    # Padding counts as missing, but stands behind all that could be chosen.
    up_to = jnp.cumsum(missing.came[row] != version)
    return row * missing.came.shape[1] + jnp.sum(up_to <= rank, dtype=jnp.int32)
