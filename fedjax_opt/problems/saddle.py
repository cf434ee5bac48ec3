"""Bilinear saddle points, with workers that have operators instead of gradients."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..types import Problem
from . import constants


class BilinearData(NamedTuple):
    """The numbers of a `bilinear` problem.

    Attributes:
      operators: Jᵢ, [n, p + q, p + q].
      vectors: cᵢ, [n, p + q].
      mean_operator: J, [p + q, p + q].
      mean_vector: c, [p + q].
    """

    operators: Any
    vectors: Any
    mean_operator: Any
    mean_vector: Any


def bilinear(matrices, vectors=None, *, strong=0.0, z0=None, dtype=None) -> Problem:
    """min over x, max over y of the mean of xᵀAᵢy + (λ/2)(|x|² − |y|²) − cᵢᵀ(x, −y).

        Fᵢ(z) = (Aᵢy + λx, −Aᵢᵀx + λy) − cᵢ,   z = (x, y)

    "Gradients" are values of the operators Fᵢ, which are monotone and not the gradients
    of the loss, ½|F(z)|² with F their mean. Simultaneous descent and ascent, z − γF(z),
    diverges for every γ where λ = 0.

    Args:
      matrices: Aᵢ, [n, p, q].
      vectors: cᵢ, [n, p + q]; by default 0.
      strong: λ >= 0; F is strongly monotone with it.
      z0: the start, [p + q]; by default ones.
      dtype: of z; by default JAX's default float.

    Returns:
      A Problem with n workers, without noise, and these constants: smoothness, the
      Lipschitz constant L = √(λ² + |A|²) of F; likewise smoothness_each Lᵢ,
      smoothness_mean_square and smoothness_max; variance 0; strong_convexity λ; x_star,
      the only zero of F, and f_star = 0, both None unless there is one.

    Raises:
      ValueError: if the shapes disagree or strong is negative.

    Reference: such problems are those of arXiv:2110.03313.
    """
    matrices = np.asarray(matrices, float)
    if matrices.ndim != 3:
        raise ValueError(
            f"bilinear needs matrices [n, p, q], not of shape {matrices.shape}"
        )
    num_workers, dim = len(matrices), sum(matrices.shape[1:])
    vectors = np.zeros((num_workers, dim)) if vectors is None else np.asarray(vectors)
    if vectors.shape != (num_workers, dim):
        raise ValueError(
            f"vectors must have shape {(num_workers, dim)}, one of p + q numbers for "
            f"each worker, not {vectors.shape}"
        )
    if strong < 0:
        raise ValueError(f"strong must be at least 0, got {strong}")
    dtype = jnp.result_type(float) if dtype is None else dtype
    z0 = jnp.ones(dim, dtype) if z0 is None else jnp.asarray(z0, dtype)
    if z0.shape != (dim,):
        raise ValueError(f"z0 must have shape {(dim,)}, not {z0.shape}")
    operators = np.stack([_operator(a, strong) for a in matrices])
    numbers = (operators, vectors, operators.mean(0), vectors.mean(0))
    return Problem(
        data=BilinearData(*(jnp.asarray(a, dtype) for a in numbers)),
        init=z0,
        loss=_loss,
        draw=None,
        grad=_value,
        num_workers=num_workers,
        metrics={},
        constants=_constants(matrices, numbers[2:], strong, dtype),
    )


def _operator(matrix, strong):
    """Jᵢ = (λI, Aᵢ; −Aᵢᵀ, λI)."""
    rows, columns = matrix.shape
    return np.block(
        [[strong * np.eye(rows), matrix], [-matrix.T, strong * np.eye(columns)]]
    )


def _loss(data, params):
    return jnp.sum(jnp.square(data.mean_operator @ params - data.mean_vector)) / 2


def _value(data, params, worker, sample):
    return data.operators[worker] @ params - data.vectors[worker]


def _constants(matrices, mean, strong, dtype):
    lipschitz = np.hypot(strong, np.linalg.norm(matrices, 2, axis=(1, 2)))
    known = constants.smoothness(
        np.hypot(strong, np.linalg.norm(matrices.mean(0), 2)), lipschitz
    )
    operator, vector = mean
    singular = np.linalg.matrix_rank(operator) < len(operator)
    return known | {
        "variance": 0.0,
        "strong_convexity": float(strong),
        "x_star": None
        if singular
        else jnp.asarray(np.linalg.solve(operator, vector), dtype),
        "f_star": None if singular else 0.0,
    }
