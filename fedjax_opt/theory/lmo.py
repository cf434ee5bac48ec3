"""Ringmaster LMO: step sizes η, momentum weights α and delay thresholds R.

    m ← (1 − α_k) m + α_k g if δ_k < R_k,    x ← x + η_k · lmo(m)

for a norm, with E|∇f|_* <= ε in the dual norm: ε bounds the norm, not its square.
arXiv:2605.18174.
"""

import math
from typing import NamedTuple

import numpy as np

from . import inputs


class LMOSchedule(NamedTuple):
    """What update k uses, each [K].

    Attributes:
      step_size: η_k.
      gradient_weight: α_k; the momentum keeps 1 − α_k.
      delay_threshold: R_k; delays below it are used.
    """

    step_size: np.ndarray
    gradient_weight: np.ndarray
    delay_threshold: np.ndarray


class LMOShape(NamedTuple):
    """η, α and R up to unknown constants."""

    step_size: float
    gradient_weight: float
    delay_threshold: int


def ringmaster_lmo_schedule(step_size, num_updates) -> LMOSchedule:
    """The parameter-agnostic choice, for k = 0, ..., K − 1 updates done before.

        η_k = η/(k+1)^(3/4),    α_k = 1/√k,    R_k = max {1, ⌊1/α_k⌋} = ⌊√k⌋

    with α₀ = R₀ = 1. Stale jobs are stopped after update k by R_k, the old threshold.

    Args:
      step_size: η.
      num_updates: K.

    Reference: arXiv:2605.18174 and the authors' code (read).
    """
    eta = inputs.positive("step_size", step_size)
    done = range(inputs.count("num_updates", num_updates))
    before = np.maximum(done, 1)
    return LMOSchedule(
        eta / (1.0 + np.asarray(done)) ** 0.75,
        1 / np.sqrt(before),
        np.array([math.isqrt(int(k)) for k in before]),
    )


def ringmaster_lmo_shape(smoothness, variance, *, accuracy) -> LMOShape:
    """The shape of the fixed choice. Experimental: derived, constants unknown.

        α ≍ min {1, ε²/σ²},    R ≍ 1/α,    η ≍ εα/L

    All constants are set to 1: a scale to tune around. With it the method would need
    O(1/ε⁴) updates.

    Args:
      smoothness: L.
      variance: σ² of one gradient.
      accuracy: ε, for E|∇f|_*.

    Reference: arXiv:2605.18174 (O(1/ε⁴) read in a summary). Deviation: the shape is
    derived from the claim that Ringmaster ASGD is recovered; the theorem is unknown.
    """
    smooth = inputs.positive("smoothness", smoothness)
    target = inputs.positive("accuracy", accuracy)
    s = inputs.nonnegative("variance", variance) / target**2
    alpha = 1 / max(1.0, s)
    return LMOShape(target * alpha / smooth, alpha, max(1, inputs.round_up(s)))
