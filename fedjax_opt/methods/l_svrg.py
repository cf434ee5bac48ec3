"""L-SVRG on every worker. arXiv:1901.08689."""

import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..compressors import identity
from ..mechanisms.coins import common
from ..static import checked, constant
from ..types import Method


def l_svrg(*, step_size, probability) -> Method:
    """Samples whose noise is taken off at a reference point, which moves now and then.

        gᵢ = ∇fᵢ(x^k; ξᵢ) − ∇fᵢ(w; ξᵢ) + ∇fᵢ(w),   x^{k+1} = x^k − γ (1/n) Σᵢ gᵢ
        w ← x^k   with probability p

    For heterogeneous data, in synchronous rounds, from w = x⁰. A sample takes two
    gradients, a w that moves a full one. 2n vectors are kept besides the model. Without
    noise it is gradient descent. `fo.theory.l_svrg_step_size` prescribes γ for one
    worker, `fo.theory.saga_step_size` for more of them with p = 1/m.

    Args:
      step_size: γ.
      probability: p, of the coin that everybody sees alike; 1/m for m samples in all.

    Reference: Kovalev, Horváth, Richtárik (2019). arXiv:1901.08689.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.l_svrg),
        mechanism=Partial(constant(mechanisms.dcgd(identity()))),
        optimizer=Partial(optax.sgd, step_size),
        refresh=checked(common, probability),
        label="l_svrg",
    )
