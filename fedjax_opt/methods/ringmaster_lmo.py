"""Ringmaster LMO. arXiv:2605.18174."""

from jax.tree_util import Partial

from .. import checks, estimators, events, transforms
from ..static import bind, checked
from ..types import Geometry, Method, TreeGeometry


def ringmaster_lmo(
    *,
    step_size,
    delay_threshold=None,
    momentum=None,
    geometry: Geometry | TreeGeometry | None = None,
    stop: bool = False,
    parameter_agnostic: bool = False,
) -> Method:
    """Ringmaster whose steps are linear minimisation oracles of a momentum.

        if δ < R:  m ← βm + (1−β) ∇f(x^{k−δ}; ξ),   x^{k+1} = x^k + η · lmo(m)

    For homogeneous data. R models and one momentum are kept. The parameter-agnostic
    variant has only η to tune:

        ηₖ = η/(k+1)^(3/4),   βₖ = 1 − 1/√k,   Rₖ = max{1, ⌊√k⌋},   β₀ = 0

    Args:
      step_size: η, the length of a step in the chosen norm.
      delay_threshold: R; not of the parameter-agnostic variant.
      momentum: β, the weight of the old momentum, which starts at 0; 0.9 by default;
        not of the parameter-agnostic variant.
      geometry: of `fo.geometry`; by default the spectral norm on matrices (Muon) and
        the Euclidean norm on the other leaves.
      stop: interrupt jobs that have become R steps old (the authors' code does).
      parameter_agnostic: the variant with decreasing steps.

    Raises:
      ValueError: without a delay threshold, or with one, or a momentum, for the
        parameter-agnostic variant.

    Reference: Sadiev, Maranjyan, Ilin, Richtárik (2026). arXiv:2605.18174. The fixed
      parameters' theoretical constants are not known here: tune them.
    Deviation: the authors' Muon differs, and can be put together: its factor
      √max(1, rows/columns) is that of `transforms.muon_norm("jordan", "polar_express",
      5, input_axis=1)`, its iterations nearly, or exactly, with its coefficients as
      kernel; its Nesterov direction is `transforms.momentum(β, nesterov=True)`, in a
      chain with `transforms.scale_by_lmo` as the optimizer of a `Method`; along other
      parameters than matrices it steps by the momentum itself (`optax.partition`).
    """
    if parameter_agnostic:
        if delay_threshold is not None or momentum is not None:
            raise ValueError(
                "parameter_agnostic sets the delay threshold and the momentum itself: "
                "leave both out"
            )
        schedule = events.ringmaster_agnostic(stop=stop)
        momentum = Partial(transforms.growing_momentum)
    elif delay_threshold is None:
        raise ValueError(
            "ringmaster_lmo needs a delay_threshold, or parameter_agnostic=True"
        )
    else:
        schedule = events.ringmaster(delay_threshold=delay_threshold, stop=stop)
        momentum = 0.9 if momentum is None else momentum
        checks.in_unit_interval(momentum, "momentum", one=False)
    return Method(
        schedule=schedule,
        estimator=Partial(estimators.sgd),
        optimizer=checked(bind(transforms.lmo_step, geometry), step_size, momentum),
        label="ringmaster_lmo",
    )
