"""What a reference returns: the arrivals at the server and the server's models."""

from typing import NamedTuple

import numpy as np
from reference.clock import Row


class Result(NamedTuple):
    """A run of one method.

    Attributes:
      rows: the arrivals at the server, in order.
      iterates: x⁰, ..., x^K stacked along a new first axis, xᵏ after k updates.
    """

    rows: list[Row]
    iterates: np.ndarray
