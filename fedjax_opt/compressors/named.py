"""Compressors by name, as the command line writes them."""

from ..types import Compressor
from .identity import identity
from .natural import natural
from .rand_k import rand_k
from .rand_seq_k import rand_seq_k
from .scaled_sign import scaled_sign
from .sign import sign
from .terngrad import terngrad
from .top_k import top_k
from .top_lek import top_lek

WHOLE = {
    "identity": identity,
    "natural": natural,
    "scaled_sign": scaled_sign,
    "sign": sign,
    "terngrad": terngrad,
}
OF_SIZE = {
    "top_k": top_k,
    "top_lek": top_lek,
    "rand_k": rand_k,
    "rand_seq_k": rand_seq_k,
}


def named(text: str) -> Compressor:
    """The compressor of a name, such as identity, top_k(10), or rand_k(0.05).

    Args:
      text: a name of `WHOLE`, or one of `OF_SIZE` with a number behind it: whole ones
        are K, others K/d.

    Raises:
      ValueError: for anything else, or a number out of range.
    """
    name, _, rest = text.partition("(")
    size = _number(rest[:-1]) if rest.endswith(")") else None
    if text in WHOLE:
        return WHOLE[text]()
    if name not in OF_SIZE or size is None:
        sizes = ", ".join(f"{name}(10)" for name in OF_SIZE)
        raise ValueError(
            f"unknown compressor {text!r}: write {', '.join(WHOLE)}, {sizes}, or a "
            "share such as top_k(0.05)"
        )
    if isinstance(size, int):
        return OF_SIZE[name](size)
    return OF_SIZE[name](fraction=size)


def _number(text: str) -> int | float | None:
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    return None
