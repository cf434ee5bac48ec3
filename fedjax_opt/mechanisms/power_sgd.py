"""PowerSGD. arXiv:1905.13727."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .. import checks, tree
from ..compressors.payload import wire_bits
from ..compressors.rank_r import Factors, is_dense, matrix_shape
from ..keys import for_leaf, required
from ..static import memoised
from ..types import Array, Bits, Mechanism, Roles, Tree
from .coins import either


class PowerSgdState(NamedTuple):
    """What the server remembers, and all workers know.

    Attributes:
      round: how many there have been.
      factors: of the last estimate, like the parameters with `Factors` for a matrix
        and () for a leaf that goes as it is.
    """

    round: Array
    factors: Tree


class PowerSgdMessage(NamedTuple):
    """One factor of every matrix; the other one is zero and not sent.

    Attributes:
      is_left: which one it is. One byte on the wire.
      leaves: like the parameters with `Factors` for a matrix.
    """

    is_left: Array
    leaves: Tree


@memoised
def power_sgd(rank: int) -> Mechanism:
    """Error feedback of rank R whose basis is that of the last round.

        Mᵢ = eᵢ + ∇fᵢ(x) [m, q],   M̂ = U Vᵀ,   eᵢ ← Mᵢ − M̂
        round 0, 2, ...:   V ← orth(V),   U = (1/n) Σᵢ Mᵢ V
        round 1, 3, ...:   U ← orth(U),   V = (1/n) Σᵢ Mᵢᵀ U

    A message is linear in Mᵢ, so that workers can be added up on the way. M̂ is the
    mean: errors sum up to what the mean has missed, as in `ef14`. An array with more
    than two axes is flattened to (first, rest). Vectors, and arrays whose factors would
    be no shorter, go as they are, without an error.

    Args:
      rank: R.

    Returns:
      A Mechanism; everybody has to come in every round. Worker state: the last Mᵢ,
      like params, from which eᵢ is formed when M̂ is known. Server state: U and V,
      which workers know; with them they can make the step themselves. Message cost: Rm
      or Rq numbers for a matrix and one byte, per worker and round; the server sends
      the mean of the messages. Both factors are in the arrays, one is counted.

    Raises:
      ValueError, TypeError: unless the rank is an integer >= 1.

    Reference: Vogels, Karimireddy, Jaggi (2019). arXiv:1905.13727.
    Deviation: one factor per round, as in the public implementation; the paper has
      both in a round. The first V is Gaussian, from the shared key, and so is a factor
      that has become zero, which would never grow again. Nothing is sent uncompressed
      in the first rounds, and matrices are compressed wherever it saves a number.
    """
    checks.positive_integer(rank, "rank")

    def goes_as_it_is(x):
        return x.ndim < 2 or is_dense(rank, *matrix_shape(x.shape))

    def no_factors(x):
        if goes_as_it_is(x):
            return ()
        left, right = (*x.shape[:1], rank), (*x.shape[1:], rank)
        return Factors(jnp.zeros(left, x.dtype), jnp.zeros(right, x.dtype))

    def init(params, first_grad=None):
        nothing = jax.tree.map(
            lambda x: () if goes_as_it_is(x) else jnp.zeros_like(x), params
        )
        factors = jax.tree.map(no_factors, params)
        return Roles(nothing, PowerSgdState(jnp.zeros((), jnp.int32), factors))

    def worker(keys, grad, last, *, announced):
        is_left = announced.round % 2 == 0
        corrected = jax.tree.map(_corrected, grad, last, announced.factors)
        leaves = jax.tree.map(
            lambda x, m, basis: _projected(is_left, m, basis) if basis else x,
            grad,
            corrected,
            _bases(keys, announced),
        )
        return PowerSgdMessage(is_left, leaves), corrected

    def decode(keys, message, like):
        return message.leaves

    def server(keys, aggregate, mask, state):
        factors = jax.tree.map(
            lambda mean, basis: tree.add(mean, basis) if basis else (),
            aggregate,
            _bases(keys, state),
            is_leaf=_are_factors,
        )
        estimate = jax.tree.map(
            lambda mean, f: _product(f) if f else mean,
            aggregate,
            factors,
            is_leaf=_are_factors,
        )
        return estimate, PowerSgdState(state.round + 1, factors)

    def bits(keys, message, like):
        sent = _length(message.is_left, message.leaves)
        return sent._replace(wire=sent.wire + wire_bits(message.is_left))

    def bits_down(keys, state, like):
        was_left = state.round % 2 == 1
        sent = jax.tree.map(lambda x, factors: factors or x, like, state.factors)
        return _length(was_left, sent)

    return Mechanism(
        init,
        worker,
        decode,
        server,
        bits,
        announce=lambda state: state,
        bits_down=bits_down,
        everybody=True,
        linear=True,
    )


def _bases(keys, state: PowerSgdState) -> Tree:
    """Of every matrix the factor that stays in this round; the other one is zero."""
    last, structure = jax.tree.flatten(state.factors, is_leaf=_are_factors)

    def basis(leaf, factors):
        key = required(for_leaf(keys, leaf).shared)
        left, right = factors
        return lax.cond(
            state.round % 2 == 0,
            lambda: Factors(jnp.zeros_like(left), _orthonormal(key, right)),
            lambda: Factors(_orthonormal(key, left), jnp.zeros_like(right)),
        )

    return structure.unflatten([basis(i, f) for i, f in enumerate(last)])


def _orthonormal(key, factor: Array) -> Array:
    """An orthonormal basis [..., R] of the columns; a random one if all are zero."""
    dtype = jnp.promote_types(factor.dtype, jnp.float32)
    columns = factor.reshape(-1, factor.shape[-1]).astype(dtype)
    columns = lax.cond(
        jnp.any(columns != 0),
        lambda: columns,
        lambda: jax.random.normal(key, columns.shape, dtype),
    )
    basis, _ = jnp.linalg.qr(columns)
    return basis.reshape(factor.shape).astype(factor.dtype)


def _corrected(grad: Array, last: Any, factors: Any) -> Any:
    """Mᵢ, the gradient and what M̂ missed of the last Mᵢ; () where all is sent."""
    return grad + (last - _product(factors)) if factors else ()


def _projected(is_left, m: Array, basis: Factors) -> Factors:
    """Mᵢ V, or Mᵢᵀ U."""
    return lax.cond(
        is_left,
        lambda: Factors(_dot(m, basis.right, m.ndim - 1), jnp.zeros_like(basis.right)),
        lambda: Factors(jnp.zeros_like(basis.left), _dot(m, basis.left, (0, 0))),
    )


def _product(factors: Factors) -> Array:
    """U Vᵀ, of the shape of the leaf."""
    return _dot(factors.left, factors.right, (-1, -1))


def _dot(a: Array, b: Array, axes) -> Array:
    """A sum of products over axes, in at least float32 until it is done."""
    dtype = jnp.promote_types(a.dtype, jnp.float32)
    exact = lax.Precision.HIGHEST
    product = jnp.tensordot(a.astype(dtype), b.astype(dtype), axes, precision=exact)
    return product.astype(a.dtype)


def _length(is_left, leaves: Tree) -> Bits:
    """Of one factor of every matrix, and of all other leaves."""
    parts = jax.tree.leaves(leaves, is_leaf=_are_factors)
    whole = wire_bits([x for x in parts if not _are_factors(x)])
    matrices = [x for x in parts if _are_factors(x)]
    left = whole + wire_bits([x.left for x in matrices])
    right = whole + wire_bits([x.right for x in matrices])
    return either(is_left, Bits(left, left, left), Bits(right, right, right))


def _are_factors(x: Any) -> bool:
    return isinstance(x, Factors)
