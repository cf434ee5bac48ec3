"""Messages that are one of two things, of which one is counted."""

from typing import Any, NamedTuple

from ..types import Array, Bits, Tree

NOTHING = Bits(0, 0, 0)


class Lazy(NamedTuple):
    """A message that may be no more than its flag.

    Attributes:
      sent: is there a difference? One byte on the wire.
      difference: the compressor's message, which is not read otherwise.
    """

    sent: Array
    difference: Any


class Full(NamedTuple):
    """A message that is one of two, as a common coin decides.

    Attributes:
      full: numbers as they are.
      difference: the compressor's message.
    """

    full: Tree
    difference: Any
