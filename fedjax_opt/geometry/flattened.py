"""Norms of matrices on leaves of any rank: attention heads, convolutions."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jax.tree_util import Partial

from .. import linalg, static
from ..types import Array, Geometry
from .operands import operand
from .scaled import scaled
from .spectral import spectral

Axes = int | Sequence[int]


def flattened(
    geometry: Geometry, *, reduction_axes: Axes, output_axes: Axes
) -> Geometry:
    """The norm of a leaf as a matrix (d_in, d_out), the lmo in the shape of the leaf.

    The axes are those of optax's `MuonDimensionNumbers`. Together they must be all axes
    of the leaf: nothing is guessed.

    Args:
      geometry: of a matrix (d_in, d_out), such as `rms_to_rms(input_axis=0)`.
      reduction_axes: summed over by the layer, in the order of d_in.
      output_axes: those of the result, in the order of d_out.

    Raises:
      TypeError: if `geometry` is not a Geometry of one leaf.
      ValueError: when used, for a leaf that has other axes.
    """
    if not isinstance(geometry, Geometry):
        raise TypeError(
            f"flattened needs a Geometry of a matrix, got {type(geometry).__name__}. "
            "Call its constructor: spectral(), not spectral."
        )
    return _flattened(geometry, _tuple(reduction_axes), _tuple(output_axes))


def spectral_conv(
    kernel: str | linalg.Coefficients = "polar_express",
    steps: int | None = None,
    *,
    spatial_axes: Axes,
    input_axis: int,
    output_axis: int,
) -> Geometry:
    """Spectral norm of a convolution's kernel as a matrix: Scion's SpectralConv.

        ‖A‖ = k √(c_in/c_out) ‖A‖₂,   lmo(G) = -√(c_out/c_in) U Vᵀ / k,   G = U Σ Vᵀ

    where G is (k c_in) × c_out and k the number of places that the kernel covers, 9 for
    3 × 3. The dual is √(c_out/c_in) / k times the nuclear norm. With k = 1 it is
    `rms_to_rms`. Kernels of flax, (3, 3, c_in, c_out), have `spatial_axes=(0, 1),
    input_axis=2, output_axis=3`.

    Args:
      kernel: as for `spectral`.
      steps: as for `spectral`.
      spatial_axes: of the kernel.
      input_axis: of the input channels.
      output_axis: of the output channels.

    Raises:
      ValueError: as `spectral` does, and, when used, for a leaf that has other axes.

    Reference: Pethick et al. (2025). arXiv:2502.07529.
    """
    spatial = _tuple(spatial_axes)
    matrix = flattened(
        spectral(kernel, steps),
        reduction_axes=(*spatial, input_axis),
        output_axes=output_axis,
    )
    return scaled(matrix, static.bind(_conv_factor, spatial, input_axis, output_axis))


@static.memoised
def _flattened(geometry: Geometry, reduction: tuple, output: tuple) -> Geometry:
    matrix = static.bind(_matrix, reduction, output)
    return Geometry(
        lambda x: geometry.norm(matrix(x)),
        lambda g: geometry.dual(matrix(g)),
        Partial(static.bind(_lmo, reduction, output), operand(geometry.lmo)),
    )


def _matrix(reduction: tuple, output: tuple, x: Array) -> Array:
    order = _order(x.shape, reduction, output)
    sizes = [x.shape[axis] for axis in order]
    d_in = math.prod(sizes[: len(reduction)])
    return x.transpose(order).reshape(d_in, math.prod(sizes[len(reduction) :]))


def _lmo(reduction: tuple, output: tuple, lmo: Partial, g: Array) -> Array:
    order = _order(g.shape, reduction, output)
    step = lmo(_matrix(reduction, output, g)).reshape([g.shape[axis] for axis in order])
    return jnp.transpose(step, sorted(range(g.ndim), key=order.__getitem__))


def _order(shape: tuple, reduction: tuple, output: tuple) -> list[int]:
    """The axes of the leaf, those summed over first."""
    axes = [*reduction, *output]
    order = [axis + len(shape) if axis < 0 else axis for axis in axes]
    if sorted(order) != list(range(len(shape))):
        raise ValueError(
            f"the axes {reduction} and {output} are not those of a leaf of shape "
            f"{shape}. Name each of its axes once, or give it another norm: by_label."
        )
    return order


def _conv_factor(spatial: tuple, input_axis: int, output_axis: int, shape) -> float:
    places = math.prod(shape[axis] for axis in spatial)
    return places * math.sqrt(shape[input_axis] / shape[output_axis])


def _tuple(axes: Axes) -> tuple[int, ...]:
    return (axes,) if isinstance(axes, int) else tuple(axes)
