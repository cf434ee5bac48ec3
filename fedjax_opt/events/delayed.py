"""Delayed SGD: every gradient is D steps old. arXiv:1806.10188."""

import jax.numpy as jnp
from jax.tree_util import Partial

from ..types import Schedule
from . import cluster
from .asgd import next_arrival


def delayed(*, delay) -> Schedule:
    """Every arrival is a step, with the gradient of the model of D steps ago.

        x^{k+1} = x^k − γ ∇f(x^{k−D}; ξ),    xʲ = x⁰ for j < 0

    A model of delays, not of a server: which point a job reads is decided when it
    arrives. D + 1 models are kept.

    Args:
      delay: D, a number of steps, 0 or more.

    Reference: Arjevani, Shamir, Srebro (2018). arXiv:1806.10188.
    """
    check_delay("delayed", delay=delay)
    return Schedule(
        Partial(cluster.start), Partial(_next, delay), Partial(cluster.any_alive)
    )


def check_delay(user: str, **named) -> None:
    """Refuses Python numbers that are not 0, 1, 2, ...; arrays and tracers pass.

    Raises:
      ValueError: naming the first that is none.
    """
    for name, value in named.items():
        is_number = isinstance(value, int | float)
        if is_number and not (value >= 0 and value % 1 == 0):
            raise ValueError(f"{user} needs {name} to be 0, 1, 2, ..., got {value}")


def _next(delay, clock, compute_time, feedback):
    event, after = next_arrival(clock, compute_time, feedback)
    return aged(event, jnp.minimum(delay, clock.updates)), after


def aged(event, delay):
    """The event with a gradient of `delay` steps ago."""
    delay = jnp.asarray(delay).astype(event.delay.dtype)
    return event._replace(version=event.version + event.delay - delay, delay=delay)
