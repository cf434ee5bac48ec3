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
      ValueError: where two parts want gradients at different points; or a part wants
        two gradients of one sample inside of `optax.MultiSteps`, which would average
        one of them over its minibatches and take the other from the last.
    """
    inner = optax.with_extra_args_support(optimizer)

    def init(params):
        state = inner.init(params)
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
    """Does a part need the previous point? Refuses it where it cannot be served."""
    asked = {name for _, needs in states(state) for name in needs.inputs}
    of_one_sample = sorted(asked & OF_ONE_SAMPLE)
    if of_one_sample and any(map(_accumulates, _nodes(state))):
        raise ValueError(
            "optax.MultiSteps averages gradients over minibatches, but takes "
            f"{', '.join(of_one_sample)}= from the last of them; leave MultiSteps out, "
            "or take larger minibatches"
        )
    return bool(of_one_sample)


def _accumulates(node) -> bool:
    return isinstance(node, optax.MultiStepsState)


def _nodes(state):
    return jax.tree.leaves(state, is_leaf=_accumulates)
