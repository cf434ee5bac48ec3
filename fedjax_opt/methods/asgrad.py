"""AsGrad. arXiv:2310.20452."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..types import Method


def asgrad(*, step_size, assignment: str = "shuffled", batch_size=1) -> Method:
    """Asynchronous SGD in which the server chooses who computes next.

        on b results:   x^{k+1} = x^k − (γ/b) Σⱼ ∇f_{iⱼ}(x^{k−δⱼ}; ξⱼ),
                        then b jobs at x^{k+1} are assigned, and queued by their workers

    For heterogeneous data, if the assignment is random or shuffled: then all workers
    deliver equally often, at the price of idle ones. At most as many models
    are kept as jobs are open.

    Args:
      step_size: γ.
      assignment: "pure": to the workers that delivered, which is asynchronous SGD if
        b = 1, and biased towards fast workers. "random": to uniformly drawn ones.
        "shuffled": along permutations of all workers.
      batch_size: b, 1, ..., n; results that the server waits for.

    Reference: Islamov, Safaryan, Alistarh (2024). arXiv:2310.20452, with the queues of
      the authors' code.
    """
    return Method(
        schedule=events.asgrad(assignment=assignment, batch_size=batch_size),
        estimator=Partial(estimators.sgd),
        optimizer=Partial(optax.sgd, step_size),
        label="asgrad",
    )
