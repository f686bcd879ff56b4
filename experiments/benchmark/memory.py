"""Peak memory of one contender, alone in a process of its own.

In a shared process, the peak of one contender would be hidden by that of another, and by the memory
that the allocators of both keep for later. Child processes run this module.
"""

import importlib
import json
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable

import jax


def of_child(factory: str, **arguments) -> int:
    """Returns a contender's peak memory in bytes, above what was in use before its call.

    On a CPU this is the resident memory of the process, on a GPU what JAX and PyTorch have
    allocated there.

    Args:
        factory: ``"MODULE:FUNCTION"``, which returns the contender, a function of no
            arguments that is called once. The factory's own memory does not count (on a
            GPU: unless its peak is higher than the contender's).
        arguments: of the factory; JSON must be able to hold them.
    """
    command = [sys.executable, "-m", __name__, factory, json.dumps(arguments)]
    return int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])


def peak_of(call: Callable[[], object]) -> int:
    """Calls once and returns the peak of the memory in use minus that before the call, in bytes."""
    if jax.default_backend() == "gpu":
        import torch

        device = jax.devices()[0]
        torch.cuda.reset_peak_memory_stats()
        before = device.memory_stats()["bytes_in_use"] + torch.cuda.memory_allocated()
        kept = call()
        peak = device.memory_stats()["peak_bytes_in_use"] + torch.cuda.max_memory_allocated()
    else:
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # the kernel resets the peak
        before = _resident("VmRSS")
        kept = call()
        peak = _resident("VmHWM")
    del kept  # the result counts too, so it is kept until here
    return peak - before


def _resident(which: str) -> int:
    found = re.search(rf"{which}:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


if __name__ == "__main__":
    module, _, function = sys.argv[1].partition(":")
    print(peak_of(getattr(importlib.import_module(module), function)(**json.loads(sys.argv[2]))))
