"""PP-MARINA. arXiv:2102.07845."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..mechanisms.marina import pp_marina as pp_marina_mechanism
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def pp_marina(
    *, step_size, compressor: Compressor | TreeCompressor, probability, count: int
) -> Method:
    """MARINA whose compressed rounds have r of n workers, drawn anew.

        g = ∇f(x^k)                                            with probability p, else
        g ← g + (1/r) Σ_{i∈S} Qᵢ(∇fᵢ(x^k) − ∇fᵢ(x^{k−1})),     x^{k+1} = x^k − γg

    For heterogeneous data, in synchronous rounds, from g⁰ = ∇f(x⁰). All workers
    compute, as far as the clock is concerned, and those outside S send nothing. n + 1
    vectors are kept besides the model. `fo.theory` prescribes γ.

    Args:
      step_size: γ.
      compressor: unbiased.
      probability: p; about r/n times bits(Q) over the bits of a gradient.
      count: r.

    Reference: Gorbunov, Burlachenko, Li, Richtárik (2021). arXiv:2102.07845.
    Deviation: S is drawn without replacement.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(bind(_pp_marina, compressor, count), probability),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        first_gradients=True,
        label="pp_marina",
    )


def _pp_marina(compressor, count, probability):
    return pp_marina_mechanism(compressor, probability=probability, count=count)
