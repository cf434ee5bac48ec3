"""Workers and a server: on one device, over a mesh, and in simulated time."""

from .distribute import distribute as distribute
from .downlink import downlink as downlink
from .downlink import eval_params as eval_params
from .order import reshuffled_order as reshuffled_order
from .order import uniform_order as uniform_order
from .participation import after_first_round as after_first_round
from .participation import cyclic_participation as cyclic_participation
from .participation import importance_probabilities as importance_probabilities
from .participation import independent_participation as independent_participation
from .participation import uniform_participation as uniform_participation
from .trace import trace as trace
from .worker_grads import worker_grads as worker_grads
