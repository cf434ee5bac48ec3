"""Oracles as arguments of `jit`: their arrays are traced, all else is static."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.tree_util import Partial

from .. import static


def operand(function: Callable) -> Partial:
    """A function that `jit` takes; a Partial stays as it is."""
    return function if isinstance(function, Partial) else Partial(function)


def given(function: Callable, value: Any) -> Partial:
    """`function` of a first argument, as an operand.

    A norm with an array in it is another object each time that it is made. With the
    array in a closure each of them would be compiled anew, and kept.
    """
    if isinstance(value, jax.Array | np.ndarray | Partial):
        return Partial(function, value)
    return Partial(static.bind(function, value))
