"""Norms, their duals and their linear minimization oracles, on arrays and on trees."""

from .along import along as along
from .flattened import flattened as flattened
from .flattened import spectral_conv as spectral_conv
from .initial_point import initial_point as initial_point
from .l1 import l1 as l1
from .l2 import l2 as l2
from .l2 import whole_tree_l2 as whole_tree_l2
from .layers import by_name as by_name
from .layers import convolutional as convolutional
from .layers import mlp as mlp
from .layers import transformer as transformer
from .linf import linf as linf
from .lp import lp as lp
from .operators import one_to_rms as one_to_rms
from .operators import rms as rms
from .operators import rms_to_linf as rms_to_linf
from .operators import rms_to_rms as rms_to_rms
from .operators import scaled_sign as scaled_sign
from .product import by_label as by_label
from .product import matrices as matrices
from .product import per_leaf as per_leaf
from .scaled import scaled as scaled
from .schatten import nuclear as nuclear
from .schatten import schatten as schatten
from .sharp import sharp as sharp
from .spectral import spectral as spectral
