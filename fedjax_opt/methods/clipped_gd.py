"""Clipped gradient descent, without memory: a baseline."""

import optax
from jax.tree_util import Partial

from .. import events, mechanisms, transforms
from ..compressors import identity
from ..static import checked, constant
from ..types import Method


def clipped_gd(*, step_size, threshold) -> Method:
    """Every worker clips its gradient, and the server steps along their mean.

        x^{k+1} = x^k − (γ/n) Σᵢ clip(∇fᵢ(x^k)),   clip(u) = min(1, τ/|u|) u

    For heterogeneous data, in synchronous rounds. Biased where workers differ: it may
    rest at points that are not stationary, which `clip21_gd` does not. No vectors are
    kept besides the model.

    Args:
      step_size: γ.
      threshold: τ, in units of the gradient.

    Reference: baseline of arXiv:2305.18929.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=checked(transforms.clip, threshold),
        mechanism=Partial(constant(mechanisms.dcgd(identity()))),
        optimizer=Partial(optax.sgd, step_size),
        full_gradients=True,
        label="clipped_gd",
    )
