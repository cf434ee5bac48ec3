"""Ways to shrink one array, with what they certify and what they cost."""

from . import wrap as wrap
from .identity import identity as identity
from .natural import natural as natural
from .rand_k import rand_k as rand_k
from .rand_seq_k import rand_seq_k as rand_seq_k
from .sign import sign as sign
from .top_k import top_k as top_k
