"""Compressors that keep random entries, and the facts about them by hand."""

from contracts.compressor_case import Case

CASES: dict[str, Case] = {}
