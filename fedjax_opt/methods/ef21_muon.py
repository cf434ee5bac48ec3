"""EF21-Muon. arXiv:2510.00643."""

from jax.tree_util import Partial

from .. import events, mechanisms, transforms
from ..static import bind, checked, constant
from ..types import (
    Compressor,
    Geometry,
    Method,
    TreeCompressor,
    TreeGeometry,
)


def ef21_muon(
    *,
    step_size,
    compressor: Compressor | TreeCompressor,
    server_compressor: Compressor | TreeCompressor | None = None,
    momentum=0.9,
    geometry: Geometry | TreeGeometry | None = None,
) -> Method:
    """LMO steps on an error-fed mean of compressed momenta.

        Mᵢ ← βMᵢ + (1−β) ∇fᵢ(w^k; ξ),   Rᵢ = C(Mᵢ − Gᵢ),   Gᵢ ← Gᵢ + Rᵢ,
        G ← G + (1/n) Σᵢ Rᵢ,   x^{k+1} = x^k + t · lmo(G),
        w^{k+1} = w^k + C'(x^{k+1} − w^k)

    For heterogeneous data, in synchronous rounds; Mᵢ starts at the first gradient, the
    first message is C(Mᵢ), w⁰ = x⁰. Without C' the model goes down as it is, w = x;
    with it workers see w, the trace measures at x, and a broadcast counts once. 2n + 1
    vectors are kept besides the model, with C' one more.

    Args:
      step_size: t, the length of a step in the chosen norm.
      compressor: C of the workers, contractive.
      server_compressor: C' of the server, contractive; None: the model is sent.
      momentum: β, the weight of the old momentum.
      geometry: of `fo.geometry`; by default the spectral norm on matrices and the
        Euclidean norm on the other leaves.

    Reference: Gruntkowska, Gaponov, Tovmasyan, Richtárik (2025). arXiv:2510.00643.
    """
    downlink = None
    if server_compressor is not None:
        downlink = Partial(constant(mechanisms.ef21(server_compressor)))
    return Method(
        schedule=events.synchronous(),
        estimator=checked(_momentum, momentum),
        mechanism=Partial(constant(mechanisms.ef21(compressor))),
        downlink=downlink,
        optimizer=checked(bind(transforms.lmo_step, geometry), step_size),
        label="ef21_muon",
    )


def _momentum(momentum):
    return transforms.momentum(momentum, from_first=True)
