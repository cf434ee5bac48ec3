"""Norms that neither overflow nor underflow, and polar factors of matrices.

The polar factor of G = U Σ Vᵀ is U Vᵀ. `polar_svd` computes it; `orthogonalize`
approximates it with matrix products alone, by polynomials of the singular values.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Array = jax.Array
Coefficients = tuple[tuple[float, float, float], ...]

# Amsel, Persson, Musco, Gower (2025), for singular values in [1e-3, 1]; the last set
# is the limit and repeats for ever.
_POLAR_EXPRESS: Coefficients = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
    (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
    (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
    (1.875, -1.25, 0.375),
)

# As in the code of modded-nanogpt.
_FIVE_STEPS: Coefficients = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)

# As in optax 0.2.8.
_DION: Coefficients = (
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)


def euclidean_norm(x: Array, *, axis=None, keepdims: bool = False) -> Array:
    """‖x‖₂ = max|x| · ‖x / max|x|‖₂, in at least float32, at every scale of x.

    Args:
      x: any shape.
      axis: the axes to reduce; all by default.
      keepdims: keep the reduced axes, with length 1.

    Returns:
      The norm; exactly 0 at x = 0, inf with an infinite entry or where it is beyond the
      largest number.
    """
    norm, q = scaled_norm(x, axis=axis)
    norm = norm / q
    return norm if keepdims else jnp.squeeze(norm, axis)


def scaled_norm(x: Array, *, axis=None) -> tuple[Array, Array]:
    """q ‖x‖₂ and q, the reduced axes kept: q x / (q ‖x‖₂) is right at every scale.

    Not so x / ‖x‖₂: ‖x‖₂ may overflow, and to divide by a number above 2¹²⁶ XLA may
    multiply by its inverse, which counts as 0.
    """
    x = wide(x)
    largest = jnp.max(jnp.abs(x), axis=axis, keepdims=True, initial=0)
    q = shrinking(largest)
    largest = q * largest
    squares = jnp.square(q * x / nonzero(largest))
    norm = largest * jnp.sqrt(jnp.sum(squares, axis=axis, keepdims=True))
    return jnp.where(jnp.isinf(largest), largest, norm), q


def unit(x: Array, *, axis=None) -> Array:
    """x / ‖x‖₂ in at least float32, at every scale of x; 0 at x = 0."""
    norm, q = scaled_norm(x, axis=axis)
    return q * x / nonzero(norm)


def shrinking(largest: Array) -> Array:
    """q = 2⁻⁶⁴ for sizes above 2⁶⁴, else 1; in float64 2⁻⁵¹² above 2⁵¹².

    Products with it are exact: what they lose is too small to count beside the largest.
    """
    half = 2.0 ** (jnp.finfo(largest.dtype).maxexp // 2)
    return jnp.where(largest > half, 1 / half, 1).astype(largest.dtype)


def shrunk(x: Array) -> tuple[Array, Array]:
    """q x in at least float32, and q of `shrinking`, for all entries of x."""
    x = wide(x)
    q = shrinking(jnp.max(jnp.abs(x), initial=0))
    return q * x, q


def nonzero(norm: Array) -> Array:
    """A divisor: 1 in place of 0. A NaN stays one."""
    return jnp.where(norm == 0, 1, norm)


def wide(x: Array) -> Array:
    """x in at least float32."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def jordan(steps: int = 5) -> Coefficients:
    """The quintic of Muon: fast, but it never converges.

    Singular values of at least 0.01 ‖G‖_F end in [0.68, 1.14]; more steps do not help.

    Reference: Jordan et al. (2024), https://kellerjordan.github.io/posts/muon.
    """
    return ((3.4445, -4.7750, 2.0315),) * steps


def polar_express(steps: int = 8, *, safety: float = 1.01) -> Coefficients:
    """The quintics that are optimal one after the other; 8 steps reach rounding error.

    Rounding must not lift a singular value above the range that a step was made for:
    each polynomial but the limiting one is p(t / safety), and the matrix is divided
    by safety once more before the first.

    Args:
      steps: number of polynomials.
      safety: 1.01 as in the paper; 1 turns it off.

    Reference: Amsel, Persson, Musco, Gower (2025). arXiv:2505.16932.
    """
    *early, limit = _POLAR_EXPRESS
    early = [_stretched(c, safety) for c in early]
    early[0] = _stretched(early[0], safety)
    return tuple((*early, *[limit] * steps)[:steps])


