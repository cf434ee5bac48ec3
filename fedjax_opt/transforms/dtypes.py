"""Transformations of optax under numbers of a wider dtype than the leaves."""

import jax
import optax


def keeping_dtypes(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """The same, rounded to the dtype of each leaf.

    float64 numbers of a sweep make float64 steps of a float32 model otherwise.
    """

    def update(updates, state, params=None):
        new, state = inner.update(updates, state, params)
        return jax.tree.map(lambda x, old: x.astype(old.dtype), new, updates), state

    return optax.GradientTransformation(inner.init, update)
