"""DIANA-RR. arXiv:2206.07021."""

import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..simulate import reshuffled_order
from ..static import bind
from ..types import Compressor, Method, TreeCompressor


def diana_rr(
    *, step_size, compressor: Compressor | TreeCompressor, shift_step=None
) -> Method:
    """Random reshuffling with a learned shift for every row of every worker.

        mᵢ = Q(∇fᵢⱼ(x^k) − hᵢⱼ),   x^{k+1} = x^k − γ (1/n) Σᵢ (hᵢⱼ + mᵢ),
        hᵢⱼ ← hᵢⱼ + a mᵢ,   j = πᵢ(k mod m)

    with a fresh permutation πᵢ for each worker and each epoch of m rounds. For
    heterogeneous data, in synchronous rounds; every worker must hold m rows, of which
    it takes one at a time, whatever `samples_per_gradient` is. Shifts start at 0; n·m
    vectors are kept besides the model. m = 1 is `diana_gd`, a = 0 is `q_rr`.
    `fo.theory` prescribes γ and a.

    Args:
      step_size: γ.
      compressor: unbiased.
      shift_step: a; 1/(1 + ω) by default.

    Reference: Sadiev, Malinovsky, Gorbunov, Sokolov, Khaled, Burlachenko, Richtárik
      (2022). arXiv:2206.07021.
    """
    _diana_rr(compressor, shift_step, 1)  # refuses now what a run would refuse
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(_of_component),
        mechanism=Partial(bind(_diana_rr, compressor), shift_step),
        optimizer=Partial(optax.sgd, step_size),
        order=Partial(reshuffled_order),
        label="diana_rr",
    )


def _of_component(num_components):
    return estimators.of_component()


def _diana_rr(compressor, shift_step, num_components):
    return mechanisms.diana_rr(compressor, num_components, shift_step=shift_step)
