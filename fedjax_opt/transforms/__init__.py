"""Gradient transformations beside those of optax, with its sign: steps subtract."""

from . import radii as radii
from . import sets as sets
from .ac_sa import ACSAState as ACSAState
from .ac_sa import ac_sa as ac_sa
from .ac_sa import ac_sa_eval_params as ac_sa_eval_params
from .adgd import AdGDState as AdGDState
from .adgd import adgd as adgd
from .adgd import adgd2 as adgd2
from .bpm import bpm as bpm
from .clip import clip as clip
from .distance_adaptive import ExploredState as ExploredState
from .distance_adaptive import distance_adaptive_style as distance_adaptive_style
from .distance_adaptive import scale_by_explored_radius as scale_by_explored_radius
from .distance_free import DistanceFreeState as DistanceFreeState
from .distance_free import distance_free_style as distance_free_style
from .extragradient import ExtragradientState as ExtragradientState
from .extragradient import extragradient as extragradient
from .extragradient import extragradient_eval_params as extragradient_eval_params
from .generalized_smoothness import (
    scale_by_generalized_smoothness as scale_by_generalized_smoothness,
)
from .gluon import scale_by_gluon as scale_by_gluon
from .gradient_diversity import (
    scale_by_gradient_diversity as scale_by_gradient_diversity,
)
from .hessian_momentum import HessianMomentumState as HessianMomentumState
from .hessian_momentum import clipped_hessian_momentum as clipped_hessian_momentum
from .hessian_momentum import hessian_momentum as hessian_momentum
from .horizon_free import horizon_free_lmo as horizon_free_lmo
from .horizon_free import horizon_free_momentum as horizon_free_momentum
from .horizon_free import horizon_free_step as horizon_free_step
from .layer_dropping import LayerDroppingState as LayerDroppingState
from .layer_dropping import layer_dropping_momentum as layer_dropping_momentum
from .layer_dropping import progressive as progressive
from .lmo_step import lmo_step as lmo_step
from .lmo_step import scale_by_lmo as scale_by_lmo
from .local_lmo import LocalLMOState as LocalLMOState
from .local_lmo import local_lmo as local_lmo
from .momentum import MomentumState as MomentumState
from .momentum import growing_momentum as growing_momentum
from .momentum import momentum as momentum
from .muon import muon as muon
from .muon import muon_norm as muon_norm
from .nigt import NIGTState as NIGTState
from .nigt import nigt as nigt
from .nigt import nigt_eval_params as nigt_eval_params
from .normalize import smoothed_normalization as smoothed_normalization
from .normalized_policy_gradient import n_harpg as n_harpg
from .normalized_policy_gradient import n_harpg_momentum as n_harpg_momentum
from .normalized_policy_gradient import n_pg_igt as n_pg_igt
from .normalized_policy_gradient import n_pg_igt_momentum as n_pg_igt_momentum
from .overwrite import overwrite as overwrite
from .parametric_terms import ParametricTerms as ParametricTerms
from .parametric_terms import parametric_terms as parametric_terms
from .polyak import SmoothedPolyakState as SmoothedPolyakState
from .polyak import scale_by_polyak_step as scale_by_polyak_step
from .polyak import scale_by_smoothed_polyak_step as scale_by_smoothed_polyak_step
from .prox_solvers import ProxSolver as ProxSolver
from .prox_solvers import prox_by_gradient_steps as prox_by_gradient_steps
from .prox_solvers import prox_by_newton_step as prox_by_newton_step
from .proximal import proximal as proximal
from .proximal import soft_threshold as soft_threshold
from .quantile_clip import QuantileClipState as QuantileClipState
from .quantile_clip import TrackedQuantileState as TrackedQuantileState
from .quantile_clip import quantile_clip as quantile_clip
from .quantile_clip import tracked_quantile_clip as tracked_quantile_clip
from .recentred import RecentredState as RecentredState
from .recentred import recentred_lmo as recentred_lmo
from .refined_linear_decay import refined_linear_decay as refined_linear_decay
from .scale_calibrated import scale_calibrated_style as scale_calibrated_style
from .scion import scale_by_clipped_lmo as scale_by_clipped_lmo
from .scion import scion as scion
from .smoothness import SmoothnessState as SmoothnessState
from .smoothness import fit_smoothness as fit_smoothness
from .smoothness import measure_smoothness as measure_smoothness
from .sppm import sppm as sppm
from .stm import STMState as STMState
from .stm import clipped_stm as clipped_stm
from .stm import stm as stm
from .stm import stm_eval_params as stm_eval_params
from .towards import towards as towards
