"""Steps in proportion to the diversity of gradients: GraD, GraDS. arXiv:2208.05287."""

import jax
import jax.numpy as jnp
import optax

from .. import tree
from ..geometry import whole_tree_l2
from ..linalg import nonzero, shrunk
from ..types import Array, Tree


def scale_by_gradient_diversity() -> optax.GradientTransformationExtraArgs:
    """Averages the gradients of a batch; the less they agree, the longer the step.

        g = D ḡ,   ḡ = (1/B) Σᵢ gᵢ,   D = ((1/B) Σᵢ ‖gᵢ‖²) / ‖ḡ‖² ≥ 1

    GraD is `chain(scale_by_gradient_diversity(), optax.scale_by_learning_rate(c/L))`
    with c = ½: where all examples share a minimiser and c < 2, the distance to it never
    grows. Equal gradients, such as those of one example, have D = 1.

    GraDS has D of the differences gᵢ − ∇fᵢ(x*), where these are known; the direction
    stays ḡ. With a common minimiser it is GraD.

    Experimental: the definitions are reconstructed from the paper's abstract; which of
    the means GraDS shifts is a guess. Deviation: D = 1 where the mean is 0.

    Returns:
      A transformation of gradients per example, with a leading axis [B], to one
      gradient; its `update(grads, state, params, *, solution_grads=None)` takes the
      ∇fᵢ(x*), of the shape of grads, for GraDS.

    Reference: Horváth, Mishchenko, Richtárik (2022). arXiv:2208.05287.
    """

    def update(updates, state, params=None, *, solution_grads=None, **extra):
        del params, extra
        mean = tree.mean_over_workers(updates)
        compared = updates
        if solution_grads is not None:
            compared = tree.sub(updates, solution_grads)
        return tree.scale(_diversity(compared), mean), state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)


def _diversity(per_example: Tree) -> Array:
    """In units of the largest length: squares neither overflow nor vanish."""
    norm = whole_tree_l2().norm
    lengths, q = shrunk(jax.vmap(norm)(per_example))
    largest = nonzero(jnp.max(lengths))
    of_mean = q * norm(tree.mean_over_workers(per_example)) / largest
    square = jnp.square(of_mean)
    mean_of_squares = jnp.mean(jnp.square(lengths / largest))
    return jnp.where(square > 0, mean_of_squares / nonzero(square), 1)
