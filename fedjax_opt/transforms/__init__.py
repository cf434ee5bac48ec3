"""Gradient transformations beside those of optax, with its sign: steps subtract."""

from .ac_sa import ACSAState as ACSAState
from .ac_sa import ac_sa as ac_sa
from .ac_sa import ac_sa_eval_params as ac_sa_eval_params
from .adgd import AdGDState as AdGDState
from .adgd import adgd as adgd
from .adgd import adgd2 as adgd2
from .bpm import bpm as bpm
from .clip import clip as clip
from .extragradient import ExtragradientState as ExtragradientState
from .extragradient import extragradient as extragradient
from .extragradient import extragradient_eval_params as extragradient_eval_params
from .generalized_smoothness import (
    scale_by_generalized_smoothness as scale_by_generalized_smoothness,
)
from .gradient_diversity import (
    scale_by_gradient_diversity as scale_by_gradient_diversity,
)
from .lmo_step import lmo_step as lmo_step
from .lmo_step import scale_by_lmo as scale_by_lmo
from .momentum import MomentumState as MomentumState
from .momentum import growing_momentum as growing_momentum
from .momentum import momentum as momentum
from .normalize import smoothed_normalization as smoothed_normalization
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
from .refined_linear_decay import refined_linear_decay as refined_linear_decay
from .sppm import sppm as sppm
from .stm import STMState as STMState
from .stm import clipped_stm as clipped_stm
from .stm import stm as stm
from .stm import stm_eval_params as stm_eval_params
