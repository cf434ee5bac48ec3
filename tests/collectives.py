"""What the devices of a compiled program send to each other."""

import math
import re

COLLECTIVE = re.compile(
    r"= (?P<result>.*?) (?P<name>all-gather|all-reduce|all-to-all|reduce-scatter|"
    r"collective-permute|collective-broadcast|ragged-all-to-all)(-start)?\("
)
BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4}
BYTES |= {"f32": 4, "s64": 8, "u64": 8, "f64": 8}


def shapes_in(text):
    """(dtype, number of entries) of every array type in a piece of HLO."""
    found = re.findall(r"([a-z]+\d*)\[([\d,]*)\]", text)
    return [(t, math.prod(int(n) for n in s.split(",") if n)) for t, s in found]


def collectives(hlo):
    """The arrays that the collective operations of a compiled program yield."""
    matches = (COLLECTIVE.search(line) for line in hlo.splitlines())
    return [array for m in matches if m for array in shapes_in(m["result"])]
