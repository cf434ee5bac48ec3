"""A problem whose stochastic gradients are drawn by a rule of one's own."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..static import bind
from ..types import Problem, Tree
from .draws import Draw, Drawn, Rule


class SampledData(NamedTuple):
    """The numbers of a `sampled` problem.

    Attributes:
      data: those of the problem that is sampled.
      draw: (key, worker) -> Drawn.
    """

    data: Tree
    draw: Draw


def sampled(problem: Problem, rule: Rule) -> Problem:
    """The same problem, with gradients on components that a rule draws.

        ∇fᵢ(x; ξ) = (1/S) Σₛ wₛ ∇fᵢⱼ(x),   j = jₛ,   ξ = (j₁, w₁), ..., (j_S, w_S)

    Full gradients stay what they are. With PAGE on a finite sum f = (1/m) Σⱼ fⱼ:

        problem = sampled(problem, draws.importance(constants, batch_size))
        run(methods.page(step_size=γ, probability=p), problem, num_workers=1, ...)

    Args:
      problem: one whose workers hold sums of equally many components, such as
        `from_loss`, `logistic_regression`, `classifier`. How it draws by itself, that
        is its `samples_per_gradient`, plays no part.
      rule: (m) -> (key, worker) -> Drawn; one of `fo.problems.draws`, or your own.

    Returns:
      A Problem. The constants are those of `problem`, but for the variance, which
      depends on the rule. S gradients are held at a time.

    Raises:
      ValueError: if the workers do not have components, or the rule refuses their
        number.

    Reference: Tyurin, Sun, Burlachenko, Richtárik (2022). arXiv:2206.02275.
    """
    if problem.local_components is None or problem.local_component is None:
        raise ValueError(
            "sampled needs workers whose losses are sums of equally many components: "
            "a problem of rows (from_loss, logistic_regression, classifier), of which "
            "all workers hold equally many"
        )
    one_of_all = None if problem.component is None else _component
    return problem._replace(
        data=SampledData(problem.data, rule(problem.local_components)),
        loss=bind(_of_data, problem.loss),
        draw=_draw,
        grad=bind(_gradient, problem.grad, problem.local_component),
        metrics=_metrics(problem.metrics),
        constants={k: v for k, v in problem.constants.items() if k != "variance"},
        component=one_of_all,
        local_component=_local_component,
    )


def _metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: bind(_of_data, metric) for name, metric in metrics.items()}


def _of_data(function, data, params):
    return function(data.data, params)


def _draw(key, data, worker):
    return data.draw(key, worker)


def _component(data, index):
    """The sample that holds one component alone."""
    del data
    return Drawn(index[None], jnp.ones(1))


def _local_component(data, worker, index):
    return _component(data, index)


def _gradient(grad, local_component, data, params, worker, sample):
    if sample is None:
        return grad(data.data, params, worker, None)

    def of_component(index):
        one = local_component(data.data, worker, index)
        return grad(data.data, params, worker, one)

    def mean(grads):
        wide = grads.astype(jnp.promote_types(grads.dtype, jnp.float32))
        weights = sample.weights.astype(wide.dtype)
        return (jnp.tensordot(weights, wide, 1) / weights.size).astype(grads.dtype)

    return jax.tree.map(mean, jax.vmap(of_component)(sample.indices))
