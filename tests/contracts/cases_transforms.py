"""Gradient transformations, and what they must be given: facts, no logic."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fedjax_opt import estimators, geometry, transforms


def at_the_parameters(state, params):
    del state
    return params


class Case(NamedTuple):
    """One transformation.

    Attributes:
      factory: (**arguments) -> transformation.
      arguments: numbers among them may be injected and swept.
      needs: keyword arguments of `update`, among "value", "value_fn", "previous_grads",
        "hvp", "read_params" and "key".
      per_example: it takes gradients with a leading axis.
      factor: what makes its output a step that converges: 1 for complete optimizers;
        None where it does not converge with a constant factor.
      updates: until f = ½|x − 1|² is at its minimum.
      rests: at a gradient of zero; not where it pulls to some other point.
      eval_params: (state, params) -> where gradients are taken.
    """

    factory: Callable[..., Any]
    arguments: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    per_example: bool = False
    factor: float | None = None
    updates: int = 300
    rests: bool = True
    eval_params: Callable[[Any, Any], Any] = at_the_parameters

    def make(self):
        return self.factory(**self.arguments)


PRODUCT = geometry.matrices(geometry.spectral(), geometry.linf())

CASES = {
    "clip": Case(transforms.clip, {"threshold": 1.0}, factor=-0.3),
    "smoothed normalization": Case(
        transforms.smoothed_normalization, {"alpha": 0.5}, factor=-0.3
    ),
    "normalization": Case(transforms.smoothed_normalization, {"alpha": 0.0}),
    "momentum": Case(transforms.momentum, {"momentum": 0.9}, factor=-0.3),
    "nesterov": Case(
        transforms.momentum, {"momentum": 0.9, "nesterov": True}, factor=-0.3
    ),
    "momentum from the first": Case(
        transforms.momentum, {"momentum": 0.9, "from_first": True}, factor=-0.3
    ),
    "global l2": Case(transforms.scale_by_lmo, {"geometry": geometry.whole_tree_l2()}),
    "muon": Case(transforms.scale_by_lmo, {"geometry": PRODUCT}),
    "proximal": Case(
        transforms.proximal, {"step_size": 0.3, "prox": lambda z, _: z}, factor=-0.3
    ),
    "ac_sa": Case(
        transforms.ac_sa,
        {"step_size": 0.5},
        factor=1.0,
        updates=2000,
        eval_params=transforms.ac_sa_eval_params,
    ),
    "generalized smoothness": Case(
        transforms.scale_by_generalized_smoothness, {"l0": 1.0, "l1": 0.5}, factor=-0.5
    ),
    "polyak": Case(
        transforms.scale_by_polyak_step,
        {"f_min": 0.0},
        needs=("value",),
        factor=-1.0,
    ),
    "smoothed polyak": Case(
        transforms.scale_by_smoothed_polyak_step,
        {"f_min": 0.0, "first_bound": 0.01, "growth": 1.1},
        needs=("value",),
        factor=-1.0,
    ),
    "stm": Case(
        transforms.stm,
        {"l0": 1.0, "l1": 0.3, "step_size": 0.5},
        factor=1.0,
        updates=2000,
        eval_params=transforms.stm_eval_params,
    ),
    "stm, largest": Case(
        transforms.stm,
        {"l0": 1.0, "l1": 0.3, "largest": True},
        factor=1.0,
        updates=2000,
        eval_params=transforms.stm_eval_params,
    ),
    "clipped stm": Case(
        transforms.clipped_stm,
        {"step_size": 1.0, "level": 1.0},
        factor=1.0,
        updates=2000,
        eval_params=transforms.stm_eval_params,
    ),
    "adgd": Case(transforms.adgd, {"first_step": 1e-6}, factor=1.0),
    "adgd2": Case(transforms.adgd2, {"first_step": 1e-6}, factor=1.0),
    "extragradient": Case(
        transforms.extragradient,
        {"step_size": 0.3, "extrapolation_step": 0.4},
        factor=1.0,
        eval_params=transforms.extragradient_eval_params,
    ),
    "quantile clip": Case(
        transforms.quantile_clip, {"quantile": 0.6}, per_example=True, factor=-0.3
    ),
    "tracked quantile clip": Case(
        transforms.tracked_quantile_clip,
        {"quantile": 0.6, "first_threshold": 1.0, "rate": 0.1},
        per_example=True,
        factor=-0.3,
    ),
    "gradient diversity": Case(
        transforms.scale_by_gradient_diversity, {}, per_example=True, factor=-0.5
    ),
    "bpm": Case(
        transforms.bpm,
        {"radius": 1.0, "solver": transforms.prox_by_gradient_steps(3, 1.0)},
        needs=("value_fn",),
        factor=1.0,
        updates=20,
    ),
    "sppm": Case(
        transforms.sppm,
        {"step_size": 2.0, "solver": transforms.prox_by_gradient_steps(3, 1.0)},
        needs=("value_fn",),
        factor=1.0,
        updates=50,
    ),
    "towards": Case(transforms.towards, {"mixing": 0.5}, rests=False),
    "overwrite": Case(
        transforms.overwrite, {"probability": 0.5}, needs=("read_params", "key")
    ),
    "lmo step": Case(
        transforms.lmo_step,
        {"geometry": None, "step_size": 0.1, "momentum": 0.5, "nesterov": True},
    ),
    "muon, complete": Case(transforms.muon, {"step_size": 0.1}),
    "muon, decaying": Case(
        transforms.muon, {"step_size": 0.1, "weight_decay": 0.2}, rests=False
    ),
    "scion": Case(
        transforms.scion,
        {"step_size": 0.1, "geometry": PRODUCT, "radius": 2.0, "constrained": False},
    ),
    "scion, constrained": Case(
        transforms.scion,
        {"step_size": 0.1, "geometry": PRODUCT, "radius": 2.0},
        rests=False,
    ),
    "measured smoothness": Case(
        transforms.measure_smoothness, {"geometry": PRODUCT}, factor=-0.3
    ),
    "clipped lmo": Case(
        transforms.scale_by_clipped_lmo,
        {"geometry": PRODUCT, "threshold": 2.0},
        factor=-0.1,
    ),
    "gluon": Case(
        transforms.scale_by_gluon,
        {"geometry": PRODUCT, "l0": 1.0, "l1": 0.5},
        factor=-0.2,
    ),
    "horizon-free lmo": Case(
        transforms.horizon_free_lmo, {"step_size": 0.1, "geometry": PRODUCT}
    ),
    "layer dropping": Case(
        transforms.layer_dropping_momentum,
        {"momentum": 0.5, "key": jax.random.key(0)},
        factor=-0.3,
    ),
    "distance-adaptive": Case(
        transforms.distance_adaptive_style, {"geometry": PRODUCT, "scale": 0.5}
    ),
    "scale-calibrated": Case(
        transforms.scale_calibrated_style,
        {"geometry": PRODUCT, "l0": 7.0, "l1": 0.1, "momentum": 0.5},
        factor=1.0,
    ),
    "recentred lmo": Case(
        transforms.recentred_lmo, {"geometry": PRODUCT, "radius": 2.0}
    ),
    "distance-free": Case(
        transforms.distance_free_style,
        {"geometry": PRODUCT, "smoothness": 7.0, "initial_radius": 0.1},
        needs=("value",),
    ),
    "local lmo": Case(
        transforms.local_lmo,
        {
            "convex_set": transforms.sets.box(-5.0, 5.0),
            "radius": transforms.radii.proportional(0.3),
        },
        factor=1.0,
    ),
    "local lmo, polyak": Case(
        transforms.local_lmo,
        {
            "convex_set": transforms.sets.ball(9.0),
            "radius": transforms.radii.polyak(0.0),
        },
        needs=("value",),
        factor=1.0,
    ),
    "nigt": Case(
        transforms.nigt,
        {"momentum": 0.7},
        factor=-0.3,
        eval_params=transforms.nigt_eval_params,
    ),
    "n_pg_igt": Case(transforms.n_pg_igt, {"step_size": 0.3}),
    "n_harpg": Case(
        transforms.n_harpg,
        {"step_size": 0.3, "key": jax.random.key(0)},
        needs=("hvp",),
    ),
    "hessian momentum": Case(
        transforms.hessian_momentum, {"momentum": 0.7}, needs=("hvp",)
    ),
    "hessian momentum, another coefficient": Case(
        transforms.hessian_momentum,
        {"momentum": 0.7, "coefficient": 0.5},
        needs=("hvp",),
    ),
    "hessian momentum, random": Case(
        transforms.hessian_momentum,
        {"momentum": 0.7, "key": jax.random.key(0)},
        needs=("hvp",),
    ),
    "hessian momentum, clipped": Case(
        transforms.clipped_hessian_momentum,
        {
            "momentum": 0.7,
            "step_size": 0.1,
            "grad_threshold": 2.0,
            "hessian_threshold": 2.0,
        },
        needs=("hvp",),
    ),
    "sgdm": Case(estimators.sgdm, {"momentum": 0.7, "folds": 1}, factor=-0.3),
    "sgdm, twice": Case(estimators.sgdm, {"momentum": 0.7, "folds": 2}, factor=-0.3),
    "mvr": Case(estimators.mvr, {"momentum": 0.7}, needs=("previous_grads",)),
    "inexact mvr": Case(
        estimators.inexact_mvr, {"momentum": 0.7, "correction": 0.1}, factor=-0.3
    ),
    "gamma mvr": Case(
        estimators.gamma_mvr,
        {"momentum": 0.7, "gamma": 0.4},
        needs=("previous_grads",),
    ),
    "mars": Case(
        estimators.mars, {"momentum": 0.7, "gamma": 0.4}, needs=("previous_grads",)
    ),
    "gluon-mvr-2": Case(
        estimators.gluon_mvr2,
        {"momentum": 0.7, "inner_momentum": 0.5},
        needs=("previous_grads",),
    ),
    "gluon-mvr-3": Case(
        estimators.gluon_mvr3,
        {"momentum": 0.7, "inner_momentum": 0.5},
        needs=("previous_grads",),
    ),
    "storm": Case(
        estimators.storm,
        {"step_scale": 0.5, "offset": 1.0, "momentum_scale": 1.0},
        needs=("previous_grads",),
    ),
}
DTYPES = (jnp.float32, jnp.bfloat16)  # the other tests are in float64
