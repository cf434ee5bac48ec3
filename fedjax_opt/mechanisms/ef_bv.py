"""EF-BV. arXiv:2205.04180."""

from typing import Any, cast

from .. import checks, tree
from ..compressors.wrap import add_decoded, per_leaf
from ..static import memoised
from ..theory.compressed import scaling
from ..types import Compressor, Mechanism, Roles, TreeCompressor
from .shifts import first_or_zero


@memoised
def ef_bv(
    compressor: Compressor | TreeCompressor,
    *,
    shift_step: Any = None,
    estimate_step: Any = None,
) -> Mechanism:
    """DIANA and EF21 in one: two steps, set by the bias and by the noise of C.

        dᵢ = C(∇fᵢ(x) − hᵢ),   g = h + ν (1/n) Σᵢ dᵢ
        hᵢ ← hᵢ + λ dᵢ,        h ← h + λ (1/n) Σᵢ dᵢ

    With |E C(x) − x| <= η|x|, E|C(x) − E C(x)|² <= ω|x|², and ω_av for the noise of
    the mean of n messages (ω/n if compressors are independent), the best steps are

        λ = min {(1−η)/((1−η)² + ω), 1},   ν = min {(1−η)/((1−η)² + ω_av), 1}

    The shifts start at 0, or at the first gradients where they are given. ν = 1 is
    `diana` with the step λ, λ = ν = 1 is `ef21`.

    Args:
      compressor: unbiased, or with a certified bias and noise; applied to each leaf,
        or to the tree if it is on trees.
      shift_step: λ, in [0, 1], may be traced; None stands for the value above.
      estimate_step: ν, in (0, 1], likewise.

    Returns:
      A Mechanism. Worker state: hᵢ, like params. Server state: h, like params.
      Message cost: compressor.bits per worker and round.

    Raises:
      ValueError: if a step is out of range, or None and the compressor does not
        certify what its value takes.

    Reference: Condat, Yi, Richtárik (2022). arXiv:2205.04180.
    """
    c = per_leaf(compressor)
    checks.in_unit_interval(shift_step, "shift_step")
    checks.in_unit_interval(estimate_step, "estimate_step", zero=False)
    if shift_step is None or estimate_step is None:
        _bias_and_noise(c, (checks.PROBE,))

    def shift_step_of(like):
        if shift_step is not None:
            return shift_step
        bias, noise = _bias_and_noise(c, tree.leaf_sizes(like))
        return scaling(noise, bias).scale

    def estimate_step_of(like, num_workers):
        if estimate_step is not None:
            return estimate_step
        sizes = tree.leaf_sizes(like)
        bias, noise = _bias_and_noise(c, sizes)
        joint = c.joint and c.joint(sizes, num_workers)
        return scaling(joint.a if joint else noise / num_workers, bias).scale

    def init(params, first_grad=None):
        start = first_or_zero(params, first_grad)
        return Roles(worker=start, server=start)

    def worker(keys, grad, h_i):
        message = c.encode(keys, tree.sub(grad, h_i))
        return message, add_decoded(c, keys, h_i, message, shift_step_of(h_i))

    def server(keys, aggregate, mask, h):
        estimate = tree.add_scaled(h, estimate_step_of(h, keys.num_workers), aggregate)
        return estimate, tree.add_scaled(h, shift_step_of(h), aggregate)

    return Mechanism(
        init, worker, c.decode, server, c.bits, c.add, silent_start=True, linear=True
    )


def _bias_and_noise(c: TreeCompressor, sizes: tuple[int, ...]) -> tuple[float, float]:
    """η and ω of a compressor; an unbiased one has η = 0."""
    certificate = c.certificate(sizes)
    if certificate.eta is not None and certificate.variance is not None:
        return certificate.eta, certificate.variance
    if certificate.omega is not None:
        return 0.0, cast(float, certificate.omega)
    raise ValueError(
        f"ef_bv needs a compressor that certifies its bias and its noise; "
        f"{c.label or 'the compressor'} does not. Give shift_step= and "
        "estimate_step=; 1 and 1 suit every contraction, as in ef21."
    )
