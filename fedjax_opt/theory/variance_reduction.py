"""Rennala MVR: prescribed parameters, bound and time. All derived here.

Mean-squared smoothness: E|∇f(x;ξ) − ∇f(y;ξ)|² <= ℓ² |x − y|². The paper
(arXiv:2605.08871) has constants and a lower bound of its own, which are not known here;
what stands below follows from a proof of ours for the same exact method:

    gᵏ⁺¹ = (1/B) Σⱼ ∇f(xᵏ⁺¹; ξⱼ) + (1 − a) (gᵏ − (1/B) Σⱼ ∇f(xᵏ; ξⱼ)),   xᵏ⁺¹ = xᵏ − γgᵏ
"""

import math
from typing import NamedTuple

from . import inputs
from .times import t_batch


class MVRParameters(NamedTuple):
    """Of Rennala MVR.

    Attributes:
      step_size: γ.
      momentum: 1 − a, the weight of the old estimate.
      batch_size: B pairs.
      first_batch_size: B₀ gradients at x⁰.
      num_updates: K that suffice.
    """

    step_size: float
    momentum: float
    batch_size: int
    first_batch_size: int
    num_updates: int | None


def rennala_mvr(
    smoothness, sample_smoothness, variance, *, accuracy, initial_gap=None
) -> MVRParameters:
    """Rennala MVR: momentum variance reduction on small batches of pairs.

        B = max {⌈σ/√ε⌉, 1},    B₀ = max {⌈σ²/ε⌉, 1},    a = min {1, εB/(6σ²)},
        γ = min {1/(2L), √(aB)/(2ℓ)},    K >= max {6Δ/(γε), 3/a}

    Each of the three terms of `rennala_mvr_bound` is then at most ε/3.

    Args:
      smoothness: L.
      sample_smoothness: ℓ >= L.
      variance: σ² of one gradient.
      accuracy: ε, for E|∇f(x̂)|² <= ε.
      initial_gap: Δ.

    Reference: arXiv:2605.08871 for the method. Deviation: constants are derived here.
    """
    smooth = inputs.positive("smoothness", smoothness)
    steepness = inputs.positive("sample_smoothness", sample_smoothness)
    s = inputs.noise_ratio(variance, accuracy)
    batch_size = max(inputs.round_up(math.sqrt(s)), 1)
    a = 1.0 if s == 0 else min(1.0, batch_size / (6 * s))
    step_size = min(1 / (2 * smooth), math.sqrt(a * batch_size) / (2 * steepness))
    num_updates = inputs.num_updates(6, 1 / step_size, initial_gap, accuracy)
    if num_updates is not None:
        num_updates = max(num_updates, inputs.round_up(3 / a))
    first = max(inputs.round_up(s), 1)
    return MVRParameters(step_size, 1 - a, batch_size, first, num_updates)


def rennala_mvr_bound(
    num_updates,
    *,
    step_size,
    momentum,
    batch_size,
    initial_gap,
    initial_error,
    variance,
) -> float:
    """What the mean of E|∇f(xᵏ)|² over K updates of Rennala MVR is at most.

        2Δ/(γK) + E|g⁰ − ∇f(x⁰)|²/(aK) + 2aσ²/B

    Args:
      num_updates: K.
      step_size: γ <= min {1/(2L), √(aB)/(2ℓ)}.
      momentum: 1 − a, below 1.
      batch_size: B.
      initial_gap: Δ.
      initial_error: E|g⁰ − ∇f(x⁰)|², at most σ²/B₀.
      variance: σ² of one gradient.

    Reference: arXiv:2605.08871 for the method. Deviation: derived here.
    """
    k = inputs.count("num_updates", num_updates)
    a = inputs.probability("1 - momentum", 1 - float(momentum))
    gamma = inputs.positive("step_size", step_size)
    gap = inputs.nonnegative("initial_gap", initial_gap)
    error = inputs.nonnegative("initial_error", initial_error)
    noise = inputs.nonnegative("variance", variance)
    size = inputs.count("batch_size", batch_size)
    return 2 * gap / (gamma * k) + error / (a * k) + 2 * a * noise / size


def rennala_mvr_time(times, noise_ratio, gap_ratio) -> float:
    """Rennala MVR: T_batch(s) + 2 max {(L+ℓ)Δ/ε, √s} · T_batch(√s), in seconds.

    A pair costs two gradients, hence the 2. Compare Rennala's (LΔ/ε) · T_batch(s).
    Batches have at least one gradient: s below 1 counts as 1.

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      noise_ratio: s = σ²/ε.
      gap_ratio: (L+ℓ)Δ/ε.

    Reference: arXiv:2605.08871 for the method. Deviation: derived here, up to a
    universal constant; that it is optimal is known here for one worker only.
    """
    s = max(inputs.nonnegative("noise_ratio", noise_ratio), 1.0)
    steps = max(inputs.nonnegative("gap_ratio", gap_ratio), math.sqrt(s))
    first, pairs = t_batch(times, s).value, t_batch(times, math.sqrt(s)).value
    return first + 2 * steps * pairs
