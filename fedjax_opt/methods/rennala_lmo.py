"""Rennala's batches with LMO steps, a baseline of Ringmaster LMO. arXiv:2605.18174."""

from jax.tree_util import Partial

from .. import checks, estimators, events, transforms
from ..static import bind, checked
from ..types import Geometry, Method, TreeGeometry


def rennala_lmo(
    *,
    step_size,
    batch_size,
    momentum=0.9,
    geometry: Geometry | TreeGeometry | None = None,
    stop: bool = False,
) -> Method:
    """LMO steps along a momentum of batches that are filled by whoever is fast.

        g = (1/S) Σⱼ ∇f(x^k; ξⱼ),   m ← βm + (1−β) g,   x^{k+1} = x^k + η · lmo(m)

    For homogeneous data. One model, one batch mean and one momentum are kept.

    Args:
      step_size: η, the length of a step in the chosen norm.
      batch_size: S.
      momentum: β, the weight of the old momentum, which starts at 0.
      geometry: of `fo.geometry`; by default the spectral norm on matrices (Rennala
        Muon) and the Euclidean norm on the other leaves.
      stop: interrupt all workers at each step; otherwise late gradients are ignored.

    Reference: baseline of Sadiev, Maranjyan, Ilin, Richtárik (2026). arXiv:2605.18174
      (the authors' code). Details of its Muon: see `ringmaster_lmo`.
    """
    checks.in_unit_interval(momentum, "momentum", one=False)
    return Method(
        schedule=events.rennala(batch_size=batch_size, stop=stop),
        estimator=Partial(estimators.sgd),
        optimizer=checked(bind(transforms.lmo_step, geometry), step_size, momentum),
        label="rennala_lmo",
    )
