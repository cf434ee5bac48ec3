"""Objectives, with the data they are made of and what is known about them."""

from . import datasets as datasets
from . import draws as draws
from . import split as split
from .from_loss import from_loss as from_loss
from .heterogeneous import heterogeneous_quadratics as heterogeneous_quadratics
from .logistic import logistic_regression as logistic_regression
from .networks import classifier as classifier
from .quadratic import tridiagonal as tridiagonal
from .quadratics import quadratics as quadratics
from .saddle import bilinear as bilinear
from .sampled import sampled as sampled
