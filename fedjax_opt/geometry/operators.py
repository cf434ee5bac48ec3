"""Operator norms of a layer: how much it may amplify, at every width.

d_in entries go in and d_out come out. The kernel W of x @ W, as in JAX libraries, has
the shape (d_in, d_out) and `input_axis` 0; that of W @ x has (d_out, d_in) and 1.
Reference: Pethick, Xie, Antonakopoulos, Zhu, Silveti-Falls, Cevher (2025).
arXiv:2502.07529.
"""

import math

from .. import checks, linalg, static
from ..types import Geometry
from .along import along
from .l2 import l2
from .linf import linf
from .matrix import require_matrix
from .scaled import scaled
from .spectral import spectral


@static.memoised
def rms() -> Geometry:
    """The root mean square entry of a leaf of any shape: of biases and gains in Scion.

    ‖v‖ = ‖v‖₂ / √d,   dual: √d ‖g‖₂,   lmo(g) = -√d g / ‖g‖₂
    """
    return scaled(l2(), _rms_factor)


def rms_to_rms(
    kernel: str | linalg.Coefficients = "polar_express",
    steps: int | None = None,
    *,
    input_axis: int = 0,
) -> Geometry:
    """Inputs and outputs by their RMS entry: of hidden layers in Scion.

        ‖A‖ = √(d_in/d_out) ‖A‖₂,   lmo(G) = -√(d_out/d_in) U Vᵀ,   G = U Σ Vᵀ

    The dual is √(d_out/d_in) times the nuclear norm.

    Args:
      kernel: as for `spectral`.
      steps: as for `spectral`.
      input_axis: the axis of a kernel that is summed over: 0 for x @ W, as in JAX
        libraries (d_in, d_out); 1 for W @ x (d_out, d_in).

    Raises:
      ValueError: if input_axis is neither 0 nor 1, and as `spectral` does.
    """
    checks.input_axis(input_axis)
    factor = static.bind(_rms_to_rms_factor, input_axis)
    return scaled(spectral(kernel, steps), factor)


def one_to_rms(*, input_axis: int = 0) -> Geometry:
    """Inputs by the sum of absolute entries, outputs by their RMS: Scion's ColNorm.

        ‖A‖ = maxⱼ ‖aⱼ‖₂ / √d_out,   dual: √d_out Σⱼ ‖gⱼ‖₂,
        lmo: to each j  -√d_out gⱼ / ‖gⱼ‖₂,   aⱼ = what input j alone gives

    Args:
      input_axis: as for `rms_to_rms`.

    Raises:
      ValueError: if input_axis is neither 0 nor 1; when used, for other than a matrix.
    """
    checks.input_axis(input_axis)
    vectors = along(l2(), axis=1 - input_axis)
    return scaled(vectors, static.bind(_one_to_rms_factor, input_axis))


def rms_to_linf(*, input_axis: int = 0) -> Geometry:
    """Inputs by their RMS entry, outputs by the largest: Scion's RowNorm.

        ‖A‖ = √d_in maxᵢ ‖aᵢ‖₂,   dual: Σᵢ ‖gᵢ‖₂ / √d_in,
        lmo: to each i  -gᵢ / (√d_in ‖gᵢ‖₂),   aᵢ = the weights of output i

    Args:
      input_axis: as for `rms_to_rms`.

    Raises:
      ValueError: if input_axis is neither 0 nor 1; when used, for other than a matrix.
    """
    checks.input_axis(input_axis)
    vectors = along(l2(), axis=input_axis)
    return scaled(vectors, static.bind(_rms_to_linf_factor, input_axis))


def scaled_sign(*, input_axis: int = 0) -> Geometry:
    """Inputs by their mean absolute entry, outputs by the largest: Scion's Sign.

        ‖A‖ = d_in max |Aᵢⱼ|,   dual: Σᵢⱼ |Gᵢⱼ| / d_in,   lmo(G) = -sign(G) / d_in

    For the last layer; for a table of embeddings [words, d] that is also the last
    layer, whose inputs lie along axis 1.

    Args:
      input_axis: as for `rms_to_rms`.

    Raises:
      ValueError: if input_axis is neither 0 nor 1; when used, for other than a matrix.
    """
    checks.input_axis(input_axis)
    return scaled(linf(), static.bind(_sign_factor, input_axis))


def _rms_factor(shape: tuple) -> float:
    return 1 / math.sqrt(math.prod(shape))


def _rms_to_rms_factor(input_axis: int, shape: tuple) -> float:
    d_in, d_out = _sizes(shape, input_axis)
    return math.sqrt(d_in / d_out)


def _one_to_rms_factor(input_axis: int, shape: tuple) -> float:
    _, d_out = _sizes(shape, input_axis)
    return 1 / math.sqrt(d_out)


def _rms_to_linf_factor(input_axis: int, shape: tuple) -> float:
    d_in, _ = _sizes(shape, input_axis)
    return math.sqrt(d_in)


def _sign_factor(input_axis: int, shape: tuple) -> float:
    d_in, _ = _sizes(shape, input_axis)
    return d_in


def _sizes(shape: tuple, input_axis: int) -> tuple[int, int]:
    """(d_in, d_out) of the kernel of a layer."""
    require_matrix(shape)
    return shape[input_axis], shape[1 - input_axis]
