"""Finite sums f = (1/m) Σⱼ fⱼ: prescribed parameters of PAGE on a cluster.

Every worker can compute every ∇fⱼ. L₋ is the smoothness of f, and L± of the spread:
(1/m) Σⱼ |∇fⱼ(x) − ∇fⱼ(y)|² − |∇f(x) − ∇f(y)|² <= L±² |x − y|². No bound on the variance
is needed. Times are in `finite_sum_times`.
"""

import math
from typing import NamedTuple

from . import inputs


class PageParameters(NamedTuple):
    """γ, the batch size S, the probability p of a full gradient, K that suffice."""

    step_size: float
    batch_size: int
    probability: float
    num_updates: int | None


def page(
    smoothness,
    smoothness_spread,
    *,
    batch_size,
    probability,
    accuracy=None,
    initial_gap=None,
) -> PageParameters:
    """PAGE with any batch size and probability.

        1/γ = L₋ + L± √((1−p)/(pS)),    K >= (2Δ/ε) / γ

    For other ways to draw differences see `page_step_size`.

    Args:
      smoothness: L₋.
      smoothness_spread: L±; 0 if all ∇fⱼ differ by constants.
      batch_size: S, differences with replacement.
      probability: p.
      accuracy: ε, for E|∇f(x̂)|² <= ε.
      initial_gap: Δ; K needs it and ε.

    Reference: arXiv:2405.15545 (known).
    """
    smooth = inputs.positive("smoothness", smoothness)
    spread = inputs.nonnegative("smoothness_spread", smoothness_spread)
    size = inputs.count("batch_size", batch_size)
    p = inputs.probability("probability", probability)
    inverse = smooth + spread * math.sqrt((1 - p) / (p * size))
    if accuracy is None and initial_gap is not None:
        raise ValueError("accuracy must be given with initial_gap: K depends on both.")
    num_updates = inputs.num_updates(2, inverse, initial_gap, accuracy)
    return PageParameters(1 / inverse, size, p, num_updates)


def freya_page(
    smoothness, smoothness_spread, *, num_components, accuracy=None, initial_gap=None
) -> PageParameters:
    """Freya PAGE without knowledge of the times: S = ⌈√m⌉, p = 1/√m; then as `page`.

    A sharper choice exists for known times; it is not given here.

    Args:
      smoothness: L₋.
      smoothness_spread: L±.
      num_components: m.
      accuracy: ε.
      initial_gap: Δ.

    Reference: arXiv:2405.15545 (known).
    """
    m = inputs.count("num_components", num_components)
    return page(
        smoothness,
        smoothness_spread,
        batch_size=_root_up(m),
        probability=1 / math.sqrt(m),
        accuracy=accuracy,
        initial_gap=initial_gap,
    )


def soviet_page(
    smoothness, smoothness_spread, *, num_components, accuracy=None, initial_gap=None
) -> PageParameters:
    """The classical choice, also on one worker: S = ⌈√m⌉, p = S/(S+m); then as `page`.

    Args:
      smoothness: L₋.
      smoothness_spread: L±.
      num_components: m.
      accuracy: ε.
      initial_gap: Δ.

    Reference: arXiv:2405.15545 (read).
    """
    m = inputs.count("num_components", num_components)
    size = _root_up(m)
    return page(
        smoothness,
        smoothness_spread,
        batch_size=size,
        probability=size / (size + m),
        accuracy=accuracy,
        initial_gap=initial_gap,
    )


def _root_up(m: int) -> int:
    """⌈√m⌉ exactly."""
    return math.isqrt(m - 1) + 1
