"""MASHA1, for variational inequalities. arXiv:2110.03313."""

import optax
from jax.tree_util import Partial

from .. import checks, estimators, events
from ..compressors.wrap import per_leaf
from ..mechanisms.dcgd import dcgd
from ..mechanisms.masha import masha
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def masha1(
    *,
    step_size,
    compressor: Compressor | TreeCompressor,
    server_compressor: Compressor | TreeCompressor,
    momentum,
) -> Method:
    """MASHA1: extragradient with unbiased messages in both directions.

        z½ = τz^k + (1−τ)w − γF(w)
        z^{k+1} = z½ − γ Q_s((1/n) Σᵢ Qᵢ(Fᵢ(z½) − Fᵢ(w)))
        w ← z^{k+1}   with probability 1 − τ

    For monotone operators F = (1/n) Σᵢ Fᵢ, such as that of a saddle point: a problem's
    gradients are their values, as in `problems.bilinear`. Gradients are operators as
    well. In synchronous rounds at z½ and, when w has moved, at w, where Fᵢ(w) is sent
    as it is. A trace measures these points, not z. Nobody sends the model.
    Experimental: from the formulas, constants from memory.

    Args:
      step_size: γ.
      compressor: Q of the workers, unbiased.
      server_compressor: Q_s of the server, unbiased.
      momentum: τ, in [0, 1); 1 − 1/β if messages are β times shorter than the model.

    Raises:
      ValueError: if a compressor is not unbiased, or a number is out of range.

    Reference: Beznosikov, Richtárik, Diskin, Ryabinin, Gasnikov (2021).
      arXiv:2110.03313.
    """
    up, down = (
        dcgd(checks.unbiased(per_leaf(c), user="masha1"))
        for c in (compressor, server_compressor)
    )
    return Method(
        schedule=events.synchronous(),
        estimator=Partial(estimators.sgd),
        mechanism=checked(
            bind(masha, up, down), step_size=step_size, momentum=momentum
        ),
        optimizer=Partial(optax.sgd, 1.0),
        full_gradients=True,
        label="masha1",
    )
