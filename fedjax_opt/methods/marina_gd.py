"""MARINA with full gradients. arXiv:2102.07845."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.marina import marina
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def marina_gd(
    *, step_size, compressor: Compressor | TreeCompressor, probability
) -> Method:
    """Gradient descent with compressed changes of gradients, and full rounds at times.

        g = ∇f(x^k)                                        with probability p, else
        g ← g + (1/n) Σᵢ Qᵢ(∇fᵢ(x^k) − ∇fᵢ(x^{k−1})),      x^{k+1} = x^k − γg

    For heterogeneous data, in synchronous rounds, from g⁰ = ∇f(x⁰). n + 1 vectors are
    kept besides the model. `fo.theory` prescribes γ.

    Args:
      step_size: γ.
      compressor: unbiased; with correlated ones such as Perm-K γ may be larger.
      probability: p; about bits(Q) over the bits of a gradient.

    Reference: Gorbunov, Burlachenko, Li, Richtárik (2021). arXiv:2102.07845.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(bind(marina, compressor), probability=probability),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        first_gradients=True,
        label="marina_gd",
    )
