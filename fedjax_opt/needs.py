"""What an update must be given beside the gradient: told, and found, in its state."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import optax

from . import masks, tree
from .types import Tree

# Gradients at two points of one sample, which no average over samples can stand for.
OF_ONE_SAMPLE = frozenset({"previous_grads", "hvp"})

# The loss, which the server of a run can be told where gradients carry no noise.
OF_THE_LOSS = frozenset({"value", "value_fn"})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Needs:
    """A part of the state of a transformation: what its update takes as keywords.

    Whoever takes the gradients finds it, also inside of `optax.chain` and other
    wrappers, and supplies what is named. ξ is the sample of the gradient, x⁻ the point
    of the gradient before.

    Attributes:
      inputs: names of keyword arguments.
        `previous_grads`: ∇f(x⁻; ξ).
        `hvp`: ∇²f(z; ξ)(x − x⁻) at z = q x + (1−q) x⁻.
        `value`, `value_fn`: f(x; ξ), and the function f(·; ξ). The optimizer of a
        run is told them where gradients carry no noise, at the point that is sent.
        `full`: is the gradient, and are the others, that of the whole sum?
        `reference_grads`, `full_grads`: for estimators with a reference point w,
        which starts at x⁰ and moves to x after an update with `full`: ∇f(w; ξ), and,
        with `full`, ∇f(x). The first update is a full one.
        `component`: of which component of a finite sum the gradient is.
      mixture: q of `hvp`; None for z = x. A run draws q itself, anew for every job of
        every worker, where there is one.
      point: (state, params) -> where the gradient is to be taken, with the state that
        this is a part of; None: at the parameters.
    """

    inputs: tuple[str, ...] = dataclasses.field(default=(), metadata={"static": True})
    mixture: Any = None
    point: Callable[..., Tree] | None = dataclasses.field(
        default=None, metadata={"static": True}
    )


_MIXTURE = 2**31 - 3  # apart from what samples and other parts draw with

PREVIOUS_GRADS = Needs(("previous_grads",))


def only(needs: Needs) -> Callable[..., Any]:
    """The `init` of a transformation whose state is nothing else."""
    return lambda params: needs


def states(state: Any) -> Iterator[tuple[Any, Needs]]:
    """The states within a state that need something, with what they need."""

    def found(node) -> Needs | None:
        if isinstance(node, Needs):
            return node
        # A plain tuple is the state of a chain, whose parts come one by one.
        if isinstance(node, tuple) and type(node) is not tuple:
            return next((part for part in node if isinstance(part, Needs)), None)
        return None

    for node in jax.tree.leaves(state, is_leaf=lambda node: found(node) is not None):
        needs = found(node)
        if needs is not None:
            yield node, needs


def of(transformation: optax.GradientTransformation, params: Tree) -> list[Needs]:
    """What the parts of a transformation need; numbers in it are shapes."""
    state = jax.eval_shape(transformation.init, params)
    return [needs for _, needs in states(state)]


def inputs(transformation: optax.GradientTransformation, params: Tree) -> frozenset:
    """The names of what an update takes beside the gradient."""
    return frozenset(x for needs in of(transformation, params) for x in needs.inputs)


def mixes(transformation: optax.GradientTransformation, params: Tree) -> bool:
    """Is the Hessian of `hvp` wanted between the last two points?"""
    return any(needs.mixture is not None for needs in of(transformation, params))


def point(state: Any, params: Tree) -> Tree:
    """Where the next gradient is to be taken.

    A part that is masked, also by `optax.partition`, moves the leaves that it sees.

    Raises:
      ValueError: if two parts of an optimizer name a point, or `optax.flatten` stands
        around the one that does.
    """
    points = [
        (functools.partial(needs.point, part), part)
        for part, needs in states(state)
        if needs.point is not None
    ]
    if len(points) > 1:
        raise ValueError(
            f"{len(points)} parts of the optimizer want the gradient at points of "
            "their own; keep one of them"
        )
    if not points:
        return params
    ((moved, part),) = points
    if _flattened(part, params):
        raise ValueError(
            "a part of the optimizer wants the gradient at a point of its own, and "
            "optax.flatten around it joins the leaves of that; leave optax.flatten out"
        )
    return masks.filled(moved(_seen(part, params)), params)


def _flattened(part: Any, params: Tree) -> bool:
    """Does the state have all the parameters in one vector, which they are not?"""
    vector = (sum(jnp.size(x) for x in jax.tree.leaves(params)),)
    own, others = ({jnp.shape(x) for x in jax.tree.leaves(t)} for t in (params, part))
    return vector in others - own


def _seen(part: Any, params: Tree) -> Tree:
    """The parameters, masked as the trees in a state that are like them."""

    def like_params(node) -> bool:
        try:
            jax.tree.structure(node, is_leaf=masks.is_masked).flatten_up_to(params)
        except ValueError:
            return False
        return True

    for node in jax.tree.leaves(part, is_leaf=like_params):
        if masks.any_masked(node):
            return masks.seen(node, params)
    return params


def of_the_loss(names: frozenset, loss: Callable[..., Any], x: Tree) -> dict[str, Any]:
    """What is needed of a loss that is not one of a sample, at a point."""
    makers = {"value": lambda: loss(x), "value_fn": lambda: loss}
    return {name: makers[name]() for name in sorted(names & OF_THE_LOSS)}


def mixture_of_job(key: Any, mixed: bool) -> Any:
    """q of the job with this key, uniform in [0, 1]; None unless `mixed`."""
    return jax.random.uniform(jax.random.fold_in(key, _MIXTURE)) if mixed else None


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
