"""The largest value that a length may take, whatever the coins and the data are."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

# Operations that do not decrease if an operand increases; a product, if none is
# negative, as lengths are.
MONOTONE = frozenset(
    {
        *("add", "mul", "max", "min", "reduce_sum", "reduce_max", "concatenate"),
        *("convert_element_type", "broadcast_in_dim", "reshape", "squeeze", "slice"),
    }
)


class Bound(NamedTuple):
    """What an intermediate result does not exceed.

    Attributes:
      value: an array of its shape.
      exact: is it the result itself?
    """

    value: Any
    exact: bool


def largest(function: Callable[..., Any], *unknown: Any) -> float | None:
    """A bound of function(*unknown) for all values that the arguments may have.

    It is the largest value where the function adds up lengths and chooses between
    them, such as `either`: a choice by what is unknown counts as its largest case.

    Args:
      function: of trees of arrays, to one number.
      unknown: arguments, of which only shapes and dtypes matter.

    Returns:
      The bound; None where unknown numbers enter in another way.
    """
    closed = jax.make_jaxpr(function)(*unknown)
    (bound,) = _bounds(closed, [None] * len(closed.jaxpr.invars))
    return None if bound is None else float(bound.value)


def _bounds(closed: ClosedJaxpr, inputs: list[Bound | None]) -> list[Bound | None]:
    """Of the outputs of a program, given those of its inputs; None is unknown."""
    jaxpr = closed.jaxpr
    constants = [Bound(value, True) for value in closed.consts]
    found = dict(zip(jaxpr.constvars, constants, strict=True))
    found |= dict(zip(jaxpr.invars, inputs, strict=True))

    def of(atom):
        return Bound(atom.val, True) if isinstance(atom, Literal) else found[atom]

    for equation in jaxpr.eqns:
        outputs = _of_equation(equation, [of(atom) for atom in equation.invars])
        found |= dict(zip(equation.outvars, outputs, strict=True))
    return [of(atom) for atom in jaxpr.outvars]


def _of_equation(equation, inputs: list[Bound | None]) -> list[Bound | None]:
    """Bounds of the outputs of one operation."""
    name, inner = equation.primitive.name, equation.params.get("jaxpr")
    if name in ("jit", "pjit") and isinstance(inner, ClosedJaxpr):
        return _bounds(inner, inputs)
    if name == "select_n" and inputs[0] is None:
        return [_largest_of(inputs[1:])]
    if name in ("dynamic_slice", "gather") and inputs[0] and not all(inputs[1:]):
        (entry,) = equation.outvars
        most = jnp.full(entry.aval.shape, np.max(inputs[0].value), entry.aval.dtype)
        return [Bound(most, False)]
    known = [bound for bound in inputs if bound is not None]
    exact = all(bound.exact for bound in known)
    values = [bound.value for bound in known]
    negative = not exact and name == "mul" and any(np.any(v < 0) for v in values)
    followed = name in MONOTONE and not negative
    if len(known) < len(inputs) or not (exact or followed) or inner is not None:
        return [None] * len(equation.outvars)
    result = equation.primitive.bind(*values, **equation.params)
    results = result if equation.primitive.multiple_results else [result]
    return [Bound(value, exact) for value in results]


def _largest_of(cases: list[Bound | None]) -> Bound | None:
    """Of a choice between these, entry by entry."""
    known = [bound.value for bound in cases if bound is not None]
    if len(known) < len(cases):
        return None
    most = known[0]
    for other in known[1:]:
        most = jnp.maximum(most, other)
    return Bound(most, False)
