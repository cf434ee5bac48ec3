"""GDCI, gradient descent with compressed iterates. arXiv:2206.10452."""

from jax.tree_util import Partial

from .. import checks, estimators, events, mechanisms, transforms
from ..compressors.wrap import per_leaf
from ..static import checked, constant
from ..types import Compressor, Method, TreeCompressor


def gdci(*, step_size, compressor: Compressor | TreeCompressor, mixing) -> Method:
    """Every worker compresses the point that its own gradient leads to.

        x^{k+1} = (1−η) x^k + (η/n) Σᵢ Qᵢ(x^k − γ∇fᵢ(x^k))

    For heterogeneous data, in synchronous rounds. It ends in a neighbourhood of the
    optimum, whose size falls with η; η = 1 needs Q that lose little. No vector is kept
    besides the model. `fo.theory.gdci` prescribes γ and η for strongly convex f.

    Args:
      step_size: γ.
      compressor: unbiased.
      mixing: η.

    Reference: Shulgin, Richtárik (2022). arXiv:2206.10452.
    """
    c = checks.unbiased(per_leaf(compressor), user="gdci")
    return Method(
        schedule=events.synchronous(),
        estimator=checked(estimators.local_step, step_size),
        mechanism=Partial(constant(mechanisms.dcgd(c))),
        optimizer=checked(transforms.towards, mixing),
        full_gradients=True,
        label="gdci",
    )
