"""Clipping at a quantile of the gradients' lengths. arXiv:2412.19916."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .. import checks, linalg, tree
from ..geometry import whole_tree_l2
from ..types import Array, Tree


class QuantileClipState(NamedTuple):
    """State of `quantile_clip`.

    Attributes:
      count: the updates so far.
    """

    count: Array


def quantile_clip(quantile: Any) -> optax.GradientTransformation:
    """Clips the gradients of a batch at a quantile of their lengths, and averages.

        τ = the smallest ‖gᵢ‖ with at least a fraction p of the lengths ≤ it
        g = (1/B) Σᵢ min(1, τ/‖gᵢ‖) gᵢ

    QC-SGD is `chain(quantile_clip(pₜ), optax.scale_by_learning_rate(γₜ))`. p = 1 is the
    plain mean. A constant p < 1 is biased, as constant clipping is; with pₜ → 1 and
    γₜ → 0 the bias goes. The exponents of the paper are not recorded here; tests take
    γₜ = γ₀/√(t+1), pₜ = 1 − c/√(t+1).

    Args:
      quantile: p in (0, 1]; may be traced, or be a function of the number of updates
        before this one.

    Returns:
      A transformation of gradients per example, with a leading axis [B], to one
      gradient.

    Raises:
      ValueError: if quantile is a number outside (0, 1].

    Reference: Shulgin, Richtárik (2024). arXiv:2412.19916.
    """
    checks.in_unit_interval(quantile, "quantile", zero=False)

    def init(params):
        del params
        return QuantileClipState(jnp.zeros((), jnp.int32))

    def update(updates, state, params=None):
        del params
        p: Any = quantile(state.count) if callable(quantile) else quantile
        lengths = jnp.sort(_lengths(updates))
        p = linalg.wide(jnp.minimum(p, 1.0))
        fractions = (jnp.arange(1, lengths.size + 1) / lengths.size).astype(p.dtype)
        threshold = lengths[jnp.argmax(fractions >= p)]
        clipped = _clipped_mean(updates, threshold)
        return clipped, QuantileClipState(optax.safe_increment(state.count))

    return optax.GradientTransformation(init, update)


class TrackedQuantileState(NamedTuple):
    """State of `tracked_quantile_clip`.

    Attributes:
      threshold: τ of the next update.
    """

    threshold: Array


def tracked_quantile_clip(
    quantile: Any, first_threshold: Any, *, rate: Any = 0.2
) -> optax.GradientTransformation:
    """Clips at a threshold that follows a quantile of the lengths, batch after batch.

        g = (1/B) Σᵢ min(1, τ/‖gᵢ‖) gᵢ,   τ ← τ exp(−η (b − p)),
        b = the fraction of the ‖gᵢ‖ ≤ τ

    The threshold forgets slowly, so batches may be small, B = 1 included. Without the
    noise that would make b private.

    Args:
      quantile: p in [0, 1]; may be traced.
      first_threshold: τ at first, > 0, in units of the gradient; may be traced.
      rate: η > 0; may be traced.

    Returns:
      A transformation of gradients per example, with a leading axis [B], to one
      gradient.

    Raises:
      ValueError: if a number is out of range.

    Reference: Andrew, Thakkar, McMahan, Ramaswamy (2019). arXiv:1905.03871.
    """
    checks.in_unit_interval(quantile, "quantile")
    checks.positive(first_threshold, "first_threshold")
    checks.positive(rate, "rate")

    def init(params):
        del params
        return TrackedQuantileState(
            jnp.asarray(first_threshold, jnp.result_type(float))
        )

    def update(updates, state, params=None):
        del params
        is_below = _lengths(updates) <= state.threshold
        below = jnp.mean(is_below, dtype=state.threshold.dtype)
        threshold = state.threshold * jnp.exp(-rate * (below - quantile))
        clipped = _clipped_mean(updates, state.threshold)
        return clipped, TrackedQuantileState(threshold.astype(state.threshold.dtype))

    return optax.GradientTransformation(init, update)


def _lengths(per_example: Tree) -> Array:
    """[B], over all leaves."""
    return jax.vmap(whole_tree_l2().norm)(per_example)


def _clipped_mean(per_example: Tree, threshold: Array) -> Tree:
    lengths = _lengths(per_example)
    too_long = lengths > threshold
    factors = jnp.where(too_long, threshold / linalg.nonzero(lengths), 1)
    return tree.mean_over_workers(jax.vmap(tree.scale)(factors, per_example))
