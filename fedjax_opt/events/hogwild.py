"""Hogwild, simulated: reads of a vector that others are writing. arXiv:1802.03801."""

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from ..static import bind
from ..types import Schedule
from . import cluster
from .asgd import next_arrival
from .delayed import aged, check_delay

READS = ("consistent", "inconsistent")


def hogwild(*, max_delay, read: str = "inconsistent", worst: bool = False) -> Schedule:
    """Every arrival is a step, with a gradient at a mixture of the last D + 1 models.

        x^{k+1} = x^k − γ ∇f(x̂ᵏ; ξ),    [x̂ᵏ]_c = [x^{k−d_c}]_c

    The ages d_c are uniform on {0, ..., min(D, k)}; the job decides when it arrives.
    With inconsistent reads the version of an event is the oldest that may be read, and
    the method needs `read=Partial(read_coordinates)`, which draws the ages.

    Args:
      max_delay: D, a number of steps, 0 or more.
      read: "consistent", one age for all coordinates, drawn by the clock; or
        "inconsistent", one for each.
      worst: all ages are min(D, k), in both kinds of reads; nothing is drawn.

    Reference: Niu, Recht, Ré, Wright (2011), Hogwild; the reads are those of Nguyen et
      al. (2018). arXiv:1802.03801, restricted to ages by coordinate.
    """
    check_delay("hogwild", max_delay=max_delay)
    if read not in READS:
        raise ValueError(f"hogwild: read must be {' or '.join(READS)}, got {read!r}")
    drawn = read == "consistent" and not worst
    return Schedule(
        Partial(cluster.start),
        Partial(bind(_next, drawn), max_delay),
        Partial(cluster.any_alive),
    )


def read_coordinates(key, ring, version, updates):
    """`Method.read` of inconsistent reads: each coordinate of its own age.

    The ages of leaf l are drawn uniformly on {0, ..., updates - version} from the key
    with l folded in.
    """
    leaves, structure = jax.tree.flatten(ring)

    def read(index, versions):
        length, *shape = versions.shape
        of_leaf = jax.random.fold_in(key, index)
        ages = jax.random.randint(of_leaf, shape, 0, updates - version + 1, jnp.int32)
        slots = (updates - ages) % length
        return jnp.take_along_axis(versions, slots[None], axis=0)[0]

    return jax.tree.unflatten(structure, [read(*leaf) for leaf in enumerate(leaves)])


def _next(drawn, max_delay, clock, compute_time, feedback):
    event, after = next_arrival(clock, compute_time, feedback)
    oldest = jnp.minimum(max_delay, clock.updates)
    if drawn:
        uniform = cluster.job_uniform(clock.key, event.worker, event.job)
        return aged(event, jnp.floor(uniform * (oldest + 1))), after
    return aged(event, oldest), after
