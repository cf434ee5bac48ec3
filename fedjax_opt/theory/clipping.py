"""Error feedback with clipped or normalized messages: when it loses its bias.

Everything here is derived from how |u − clip(u)| and |u − βu/(α + |u|)| shrink, by the
triangle inequality; the theorems of the papers have other constants.
"""

from . import inputs


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
