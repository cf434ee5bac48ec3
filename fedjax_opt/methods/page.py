"""PAGE on every worker. arXiv:2008.10898."""

import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..compressors import identity
from ..mechanisms.coins import common
from ..static import checked, constant
from ..types import Method


def page(*, step_size, probability) -> Method:
    """A full gradient now and then; in between differences on samples add up.

        vᵢ = ∇fᵢ(x^k)   with probability p,   else vᵢ + ∇fᵢ(x^k; ξᵢ) − ∇fᵢ(x^{k−1}; ξᵢ)
        x^{k+1} = x^k − γ (1/n) Σᵢ vᵢ

    For heterogeneous data, in synchronous rounds; a finite sum on one computer is a
    run with one worker. How samples are drawn is the problem's: uniformly with
    replacement by default, otherwise as `fo.problems.sampled` says. n + 1 vectors are
    kept besides two models. p = 1 is gradient descent. `fo.theory.page` and
    `fo.theory.page_step_size` prescribe γ.

    Args:
      step_size: γ.
      probability: p, of the coin that everybody sees alike; B/(m + B) for B samples in
        a gradient and m in all.

    Reference: Li, Bao, Zhang, Richtárik (2020). arXiv:2008.10898; with any sampling
      arXiv:2206.02275.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.page),
        mechanism=Partial(constant(mechanisms.dcgd(identity()))),
        optimizer=Partial(optax.sgd, step_size),
        refresh=checked(common, probability),
        label="page",
    )
