"""What the server makes of the n decoded messages."""

from .mean import mean as mean
from .median import coordinate_median as coordinate_median
from .weighted import weighted as weighted
