"""Delay-adaptive LMO steps, a baseline of Ringmaster LMO. arXiv:2605.18174."""

from jax.tree_util import Partial

from .. import checks, estimators, events, transforms
from ..static import bind, checked
from ..types import Geometry, Method, TreeGeometry


def delay_adaptive_lmo(
    *,
    step_size,
    momentum=0.9,
    geometry: Geometry | TreeGeometry | None = None,
) -> Method:
    """Asynchronous LMO steps along a momentum, shorter for later gradients.

        m ← βm + (1−β) ∇f(x^{k−δ}; ξ),   x^{k+1} = x^k + η · n / max(n, δ) · lmo(m)

    For homogeneous data. The momentum takes every gradient in full, however late. At
    most n models are kept, and one momentum.

    Args:
      step_size: η, the length of a step in the chosen norm while δ <= n.
      momentum: β, the weight of the old momentum, which starts at 0.
      geometry: of `fo.geometry`; by default the spectral norm on matrices
        (delay-adaptive Muon) and the Euclidean norm on the other leaves.

    Reference: baseline of Sadiev, Maranjyan, Ilin, Richtárik (2026). arXiv:2605.18174
      (the authors' code). Details of its Muon: see `ringmaster_lmo`.
    """
    checks.in_unit_interval(momentum, "momentum", one=False)
    return Method(
        schedule=events.delay_adaptive_asgd(),
        estimator=Partial(estimators.sgd),
        optimizer=checked(bind(transforms.lmo_step, geometry), step_size, momentum),
        label="delay_adaptive_lmo",
    )
