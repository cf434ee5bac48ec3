"""The gradients of a round, and what the workers' estimators must be given besides."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from .. import keys, tree
from ..needs import hessian_product, mixture_of_job
from ..types import Array, Tree

# What a round supplies, see `needs.Needs`.
SUPPLIED = frozenset(
    {"previous_grads", "hvp", "reference_grads", "full_grads", "full", "component"}
)


# What is made of a gradient, a function of the point, with the key of the job.
Look = Callable[[Callable[[Tree], Tree], keys.Key], Tree]


class Oracle(NamedTuple):
    """How gradients are taken; nothing that changes from round to round.

    Attributes:
      grad, draw, local_component: of a `Problem`.
      inputs: what the estimators need.
      draws: do gradients take a sample?
      ordered: are gradients those of the components of an order?
      mixed: are some gradients full, in place of samples?
      between: is the Hessian taken between the last two points?
    """

    grad: Callable[..., Tree]
    draw: Callable[..., Any] | None
    local_component: Callable[..., Any] | None
    inputs: frozenset
    draws: bool
    ordered: bool
    mixed: bool
    between: bool


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

    def job_key(worker: Own) -> keys.Key:
        return keys.of_job(common.sample_key, worker.index, common.round)

    def on_sample(worker: Own) -> Callable[[Tree], Tree]:
        sample = _sample(oracle, worker, common)
        return lambda point: oracle.grad(common.data, point, worker.index, sample)

    def whole(look: Look, otherwise: Tree) -> Tree:
        """Of the full local gradients, if anybody takes one."""

        def local(worker: Own) -> Tree:
            index = worker.index
            own_key = job_key(worker)
            return look(
                lambda point: oracle.grad(common.data, point, index, None), own_key
            )

        return jax.lax.cond(
            own.full.any(), lambda: jax.vmap(local)(own), lambda: otherwise
        )

    def taken(look: Look) -> Tree:
        """Of gradients on samples, and of full ones for those that take such."""
        found = jax.vmap(lambda worker: look(on_sample(worker), job_key(worker)))(own)
        if not oracle.mixed:
            return found
        return jax.vmap(tree.select)(own.full, whole(look, found), found)

    def here(grad, key):
        del key
        return grad(common.point)

    def before(grad, key):
        del key
        return grad(common.previous)

    def product(grad, key):
        q = mixture_of_job(key, oracle.between)
        return hessian_product(grad, common.point, common.previous, q)

    def at_reference(worker: Own) -> Tree:
        return on_sample(worker)(worker.reference)

    grads = taken(here)
    makers = {
        "previous_grads": lambda: taken(before),
        "hvp": lambda: taken(product),
        "reference_grads": lambda: jax.vmap(at_reference)(own),
        "full_grads": lambda: whole(here, tree.zeros_like(grads)),
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
