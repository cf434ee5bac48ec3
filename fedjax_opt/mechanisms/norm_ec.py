"""α-NormEC. arXiv:2502.13482."""

from typing import Any

from .. import checks
from ..static import memoised
from ..transforms import smoothed_normalization
from ..types import Mechanism
from .bounded import tracking


@memoised
def norm_ec(alpha: Any, *, estimate_step: Any, noise: Any = None) -> Mechanism:
    """Sends the smoothly normalized distance of the gradient from a shared estimate.

        cᵢ = u/(α + |u|),   u = ∇fᵢ(x) − gᵢ,   |·| over all leaves
        gᵢ ← gᵢ + β cᵢ,   g ← g + (β/n) Σᵢ (cᵢ + zᵢ),   zᵢ ~ N(0, σ²I)

    The estimate is the new g. It starts at gᵢ = 0, or at the first gradients where
    they are given. For β <= α no |u| ever exceeds the largest of the first round,
    if steps have a length of at most `theory.clipping.norm_ec_step_size` (derived):
    the server normalizes, too, as `methods.norm_ec_gd` does. For α far above |u| each
    gᵢ is an average of gradients with the weight β/α of the new one.

    Messages are shorter than 1, so that noise makes them private. A worker's own gᵢ
    stays without, and the noise of all rounds adds up in g.

    Args:
      alpha: α >= 0, in units of the gradient; may be traced. 0 normalizes; 0 stays 0.
      estimate_step: β > 0, in units of the gradient; may be traced.
      noise: σ >= 0 of each entry, may be traced; None for no noise.

    Returns:
      A Mechanism. Worker state: gᵢ, like params. Server state: g, like params.
      Message cost: d numbers per worker and round, nothing is compressed.

    Raises:
      ValueError: if a number is out of range.

    Reference: Shulgin, Khirirat, Richtárik (2025). arXiv:2502.13482.
    """
    checks.positive(estimate_step, "estimate_step")
    normalized = smoothed_normalization(alpha)
    return tracking(
        lambda u: normalized.update(u, normalized.init(u))[0],
        shift_step=estimate_step,
        estimate_step=estimate_step,
        noise=noise,
    )
