"""What mechanisms with a memory share: where it starts, and how far it moves."""

from collections.abc import Callable
from typing import Any, cast

from .. import checks, tree
from ..types import Tree, TreeCompressor


def first_or_zero(params: Tree, first_grad: Tree | None) -> Tree:
    """Where a memory starts: at the first gradient if it is given, else at 0."""
    return tree.zeros_like(params) if first_grad is None else first_grad


def omega(compressor: TreeCompressor, like: Tree) -> float:
    """ω of a compressor that `checks.unbiased` has passed, on such a tree."""
    return cast(float, compressor.certificate(tree.leaf_sizes(like)).omega)


def shift_step_for(compressor: TreeCompressor, given: Any) -> Callable[[Tree], Any]:
    """The step a of DIANA's shifts, of the tree at hand.

    Args:
      compressor: unbiased, with ω.
      given: a, in [0, 1], may be traced; None stands for 1/(1 + ω).

    Raises:
      ValueError: if a is a Python number out of range.
    """
    checks.in_unit_interval(given, "shift_step")

    def step(like):
        return 1 / (1 + omega(compressor, like)) if given is None else given

    return step
