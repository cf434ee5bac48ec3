"""From raw stochastic gradients to an estimate of the gradient."""

from .inexact_mvr import InexactMVRState as InexactMVRState
from .inexact_mvr import inexact_mvr as inexact_mvr
from .latest import LatestState as LatestState
from .latest import latest as latest
from .mvr import MVRState as MVRState
from .mvr import mvr as mvr
from .page import PAGEState as PAGEState
from .page import page as page
from .ringleader import RingleaderState as RingleaderState
from .ringleader import ringleader as ringleader
from .sgd import sgd as sgd
from .sgdm import sgdm as sgdm
