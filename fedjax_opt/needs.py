"""What an update must be given beside the gradient: told, and found, in its state."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax

from . import tree
from .types import Tree

# Gradients at two points of one sample, which no average over samples can stand for.
OF_ONE_SAMPLE = frozenset({"previous_grads", "hvp"})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Needs:
    """A part of the state of a transformation: what its update takes as keywords.

    Whoever takes the gradients finds it, also inside of `optax.chain` and other
    wrappers, and supplies what is named. ξ is the sample of the gradient, x⁻ the point
    of the gradient before.

    Attributes:
      inputs: names of keyword arguments: `previous_grads`, ∇f(x⁻; ξ); `hvp`,
        ∇²f(z; ξ)(x − x⁻) at z = q x + (1−q) x⁻; `value`, f(x; ξ); `value_fn`, the
        function f(·; ξ); `full`, is the gradient that of the whole sum?
      mixture: q of `hvp`; None for z = x.
      point: (state, params) -> where the gradient is to be taken, with the state that
        this is a part of; None: at the parameters.
    """

    inputs: tuple[str, ...] = dataclasses.field(default=(), metadata={"static": True})
    mixture: Any = None
    point: Callable[..., Tree] | None = dataclasses.field(
        default=None, metadata={"static": True}
    )


PREVIOUS_GRADS = Needs(("previous_grads",))


def states(state: Any) -> Iterator[tuple[Any, Needs]]:
    """The states within a state that need something, with what they need."""

    def found(node) -> Needs | None:
        if isinstance(node, Needs):
            return node
        if isinstance(node, tuple):
            return next((part for part in node if isinstance(part, Needs)), None)
        return None

    for node in jax.tree.leaves(state, is_leaf=lambda node: found(node) is not None):
        needs = found(node)
        if needs is not None:
            yield node, needs


def hessian_product(
    grad: Callable[[Tree], Tree], params: Tree, previous: Tree, mixture: Any = None
) -> Tree:
    """∇²f(z)(x − x⁻) at z = q x + (1−q) x⁻, for about the price of a gradient.

    Args:
      grad: ∇f, of one sample.
      params, previous: x and x⁻.
      mixture: q; None for 1.
    """
    step = tree.sub(params, previous)
    point = params if mixture is None else tree.add_scaled(previous, mixture, step)
    return jax.jvp(grad, (point,), (step,))[1]
