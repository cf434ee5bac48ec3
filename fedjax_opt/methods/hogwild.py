"""Hogwild, simulated. arXiv:1802.03801."""

import optax
from jax.tree_util import Partial

from .. import estimators, events, transforms
from ..static import checked
from ..types import Method


def hogwild(
    *,
    step_size,
    max_delay,
    read: str = "inconsistent",
    worst: bool = False,
    overwrite_probability=0.0,
) -> Method:
    """Lock-free SGD: gradients are taken at a vector that others are writing.

        [x̂ᵏ]_c = [x^{k−d_c}]_c,  0 <= d_c <= D,     x^{k+1} = x^k − γ ∇f(x̂ᵏ; ξ)

    For homogeneous data, best with sparse gradients. A simulation: the ages d_c are
    uniform on {0, ..., min(D, k)}. D + 1 models are kept.

    Args:
      step_size: γ.
      max_delay: D, a number of steps; 0 is SGD.
      read: "inconsistent", an age for each coordinate; "consistent", one for all.
      worst: all ages are min(D, k): delayed SGD.
      overwrite_probability: of each coordinate that is written, that the steps since
        its read are lost: [x^{k+1}]_c = [x̂ᵏ]_c − γ [g]_c.

    Reference: Niu, Recht, Ré, Wright (2011), Hogwild; Nguyen et al. (2018).
      arXiv:1802.03801.
    Deviation: ages by coordinate give nested masks only; the paper allows any.
    """
    mixed = read == "inconsistent" and not worst
    return Method(
        schedule=events.hogwild(max_delay=max_delay, read=read, worst=worst),
        estimator=Partial(estimators.sgd),
        optimizer=checked(_sgd, step_size, overwrite_probability),
        read=Partial(events.read_coordinates) if mixed else None,
        label="hogwild",
    )


def _sgd(step_size, overwrite_probability):
    return optax.chain(
        optax.sgd(step_size), transforms.overwrite(overwrite_probability)
    )
