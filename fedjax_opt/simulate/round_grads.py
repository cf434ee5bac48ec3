"""The gradients of a round, and what the workers' estimators must be given besides."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from .. import keys, tree
from ..needs import hessian_product
from ..types import Array, Tree

# What a round supplies, see `needs.Needs`.
SUPPLIED = frozenset(
    {"previous_grads", "hvp", "reference_grads", "full_grads", "full", "component"}
)


class Oracle(NamedTuple):
    """How gradients are taken; nothing that changes from round to round.

    Attributes:
      grad, draw, local_component: of a `Problem`.
      inputs: what the estimators need.
      draws: do gradients take a sample?
      ordered: are gradients those of the components of an order?
      mixed: are some gradients full, in place of samples?
    """

    grad: Callable[..., Tree]
    draw: Callable[..., Any] | None
    local_component: Callable[..., Any] | None
    inputs: frozenset
    draws: bool
    ordered: bool
    mixed: bool


class Own(NamedTuple):
    """What a worker has in a round; every leaf has a worker axis.

    Attributes:
      index: 0-based.
      component: of which component its gradient is; () without an order.
      full: does it take a full gradient?
      reference: its reference point; () where there are none.
    """

    index: Array
    component: Any
    full: Array
    reference: Tree


class Common(NamedTuple):
    """What all workers have.

    Attributes:
      point: x.
      previous: x⁻, the point of the round before; () where nobody looks back.
      round: k.
      data: of the problem.
      sample_key: from which samples are drawn.
    """

    point: Tree
    previous: Tree
    round: Array
    data: Tree
    sample_key: keys.Key


def round_grads(oracle: Oracle, own: Own, common: Common):
    """The gradients of the workers at hand, and the other inputs of their estimators.

    Returns:
      (gradients, {name: input}), leaves with the worker axis.
    """

    def on_sample(worker: Own, point: Tree) -> Tree:
        sample = _sample(oracle, worker, common)
        return oracle.grad(common.data, point, worker.index, sample)

    def on_samples(point: Tree) -> Tree:
        return jax.vmap(on_sample, (0, None))(own, point)

    def whole(point: Tree, otherwise: Tree) -> Tree:
        """The full local gradients, if anybody takes one."""

        def local(worker: Own) -> Tree:
            return oracle.grad(common.data, point, worker.index, None)

        return jax.lax.cond(
            own.full.any(), lambda: jax.vmap(local)(own), lambda: otherwise
        )

    def taken(point: Tree) -> Tree:
        """On samples, and full ones for those that take such."""
        grads = on_samples(point)
        if not oracle.mixed:
            return grads
        return jax.vmap(tree.select)(own.full, whole(point, grads), grads)

    def product(worker: Own) -> Tree:
        return hessian_product(
            lambda point: on_sample(worker, point), common.point, common.previous
        )

    grads = taken(common.point)
    makers = {
        "previous_grads": lambda: taken(common.previous),
        "hvp": lambda: jax.vmap(product)(own),
        "reference_grads": lambda: jax.vmap(on_sample)(own, own.reference),
        "full_grads": lambda: whole(common.point, tree.zeros_like(grads)),
        "full": lambda: own.full,
        "component": lambda: own.component,
    }
    return grads, {name: makers[name]() for name in sorted(oracle.inputs)}


def _sample(oracle: Oracle, worker: Own, common: Common) -> Any:
    """The sample of a worker in this round; None for its full local gradient."""
    if oracle.ordered and oracle.local_component is not None:
        return oracle.local_component(common.data, worker.index, worker.component)
    if not oracle.draws or oracle.draw is None:
        return None
    key = keys.of_job(common.sample_key, worker.index, common.round)
    return oracle.draw(key, common.data, worker.index)
