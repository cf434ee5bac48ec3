"""Gradient transformations beside those of optax, with its sign: steps subtract."""

from .ac_sa import ACSAState as ACSAState
from .ac_sa import ac_sa as ac_sa
from .ac_sa import ac_sa_eval_params as ac_sa_eval_params
from .clip import clip as clip
from .lmo_step import lmo_step as lmo_step
from .lmo_step import scale_by_lmo as scale_by_lmo
from .momentum import MomentumState as MomentumState
from .momentum import growing_momentum as growing_momentum
from .momentum import momentum as momentum
from .normalize import smoothed_normalization as smoothed_normalization
from .overwrite import overwrite as overwrite
from .proximal import proximal as proximal
from .proximal import soft_threshold as soft_threshold
