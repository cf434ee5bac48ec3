"""HIGGS: random Hadamard rotations, grids for Gaussian numbers. arXiv:2411.17525."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..keys import required
from ..static import memoised
from ..types import Array, Bits, Certificate, Compressor
from .packing import pack, unpack
from .payload import wire_bits

# Lloyd–Max for N(0, 1): cᵢ = E(z | cᵢ is the nearest), the positive half, for 1, ..., 6
# bits; solved by fixed-point iterations, then Newton's method.
# fmt: off
GRIDS = (
    (0.79788456,),
    (0.45278003, 1.51041761),
    (0.24509418, 0.75600528, 1.34390928, 2.15194570),
    (0.12839503, 0.38804830, 0.65675912, 0.94234046, 1.25623120, 1.61804639,
     2.06901723, 2.73258957),
    (0.06588966, 0.19805183, 0.33137831, 0.46669952, 0.60493362, 0.74713570,
     0.89456512, 1.04878332, 1.21180438, 1.38634034, 1.57622808, 1.78723322,
     2.02872840, 2.31773940, 2.69111958, 3.26073249),
    (0.03340951, 0.10027829, 0.16729690, 0.23456699, 0.30219285, 0.37028265,
     0.43894967, 0.50831378, 0.57850303, 0.64965558, 0.72192194, 0.79546766,
     0.87047659, 0.94715494, 1.02573635, 1.10648824, 1.18972014, 1.27579449,
     1.36514102, 1.45827637, 1.55583122, 1.65858890, 1.76754188, 1.88397724,
     2.00961104, 2.14681022, 2.29898121, 2.47130480, 2.67227384, 2.91740679,
     3.24043706, 3.74410127),
)
# fmt: on


class Rotated(NamedTuple):
    """Grid points of the rotated groups.

    Attributes:
      packed: b bits for each of d numbers, d rounded up to whole groups.
      scales: [groups] root mean square of each group, in bfloat16, which has the range
        of float32.
    """

    packed: Array
    scales: Array


@memoised
def higgs(bits: int, *, group: int = 1024) -> Compressor:
    """Rotates groups of entries at random, and rounds to the best grid of b bits.

        z = H D x,   s = |z|/√g,   C(x) = D H (s · nearest(z/s))

    for each group of g entries, where D has random signs on its diagonal, H is the
    orthonormal Walsh–Hadamard matrix, and the grid has the least mean square error t²
    for standard normal numbers among those of 2ᵇ points (Lloyd–Max):

        b     1         2         3         4         5         6
        t²    0.363380  0.117482  0.034548  0.009501  0.002505  0.000644

    The numbers z/s are nearly normal, and |C(x) − x|² is nearly t² |x|². There is no
    certificate: one rotation by signs and H can be fooled, and no bound is known to
    hold for every x. Where one may go by the usual case, α is about 1 − t², and
    C(x)/(1 − t²) is nearly unbiased with ω about t²/(1 − t²).

    Args:
      bits: b, 1 to 6.
      group: g, a power of two. Arrays with fewer entries are one group, of the next
        power of two; others are filled up with zeros to whole groups.

    Returns:
      A Compressor; D is drawn from the shared key, the same for all workers. Its
      message is b bits per entry and 16 per group, filled entries included; its entropy
      counts the entropy of a normal number's grid point instead of b.

    Raises:
      TypeError: if bits or group is no integer.
      ValueError: if bits is out of range or group no power of two.

    Reference: Malinovskii, Panferov, Ilin, Guo, Richtárik, Alistarh (2024).
      arXiv:2411.17525. Deviation: a vector is compressed, not a layer's weights; the
      numbers are rounded one by one (p = 1 in the paper).
    """
    checks.positive_integer(bits, "bits")
    checks.positive_integer(group, "group")
    if bits > len(GRIDS):
        raise ValueError(f"bits must be at most {len(GRIDS)}, got {bits}")
    if group & (group - 1):
        raise ValueError(f"group must be a power of two, got {group}")
    width, half = bits, np.array(GRIDS[bits - 1])
    grid = np.concatenate([-half[::-1], half])
    borders = (grid[1:] + grid[:-1]) / 2
    index_entropy = _entropy(borders)

    def groups_of(d):
        size = min(group, 1 << (d - 1).bit_length())
        return -(-d // size), size

    def signs(keys, shape, dtype):
        return jax.random.rademacher(required(keys.shared), shape, dtype)

    def encode(keys, x):
        shape = groups_of(x.size)
        wide = x.ravel().astype(jnp.promote_types(x.dtype, jnp.float32))
        wide = jnp.pad(wide, (0, math.prod(shape) - x.size)).reshape(shape)
        peak = jnp.max(jnp.abs(wide), axis=1, keepdims=True)
        z = _hadamard(signs(keys, shape, wide.dtype) * wide / _nonzero(peak))
        size = jnp.sqrt(jnp.mean(jnp.square(z), axis=1, keepdims=True))
        z = z / _nonzero(size)
        codes = jnp.searchsorted(jnp.asarray(borders, z.dtype), z.ravel())
        return Rotated(pack(codes, width), (peak * size)[:, 0].astype(jnp.bfloat16))

    def decode(keys, message, like):
        shape = groups_of(like.size)
        dtype = jnp.promote_types(like.dtype, jnp.float32)
        codes = unpack(message.packed, width, math.prod(shape)).reshape(shape)
        x = _hadamard(jnp.asarray(grid, dtype)[codes]) * signs(keys, shape, dtype)
        x = x * message.scales.astype(dtype)[:, None]
        return x.ravel()[: like.size].astype(like.dtype).reshape(like.shape)

    def length(keys, message, like):
        groups, size = groups_of(like.size)
        scales = 16 * groups
        values = scales + groups * size * width
        ideal = scales + math.ceil(groups * size * index_entropy)
        return Bits(values, wire_bits(message), ideal)

    def certificate(d):
        return Certificate()

    label = f"higgs({bits}, group={group})"
    return Compressor(encode, decode, length, certificate, label)


def _hadamard(x):
    """The rows of x times the orthonormal Walsh–Hadamard matrix, by butterflies."""
    rows, size = x.shape
    half = 1
    while half < size:
        pairs = x.reshape(rows, -1, 2, half)
        first, second = pairs[:, :, 0], pairs[:, :, 1]
        x = jnp.stack([first + second, first - second], axis=2).reshape(rows, size)
        half *= 2
    return x / math.sqrt(size)


def _nonzero(size):
    return jnp.where(size == 0, 1, size)


def _entropy(borders) -> float:
    """Of the cell of a standard normal number, in bits."""
    below = [0.0, *((1 + math.erf(b / math.sqrt(2))) / 2 for b in borders), 1.0]
    chances = np.diff(below)
    return float(-np.sum(chances * np.log2(chances)))
