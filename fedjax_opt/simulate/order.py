"""On which components of its sum a worker works: functions (key, worker, epoch) -> [m].

An epoch is m rounds. All workers have the same number m of components, for which these
functions are made; the component of round t is entry t mod m of epoch ⌊t/m⌋.
"""

import dataclasses
from collections.abc import Callable

import jax
from jax.tree_util import Partial

from .. import checks, keys
from ..static import bind, memoised
from ..types import Array, Method, Problem

Order = Callable[[keys.Key, Array, Array], Array]


@memoised
def uniform_order(num_components: int) -> Order:
    """In each round one of the m components, all equally likely, with replacement.

    Args:
      num_components: m.

    Returns:
      A rule; it draws from `keys.of_job(key, worker, epoch)`.
    """
    checks.positive_integer(num_components, "num_components")

    def order(key, worker, epoch):
        epoch_key = keys.of_job(key, worker, epoch)
        return jax.random.randint(epoch_key, (num_components,), 0, num_components)

    return order


@memoised
def reshuffled_order(num_components: int) -> Order:
    """Random reshuffling: in every epoch each component once, in a fresh order.

    Each worker has an order of its own. One that does not come to a round misses its
    component.

    Args:
      num_components: m.

    Returns:
      A rule; it draws from `keys.of_job(key, worker, epoch)`.

    Reference: Mishchenko, Khaled, Richtárik (2021). arXiv:2102.06704.
    """
    checks.positive_integer(num_components, "num_components")

    def order(key, worker, epoch):
        return jax.random.permutation(keys.of_job(key, worker, epoch), num_components)

    return order


def made_for(method: Method, problem: Problem) -> Method:
    """The method with the parts that `order` has made for the problem's components.

    Raises:
      ValueError: if the method has an order, and the workers have no components.
    """
    if method.order is None:
        return method
    if problem.local_components is None:
        raise ValueError(
            f"{method.label or 'the method'} needs workers whose losses are sums of "
            "equally many components: a problem of rows (from_loss, logistic, "
            "classifier), of which all workers hold equally many, as with split="
            "fo.problems.split.contiguous(num_rows, num_workers, remainder='drop')"
        )

    def made(part):
        if part is None:
            return None
        return Partial(bind(_with_components, problem.local_components), part)

    return dataclasses.replace(
        method,
        order=made(method.order),
        estimator=made(method.estimator),
        mechanism=made(method.mechanism),
    )


def _with_components(num_components, part):
    return part(num_components)
