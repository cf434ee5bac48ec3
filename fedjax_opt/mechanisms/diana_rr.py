"""DIANA-RR. arXiv:2206.07021."""

from typing import Any, NamedTuple

from .. import checks, tree
from ..compressors.wrap import add_decoded, per_leaf
from ..estimators.of_component import OfComponent
from ..static import memoised
from ..types import Compressor, Mechanism, Roles, Tree, TreeCompressor
from .shifts import shift_step_for


class DianaRRMessage(NamedTuple):
    """What a worker sends.

    Attributes:
      sent: the compressed difference.
      shift: hᵢⱼ, which the server has, too: it is not sent.
    """

    sent: Any
    shift: Tree


@memoised
def diana_rr(
    compressor: Compressor | TreeCompressor,
    num_components: int,
    *,
    shift_step: Any = None,
) -> Mechanism:
    """DIANA with a shift for each component of each worker's sum.

        mᵢ = C(∇fᵢⱼ(x) − hᵢⱼ),   g = (1/n) Σᵢ (hᵢⱼ + mᵢ),   hᵢⱼ ← hᵢⱼ + a mᵢ

    where fᵢ = (1/m) Σⱼ fᵢⱼ, and each worker is at a component j of its own. The shifts
    start at 0 and follow ∇fᵢⱼ(x*), whose differences between components are then not
    compressed again and again. With one component it is `diana`.

    The server knows all shifts, and who is at which: n·m·d numbers, as the workers
    together. Here each shift is kept once, by its worker.

    Args:
      compressor: unbiased, with ω; applied to each leaf, or to the tree if it is on
        trees.
      num_components: m.
      shift_step: a, in [0, 1], may be traced; None stands for 1/(1 + ω).

    Returns:
      A Mechanism for gradients that are `OfComponent`, as the estimator `of_component`
      makes them; where m = 1 also for plain ones. Worker state: hᵢⱼ, leaves [m, ...].
      Message cost: compressor.bits per worker and round.

    Raises:
      ValueError: if the compressor certifies no ω, or a number is out of range.

    Reference: Sadiev, Malinovsky, Gorbunov, Sokolov, Khaled, Burlachenko, Richtárik
      (2022). arXiv:2206.07021.
    """
    c = checks.unbiased(per_leaf(compressor), user="diana_rr")
    checks.positive_integer(num_components, "num_components")
    step = shift_step_for(c, shift_step)

    def init(params, first_grad=None):
        table = tree.with_rows(tree.zeros_like(params), num_components)
        return Roles(worker=table, server=())

    def worker(keys, grad, table):
        grad, component = _named(grad, num_components)
        shift = tree.row(table, component)
        sent = c.encode(keys, tree.sub(grad, shift))
        moved = add_decoded(c, keys, shift, sent, step(shift))
        table = tree.set_row(table, component, moved, after=shift)
        return DianaRRMessage(sent, shift), table

    def decode(keys, message, like):
        return tree.add(message.shift, c.decode(keys, message.sent, like))

    def server(keys, aggregate, mask, state):
        return aggregate, state

    def bits(keys, message, like):
        return c.bits(keys, message.sent, like)

    return Mechanism(init, worker, decode, server, bits)


def _named(grad, num_components: int) -> OfComponent:
    """A gradient and its component, which needs no name where there is but one."""
    if isinstance(grad, OfComponent):
        return grad
    if num_components == 1:
        return OfComponent(grad, 0)
    raise TypeError(
        "diana_rr needs to know of which component a gradient is: give it the "
        "estimator (worker_transform) estimators.of_component()"
    )
