"""How smooth each layer is along a run: measured, and fitted. arXiv:2505.13416."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.optimize

from .. import linalg, tree
from ..geometry import per_leaf
from ..types import Array, Geometry, Tree, TreeGeometry
from .layers import dual_norms, norms


class SmoothnessState(NamedTuple):
    """State of `measure_smoothness`.

    Attributes:
      params, grads: x and g of the update before.
      smoothness: L̂ᵢ [leaves], 0 before the second update, and where xᵢ stays.
      dual_norms: ‖gᵢ‖* [leaves] of the last gradient.
      updates: how many gradients came, int32.
    """

    params: Tree
    grads: Tree
    smoothness: Array
    dual_norms: Array
    updates: Array


def measure_smoothness(
    geometry: Geometry | TreeGeometry,
) -> optax.GradientTransformation:
    """Passes gradients on, and notes how fast they change in every layer.

        L̂ᵢ = ‖gᵢ⁺ − gᵢ‖* / ‖Xᵢ⁺ − Xᵢ‖

    Goes first in a chain, on full gradients: noise counts as change. Read its state
    after every update, and give the series to `fit_smoothness`.

    Args:
      geometry: of a leaf, used on each; or of the tree, the largest of norms of leaves,
        which with l layers takes 2l norms of the tree.

    Returns:
      A transformation whose update needs the parameters.

    Reference: Riabinin, Shulgin, Gruntkowska, Richtárik (2025). arXiv:2505.13416.
    """
    per_leaf(geometry)  # refuses what is neither

    def init(params):
        zeros = jnp.zeros(len(jax.tree.leaves(params)))
        start = tree.zeros_like(params)
        return SmoothnessState(start, start, zeros, zeros, jnp.zeros((), jnp.int32))

    def update(updates, state, params=None):
        if params is None:
            raise TypeError(
                "measure_smoothness needs the parameters: update(grads, state, params)"
            )
        change = dual_norms(geometry, tree.sub(updates, state.grads))
        moved = norms(geometry, tree.sub(params, state.params))
        known = (moved > 0) & (state.updates > 0)
        return updates, SmoothnessState(
            params=params,
            grads=updates,
            smoothness=jnp.where(known, change / linalg.nonzero(moved), 0),
            dual_norms=dual_norms(geometry, updates),
            updates=optax.safe_increment(state.updates),
        )

    return optax.GradientTransformation(init, update)


def fit_smoothness(
    smoothness: Any, dual_norms: Any, *, penalty: float = 0.0
) -> tuple[float, float]:
    """(L0, L1) of one layer from a run: L̂[k] ≈ L0 + L1 ‖g[k]‖*, preferably above L̂.

        min Σₖ (fit[k] − L̂[k])² + λ max(0, L̂[k] − fit[k])²   over L0, L1 >= 0

    Args:
      smoothness: L̂ [K], as `measure_smoothness` gives from the second update on.
      dual_norms: ‖g‖* [K], of the same updates.
      penalty: λ >= 0; the larger, the fewer L̂ lie above the fit.

    Returns:
      L0 and L1. NumPy, on the host.

    Raises:
      ValueError: if the series differ in length, or are empty.

    Reference: Riabinin, Shulgin, Gruntkowska, Richtárik (2025). arXiv:2505.13416.
    """
    target, duals = np.ravel(smoothness), np.ravel(dual_norms)
    if target.size == 0 or target.size != duals.size:
        raise ValueError(
            "fit_smoothness needs two series of one length, of a run of two updates or "
            f"more; got {target.size} and {duals.size} numbers"
        )
    design = np.stack([np.ones(target.size), duals], axis=1)
    weights, found = np.ones(target.size), np.zeros(2)
    for _ in range(100):
        root = np.sqrt(weights)
        found, _ = scipy.optimize.nnls(root[:, None] * design, root * target)
        updated = np.where(design @ found < target, 1 + penalty, 1.0)
        if np.array_equal(updated, weights):
            break
        weights = updated
    return float(found[0]), float(found[1])
