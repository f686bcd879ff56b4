"""Peak memory of one contender, alone in a process of its own.

Within one process the peak of one contender would hide in that of another, and in what the
allocators of both keep for later. Child processes run this module.
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
    """Returns the bytes that a contender takes at its peak above what was in use before it was called.

    On a CPU that is the resident memory of the process, on a GPU what JAX and PyTorch have
    allocated there.

    Args:
        factory: ``"MODULE:FUNCTION"``, which returns the contender, a function of no
            arguments that is called once. What the factory itself takes does not count.
        arguments: of the factory, as JSON can hold them.
    """
    command = [sys.executable, "-m", __name__, factory, json.dumps(arguments)]
    return int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])


def peak_of(call: Callable[[], object]) -> int:
    """Calls once and returns by how many bytes the memory in use was higher at its peak than before."""
    if jax.default_backend() == "gpu":
        import torch

        device = jax.devices()[0]
        torch.cuda.reset_peak_memory_stats()
        before = device.memory_stats()["bytes_in_use"] + torch.cuda.memory_allocated()
        kept = call()
        peak = device.memory_stats()["peak_bytes_in_use"] + torch.cuda.max_memory_allocated()
    else:
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # the kernel starts a new peak
        before = _resident("VmRSS")
        kept = call()
        peak = _resident("VmHWM")
    del kept  # the result counts, so it must not be freed before
    return peak - before


def _resident(which: str) -> int:
    found = re.search(rf"{which}:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


if __name__ == "__main__":
    module, _, function = sys.argv[1].partition(":")
    print(peak_of(getattr(importlib.import_module(module), function)(**json.loads(sys.argv[2]))))
