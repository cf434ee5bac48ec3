"""Error feedback with clipped or normalized messages: when it loses its bias.

Everything here is derived from how |u − clip(u)| and |u − βu/(α + |u|)| shrink, by the
triangle inequality; the theorems of the papers have other constants.
"""

import math
from typing import NamedTuple

from . import inputs
from .compressed import ef21_step_size
from .rates import ef21_constants


class PressClip21Parameters(NamedTuple):
    """γ, and K: the rounds after which nothing is clipped any more."""

    step_size: float
    clipped_rounds: int


class ClippedShiftParameters(NamedTuple):
    """γ, and K: the rounds after which nothing is clipped any more."""

    step_size: float
    clipped_rounds: int


def clip21_active_rounds(residual, threshold, *, drift=0.0) -> int:
    """After how many rounds Clip21 clips nothing any more.

        ⌈(R − τ)/(τ − δ)⌉,   0 where R <= τ

    R is the largest |∇fᵢ(x⁰) − gᵢ|, and δ the most by which a gradient ∇fᵢ moves from
    one round to the next: Lᵢγ|g|. A clip leaves max {|u| − τ, 0} of a residual u, so
    that the residuals of round k are at most R − k(τ − δ), and at most δ from the
    first that was not clipped on. Then every gᵢ is exact: Clip21 is gradient descent,
    and gᵢ of constant gradients is their mean after ⌈R/τ⌉ messages.

    Args:
      residual: R; |∇fᵢ(x⁰)| at most where gᵢ = 0.
      threshold: τ.
      drift: δ, below τ.

    Raises:
      ValueError: if the drift is not below the threshold.

    Reference: arXiv:2305.18929 (the phenomenon known; the number derived, checked).
    """
    limit = inputs.positive("threshold", threshold)
    moved = inputs.nonnegative("drift", drift)
    if moved >= limit:
        raise ValueError(
            f"the drift must be below the threshold {limit}; got {moved}: take "
            "smaller steps, or a larger threshold"
        )
    excess = inputs.nonnegative("residual", residual) - limit
    return max(inputs.round_up(excess / (limit - moved)), 0)


def press_clip21(
    smoothness,
    smoothness_mean_square,
    smoothness_max,
    *,
    alpha,
    threshold,
    residual,
    initial_gap,
) -> PressClip21Parameters:
    """Press-Clip21, for f that may be nonconvex; with α = 1 Clip21.

        K = ⌈2 (R − τ)/(θτ)⌉, 0 where R <= τ,    θ = 1 − √(1−α)
        1/γ = max {L + L̂ ξ, 2 L_max (r + √(2LΔ + KR² + τ²/θ))/(θτ)},   r = max {R, τ}

    From round K of 0, 1, ... on nothing is clipped and it is EF21, which decreases the
    function of `ef21_lyapunov`. Proof: a message takes θτ off a residual above τ, and
    leaves √(1−α) of another; no step moves a gradient by more than θτ/2, for |g| <=
    |∇f(x)| + r, and a round adds at most γr²/2 to f before K. It is cautious: on random
    quadratics steps ten times as long mostly kept it.

    Args:
      smoothness: L.
      smoothness_mean_square: L̂.
      smoothness_max: L_max.
      alpha: α of the compressors, which must contract in every draw, as Top-K does.
      threshold: τ.
      residual: R, at least maxᵢ |∇fᵢ(x⁰) − gᵢ|; of |∇fᵢ(x⁰)| where gᵢ = 0.
      initial_gap: Δ = f(x⁰) − inf f.

    Reference: arXiv:2305.18929 for the method (derived, checked).
    """
    step_size = ef21_step_size(smoothness, smoothness_mean_square, alpha=alpha)
    theta = ef21_constants(alpha).theta
    limit = inputs.positive("threshold", threshold)
    first = inputs.nonnegative("residual", residual)
    rounds = max(inputs.round_up(2 * (first - limit) / (theta * limit)), 0)
    gap = inputs.nonnegative("initial_gap", initial_gap)
    square = 2 * inputs.positive("smoothness", smoothness) * gap
    square += rounds * first**2 + limit**2 / theta
    length = max(first, limit) + math.sqrt(square)
    largest = inputs.positive("smoothness_max", smoothness_max)
    slow = theta * limit / (2 * largest * length)
    return PressClip21Parameters(min(step_size, slow), rounds)


