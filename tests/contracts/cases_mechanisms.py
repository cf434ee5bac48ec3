"""The mechanisms and the facts about them, from the papers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from fedjax_opt.compressors import identity, rand_k, top_k, wrap
from fedjax_opt.mechanisms import (
    adacgd_map,
    dasha,
    dcgd,
    diana,
    diana_rr,
    ef14,
    ef21,
    ef21_plus,
    ef_bv,
    press_clip21,
    rand_diana,
    three_point,
    v4_map,
)
from fedjax_opt.types import Compressor, Mechanism


class History(NamedTuple):
    """What happened in T rounds.

    Attributes:
      sent: [T, n, ...], gradients of those who came, zero for the others.
      estimate: [T, ...], what the server returned.
      worker: [T, n, ...], the workers' states after each round.
      server: [T, ...], the server's state after each round.
    """

    sent: Any
    estimate: Any
    worker: Any
    server: Any


class Case(NamedTuple):
    """One mechanism.

    Attributes:
      make: (compressor) -> Mechanism.
      random: a compressor that it accepts and that draws.
      deterministic: one that does not.
      invariant: (History) -> two trees [T, ...] that are equal whoever comes and
        whatever the compressor draws, if the mechanism starts at 0.
    """

    make: Callable[[Compressor], Mechanism]
    random: Compressor
    deterministic: Compressor
    invariant: Callable[[History], tuple[Any, Any]]


def mean(x):
    """(1/n) Σᵢ xᵢ of leaves [T, n, ...]."""
    return jax.tree.map(lambda leaf: np.mean(leaf, axis=1), x)


def sum_so_far(x):
    """Σ_{s <= t} xₛ of leaves [T, ...]."""
    return jax.tree.map(lambda leaf: np.cumsum(leaf, axis=0), x)


def virtual_steps(history):
    """Steps of the virtual iterate x − mean eᵢ, and the exact ones (units of γ)."""
    dropped = mean(history.worker)
    steps = jax.tree.map(np.add, sum_so_far(history.estimate), dropped)
    return steps, sum_so_far(mean(history.sent))


def server_is_mean_of_workers(history):
    return history.server, mean(history.worker)


def server_is_mean_of_estimates(history):
    return history.server, mean(history.worker.estimate)


def estimate_is_the_mean_of_shifts_and_messages(history):
    """Of those who came; a message is what a shift moved by over its step, 1/3."""

    def of_leaf(table, sent):
        after = np.asarray(table)[:, :, 0]
        before = np.concatenate([np.zeros_like(after[:1]), after[:-1]])
        came = np.any(sent, axis=tuple(range(2, sent.ndim)), keepdims=True)
        return np.mean(came * (before + 3 * (after - before)), axis=1)

    return history.estimate, jax.tree.map(of_leaf, history.worker, history.sent)


CASES = {
    "dcgd": Case(
        make=dcgd,
        random=rand_k(2),
        deterministic=top_k(2),
        invariant=lambda history: ((history.worker, history.server), ((), ())),
    ),
    "ef14": Case(
        make=ef14,
        random=wrap.scaled(rand_k(2)),
        deterministic=top_k(2),
        invariant=virtual_steps,
    ),
    "ef21": Case(
        make=ef21,
        random=wrap.scaled(rand_k(2)),
        deterministic=top_k(2),
        invariant=server_is_mean_of_workers,
    ),
    "diana": Case(
        make=diana,
        random=rand_k(2),
        deterministic=identity(),
        invariant=server_is_mean_of_workers,
    ),
    "diana_rr": Case(
        make=lambda compressor: diana_rr(compressor, 1),
        random=rand_k(2),
        deterministic=identity(),
        invariant=estimate_is_the_mean_of_shifts_and_messages,
    ),
    "ef_bv": Case(
        make=ef_bv,
        random=wrap.scaled(rand_k(2)),
        deterministic=top_k(2),
        invariant=server_is_mean_of_workers,
    ),
    "ef21_plus": Case(
        make=ef21_plus,
        random=wrap.scaled(rand_k(2)),
        deterministic=top_k(2),
        invariant=server_is_mean_of_workers,
    ),
    "rand_diana": Case(
        make=rand_diana,
        random=rand_k(2),
        deterministic=identity(),
        invariant=server_is_mean_of_workers,
    ),
    "dasha": Case(
        make=dasha,
        random=rand_k(2),
        deterministic=identity(),
        invariant=server_is_mean_of_estimates,
    ),
    "adacgd": Case(  # two of the same kind, so that all messages are equally long
        make=lambda c: three_point(adacgd_map((c, c), trigger=1.0)),
        random=wrap.scaled(rand_k(2)),
        deterministic=top_k(2),
        invariant=server_is_mean_of_estimates,
    ),
    "press_clip21": Case(
        make=lambda compressor: press_clip21(compressor, threshold=100.0),
        random=wrap.scaled(rand_k(2)),
        deterministic=top_k(2),
        invariant=server_is_mean_of_workers,
    ),
    "3PCv4": Case(
        make=lambda compressor: three_point(v4_map(compressor, compressor)),
        random=wrap.scaled(rand_k(2)),
        deterministic=top_k(2),
        invariant=server_is_mean_of_estimates,
    ),
}
