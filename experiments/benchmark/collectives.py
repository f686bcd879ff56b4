"""What a compiled program sends from device to device."""

import re

import jax
import numpy as np

_NAMES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_BYTES = {"pred": 1, "u8": 1, "bf16": 2, "s32": 4, "u32": 4, "f32": 4, "f64": 8}


def sent(compiled: jax.stages.Compiled) -> list[tuple[str, int]]:
    """Returns for each collective of a program its name and the bytes that it gives to one device."""
    found = []
    for line in (compiled.as_text() or "").splitlines():
        match = re.match(rf"\s*(?:ROOT )?\S+ = (.*?) ({'|'.join(_NAMES)})(?:-start)?\(", line)
        if match:
            shapes = re.findall(r"(\w+)\[([\d,]*)\]", match[1])
            size = sum(_BYTES[kind] * int(np.prod([int(n) for n in shape.split(",") if n])) for kind, shape in shapes)
            found.append((match[2], size))
    return found
