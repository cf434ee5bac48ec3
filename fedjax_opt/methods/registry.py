"""Every method by name."""

import difflib
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from ..compressors.named import named
from . import entries_in_rounds, entries_in_time
from .entry import Entry as Entry

METHODS: Mapping[str, Entry] = MappingProxyType(
    entries_in_time.ENTRIES | entries_in_rounds.ENTRIES
)


def lookup(names: Iterable[str]) -> dict[str, Entry]:
    """The entries of these names, in this order.

    Args:
      names: of methods, with options behind colons where one differs from the
        recipe's defaults: "rennala_sgd", "rennala_sgd:stop=true:batch_size=10",
        "ef21_gd:compressor=top_k(10)".

    Raises:
      ValueError: for an unknown name or option, a repeated one, or none at all.
    """
    names = list(names)
    if not names:
        raise ValueError(f"no method given: choose from {', '.join(METHODS)}")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"method {name!r} is given twice: leave one out")
    return {name: _entry(*name.split(":")) for name in names}


def _entry(name: str, *options: str) -> Entry:
    if name not in METHODS:
        close = difflib.get_close_matches(name, METHODS)
        meant = f"did you mean {' or '.join(close)}? " if close else ""
        raise ValueError(
            f"unknown method {name!r}; {meant}The methods are {', '.join(METHODS)}"
        )
    pairs = [option.partition("=") for option in options]
    for option, (keyword, _, value) in zip(options, pairs, strict=True):
        if not (keyword and value):
            raise ValueError(f"{name}: write {option!r} as option=value")
    return METHODS[name].with_options(
        {
            keyword: (named if keyword.endswith("compressor") else _value)(text)
            for keyword, _, text in pairs
        }
    )


def _value(text: str) -> bool | int | float | str | None:
    """What is meant by the value of an option: true, none, 3, 0.5, or a word."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    return text
