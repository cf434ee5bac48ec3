"""Shifts that never move. arXiv:2206.10452."""

import jax

from .. import checks, tree
from ..compressors.wrap import per_leaf
from ..static import memoised
from ..types import Compressor, Mechanism, Roles, Tree, TreeCompressor


@memoised
def fixed_shift(compressor: Compressor | TreeCompressor, *, shifts: Tree) -> Mechanism:
    """Compresses the distance of the gradient from a shift that is given.

        mᵢ = Q(∇fᵢ(x) − hᵢ),   g = (1/n) Σᵢ (hᵢ + mᵢ),   hᵢ constant

    A baseline of the theory: hᵢ = ∇fᵢ(x*), which nobody knows, is what DIANA learns,
    and its limit is exact (DCGD-STAR). The rule STAR, hᵢ = ∇fᵢ(x*) + C(∇fᵢ(x) −
    ∇fᵢ(x*)), is the same with Q = `induced(C, Q)`. hᵢ = 0 is `dcgd`.

    Args:
      compressor: Q, unbiased with ω; applied to each leaf, or to the tree if it is on
        trees.
      shifts: hᵢ, leaves [n, ...] with the shapes of the parameters behind n.

    Returns:
      A Mechanism without state. Message cost: compressor.bits per worker and round.

    Raises:
      ValueError: if the compressor certifies no ω, or, in the first round, if there are
        not n shifts.

    Reference: Shulgin, Richtárik (2022). arXiv:2206.10452.
    """
    c = checks.unbiased(per_leaf(compressor), user="fixed_shift")

    def init(params, first_grad=None):
        return Roles(worker=(), server=())

    def worker(keys, grad, state):
        _check_rows(shifts, keys.num_workers)
        missing = tree.sub(grad, tree.row(shifts, keys.worker))
        return c.encode(keys, _in_dtype_of(grad, missing)), state

    def server(keys, aggregate, mask, state):
        estimate = tree.add(tree.mean_over_workers(shifts), aggregate)
        return _in_dtype_of(aggregate, estimate), state

    return Mechanism(init, worker, c.decode, server, c.bits, c.add, linear=True)


def _in_dtype_of(like: Tree, a: Tree) -> Tree:
    """Shifts may have more digits than gradients, but not give them theirs."""
    return jax.tree.map(lambda x, y: y.astype(x.dtype), like, a)


def _check_rows(shifts: Tree, num_workers: int) -> None:
    """Refuses other than n shifts: an index beyond the last would give the last."""
    for name, leaf in zip(
        tree.leaf_names(shifts), jax.tree.leaves(shifts), strict=True
    ):
        if leaf.shape[:1] != (num_workers,):
            raise ValueError(
                f"fixed_shift needs one shift for each of {num_workers} workers, got "
                f"shape {leaf.shape} of leaf {name}; stack them on a leading axis"
            )
