"""EF21-W. arXiv:2402.10774."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from .. import checks, tree
from ..compressors.wrap import add_decoded, per_leaf
from ..static import memoised
from ..types import Compressor, Mechanism, Roles, TreeCompressor
from .shifts import first_or_zero


@memoised
def ef21_weighted(compressor: Compressor | TreeCompressor, weights: Any) -> Mechanism:
    """EF21 whose workers compress in units of their own, larger for rougher ones.

        cᵢ = C((∇fᵢ(x) − gᵢ)/(n wᵢ)),   gᵢ ← gᵢ + n wᵢ cᵢ,   g ← g + Σᵢ wᵢ cᵢ

    With wᵢ = Lᵢ/Σⱼ Lⱼ the theory has the mean of the Lᵢ where EF21 has the root of the
    mean square. The memory is kept as gᵢ, in units of the gradient; the paper keeps
    gᵢ/(n wᵢ), and g = Σᵢ wᵢ (gᵢ/(n wᵢ)) is their mean here. Where C(tu) = t C(u) for
    t > 0, and for equal weights, it is `ef21`.

    Args:
      compressor: contractive, α in (0, 1]; applied to each leaf, or to the tree if
        it is on trees.
      weights: wᵢ > 0, one for each worker; they are divided by their sum. Smoothness
        constants Lᵢ may be given as they are.

    Returns:
      A Mechanism. Worker state: gᵢ, like params. Server state: g, like params.
      Message cost: compressor.bits per worker and round.

    Raises:
      ValueError: if the compressor certifies no α, or a weight is not positive; when
        encoding, if there is not one weight for each worker.

    Reference: Richtárik, Gasanov, Burlachenko (2024). arXiv:2402.10774.
    """
    c = checks.contractive(per_leaf(compressor), user="ef21_weighted")
    if isinstance(weights, tuple | list | np.ndarray):
        for weight in np.ravel(weights):
            checks.positive(float(weight), "each weight")

    def unit(keys):
        """n wᵢ, of mean 1."""
        relative = jnp.asarray(weights) / jnp.mean(jnp.asarray(weights))
        if relative.shape != (keys.num_workers,):
            raise ValueError(
                f"ef21_weighted needs one weight for each of {keys.num_workers} "
                f"workers, got weights of shape {list(relative.shape)}"
            )
        return relative[keys.worker]

    def init(params, first_grad=None):
        start = first_or_zero(params, first_grad)
        return Roles(worker=start, server=start)

    def worker(keys, grad, g_i):
        own = unit(keys)
        message = c.encode(keys, tree.scale(1 / own, tree.sub(grad, g_i)))
        return message, add_decoded(c, keys, g_i, message, own)

    def decode(keys, message, like):
        return tree.scale(unit(keys), c.decode(keys, message, like))

    def server(keys, aggregate, mask, g):
        g = tree.add(g, aggregate)
        return g, g

    return Mechanism(init, worker, decode, server, c.bits, linear=True)
