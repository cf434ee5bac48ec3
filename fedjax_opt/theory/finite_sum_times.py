"""Time complexities of methods for finite sums under fixed worker speeds.

As in `times`; m is the number of components and `gap_ratio` is Δ/ε times the smoothness
constant that belongs to the method (L₋ or L±, which these forms do not tell apart).
Values are in the seconds of `times`, exact up to a universal constant factor, which is
dropped. With bounded variance, asynchronous SGD and Rennala need `gap_ratio` times
`asgd_time` and `t_hom` here too.
"""

import math

import numpy as np

from . import inputs
from .times import t_batch, t_hom


def compute_gradient_time(times, num_components) -> float:
    """Expected seconds in which Freya's ComputeGradient gets all m components.

        min_j (m + q log q + j) / H_j,    q = min {m, n}

    Components still missing are handed out at random, so some are computed twice. Dead
    workers do not count in n.

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      num_components: m.

    Reference: arXiv:2405.15545 (known, constants dropped).
    """
    m = inputs.count("num_components", num_components)
    alive = np.isfinite(inputs.worker_times(times)).sum()
    few = min(m, int(alive))
    return t_batch(times, m + few * math.log(few)).value


def batch_difference_time(times, batch_size, *, cost_difference=2) -> float:
    """Seconds in which Freya's ComputeBatchDifference surely gets S differences.

        c · min_j (S + j) / H_j

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      batch_size: S.
      cost_difference: c, gradients that a difference costs.

    Reference: arXiv:2405.15545 (read, up to c).
    """
    cost = inputs.positive("cost_difference", cost_difference)
    return cost * t_batch(times, inputs.count("batch_size", batch_size)).value


def finite_sum_lower_bound(times, num_components, gap_ratio) -> float:
    """What no method beats, up to a constant; Freya PAGE attains it where √m >= n.

        min_j (m + j)/H_j + (Δ/ε)/√m · min_j (m + j)/H_j

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      num_components: m.
      gap_ratio: Δ/ε.

    Reference: arXiv:2405.15545 (read, constants dropped).
    """
    m, ratio = _sum_and_gap(num_components, gap_ratio)
    return t_batch(times, m).value * (1 + ratio / math.sqrt(m))


def freya_page_time(times, num_components, gap_ratio) -> float:
    """Freya PAGE: min_j (m + j)/H_j + (Δ/ε) min_j (√m + j)/H_j, for m >= n log n.

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      num_components: m.
      gap_ratio: Δ/ε.

    Reference: arXiv:2405.15545 (read, constants dropped).
    """
    m, ratio = _sum_and_gap(num_components, gap_ratio)
    return t_batch(times, m).value + ratio * t_batch(times, math.sqrt(m)).value


def freya_sgd_time(times, spread_ratio, gap_ratio) -> float:
    """Freya SGD: (Δ/ε) min_j (Δ*/ε + j)/H_j, without a bound on the variance.

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      spread_ratio: Δ*/ε, Δ* = (1/m) Σⱼ (f* − fⱼ*); 0 where one point minimises all fⱼ.
      gap_ratio: Δ/ε.

    Reference: arXiv:2405.15545 (known, constants dropped).
    """
    ratio = inputs.nonnegative("gap_ratio", gap_ratio)
    spread = inputs.nonnegative("spread_ratio", spread_ratio)
    return ratio * t_hom(times, spread).value


def hero_gd_time(times, num_components, gap_ratio) -> float:
    """Gradient descent on the fastest worker alone: τ₁ m Δ/ε.

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      num_components: m.
      gap_ratio: Δ/ε.

    Reference: arXiv:2405.15545 (read, constants dropped).
    """
    m, ratio = _sum_and_gap(num_components, gap_ratio)
    return float(inputs.worker_times(times).min()) * m * ratio


def hero_page_time(times, num_components, gap_ratio) -> float:
    """PAGE on the fastest worker alone: τ₁ m + τ₁ √m Δ/ε.

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      num_components: m.
      gap_ratio: Δ/ε.

    Reference: arXiv:2405.15545 (read, constants dropped).
    """
    m, ratio = _sum_and_gap(num_components, gap_ratio)
    return float(inputs.worker_times(times).min()) * (m + math.sqrt(m) * ratio)


def soviet_gd_time(times, num_components, gap_ratio) -> float:
    """Gradient descent, components split equally, all waited for: τₙ (m/n) Δ/ε.

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      num_components: m.
      gap_ratio: Δ/ε.

    Reference: arXiv:2405.15545 (read, constants dropped).
    """
    m, ratio = _sum_and_gap(num_components, gap_ratio)
    return _slowest_share(times) * m * ratio


def soviet_page_time(times, num_components, gap_ratio) -> float:
    """PAGE, work split equally, all waited for: τₙ m/n + τₙ (√m/n) Δ/ε.

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      num_components: m.
      gap_ratio: Δ/ε.

    Reference: arXiv:2405.15545 (read, constants dropped).
    """
    m, ratio = _sum_and_gap(num_components, gap_ratio)
    return _slowest_share(times) * (m + math.sqrt(m) * ratio)


def _sum_and_gap(num_components, gap_ratio) -> tuple[int, float]:
    """m and Δ/ε, checked."""
    return (
        inputs.count("num_components", num_components),
        inputs.positive("gap_ratio", gap_ratio),
    )


def _slowest_share(times) -> float:
    """τₙ/n."""
    tau = inputs.worker_times(times)
    return float(tau.max()) / tau.size
