"""PAGE with any sampling: what a sampling promises, and the step size that follows.

A sampling makes an unbiased estimate S of a mean ā = (1/m) Σⱼ aⱼ from few of the aⱼ.
With positive weights wⱼ that add up to 1, and numbers A >= 0 and B,

    E|S − ā|² <= (A/m) Σⱼ |aⱼ|²/(m wⱼ) − B |ā|²       for all a₁, ..., a_m

which every sampling here keeps with equality. The components' smoothness is measured
with the same weights:

    L₊²: the least with (1/m) Σⱼ |∇fⱼ(x) − ∇fⱼ(y)|²/(m wⱼ) <= L₊² |x − y|²
    L±²: the least with the same, less |∇f(x) − ∇f(y)|², on the left
"""

import math
from typing import NamedTuple

import numpy as np

from . import inputs
from .rates import Lyapunov
from .three_point import recursive_lyapunov, recursive_step_size


class Sampling(NamedTuple):
    """A, B and the weights wⱼ, [m], of a sampling."""

    a: float
    b: float
    weights: np.ndarray


def uniform_sampling(num_components, batch_size, *, replacement: bool) -> Sampling:
    """S components, all equally likely; the estimate is their mean.

        with replacement:       A = B = 1/S,                     wⱼ = 1/m
        without replacement:    A = B = (m−S)/(S (m−1)),         wⱼ = 1/m

    Args:
      num_components: m.
      batch_size: S; at most m without replacement.
      replacement: may a component be drawn twice?

    Reference: arXiv:2206.02275; with replacement known and checked, without
      replacement (derived, checked by enumeration).
    """
    m = inputs.count("num_components", num_components)
    size = inputs.count("batch_size", batch_size)
    weights = np.full(m, 1 / m)
    if replacement:
        return Sampling(1 / size, 1 / size, weights)
    if size > m:
        raise ValueError(
            f"without replacement batch_size must be at most {m}, the number of "
            f"components; got {size}."
        )
    spread = 0.0 if size == m else (m - size) / (size * (m - 1))
    return Sampling(spread, spread, weights)


def importance_sampling(likelihoods, batch_size) -> Sampling:
    """S draws with replacement, j with probability pⱼ; the mean of the aⱼ/(m pⱼ).

        A = B = 1/S,    wⱼ = pⱼ

    With pⱼ proportional to the Lⱼ, L± <= L₊ <= (1/m) Σⱼ Lⱼ, where uniform draws have
    the root of the mean square.

    Args:
      likelihoods: [m], positive; divided by their sum they are the pⱼ. Smoothness
        constants Lⱼ may be given as they are.
      batch_size: S.

    Reference: arXiv:2206.02275 (known and checked).
    """
    size = inputs.count("batch_size", batch_size)
    return Sampling(1 / size, 1 / size, _shares("likelihoods", likelihoods))


def independent_sampling(probabilities) -> Sampling:
    """Component j comes with probability pⱼ, whatever the others do; Σ aⱼ/(m pⱼ).

        A = 1/Σⱼ (pⱼ/(1−pⱼ)),    B = 0,    wⱼ proportional to pⱼ/(1−pⱼ)

    `fo.problems.draws` has no rule for it: arrays of fixed shape would take all m
    gradients.

    Args:
      probabilities: [m], in (0, 1), for the expected batch size Σⱼ pⱼ.

    Reference: arXiv:2206.02275 (derived, checked by enumeration).
    """
    p = np.asarray(probabilities, float)
    if p.ndim != 1 or not np.all((p > 0) & (p < 1)):
        raise ValueError(
            f"probabilities must be [m] numbers in (0, 1); got {p.tolist()}. A "
            "component that always comes belongs in a sum of its own."
        )
    odds = p / (1 - p)
    return Sampling(1 / float(odds.sum()), 0.0, odds / odds.sum())


def weighted_smoothness(smoothness_each, weights) -> float:
    """√((1/m) Σⱼ Lⱼ²/(m wⱼ)), which L₊, and L± <= L₊, never exceed.

    Equal weights give the root of the mean square, wⱼ proportional to Lⱼ the mean of
    the Lⱼ, which is the least.

    Args:
      smoothness_each: [m], the Lⱼ.
      weights: [m], the wⱼ of a `Sampling`.

    Reference: arXiv:2206.02275 (known and checked).
    """
    each, w = np.asarray(smoothness_each, float), _shares("weights", weights)
    if each.shape != w.shape or not np.all(each >= 0):
        raise ValueError(
            f"smoothness_each must be one number >= 0 for each of {w.size} weights; "
            f"got {each.tolist()}."
        )
    return math.sqrt(np.sum(each**2 / w)) / w.size


def page_step_size(
    smoothness,
    smoothness_plus,
    smoothness_spread=None,
    *,
    sampling: Sampling,
    probability,
    strong_convexity=None,
    num_workers=1,
) -> float:
    """The largest γ for which the theorems on PAGE with a sampling hold.

        D = ((1−p)/n) ((A−B) L₊² + B L±²)
        nonconvex:     1/(L₋ + √(D/p))
        μ-PŁ:          min {1/(L₋ + √(2D/p)), p/(2μ)}

    Args:
      smoothness: L₋, of f.
      smoothness_plus: L₊, for the weights of the sampling; see `weighted_smoothness`.
        Not read where A = B.
      smoothness_spread: L±, likewise; None stands for L₊.
      sampling: A and B.
      probability: p, of a full gradient.
      strong_convexity: μ of strong convexity or PŁ; None for the nonconvex form.
      num_workers: n, with samples of their own and one coin; L₊² and L±² are then means
        over the workers.

    Reference: arXiv:2206.02275 (known and checked); n > 1 (derived).
    """
    plus = inputs.nonnegative("smoothness_plus", smoothness_plus) ** 2
    spread = plus
    if smoothness_spread is not None:
        spread = inputs.nonnegative("smoothness_spread", smoothness_spread) ** 2
    a, b = sampling.a, sampling.b
    p = inputs.probability("probability", probability)
    noise = (a - b) * plus + b * spread
    drift = (1 - p) * noise / inputs.count("num_workers", num_workers)
    smooth = inputs.positive("smoothness", smoothness)
    return recursive_step_size(smooth, p, drift, strong_convexity)


def page_lyapunov(step_size, *, probability, strong_convexity=None) -> Lyapunov:
    """What PAGE decreases, with G = |g − ∇f(x)|².

        nonconvex:     Ψ = f(x) + (γ/(2p)) G,        E Ψ⁺ <= Ψ − (γ/2) |∇f(x)|²
        μ-PŁ:          Ψ = f(x) − f* + (γ/p) G,      E Ψ⁺ <= (1 − γμ) Ψ

    Args:
      step_size: γ, at most `page_step_size` of the same class.
      probability: p.
      strong_convexity: μ of strong convexity or PŁ; None for the nonconvex form.

    Returns:
      The weight of G, and the contraction: 1 in the nonconvex form.

    Reference: arXiv:2008.10898, arXiv:2206.02275 (known and checked).
    """
    p = inputs.probability("probability", probability)
    return recursive_lyapunov(step_size, p, strong_convexity)


def _shares(name: str, values) -> np.ndarray:
    """Positive numbers [m], divided by their sum."""
    array = np.asarray(values, float)
    if array.ndim != 1 or not np.all((array > 0) & np.isfinite(array)):
        raise ValueError(
            f"{name} must be [m] positive finite numbers; got {array.tolist()}."
        )
    return array / array.sum()
