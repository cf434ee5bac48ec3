"""Accelerated Rennala SGD. arXiv:2305.12387."""

from jax.tree_util import Partial

from .. import estimators, events, transforms
from ..types import Method


def accelerated_rennala_sgd(*, step_size, batch_size, stop: bool = False) -> Method:
    """Rennala's batches, taken at the extrapolated points of Lan's AC-SA.

        y^{k+1} = (1−α) x^k + α u^k,   α = 2 / (k+2),   u⁰ = x⁰
        u^{k+1} = u^k − γ (k+1) (1/S) Σ_{j=1}^{S} ∇f(y^{k+1}; ξⱼ)
        x^{k+1} = (1−α) x^k + α u^{k+1}

    For convex functions of homogeneous data. Workers are sent y; what is recorded is
    x. Three vectors, x, u and y, are kept. `fo.theory.accelerated_rennala` prescribes
    γ and S.

    Args:
      step_size: γ; at most 1/(4L), less the more updates there are to be with noise.
      batch_size: S.
      stop: interrupt all workers at each step; otherwise late gradients are ignored.

    Reference: Tyurin, Richtárik (2023). arXiv:2305.12387; the update is that of their
      accelerated Fragile SGD (2024). arXiv:2405.16218.
    Deviation: the listing does not say where the gradients are taken; they are at y.
    """
    return Method(
        schedule=events.rennala(batch_size=batch_size, stop=stop),
        estimator=Partial(estimators.sgd),
        optimizer=Partial(transforms.ac_sa, step_size),
        label="accelerated_rennala_sgd",
    )