def polar_express_five() -> Coefficients:
    """The quintics of Polar Express for five steps and no more, with a safety of 0.02.

    Singular values of at least 1e-3 ‖G‖_F end in [0.859, 1.141]. They are those of the
    experiments with Ringmaster LMO.

    Reference: Amsel, Persson, Musco, Gower (2025). arXiv:2505.16932.
    """
    return _FIVE_STEPS


def dion() -> Coefficients:
    """The five quintics that `optax.contrib.muon` calls "dion".

    Singular values of at least 0.01 ‖G‖_F end within 3.2 % of 1.
    """
    return _DION


def cubic(steps: int = 30) -> Coefficients:
    """Newton–Schulz, p(t) = (3t - t³)/2: monotone, and slow from small values."""
    return ((1.5, -0.5, 0.0),) * steps


def quintic(steps: int = 15) -> Coefficients:
    """Newton–Schulz of fifth degree, p(t) = (15t - 10t³ + 3t⁵)/8: cubic order at 1."""
    return ((1.875, -1.25, 0.375),) * steps


def orthogonalize(x: Array, coefficients: Coefficients) -> Array:
    """The polar factor of a matrix, approximately, by matrix products.

        X ← G / ‖G‖_F,   then for each (a, b, c):   X ← a X + (b A + c A²) X,   A = X Xᵀ

    so that every singular value t of G / ‖G‖_F goes through a t + b t³ + c t⁵. A tall
    matrix is multiplied from the right, with A = Xᵀ X, which takes no transposition.
    Deviation: nothing is added to ‖G‖_F (Jordan's code adds 1e-7), so the result does
    not depend on the scale of G.

    Args:
      x: [..., rows, columns]; leading axes are a batch.
      coefficients: one (a, b, c) per step: `jordan()`, `polar_express()`, ...

    Returns:
      Shape and dtype of x; zeros at x = 0. The products are in the dtype of x, in
      float32 without the shortened multiplication of accelerators.
    """
    x = unit(x, axis=(-2, -1)).astype(x.dtype)
    tall = x.shape[-2] > x.shape[-1]  # the Gram matrix is on the short side
    for a, b, c in coefficients:
        gram = _matmul(x.mT, x) if tall else _matmul(x, x.mT)
        factor = b * gram + c * _matmul(gram, gram)
        x = a * x + (_matmul(x, factor) if tall else _matmul(factor, x))
    return x


def polar_svd(x: Array) -> Array:
    """The polar factor U Vᵀ of a matrix, over its nonzero singular values.

    Args:
      x: [..., rows, columns]; leading axes are a batch.

    Returns:
      Shape and dtype of x; zeros at x = 0. As exact as `map_singular_values`.
    """
    return map_singular_values(jnp.sign, shrunk(x)[0]).astype(x.dtype)


def map_singular_values(function: Callable[[Array], Array], x: Array) -> Array:
    """U diag(f(σ)) Vᵀ of a matrix U diag(σ) Vᵀ.

    Args:
      function: f, with f(0) = 0: from the singular values, largest first, to as many
        numbers.
      x: [..., rows, columns]; leading axes are a batch.

    Returns:
      Shape and dtype of x. Computed in at least float32. A singular value counts as
      zero below max(rows, columns) · machine epsilon · the largest.
    """
    u, s, vt = jnp.linalg.svd(wide(x), full_matrices=False)
    smallest = max(x.shape[-2:]) * jnp.finfo(s.dtype).eps * s[..., :1]
    values = function(jnp.where(s > smallest, s, 0))
    return _matmul(u * values[..., None, :], vt).astype(x.dtype)


def singular_values(x: Array) -> Array:
    """The singular values of a matrix, largest first, in at least float32."""
    x, q = shrunk(x)
    return jnp.linalg.svd(x, compute_uv=False) / q


def _matmul(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def _stretched(coefficients: tuple[float, float, float], factor: float):
    """The coefficients of p(t / factor)."""
    a, b, c = coefficients
    return a / factor, b / factor**3, c / factor**5
