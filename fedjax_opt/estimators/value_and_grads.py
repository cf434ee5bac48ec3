"""Everything that an optimizer must be given, taken from a loss."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ..masks import on_the_rest
from ..needs import OF_ONE_SAMPLE, hessian_product, point, states
from ..types import Array, Tree

SEARCHES = (optax.ScaleByZoomLinesearchState, optax.ScaleByBacktrackingLinesearchState)


class WithPrevious(NamedTuple):
    """State of an optimizer that also knows where the last gradient was taken.

    Attributes:
      optimizer: its state.
      previous: x⁻, like the parameters; () where nobody asks for it.
    """

    optimizer: optax.OptState
    previous: Tree


class Oracle(NamedTuple):
    """An optimizer, and the function that takes what it must be given.

    Attributes:
      optimizer: as it was, with the previous point in its state if somebody asks.
      value_and_grads: (params, state, *sample) -> (value, grads, extra).
    """

    optimizer: optax.GradientTransformationExtraArgs
    value_and_grads: Callable[..., tuple[Array, Tree, dict[str, Any]]]


def value_and_grads(
    loss: Callable[..., Array], optimizer: optax.GradientTransformation
) -> Oracle:
    """Takes the loss, its gradient, and whatever else a chain asks for, on one sample.

        optimizer = optax.chain(estimators.mvr(0.9), transforms.lmo_step(None, 0.01))
        optimizer, oracle = value_and_grads(loss, optimizer)
        state = optimizer.init(params)

        value, grads, extra = oracle(params, state, batch)
        updates, state = optimizer.update(grads, state, params, **extra)

    What is asked for stands in the states of the parts (`needs.Needs`): the gradient at
    the previous point (MVR), a product with the Hessian (`jax.jvp` of the gradient),
    the loss, the loss as a function, another point for the gradient (NIGT, STM). An
    optimizer that asks for nothing costs one gradient, and keeps nothing more.

    Those of optax say nothing in their states. They are given `value=` where they take
    extra arguments (`optax.polyak_sgd`, `optax.contrib.momo`, `reduce_on_plateau`), and
    line searches what they take (`optax.lbfgs`); nothing else, such as the gradient as
    a function (`optax.contrib.sam`).

    Args:
      loss: (params, *sample) -> number.
      optimizer: any, also inside of `optax.inject_hyperparams`, `partition`, `masked`:
        a part for some leaves is given the loss as a function of these, and of other
        trees their leaves. Line searches in them need `mask_compatible_extra_args`.

    Returns:
      An Oracle. In the first update the previous point is the starting point.

    Raises:
      ValueError: where two parts want gradients at different points; a part inside of
        `optax.MultiSteps` asks for more than the gradient, which alone is averaged over
        its minibatches; a line search does not start where the gradient is taken; or
        `optax.flatten` stands around a part that asks for more.
    """
    inner = optax.with_extra_args_support(optimizer)
    told = isinstance(optimizer, optax.GradientTransformationExtraArgs)

    def init(params):
        state = inner.init(params)
        _refuse_averages(state)
        previous = jax.tree.map(jnp.copy, params) if _looks_back(state) else ()
        return WithPrevious(state, previous)

    def update(updates, state, params=None, **extra):
        updates, optimizer_state = inner.update(
            updates, state.optimizer, params, **extra
        )
        if not _looks_back(state.optimizer):
            return updates, WithPrevious(optimizer_state, ())
        if params is None:
            raise TypeError(
                "the optimizer looks back at the point before, so its update needs the "
                "present one: update(grads, state, params, **extra)"
            )
        return updates, WithPrevious(optimizer_state, params)

    def evaluate(params, state, *sample):
        def of_sample(x):
            return loss(x, *sample)

        value, grads = jax.value_and_grad(of_sample)(point(state.optimizer, params))
        extra = {"value": value} if told else {}
        if _searches(state.optimizer):
            extra |= {"grad": grads, "value_fn": on_the_rest(of_sample, params)}
        for _, needs in states(state.optimizer):
            extra |= _supply(needs, of_sample, value, params, state.previous)
        return value, grads, extra

    return Oracle(optax.GradientTransformationExtraArgs(init, update), evaluate)


def _supply(needs, loss, value, params, previous) -> dict[str, Any]:
    """The keyword arguments of one part."""
    makers = {
        "previous_grads": lambda: jax.grad(loss)(previous),
        "hvp": lambda: hessian_product(jax.grad(loss), params, previous, needs.mixture),
        "value": lambda: value,
        "value_fn": lambda: on_the_rest(loss, params),
    }
    for name in needs.inputs:
        if name not in makers:
            raise ValueError(
                f"a part of the optimizer asks for {name}=, which is none of what a "
                f"loss tells, {', '.join(makers)}: leave the part out"
            )
    return {name: makers[name]() for name in needs.inputs}


def _looks_back(state) -> bool:
    """Does a part need the previous point?"""
    return any(OF_ONE_SAMPLE.intersection(needs.inputs) for _, needs in states(state))


def _searches(state) -> bool:
    """Is there a line search? Refuses one that starts elsewhere than the gradient."""
    if not _within(state, SEARCHES):
        return False
    if any(needs.point is not None for _, needs in states(state)):
        raise ValueError(
            "a line search starts at the parameters, but a part of the optimizer wants "
            "the gradient at a point of its own; leave one of them out"
        )
    return True


def _refuse_averages(state) -> None:
    """`MultiSteps` averages gradients and nothing else."""
    averages = _within(state, (optax.MultiStepsState,))
    asked = {
        name for node in averages for _, needs in states(node) for name in needs.inputs
    }
    if asked:
        raise ValueError(
            "optax.MultiSteps averages gradients over minibatches, but hands over "
            f"{', '.join(sorted(asked))}= of the last of them, or drops it; leave "
            "MultiSteps out, or take larger minibatches"
        )


def _within(state, kinds: tuple[type, ...]) -> list[Any]:
    """The states of these kinds."""

    def is_one(node) -> bool:
        return isinstance(node, kinds)

    return list(filter(is_one, jax.tree.leaves(state, is_leaf=is_one)))
