"""Named methods: compositions of parts, without mathematics of their own."""

from .asgd import asgd as asgd
from .delay_adaptive_asgd import delay_adaptive_asgd as delay_adaptive_asgd
from .diana_gd import diana_gd as diana_gd
from .ef21_gd import ef21_gd as ef21_gd
from .ef21_muon import ef21_muon as ef21_muon
from .hero_sgd import hero_sgd as hero_sgd
from .ia2sgd import ia2sgd as ia2sgd
from .malenia_sgd import malenia_sgd as malenia_sgd
from .minibatch_sgd import minibatch_sgd as minibatch_sgd
from .picky_sgd import picky_sgd as picky_sgd
from .rennala_mvr import rennala_mvr as rennala_mvr
from .rennala_sgd import rennala_sgd as rennala_sgd
from .ringmaster_asgd import ringmaster_asgd as ringmaster_asgd
from .ringmaster_lmo import ringmaster_lmo as ringmaster_lmo
