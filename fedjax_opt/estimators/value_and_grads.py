"""Everything that an optimizer must be given, taken from a loss."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ..needs import OF_ONE_SAMPLE, hessian_product, point, states
from ..types import Array, Tree


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

    Args:
      loss: (params, *sample) -> number.
      optimizer: any, also inside of `optax.inject_hyperparams`, `partition`, `masked`.

    Returns:
      An Oracle. In the first update the previous point is the starting point.

    Raises:
      ValueError: where two parts want gradients at different points; or a part inside
        of `optax.MultiSteps` asks for more than the gradient, which alone is averaged
        over its minibatches.
    """
    inner = optax.with_extra_args_support(optimizer)

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
        extra = {}
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
        "value_fn": lambda: loss,
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


def _refuse_averages(state) -> None:
    """`MultiSteps` averages gradients and nothing else."""
    averages = filter(_accumulates, jax.tree.leaves(state, is_leaf=_accumulates))
    asked = {
        name for node in averages for _, needs in states(node) for name in needs.inputs
    }
    if asked:
        raise ValueError(
            "optax.MultiSteps averages gradients over minibatches, but hands over "
            f"{', '.join(sorted(asked))}= of the last of them, or drops it; leave "
            "MultiSteps out, or take larger minibatches"
        )


def _accumulates(node) -> bool:
    return isinstance(node, optax.MultiStepsState)
