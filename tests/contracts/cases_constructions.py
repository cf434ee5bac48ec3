"""Compressors made of others, or of several workers, and the facts about them."""

from contracts.compressor_case import Case

CASES: dict[str, Case] = {}
