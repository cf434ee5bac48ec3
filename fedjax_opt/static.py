"""What a compiled program is keyed on: functions and structure, never numbers.

Schedules, methods and compute times are pytrees. Their leaves are numbers and are
traced; their functions are `jax.tree_util.Partial` of module-level functions and are
part of the structure. Two methods of one kind therefore share one program, and a
sweep over their numbers is a `vmap`.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Hashable
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np
from jax.tree_util import Partial

P = ParamSpec("P")
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Bound:
    """A function with leading arguments that are not traced; equal by value."""

    function: Callable[..., Any]
    arguments: tuple[Hashable, ...]

    def __call__(self, *args, **kwargs):
        return self.function(*self.arguments, *args, **kwargs)


def bind(function: Callable[..., Any], *arguments: Hashable) -> Bound:
    """Fixes static leading arguments: `Partial(bind(f, option), number)`."""
    return Bound(function, arguments)


def _itself(value):
    return value


def constant(value: Hashable) -> Bound:
    """A function of no arguments that returns `value`."""
    return Bound(_itself, (value,))


def checked(make: Callable[..., Any], *numbers: Any, **named: Any) -> Partial:
    """`Partial(make, ...)`, called once, so that it refuses now and not in a run."""
    part = Partial(make, *numbers, **named)
    part()
    return part


def memoised(constructor: Callable[P, T]) -> Callable[P, T]:
    """Makes equal static arguments give the same object, hence the same program.

    A constructor such as `top_k(10)` returns closures, which compare by identity.
    Arguments that cannot be hashed (arrays, tracers) are passed through uncached.
    """
    signature = inspect.signature(constructor)
    cached = functools.lru_cache(maxsize=None, typed=True)(constructor)

    @functools.wraps(constructor)
    def construct(*args: P.args, **kwargs: P.kwargs) -> T:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        try:
            hash((bound.args, tuple(bound.kwargs.items())))
        except TypeError:
            return constructor(*args, **kwargs)
        return cached(*bound.args, **bound.kwargs)

    return construct


def stacked(trees):
    """One tree whose leaves have a leading axis; the structures must agree."""
    first = jax.tree.structure(trees[0])
    for other in trees[1:]:
        if jax.tree.structure(other) != first:
            raise ValueError(
                "the runs of one call must differ in numbers only; vary options such "
                "as stop= or compressor= in separate calls"
            )
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)
