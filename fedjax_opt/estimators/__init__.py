"""From raw stochastic gradients to an estimate of the gradient."""

from .latest import LatestState as LatestState
from .latest import latest as latest
from .mvr import MVRState as MVRState
from .mvr import mvr as mvr
from .sgd import sgd as sgd
