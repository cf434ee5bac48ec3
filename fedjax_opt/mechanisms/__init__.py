"""Who sends what: message rules of workers and server, as values of `Mechanism`."""

from .clip21 import clip21 as clip21
from .clip21 import clipped_shift as clipped_shift
from .coins import common_coin as common_coin
from .coins import own_coin as own_coin
from .dasha import dasha as dasha
from .dcgd import dcgd as dcgd
from .diana import diana as diana
from .ef14 import ef14 as ef14
from .ef21 import ef21 as ef21
from .ef21_plus import ef21_plus as ef21_plus
from .ef21_weighted import ef21_weighted as ef21_weighted
from .ef_bv import ef_bv as ef_bv
from .marina import marina as marina
from .marina import pp_marina as pp_marina
from .norm_ec import norm_ec as norm_ec
from .rand_diana import rand_diana as rand_diana
from .three_point import cbag_map as cbag_map
from .three_point import clag_map as clag_map
from .three_point import ef21_map as ef21_map
from .three_point import lag_map as lag_map
from .three_point import three_point as three_point
from .three_point import v1_map as v1_map
from .three_point import v2_map as v2_map
from .three_point import v3_map as v3_map
from .three_point import v4_map as v4_map
from .three_point import v5_map as v5_map
