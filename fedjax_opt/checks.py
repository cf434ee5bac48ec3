"""Checks at construction: certificates of compressors, ranges of Python numbers."""

from numbers import Integral
from typing import Any, TypeVar

from .types import Aggregator, Certificate, Compressor, Mechanism, TreeCompressor

AnyCompressor = TypeVar("AnyCompressor", Compressor, TreeCompressor)

PROBE = 2**32  # more entries than any k, and enough that a large k does not help


def compressor(value: Any, *, user: str) -> None:
    """Refuses what is not a compressor, such as `top_k` where `top_k(10)` is meant.

    Raises:
      TypeError: if `value` is neither a Compressor nor a TreeCompressor.
    """
    if not isinstance(value, Compressor | TreeCompressor):
        raise TypeError(
            f"{user} needs a compressor such as top_k(10), got {value!r}; "
            "was a constructor passed without calling it?"
        )


def contractive(
    compressor: AnyCompressor, *, user: str, or_absolute: bool = False
) -> AnyCompressor:
    """Returns the compressor if it certifies an α > 0, whatever the size.

    Args:
      compressor: a Compressor or TreeCompressor.
      user: who needs it, for the message.
      or_absolute: will an absolute bound of the error do as well?

    Raises:
      ValueError: if it certifies no α, or not on large arrays.
    """
    certificate = _probe(compressor, user)
    if certificate.alpha is not None and certificate.alpha > 0:
        return compressor
    if or_absolute and certificate.absolute is not None:
        return compressor
    name = _name(compressor)
    if certificate.omega is not None:
        found = f"{name} certifies only omega. Wrap it: wrap.scaled({name})."
    elif certificate.eta is not None:
        found = (
            f"{name} certifies no alpha on large arrays, only its bias and its noise. "
            "Take ef_bv, which needs no more, or a compressor such as top_k."
        )
    else:
        found = f"{name} certifies no alpha. Take one that does, such as top_k."
    raise ValueError(f"{user} needs a contractive compressor; {found}")


def unbiased(compressor: AnyCompressor, *, user: str) -> AnyCompressor:
    """Returns the compressor if it certifies an ω.

    Args:
      compressor: a Compressor or TreeCompressor.
      user: who needs it, for the message.

    Raises:
      ValueError: if it certifies no ω.
    """
    certificate = _probe(compressor, user)
    if certificate.omega is not None:
        return compressor
    found = "no omega" if certificate.alpha is None else "only alpha"
    raise ValueError(
        f"{user} needs an unbiased compressor; {_name(compressor)} certifies {found}. "
        "Take one with an omega, such as rand_k."
    )


def contractive_or_unbiased(compressor: AnyCompressor, *, user: str) -> AnyCompressor:
    """Returns the compressor if it certifies an α > 0 or an ω.

    Args:
      compressor: a Compressor or TreeCompressor.
      user: who needs it, for the message.

    Raises:
      ValueError: if it certifies neither.
    """
    certificate = _probe(compressor, user)
    if certificate.omega is not None or certificate.alpha is not None:
        return compressor
    raise ValueError(
        f"{user} needs a contractive or an unbiased compressor; {_name(compressor)} "
        "certifies neither alpha nor omega. Take one that does, such as top_k or "
        "rand_k."
    )


def company(
    mechanism: Mechanism,
    *,
    participation: Any,
    aggregator: Aggregator | None,
    user: str,
) -> None:
    """Refuses a participation or an aggregator that a mechanism does not bear.

    Args:
      mechanism: who sends what.
      participation: who comes in a round; None for all.
      aggregator: what the server makes of the messages; None for the mean.
      user: who puts them together, for the message.

    Raises:
      ValueError: if somebody may be absent who must not, or the aggregator is not
        linear and has to be.
    """
    if mechanism.everybody and participation is not None:
        raise ValueError(
            f"{user} has a mechanism for which everybody has to come in every round: "
            "leave participation out (pp_marina, cofig and frecon draw few workers "
            "themselves)"
        )
    if mechanism.linear and aggregator is not None and aggregator.weights is None:
        raise ValueError(
            f"{user} has a mechanism whose server adds up what is aggregated, which "
            "has to be linear in the messages: take aggregators.mean(), or a mechanism "
            "such as dcgd, ef14 or marina"
        )


def positive(value: Any, name: str) -> None:
    """Refuses a Python number that is not > 0; arrays and tracers pass.

    Raises:
      ValueError: if the number is out of range.
    """
    if isinstance(value, int | float) and not value > 0:
        raise ValueError(f"{name} must be positive, got {value}")


def not_negative(value: Any, name: str) -> None:
    """Refuses a Python number that is not >= 0; arrays and tracers pass.

    Raises:
      ValueError: if the number is out of range.
    """
    if isinstance(value, int | float) and not value >= 0:
        raise ValueError(f"{name} must not be negative, got {value}")


def generalized_smoothness(l0: Any, l1: Any, *, user: str) -> None:
    """Refuses Python numbers that are no constants of (L₀, L₁)-smoothness.

    Raises:
      ValueError: if one is negative, or both are 0.
    """
    not_negative(l0, "l0")
    not_negative(l1, "l1")
    if isinstance(l0, int | float) and isinstance(l1, int | float) and l0 == l1 == 0:
        raise ValueError(f"{user} needs l0 > 0 or l1 > 0")


def input_axis(value: Any) -> None:
    """Refuses what is no axis of a matrix.

    Raises:
      ValueError: if it is neither 0 nor 1.
    """
    if value not in (0, 1):
        raise ValueError(
            f"input_axis must be 0 for (in, out) or 1 for (out, in), not {value}."
        )


def positive_integer(value: Any, name: str) -> None:
    """Refuses what is not an integer >= 1: a size must be known when tracing.

    Raises:
      TypeError: if it is not an integer.
      ValueError: if it is not positive.
    """
    if not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


def counts(user: str, **named: Any) -> None:
    """Refuses Python numbers that are not 1, 2, ...; arrays and tracers pass.

    Raises:
      ValueError: naming the first that is none.
    """
    for name, value in named.items():
        if isinstance(value, int | float) and not (value >= 1 and value == int(value)):
            raise ValueError(f"{user} needs {name} to be 1, 2, ..., got {value}")


def in_unit_interval(
    value: Any, name: str, *, zero: bool = True, one: bool = True
) -> None:
    """Refuses a Python number outside the unit interval; arrays and tracers pass.

    Args:
      value: the number.
      name: what it is called, for the message.
      zero: is 0 allowed?
      one: is 1 allowed?

    Raises:
      ValueError: if the number is out of range.
    """
    if not isinstance(value, int | float):
        return
    if not (0 < value < 1 or (zero and value == 0) or (one and value == 1)):
        interval = f"{'[' if zero else '('}0, 1{']' if one else ')'}"
        raise ValueError(f"{name} must lie in {interval}, got {value}")


def _probe(c: Compressor | TreeCompressor, user: str) -> Certificate:
    compressor(c, user=user)
    if isinstance(c, TreeCompressor):
        return c.certificate((PROBE,))
    return c.certificate(PROBE)


def _name(c: Compressor | TreeCompressor) -> str:
    return c.label or "the compressor"
