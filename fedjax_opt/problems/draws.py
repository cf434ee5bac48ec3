"""How the components of a gradient are drawn: rules for `fo.problems.sampled`.

A rule is a function m -> (key, worker) -> `Drawn`, the latter a
`jax.tree_util.Partial` whose leaves are its numbers.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from .. import checks
from ..static import bind
from ..types import Array


class Drawn(NamedTuple):
    """Components, and how much each of them counts.

    A gradient is (1/S) Σₛ wₛ ∇fᵢⱼ with j = jₛ.

    Attributes:
      indices: jₛ, [S], 0-based.
      weights: wₛ, [S].
    """

    indices: Array
    weights: Array


Draw = Callable[[Any, Any], Drawn]
Rule = Callable[[int], Draw]


def importance(likelihoods, batch_size: int) -> Rule:
    """S draws with replacement, j with probability pⱼ, which counts 1/(m pⱼ).

    Args:
      likelihoods: positive, [m], or [n, m] if they differ between workers; divided by
        their sum they are the pⱼ. Smoothness constants of the components may be given
        as they are.
      batch_size: S.

    Raises:
      ValueError: if one of them is not positive; where the rule is used, if there are
        not m.

    Reference: Tyurin, Sun, Burlachenko, Richtárik (2022). arXiv:2206.02275.
    """
    checks.positive_integer(batch_size, "batch_size")
    given = np.asarray(likelihoods, float)
    if given.ndim not in (1, 2) or not np.all((given > 0) & np.isfinite(given)):
        raise ValueError(
            "likelihoods must be positive finite numbers, [m] or [n, m]: a component "
            f"that never comes makes the gradients biased; got {given.tolist()}"
        )
    return functools.partial(_importance, given, batch_size)


def without_replacement(batch_size: int) -> Rule:
    """S different components, all sets of so many equally likely.

    Args:
      batch_size: S, at most m; m gives the full gradient.

    Raises:
      ValueError: where the rule is used, if S > m.

    Reference: arXiv:2206.02275.
    """
    checks.positive_integer(batch_size, "batch_size")
    return functools.partial(_without_replacement, batch_size)


def _importance(likelihoods, batch_size, num_components) -> Draw:
    if likelihoods.shape[-1] != num_components:
        raise ValueError(
            f"importance needs one likelihood for each of {num_components} components, "
            f"got shape {list(likelihoods.shape)}"
        )
    shares = likelihoods / likelihoods.sum(axis=-1, keepdims=True)
    return Partial(bind(_draw_importance, batch_size), jnp.asarray(shares))


def _draw_importance(batch_size, shares, key, worker) -> Drawn:
    own = shares if shares.ndim == 1 else shares[worker]
    drawn = jax.random.choice(key, own.size, (batch_size,), p=own)
    return Drawn(drawn, 1 / (own.size * own[drawn]))


def _without_replacement(batch_size, num_components) -> Draw:
    if batch_size > num_components:
        raise ValueError(
            f"cannot draw {batch_size} of {num_components} components without "
            f"replacement; make batch_size at most {num_components}"
        )
    return Partial(bind(_draw_different, batch_size, num_components))


def _draw_different(batch_size, num_components, key, worker) -> Drawn:
    drawn = jax.random.permutation(key, num_components)[:batch_size]
    return Drawn(drawn, jnp.ones(batch_size))
