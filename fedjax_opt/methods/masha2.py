"""MASHA2, for variational inequalities. arXiv:2110.03313."""

import optax
from jax.tree_util import Partial

from .. import checks, estimators, events
from ..compressors.wrap import per_leaf
from ..mechanisms.ef14 import ef14
from ..mechanisms.masha import masha
from ..static import bind, checked
from ..types import Compressor, Method, TreeCompressor


def masha2(
    *,
    step_size,
    compressor: Compressor | TreeCompressor,
    server_compressor: Compressor | TreeCompressor,
    momentum,
) -> Method:
    """MASHA2: extragradient with error feedback in both directions.

        z½ = τz^k + (1−τ)w − γF(w)
        pᵢ = eᵢ + Fᵢ(z½) − Fᵢ(w),   eᵢ ← pᵢ − C(pᵢ)
        p = e + (1/n) Σᵢ C(pᵢ),    e ← p − C_s(p),   z^{k+1} = z½ − γ C_s(p)
        w ← z^{k+1}   with probability 1 − τ

    For monotone operators F = (1/n) Σᵢ Fᵢ, such as that of a saddle point: a problem's
    gradients are their values, as in `problems.bilinear`. Gradients are operators as
    well. In synchronous rounds at z½ and, when w has moved, at w, where Fᵢ(w) is sent
    as it is. A trace measures these points, not z. Nobody sends the model.
    Experimental: from the formulas, constants from memory.

    Args:
      step_size: γ.
      compressor: C of the workers, contractive.
      server_compressor: C_s of the server, contractive.
      momentum: τ, in [0, 1); 1 − 1/β if messages are β times shorter than the model.

    Raises:
      ValueError: if a compressor is not contractive, or a number is out of range.

    Reference: Beznosikov, Richtárik, Diskin, Ryabinin, Gasnikov (2021).
      arXiv:2110.03313.
    """
    up, down = (
        ef14(checks.contractive(per_leaf(c), user="masha2"))
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
        label="masha2",
    )
