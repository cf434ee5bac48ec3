"""Schedules: who works when, whose gradient counts, and when the model steps."""

from .asgd import asgd as asgd
from .delay_adaptive import delay_adaptive_asgd as delay_adaptive_asgd
from .fastest import fastest as fastest
from .ia2sgd import ia2sgd as ia2sgd
from .malenia import malenia as malenia
from .picky import picky as picky
from .rennala import rennala as rennala
from .ringmaster import ringmaster as ringmaster
from .synchronous import synchronous as synchronous
