"""Delay-adaptive asynchronous SGD. arXiv:2206.07638, arXiv:2206.08307."""

import optax
from jax.tree_util import Partial

from .. import checks, estimators, events
from ..types import Method


def delay_adaptive_asgd(
    *, step_size, rule: str = "mishchenko", smoothness=None
) -> Method:
    """Asynchronous SGD whose step shrinks with the delay.

        x^{k+1} = x^k − γₖ ∇f(x^{k−δₖ}; ξ)

        "mishchenko"    γₖ = γ n / max(n, δₖ)
        "koloskova"     γₖ = γ if δₖ <= n, else min {γ, 1/(4Lδₖ)}, or 0 without an L

    For homogeneous data. At most n models are kept.

    Args:
      step_size: γ; theory wants at most 1/(4Ln) for "koloskova".
      rule: one of the two above.
      smoothness: L, for "koloskova"; by default late gradients are dropped, and still
        count as steps.

    Reference: Mishchenko, Bach, Even, Woodworth (2022). arXiv:2206.07638; the rule is
      that of the authors' code. Koloskova, Stich, Jaggi (2022). arXiv:2206.08307.
    Deviation: Koloskova's threshold is the average concurrency; here it is n.
    """
    return Method(
        schedule=_schedule(step_size, rule, smoothness),
        estimator=Partial(estimators.sgd),
        optimizer=Partial(optax.sgd, step_size),
        label="delay_adaptive_asgd",
    )


def _schedule(step_size, rule, smoothness):
    if rule == "koloskova":
        if smoothness is None:
            return events.koloskova_asgd(late_step=0.0)
        checks.positive(smoothness, "smoothness")
        checks.positive(step_size, "step_size")
        return events.koloskova_asgd(late_step=1 / (4 * smoothness * step_size))
    if rule != "mishchenko":
        raise ValueError(f"rule must be mishchenko or koloskova, got {rule!r}")
    if smoothness is not None:
        raise ValueError('smoothness is for rule="koloskova": leave it out')
    return events.delay_adaptive_asgd()