def dprox_clipped_shift(
    smoothness, smoothness_max, *, threshold, shift_step, gradient_norm, lipschitz=0.0
) -> ClippedShiftParameters:
    """DProx-clipped-SGD-shift with full gradients from hᵢ = 0, for convex f and R.

        K = ⌈2 (G − τ)/(ντ)⌉, 0 where G <= τ
        1/γ = max {L, L_max (2 (G + ρ)/(ντ) + K)}

    R is a ρ-Lipschitz function, plus the indicator of a convex set that holds x⁰. From
    round K of 0, 1, ... on nothing is clipped, and it is proximal gradient descent with
    γ <= 1/L. Proof: while no step moves a gradient by more than ντ/2, residuals above τ
    fall by as much a round. hᵢ and hᵢ + cᵢ are convex combinations of 0 and gradients
    seen, of norm at most G + Kντ/2; a step is at most γ times that and ρ. From K on
    steps do not grow, since x ↦ prox(x − γ∇f(x), γ) expands nothing. It is cautious: on
    random quadratics steps ten times as long mostly kept it.

    Args:
      smoothness: L.
      smoothness_max: L_max.
      threshold: τ.
      shift_step: ν, in (0, 1].
      gradient_norm: G, at least maxᵢ |∇fᵢ(x⁰)|.
      lipschitz: ρ; w √d for R(x) = w Σⱼ |xⱼ|, 0 for a set.

    Reference: arXiv:2310.01860 for the method (derived, checked). Deviation: the
      theorems of the paper are on heavy-tailed noise.
    """
    limit = inputs.positive("threshold", threshold)
    fall = inputs.probability("shift_step", shift_step) * limit / 2
    norm = inputs.nonnegative("gradient_norm", gradient_norm)
    rounds = max(inputs.round_up((norm - limit) / fall), 0)
    length = norm + inputs.nonnegative("lipschitz", lipschitz) + rounds * fall
    slow = inputs.positive("smoothness_max", smoothness_max) * length / fall
    inverse = max(inputs.positive("smoothness", smoothness), slow)
    return ClippedShiftParameters(1 / inverse, rounds)


def norm_ec_step_size(smoothness_max, *, alpha, estimate_step, residual) -> float:
    """The longest steps with which no residual of α-NormEC grows beyond the first.

        γ = βR/((α + R) L_max),   β <= α

    Then |∇fᵢ(xᵏ) − gᵢ| <= R before every message: it leaves at most (1 − β/(α+R)) R,
    and a step moves a gradient by at most γ L_max.

    Args:
      smoothness_max: L_max.
      alpha: α.
      estimate_step: β.
      residual: R, at least maxᵢ |∇fᵢ(x⁰) − gᵢ⁰|.

    Raises:
      ValueError: if β > α.

    Reference: arXiv:2502.13482; the condition is derived here (checked), that of the
      paper is β < α + R.
    """
    smooth = inputs.positive("smoothness_max", smoothness_max)
    scale = inputs.positive("alpha", alpha)
    step = inputs.positive("estimate_step", estimate_step)
    error = inputs.positive("residual", residual)
    if step > scale:
        raise ValueError(
            f"estimate_step must be at most alpha = {scale}; got {step}. Make it "
            "smaller, or alpha larger."
        )
    return step * error / ((scale + error) * smooth)


def norm_ec_bound(
    num_updates, *, step_size, smoothness, initial_gap, residual
) -> float:
    """What the least |∇f(xᵏ)| of α-NormEC over its rounds is at most, without noise.

        Δ/(γT) + 2R + Lγ/2

    Args:
      num_updates: T.
      step_size: γ, at most `norm_ec_step_size`.
      smoothness: L.
      initial_gap: Δ = f(x⁰) − inf f.
      residual: R, as there.

    Reference: arXiv:2502.13482 (derived, checked).
    """
    gamma = inputs.positive("step_size", step_size)
    gap = inputs.nonnegative("initial_gap", initial_gap)
    error = inputs.nonnegative("residual", residual)
    descent = gap / (gamma * inputs.count("num_updates", num_updates))
    return descent + 2 * error + inputs.positive("smoothness", smoothness) * gamma / 2
