"""Clip21 and clipped shifts. arXiv:2305.18929, arXiv:2310.01860."""

from collections.abc import Callable
from typing import Any

from .. import checks
from ..compressors.wrap import per_leaf
from ..static import memoised
from ..transforms import clip
from ..types import Compressor, Mechanism, Tree, TreeCompressor
from .bounded import tracking
from .ef21 import ef21


@memoised
def clip21(threshold: Any, *, estimate_step: Any = 1.0, noise: Any = None) -> Mechanism:
    """Clips the change of the gradient, not the gradient, and so is not biased.

        cᵢ = clip(∇fᵢ(x) − gᵢ),   gᵢ ← gᵢ + b cᵢ,   g ← g + (b/n) Σᵢ (cᵢ + zᵢ)
        clip(u) = min(1, τ/|u|) u over all leaves,   zᵢ ~ N(0, σ²I)

    The estimate is the new g. It starts at gᵢ = 0, or at the first gradients where
    they are given. With b = 1, and steps after which no ∇fᵢ moves by τ or more, clips
    end after finitely many rounds, and the estimate is then the exact mean gradient:
    `theory.clipping` (derived). τ = ∞, b = 1 is the plain mean in every round.

    Clip21-SGD2M is this mechanism on gradients from `transforms.momentum`, with b < 1.
    Its noise makes the messages private: a worker's own gᵢ stays without, and the
    noise of all rounds adds up in g. Rounding may leave messages of bfloat16 a
    fraction longer than τ.

    Args:
      threshold: τ > 0, in units of the gradient; may be traced; inf never clips.
      estimate_step: b in (0, 1]; may be traced.
      noise: σ >= 0 of each entry, may be traced; None for no noise.

    Returns:
      A Mechanism. Worker state: gᵢ, like params. Server state: g, like params.
      Message cost: d numbers per worker and round, nothing is compressed.

    Raises:
      ValueError: if a number is out of range.

    Reference: Khirirat, Gorbunov, Horváth, Islamov, Karray, Richtárik (2023).
      arXiv:2305.18929; b and the noise Islamov, Horváth, Lucchi, Richtárik, Gorbunov
      (2025). arXiv:2502.11682.
    """
    checks.in_unit_interval(estimate_step, "estimate_step", zero=False)
    return tracking(
        _clip(threshold),
        shift_step=estimate_step,
        estimate_step=estimate_step,
        noise=noise,
    )


@memoised
def clipped_shift(threshold: Any, *, shift_step: Any) -> Mechanism:
    """Learns a shift for each worker, and clips what differs from it.

        cᵢ = clip(∇fᵢ(x) − hᵢ),   g = h + (1/n) Σᵢ cᵢ
        hᵢ ← hᵢ + ν cᵢ,           h ← h + ν (1/n) Σᵢ cᵢ

    A single gradient, however large, moves a shift by at most ντ. The shifts start at
    0, or at the first gradients where they are given. ν = 1 is `clip21`, and ν = 0
    from 0 clips the gradients themselves, which is biased where workers differ.

    Args:
      threshold: τ > 0, in units of the gradient; may be traced; inf never clips.
      shift_step: ν in [0, 1]; may be traced.

    Returns:
      A Mechanism. Worker state: hᵢ, like params. Server state: h, like params.
      Message cost: d numbers per worker and round, nothing is compressed.

    Raises:
      ValueError: if a number is out of range.

    Reference: Gorbunov, Sadiev, Danilova, Horváth, Gidel, Dvurechensky, Gasnikov,
      Richtárik (2023). arXiv:2310.01860.
    """
    checks.in_unit_interval(shift_step, "shift_step")
    return tracking(_clip(threshold), shift_step=shift_step, estimate_step=1.0)


@memoised
def press_clip21(
    compressor: Compressor | TreeCompressor, *, threshold: Any
) -> Mechanism:
    """Clip21 with compressed messages.

        cᵢ = C(clip(∇fᵢ(x) − gᵢ)),   gᵢ ← gᵢ + cᵢ,   g ← g + (1/n) Σᵢ cᵢ
        clip(u) = min(1, τ/|u|) u over all leaves

    The estimate is the new g. It starts at gᵢ = 0, or at the first gradients where
    they are given. C = identity is `clip21`, τ = ∞ is `ef21`. Experimental: the paper
    names this method, but its constants are not recorded here.

    Args:
      compressor: C, contractive; applied to each leaf, or to the tree if it is on
        trees.
      threshold: τ > 0, in units of the gradient; may be traced; inf never clips.

    Returns:
      A Mechanism. Worker state: gᵢ, like params. Server state: g, like params.
      Message cost: compressor.bits per worker and round.

    Raises:
      ValueError: if the compressor certifies no α, or threshold is out of range.

    Reference: Khirirat, Gorbunov, Horváth, Islamov, Karray, Richtárik (2023).
      arXiv:2305.18929.
    """
    c = checks.contractive(per_leaf(compressor), user="press_clip21")
    clipped = _clip(threshold)

    def encode(keys, missed):
        return c.encode(keys, clipped(missed))

    return ef21(c._replace(encode=encode))


def _clip(threshold) -> Callable[[Tree], Tree]:
    checks.positive(threshold, "threshold")
    shortened = clip(threshold)
    return lambda u: shortened.update(u, shortened.init(u))[0]
