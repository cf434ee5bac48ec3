"""Naive Optimal ASGD: asynchronous SGD on as many workers as pay. arXiv:2501.16168."""

import jax.numpy as jnp
from jax.tree_util import Partial

from ..types import Schedule
from .asgd import asgd
from .fastest import fastest

TIE = 1e-12  # equal minima differ by rounding


def naive_optimal_asgd(*, noise_ratio) -> Schedule:
    """Asynchronous SGD on the m* workers with the smallest mean times.

        m* = argmin_m (m + s) / Σ_{i<=m} 1/τᵢ,   s = σ²/ε,   τ₁ <= τ₂ <= ...

    The smallest minimiser is taken. The others never start a job. Time-optimal where
    the means do not change; it never looks again.

    Args:
      noise_ratio: s >= 0.

    Raises:
      ValueError: when used, if the compute times do not tell their means.

    Reference: Maranjyan, Tyurin, Richtárik (2025). arXiv:2501.16168.
    """
    if isinstance(noise_ratio, (int, float)) and not noise_ratio >= 0:
        raise ValueError(
            "naive_optimal_asgd needs noise_ratio = σ²/ε to be at least 0, got "
            f"{noise_ratio}"
        )
    return fastest(asgd(), Partial(_count, noise_ratio))


def _count(noise_ratio, means):
    """m*."""
    workers = jnp.arange(1, means.shape[0] + 1)
    rate = jnp.cumsum(1 / jnp.sort(means))  # of the m fastest; 0 if all are dead
    times = jnp.where(rate > 0, (workers + noise_ratio) / rate, jnp.inf)
    return 1 + jnp.argmax(times <= jnp.min(times) * (1 + TIE))
