"""SGD with one byte per gradient. arXiv:2306.10015."""

import optax
from jax.tree_util import Partial

from .. import estimators, events
from ..compressors.one_byte import one_byte
from ..compressors.wrap import whole_tree
from ..mechanisms.dcgd import dcgd
from ..static import checked
from ..types import Bits, Method


def one_byte_sgd(*, step_size, clip) -> Method:
    """SGD whose workers send one byte: the slope along a direction that all can draw.

        sᵢ = ⟨∇fᵢ(x^k; ξ), zᵢ⟩,   zᵢ ~ N(0, I),   x^{k+1} = x^k − (γ/n) Σᵢ sᵢzᵢ

    For equal and for heterogeneous data, in synchronous rounds. The server passes the n
    bytes on, and everybody makes the step, in the order of the workers. The variance
    grows with d: γ is about n/d of that of SGD. Experimental: see
    `compressors.one_byte`; the paper has differences of the loss for gradients.

    Args:
      step_size: γ.
      clip: the largest |sᵢ| that is sent as it is; 3 times the norm of a gradient.

    Reference: Zelikman, Huang, Liang, Haber, Goodman (2023). arXiv:2306.10015.
    """
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(_one_byte, clip),
        optimizer=Partial(optax.sgd, step_size),
        label="one_byte_sgd",
    )


def _one_byte(clip):
    return dcgd(whole_tree(one_byte(clip)))._replace(bits_down=_all_messages)


def _all_messages(keys, server_state, like) -> Bits:
    length = 8 * keys.num_workers
    return Bits(length, length, length)
