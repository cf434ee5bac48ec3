"""What the command line knows of a method, and over what it tunes it."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ..types import Method

Axes = dict[str, list]


class Entry(NamedTuple):
    """A method, and how to tune it.

    Attributes:
      make: the recipe; its first number to tune is `step_size`.
      title: the method's name in full.
      arxiv: the paper, or the paper that it is a baseline of.
      group: what it is grouped with in tables.
      options: keywords of the recipe that are not tuned, such as a compressor.
      axes: (num_workers) -> {keyword: values}, what is tuned besides the step size.
    """

    make: Callable[..., Method]
    title: str
    arxiv: str
    group: str
    options: Mapping[str, Any] = MappingProxyType({})
    axes: Callable[[int], Axes] = lambda num_workers: {}

    @property
    def recipe(self) -> Callable[..., Method]:
        """The recipe with its options, a function of what is tuned."""
        return functools.partial(self.make, **self.options)

    def grid(self, step_sizes: Iterable[float], num_workers: int) -> dict[str, list]:
        """The axes of a sweep, the step size first; what is an option is not tuned."""
        axes = {"step_size": list(step_sizes), **self.axes(num_workers)}
        return {name: axes[name] for name in axes if name not in self.options}

    def with_options(self, options: Mapping[str, Any]) -> "Entry":
        """The entry with more keywords fixed.

        Raises:
          ValueError: for one that the recipe does not have.
        """
        keywords = inspect.signature(self.make).parameters
        for name in options:
            if name not in keywords:
                raise ValueError(
                    f"{self.make.__name__} has no option {name!r}; it has "
                    f"{', '.join(keywords)}"
                )
        return self._replace(options=dict(self.options) | dict(options))


def over_batch_sizes(num_workers: int) -> Axes:
    """Batch sizes S to try."""
    return {"batch_size": _sizes(num_workers)}


def over_delay_thresholds(num_workers: int) -> Axes:
    """Delay thresholds R to try."""
    return {"delay_threshold": _sizes(num_workers)}


def over_noise_ratios(num_workers: int) -> Axes:
    """Ratios σ²/ε to try; with so many workers a mean gradient has variance ε."""
    return {"noise_ratio": _sizes(num_workers)}


def over_trials(num_workers: int) -> Axes:
    """Trials per worker to try."""
    del num_workers
    return {"trials": [1, 2, 4]}


def over_radii(num_workers: int) -> Axes:
    """Distances to try, in units of the parameters."""
    del num_workers
    return {"radius": [0.1, 0.3, 1.0]}


def _sizes(num_workers: int) -> list[int]:
    """n^¼, n^½ and n^¾, rounded: 3, 10 and 32 for a hundred workers."""
    return sorted({round(num_workers ** (power / 4)) for power in (1, 2, 3)})
