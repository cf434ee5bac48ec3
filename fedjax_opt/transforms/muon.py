"""Muon, with the scales of its factors that are in use."""

import math
from typing import Any

import optax

from .. import checks, linalg, static
from ..geometry import matrices, rms, scaled, spectral
from ..types import Geometry, TreeGeometry
from .lmo_step import lmo_step

SCALES = ("jordan", "moonlight", "rms")


def muon_norm(
    scale: str = "jordan",
    kernel: str | linalg.Coefficients = "jordan",
    steps: int | None = None,
    *,
    input_axis: int = 0,
) -> Geometry:
    """The spectral norm of a matrix, its unit ball scaled as Muon scales its steps.

        lmo(G) = -s · U Vᵀ,   G = U Σ Vᵀ

    with, for a layer of d_in inputs and d_out outputs,

    - "jordan": s = √max(1, d_out/d_in);
    - "moonlight": s = 0.2 √max(d_in, d_out), by which the RMS entry of a step is 0.2,
      like that of AdamW;
    - "rms": s = √(d_out/d_in), as `geometry.rms_to_rms` and Scion.

    Args:
      scale: one of these.
      kernel, steps: as for `geometry.spectral`.
      input_axis: 0 for kernels (d_in, d_out), as in JAX libraries; 1 for (d_out, d_in).

    Raises:
      ValueError: for an unknown scale or axis, and as `geometry.spectral` does.

    Reference: Jordan et al. (2024), https://kellerjordan.github.io/posts/muon; Liu et
      al. (2025), arXiv:2502.16982; Pethick et al. (2025), arXiv:2502.07529.
    """
    if scale not in SCALES:
        raise ValueError(f"unknown scale {scale!r}; use one of {', '.join(SCALES)}.")
    checks.input_axis(input_axis)
    factor = static.bind(_factor, scale, input_axis)
    return scaled(spectral(kernel, steps), factor)


def muon(
    step_size: Any,
    momentum: Any = 0.95,
    *,
    geometry: Geometry | TreeGeometry | None = None,
    nesterov: bool = True,
    weight_decay: Any = None,
) -> optax.GradientTransformation:
    """Muon as its authors run it: Nesterov, decoupled weight decay, no bias correction.

        M ← βM + (1−β)G,   Z = βM + (1−β)G,   W ← (1 − ηλ)W + η lmo(Z)

    `optax.contrib.muon` corrects M and G for bias by different powers, which turns the
    first directions (cosines from 0.98); without Nesterov the directions agree.
    Deviation: leaves that are no matrices take steps of RMS 1 along their own Z. For
    AdamW on them, on embeddings and on the head use `optax.partition`.

    Args:
      step_size: η > 0, about 0.02 for the scale of Jordan; traced, or a schedule, too.
      momentum: β.
      geometry: of `muon_norm` with another scale, say; that of Jordan by default.
      nesterov: look one step ahead.
      weight_decay: λ ≥ 0; None for none. The update then needs no parameters.

    Raises:
      ValueError: if step_size, momentum or weight_decay are numbers out of range.

    Reference: Jordan et al. (2024), https://kellerjordan.github.io/posts/muon; Liu et
      al. (2025), arXiv:2502.16982.
    """
    geometry = matrices(muon_norm(), rms()) if geometry is None else geometry
    return lmo_step(
        geometry, step_size, momentum, nesterov=nesterov, weight_decay=weight_decay
    )


def _factor(scale: str, input_axis: int, shape: tuple) -> float:
    """1/s: the factor of the norm, whose ball is s times as large."""
    d_in, d_out = shape[input_axis], shape[1 - input_axis]
    return {
        "jordan": 1 / math.sqrt(max(1, d_out / d_in)),
        "moonlight": 1 / (0.2 * math.sqrt(max(d_in, d_out))),
        "rms": math.sqrt(d_in / d_out),
    }[scale]
