"""Trees in which optax has masked some leaves, as `optax.partition` does."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from .types import Tree


def is_masked(node: Any) -> bool:
    """Does it stand for leaves that are not to be seen?"""
    return isinstance(node, optax.MaskedNode)


def any_masked(part: Tree) -> bool:
    """Are there such nodes in the tree?"""
    return any(map(is_masked, jax.tree.leaves(part, is_leaf=is_masked)))


def seen(part: Tree, whole: Tree) -> Tree:
    """`whole`, masked where `part` is."""
    return jax.tree.map(
        lambda mask, x: mask if is_masked(mask) else x, part, whole, is_leaf=is_masked
    )


def filled(part: Tree, whole: Tree) -> Tree:
    """`part`, with the leaves of `whole` where it is masked."""
    return jax.tree.map(
        lambda x, other: other if is_masked(x) else x, part, whole, is_leaf=is_masked
    )


def given(whole: Tree, grads: Tree, *, name: str) -> Tree:
    """What a part of an optimizer sees of a tree that comes beside the gradient.

    Wrappers mask gradients and parameters, but other trees only where they are told to
    (`mask_compatible_extra_args=True`).

    Args:
      whole: like the gradient of all leaves; or masked already.
      grads: the gradient as the part sees it.
      name: what the tree is called, for the message.

    Raises:
      ValueError: if it is no such tree, as inside of `optax.flatten`.
    """
    return _alike(seen, grads, whole, grads, name)


def on_the_rest(loss: Callable[[Tree], Any], params: Tree) -> Callable[[Tree], Any]:
    """The loss as a function of the leaves that a part sees, the others as they are.

    Args:
      loss: of trees like `params`.
      params: the point.

    Returns:
      A function of trees like `params`, masked or not; ValueError for others, which
      `optax.flatten` makes.
    """
    return lambda x: loss(_alike(filled, x, params, params, "the argument of value_fn"))


def _alike(change, part: Tree, whole: Tree, like: Tree, name: str) -> Tree:
    """change(part, whole), where it is possible and has the leaves that it should."""
    refusal = (
        f"{name} must have leaves like those of the gradient; optax.flatten, which "
        "joins those of the gradient and the parameters only, must be left out"
    )
    try:
        changed = change(part, whole)
    except ValueError as error:
        raise ValueError(refusal) from error
    if _shapes(changed) != _shapes(like):
        raise ValueError(refusal)
    return changed


def _shapes(a: Tree):
    return jax.tree.structure(a), [jnp.shape(x) for x in jax.tree.leaves(a)]
