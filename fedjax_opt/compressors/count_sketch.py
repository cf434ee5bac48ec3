"""Count sketch: random signed sums of the entries, linear in the vector."""

import jax
import jax.numpy as jnp
from jax import lax

from .. import checks
from ..keys import required
from ..static import memoised
from ..types import Bits, Certificate, Compressor, Joint
from .payload import of_sums, wire_bits


@memoised
def count_sketch(columns: int, *, rows: int = 1) -> Compressor:
    """Adds the entries, with random signs, into buckets, the same for all workers.

        tᵣ[b] = Σ_{i: hᵣ(i) = b} sᵣ(i) xᵢ,   C(x)ᵢ = (1/R) Σᵣ sᵣ(i) tᵣ[hᵣ(i)]
        hᵣ(i) uniform among c buckets, sᵣ(i) = ±1,   ω = (d − 1)/(cR)

    The variance is ω|x|² exactly, for every x: two entries share a bucket of a row with
    probability 1/c. It is linear: as all workers have the same buckets, the sum of
    their messages is the message of the sum, and the error of the mean is ω|ā|²,
    whence the joint promise A = ω, B = 0. The rows are averaged, which keeps decoding
    linear; the original takes their median.

    Args:
      columns: c, the number of buckets of a row.
      rows: R.

    Returns:
      A Compressor; both ends draw buckets and signs, row by row, so that no more than
      those of one row are kept. Its message is cR numbers, for float16 in float32:
      they are sums of d/c entries. C(x) must fit in the dtype of x.

    Raises:
      ValueError, TypeError: unless columns and rows are integers >= 1.

    Reference: Charikar, Chen, Farach-Colton (2002), ICALP; ω is derived from the above.
    """
    checks.positive_integer(columns, "columns")
    checks.positive_integer(rows, "rows")

    def row_keys(keys):
        return jax.random.split(required(keys.shared), rows)

    def row(key, like):
        bucket_key, sign_key = jax.random.split(key)
        buckets = jax.random.randint(bucket_key, like.shape, 0, columns)
        return buckets, jax.random.rademacher(sign_key, like.shape, like.dtype)

    def encode(keys, x):
        flat = x.ravel().astype(jnp.promote_types(x.dtype, jnp.float32))

        def add_up(key):
            buckets, signs = row(key, flat)
            return jnp.zeros(columns, flat.dtype).at[buckets].add(signs * flat)

        return lax.map(add_up, row_keys(keys)).astype(of_sums(x.dtype))

    def decode(keys, message, like):
        def add_row(total, drawn):
            key, sums = drawn
            buckets, signs = row(key, total)
            return total + signs * sums[buckets], None

        zero = jnp.zeros(like.size, jnp.promote_types(like.dtype, jnp.float32))
        drawn = (row_keys(keys), message.astype(zero.dtype) / rows)
        total, _ = lax.scan(add_row, zero, drawn)
        return total.reshape(like.shape).astype(like.dtype)

    def bits(keys, message, like):
        length = wire_bits(message)
        return Bits(length, length, length)

    def certificate(d):
        return Certificate(omega=(d - 1) / (columns * rows))

    def joint(d, num_workers):
        return Joint((d - 1) / (columns * rows), 0.0)

    label = f"count_sketch(columns={columns}, rows={rows})"
    return Compressor(encode, decode, bits, certificate, label, joint=joint)
