"""Q-RR. arXiv:2206.07021."""

import optax
from jax.tree_util import Partial

from .. import checks, estimators, events, mechanisms
from ..compressors.wrap import per_leaf
from ..simulate import reshuffled_order
from ..static import bind
from ..types import Compressor, Method, TreeCompressor


def q_rr(*, step_size, compressor: Compressor | TreeCompressor) -> Method:
    """Compressed gradients of single rows, every row once in an epoch.

        x^{k+1} = x^k − γ (1/n) Σᵢ Q(∇fᵢⱼ(x^k)),   j = πᵢ(k mod m)

    with a fresh permutation πᵢ for each worker and each epoch of m rounds. For
    heterogeneous data, in synchronous rounds; every worker must hold m rows, of which
    it takes one at a time, whatever `samples_per_gradient` is. The noise of Q is that
    of `dcgd_gd`, and what reshuffling gains is lost in it: see `diana_rr`. `fo.theory`
    prescribes γ.

    Args:
      step_size: γ.
      compressor: unbiased.

    Reference: Sadiev, Malinovsky, Gorbunov, Sokolov, Khaled, Burlachenko, Richtárik
      (2022). arXiv:2206.07021.
    """
    c = checks.unbiased(per_leaf(compressor), user="q_rr")
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(_sgd),
        mechanism=Partial(bind(_dcgd, c)),
        optimizer=Partial(optax.sgd, step_size),
        order=Partial(reshuffled_order),
        label="q_rr",
    )


def _sgd(num_components):
    return estimators.sgd()


def _dcgd(compressor, num_components):
    return mechanisms.dcgd(compressor)
