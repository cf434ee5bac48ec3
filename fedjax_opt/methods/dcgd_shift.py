"""DCGD with shifts that never move. arXiv:2206.10452."""

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial

from .. import estimators, events, mechanisms
from ..static import bind, checked, constant
from ..types import Compressor, Method, Tree, TreeCompressor


def dcgd_shift(
    *, step_size, compressor: Compressor | TreeCompressor, shifts: Tree = None
) -> Method:
    """Compresses the distance of the gradient from a shift that is given.

        x^{k+1} = x^k − (γ/n) Σᵢ (hᵢ + Q(∇fᵢ(x^k) − hᵢ)),   hᵢ constant

    For heterogeneous data, in synchronous rounds. It stops in a neighbourhood of x* as
    large as ∇fᵢ(x*) − hᵢ. With hᵢ = ∇fᵢ(x*), which nobody knows, this is DCGD-STAR,
    whose limit is exact; with `induced(C, Q)` for Q the one that also has a biased C;
    DIANA learns these shifts. hᵢ = 0 is `dcgd_gd`. γ of DCGD holds, whatever the
    shifts: `fo.theory.dcgd_step_size` (derived).

    Args:
      step_size: γ.
      compressor: Q, unbiased.
      shifts: hᵢ, leaves [n, ...] with the shapes of the parameters behind n; None: the
        gradients ∇fᵢ(x⁰), which every worker sends once, as they are.

    Reference: Shulgin, Richtárik (2022). arXiv:2206.10452.
    """
    if shifts is None:
        mechanism = Partial(constant(mechanisms.diana(compressor, shift_step=0.0)))
    else:
        given = jax.tree.map(jnp.asarray, shifts)
        mechanism = checked(bind(mechanisms.fixed_shift, compressor), shifts=given)
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=mechanism,
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        first_gradients=shifts is None,
        label="dcgd_shift",
    )
